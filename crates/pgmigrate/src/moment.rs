//! Is the source still what it was when the copy began? A resume mixes rows of two snapshots, so this must be proved.
//!
//! Write counters prove nothing: they follow a commit late, and a crash throws them away. Transaction ids do not lie:
//! whoever changes a row has one, and recovery neither forgets nor reuses one that reached the write-ahead log (within
//! three times `wal_writer_delay`, where a commit does not wait for it). So:
//!
//! 1. Equal snapshots see equal rows, across a crash too. That is the quiet server, or the one behind a fence.
//! 2. Where ids were used (another database of the cluster, an autovacuum), the finished parts are looked through on the
//!    source: as many rows as were copied, none of them younger than the copy's beginning. A change brings forth a
//!    younger row, a deletion leaves fewer. Reading costs a fraction of copying.
//!
//! An unlogged table is always looked through: a crash empties it without any transaction.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use pg_session::Session;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Table};
use crate::error::Error;
use crate::extension::list;
use crate::state::{CopyState, PartRow};
use crate::stream;
use crate::survey::Survey;
use crate::writes::Writes;

/// Refuses rows that `source`'s snapshot could not find: who truncates or rewrites a table leaves older snapshots an empty
/// one, without an error. A table that a reader has begun is locked against that until the attempt ends, so looking
/// afterwards tells which were touched before they were read.
pub(crate) async fn refuse_rewritten(source: &Session, tables: &[Table]) -> Result<(), Error> {
    let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
    let rewritten =
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                      where c.oid = any ($1) and c.relfilenode is distinct from pg_relation_filenode(c.oid) order by 1";
    let rows = source.query(rewritten, &[&oids]).await.map_err(Error::on(source))?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let Some(first) = names.first() else { return Ok(()) };
    Err(Error::Differs {
        object: format!("table {first}"),
        message: format!(
            "the source's {} truncated, rewritten or dropped while the copy ran, and rows of it are missing",
            if names.len() == 1 { "table was".to_owned() } else { format!("tables {} were", list(&names)) }
        ),
    })
}

/// What a source was like in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// The snapshot as the server writes it; `None` on a standby, which leaves running transactions out of it.
    snapshot: Option<String>,
    /// Every transaction before this one has ended; of the others nothing is assumed.
    oldest: u64,
    /// The server lived on until its log was on disk so far: from then on no crash makes it use those ids again.
    durable: bool,
    /// Digest of every copied table's file: VACUUM FULL and the like move rows without changing them.
    files: String,
    /// Digest of the definitions.
    schema: String,
    /// Good for one thing: different counters of the same age mean writes, without looking further.
    writes: Writes,
    /// Changes when somebody resets the counters, and with every crash.
    counted_since: String,
    /// How long a commit that nobody waited for can still be lost.
    #[serde(skip)]
    uncertain_for: Duration,
}

impl Moment {
    /// Reads it in the transaction that exported the copy's snapshot; `writes` were read before.
    pub async fn read(source: &Session, survey: &Survey, writes: Writes) -> Result<Self, Error> {
        let oids: Vec<u32> = survey.tables.iter().map(|t| t.oid).collect();
        let row = source.query_one(include_str!("sql/moment.sql"), &[&oids]).await.map_err(Error::on(source))?;
        let oldest: String = row.get(1);
        Ok(Self {
            snapshot: row.get(0),
            oldest: oldest.parse().map_err(|_| Error::Internal(format!("{oldest} is no transaction id")))?,
            durable: false,
            files: row.get(2),
            schema: survey.fingerprint.clone(),
            writes,
            counted_since: row.get(3),
            uncertain_for: Duration::from_millis(catalog::unsigned(row.get(4))),
        })
    }

    /// As it is recorded with a copy.
    pub fn of(copy: &CopyState) -> Result<Self, Error> {
        Self::deserialize(&copy.writes).map_err(|e| {
            Error::OtherCopy(format!("schema tierlift on the target holds a state of another version ({e})"))
        })
    }

    /// Does `work`. Beside it, as soon as no crash of the source can lose a transaction that the copy's first snapshot
    /// has seen, records so.
    pub async fn confirm_beside<T>(&self, source: &Session, target: &Session, work: impl Future<Output = T>) -> T {
        match select(pin!(work), pin!(self.confirm(source, target))).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }

    async fn confirm(&self, source: &Session, target: &Session) {
        tokio::time::sleep(self.uncertain_for).await; // time itself is what is waited for
        // An answer over the snapshot's own session: there was no crash since. Without one nothing is recorded, and a
        // resume may have to begin anew; whatever is wrong, the work meets it too.
        if source.batch_execute("select").await.is_ok() {
            let confirmed = "update tierlift.copy set writes = jsonb_set(writes, '{durable}', 'true')";
            drop(target.batch_execute(confirmed).await);
        }
    }

    /// What has been written since, for a copy that is finished and not continued: counters are enough for a remark.
    pub fn counts_differ(&self, now: &Self) -> bool {
        self.counted_since == now.counted_since && self.writes != now.writes
    }

    /// Whether both snapshots see the very same rows, and no crash between them made the server use an id again.
    pub fn sees_what(&self, now: &Self) -> bool {
        self.snapshot.is_some() && self.snapshot == now.snapshot && self.is_lasting(now)
    }

    fn is_lasting(&self, now: &Self) -> bool {
        self.durable || self.counted_since == now.counted_since
    }

    /// Why the source can't be shown to be what it was; `None` when it is. `source` reads in the snapshot of `now`.
    pub async fn changed(
        &self,
        now: &Self,
        source: &Session,
        survey: &Survey,
        parts: &[PartRow],
    ) -> Result<Option<String>, Error> {
        if self.schema != now.schema {
            return Ok(Some("the source's schema was changed since the copy began".to_owned()));
        }
        let done: Vec<&PartRow> = parts.iter().filter(|p| p.done).collect();
        if done.is_empty() {
            return Ok(None);
        }
        if self.files != now.files {
            return Ok(Some("tables of the source were truncated or rewritten since the copy began".to_owned()));
        }
        if !self.is_lasting(now) {
            return Ok(Some("it cannot be shown that the source was not written to since the copy began".to_owned()));
        }
        let same_snapshot = self.sees_what(now);
        if !same_snapshot && self.counts_differ(now) {
            return Ok(Some("the source was written to since the copy began".to_owned()));
        }
        // A row keeps half of an id, so of two that are further apart it can't be said which is older.
        if now.oldest.checked_sub(self.oldest).is_none_or(|ids| ids >= 1 << 31) {
            return Ok(Some("too much happened on the source's server since the copy began".to_owned()));
        }
        for part in done {
            let Some(table) = survey.tables.iter().find(|t| t.relation.to_string() == part.relation) else {
                return Ok(Some(format!("table {} of the source is gone since the copy began", part.relation)));
            };
            if same_snapshot && !table.unlogged {
                continue;
            }
            let sql = format!(
                "select count(*), count(*) filter (where age(xmin) between 0 and age('{}'::xid)) {}",
                self.oldest % (1 << 32),
                stream::rows_of(table, part),
            );
            let row = source.query_one(&sql, &[]).await.map_err(Error::table(&table.relation.label(), "source"))?;
            let (rows, younger): (i64, i64) = (row.get(0), row.get(1));
            if (rows, younger) != (part.rows, 0) {
                return Ok(Some(format!(
                    "table {} of the source was written to since the copy began ({} rows then, {rows} now, {younger} of them new)",
                    table.relation.label(),
                    part.rows,
                )));
            }
        }
        Ok(None)
    }
}
