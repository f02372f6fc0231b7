//! Has anything written to the source? Answered from the server's own counters, without touching a table.

use pg_session::Session;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A reading of the counters of the application's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Writes {
    /// Rows inserted, updated and deleted since the counters were last reset.
    pub rows: i64,
    /// Digest of every table's counters and file number; TRUNCATE, which counts no rows, changes the latter.
    pub digest: String,
}

/// Reads them. Counters follow a commit with a delay of up to a second or so, never precede it: a reading taken before
/// a snapshot can only err towards "something changed since". Tables in `left_out` do not count.
pub(crate) async fn read(session: &Session, schemas: &[String], left_out: &[u32]) -> Result<Writes, Error> {
    let row = session
        .query_one(
            "select coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::int8,
                    md5(coalesce(string_agg(format('%s %s %s %s %s', c.oid, c.relfilenode, s.n_tup_ins, s.n_tup_upd, s.n_tup_del),
                                            e'\n' order by c.oid), ''))
               from pg_class c
               join pg_namespace n on n.oid = c.relnamespace
               join pg_stat_all_tables s on s.relid = c.oid
              where c.relkind = 'r' and c.oid <> all ($2)
                and (n.nspname = any ($1) or c.oid = 'pg_largeobject'::regclass)",
            &[&schemas, &left_out],
        )
        .await
        .map_err(Error::on(session))?;
    Ok(Writes { rows: row.get(0), digest: row.get(1) })
}
