//! How far a copy has come, kept on the target in schema `tierlift`, in the same transactions as what it describes.

use std::collections::BTreeSet;

use pg_session::{DbError, Session};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::ServerFacts;
use crate::error::Error;
use crate::selection::Selection;

/// Which database a copy comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceId {
    /// The cluster's identifier, or the address where that is hidden.
    pub server: String,
    pub database: String,
}

impl SourceId {
    pub fn of(facts: &ServerFacts) -> Self {
        Self {
            server: facts.system_identifier.clone().unwrap_or_else(|| facts.endpoint.clone()),
            database: facts.database.clone(),
        }
    }
}

/// The one row of `tierlift.copy`.
#[derive(Debug, Clone)]
pub(crate) struct CopyState {
    pub source: SourceId,
    pub run: Option<String>,
    /// What undo restores; see [`crate::undo::Before`].
    pub before: Value,
    /// What the source was like when the copy began; see [`crate::moment::Moment`].
    pub writes: Value,
    /// What of the source it is a copy of.
    pub selection: Selection,
    pub schema_done: bool,
    pub finished: bool,
    /// When it began, as the target's clock says.
    pub started_at: String,
}

/// Answered for a schema too that the role may not look into.
const EXISTS: &str = "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                      where n.nspname = 'tierlift' and c.relname = 'copy')";

/// Reads the state; `None` when no copy was ever begun there (or it was undone).
pub(crate) async fn read(target: &Session) -> Result<Option<CopyState>, Error> {
    let exists: bool = target.query_one(EXISTS, &[]).await.map_err(Error::on(target))?.get(0);
    if !exists {
        return Ok(None);
    }
    let row = target
        .query_opt(
            "select source, run, before, writes, schema_done, finished_at is not null, started_at::text, selection
               from tierlift.copy",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    row.map(|row| {
        let other =
            |e| Error::OtherCopy(format!("schema tierlift on the target holds a state of another version ({e})"));
        let source = serde_json::from_value(row.get(0)).map_err(other)?;
        Ok(CopyState {
            source,
            run: row.get(1),
            before: row.get(2),
            writes: row.get(3),
            schema_done: row.get(4),
            finished: row.get(5),
            started_at: row.get(6),
            selection: serde_json::from_value(row.get(7)).map_err(other)?,
        })
    })
    .transpose()
}

/// The tables themselves; the caller sends it in the transaction that also writes the first row.
pub(crate) const CREATE: &str = include_str!("sql/state.sql");

/// Entries of the schema that are in place.
pub(crate) async fn done_entries(target: &Session) -> Result<BTreeSet<String>, Error> {
    let rows = target.query("select entry from tierlift.copy_entry", &[]).await.map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// `insert` of finished entries, to be sent in the transaction that made them.
pub(crate) fn record_entries_sql<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<_> = keys.map(|key| format!("({})", pg_session::literal(key))).collect();
    format!("insert into tierlift.copy_entry (entry) values {};", values.join(", "))
}

/// One part of one table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRow {
    pub relation: String,
    pub part: i32,
    pub parts: i32,
    pub first_block: i64,
    /// `None`: to the end of the table.
    pub end_block: Option<i64>,
    pub done: bool,
    pub rows: i64,
    pub bytes: i64,
}

/// The parts as they were cut when the copy began.
pub(crate) async fn parts(target: &Session) -> Result<Vec<PartRow>, Error> {
    let rows = target
        .query(
            "select relation, part, parts, first_block, end_block, done_at is not null, coalesce(rows, 0), coalesce(bytes, 0)
               from tierlift.copy_part order by relation, part",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    Ok(rows
        .iter()
        .map(|row| PartRow {
            relation: row.get(0),
            part: row.get(1),
            parts: row.get(2),
            first_block: row.get(3),
            end_block: row.get(4),
            done: row.get(5),
            rows: row.get(6),
            bytes: row.get(7),
        })
        .collect())
}

/// Runs several statements in one round trip and one transaction; on failure nothing of them stays.
pub(crate) async fn in_one_transaction(session: &Session, statements: &str) -> Result<(), DbError> {
    match session.batch_execute(&format!("begin;\n{statements}\ncommit;")).await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Best effort: when the connection itself broke, the server rolls back without being told.
            drop(session.batch_execute("rollback").await);
            Err(DbError::from(error))
        }
    }
}
