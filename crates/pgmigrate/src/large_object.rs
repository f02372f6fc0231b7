//! Large objects: compared by their bytes, whoever owns them, and however their pages are cut.
//!
//! `pg_largeobject` itself is no good for that: only a superuser may read it, and one object may be stored with holes on
//! one server and with zeros on the other.

use std::collections::BTreeMap;

use pg_session::Session;

use crate::error::Error;
use crate::row_hash;
use crate::verify::{Mismatch, MismatchKind};

/// Bytes read and hashed at a time; what a server needs in memory for an object of any size.
pub(crate) const CHUNK_BYTES: i64 = 1024 * 1024;

/// Objects asked for in one query; each is open until the next.
const AT_ONCE: usize = 500;

/// An object of the source that the target has not, or has with other bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Object {
    pub oid: u32,
    /// On the source.
    pub bytes: i64,
    /// On the source, summed over its chunks.
    hash: String,
    /// On the target, if it is there.
    there: Option<(i64, String)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub compared: u64,
    pub differing: Vec<Object>,
}

impl Object {
    /// The target has one of that number.
    pub fn is_there(&self) -> bool {
        self.there.is_some()
    }

    pub fn mismatch(&self) -> Mismatch {
        let shown = |bytes: i64, hash: &str| Some(format!("{bytes} bytes, {hash}"));
        Mismatch {
            table: format!("large object {}", self.oid),
            key: None,
            column: None,
            kind: if self.there.is_some() { MismatchKind::Changed } else { MismatchKind::Missing },
            source: shown(self.bytes, &self.hash),
            target: self.there.as_ref().and_then(|(bytes, hash)| shown(*bytes, hash)),
        }
    }
}

/// Compares every object of the source. As with tables, the target may hold more. Both sessions must be in a transaction.
pub(crate) async fn compare(source: &Session, target: &Session, seed: i64) -> Result<Objects, Error> {
    let mut found = Objects::default();
    let mut last = 0_u32;
    loop {
        let rows = source
            .query(
                "select oid from pg_largeobject_metadata where oid > $1 order by oid limit $2",
                &[&last, &i64::try_from(AT_ONCE).unwrap_or(i64::MAX)],
            )
            .await
            .map_err(Error::table(LABEL, "source"))?;
        let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
        let Some(end) = oids.last() else { return Ok(found) };
        last = *end;
        found.compared += oids.len() as u64;
        let (from, mut to) =
            tokio::try_join!(digests(source, &oids, seed, "source"), digests(target, &oids, seed, "target"))?;
        for (oid, (bytes, hash)) in from {
            let there = to.remove(&oid);
            if there.as_ref() != Some(&(bytes, hash.clone())) {
                found.differing.push(Object { oid, bytes, hash, there });
            }
        }
    }
}

/// In errors: the server names the object.
const LABEL: &str = "pg_largeobject";

/// oid -> size and summed hash of its chunks, of those that are there.
async fn digests(
    session: &Session,
    oids: &[u32],
    seed: i64,
    side: &'static str,
) -> Result<BTreeMap<u32, (i64, String)>, Error> {
    let chunk = format!("pg_catalog.int8send(n) || pg_catalog.lo_get(oid, n * {CHUNK_BYTES}, {CHUNK_BYTES})");
    // 262144 is INV_READ; 2 is SEEK_END.
    let sql = format!(
        "with opened as materialized (
             select oid, pg_catalog.lo_open(oid, 262144) as fd
               from pg_catalog.pg_largeobject_metadata where oid = any ($1)),
         sized as materialized (select oid, fd, pg_catalog.lo_lseek64(fd, 0, 2) as bytes from opened)
         select oid, fd, bytes,
                (select coalesce(sum({}), 0)::text
                   from pg_catalog.generate_series(0, (bytes + {CHUNK_BYTES} - 1) / {CHUNK_BYTES} - 1) n)
           from sized",
        row_hash::hash(&chunk, seed)
    );
    let rows = session.query(&sql, &[&oids]).await.map_err(Error::table(LABEL, side))?;
    let open: Vec<i32> = rows.iter().map(|row| row.get(1)).collect();
    session
        .query("select pg_catalog.lo_close(fd) from unnest($1::int4[]) fd", &[&open])
        .await
        .map_err(Error::table(LABEL, side))?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(2), row.get(3)))).collect())
}
