//! The two databases of a comparison, each seen as it was at one moment.

use pg_session::{Access, PgUrl, Relation, Session, literal};

use crate::catalog::Table;
use crate::error::Error;
use crate::row_hash::RowHash;

/// Settings of a session that reads whole tables. Compiling a query costs more than it saves where every slice is a
/// query of its own; rows to be located are sorted by the server.
const READING: &str = "set jit = off; set work_mem = '64MB'";

/// One database, and a snapshot of it that any number of sessions can read.
pub(crate) struct End {
    /// Keeps the snapshot; for single queries of its own.
    pub session: Session,
    url: PgUrl,
    snapshot: String,
}

impl End {
    /// Takes a snapshot with `session`, which is in a transaction from now on.
    pub async fn hold(session: Session) -> Result<Self, Error> {
        let begin = format!("{READING}; begin isolation level repeatable read read only");
        session.batch_execute(&begin).await.map_err(Error::on(&session))?;
        let row = session.query_one("select pg_export_snapshot()", &[]).await.map_err(Error::on(&session))?;
        Ok(Self { url: session.url().clone(), snapshot: row.get(0), session })
    }

    /// Another session that sees exactly the same.
    pub async fn reader(&self) -> Result<Session, Error> {
        let session = Session::connect(&self.url, Access::ReadOnly).await?;
        let begin = format!(
            "{READING}; begin isolation level repeatable read read only; set transaction snapshot {}",
            literal(&self.snapshot)
        );
        session.batch_execute(&begin).await.map_err(Error::on(&session))?;
        Ok(session)
    }

    /// A session that sees what is there when it first reads, whatever happened since the snapshot.
    pub async fn reader_of_now(url: &PgUrl) -> Result<Session, Error> {
        let session = Session::connect(url, Access::ReadOnly).await?;
        let begin = format!("{READING}; begin isolation level repeatable read read only");
        session.batch_execute(&begin).await.map_err(Error::on(&session))?;
        Ok(session)
    }
}

/// Ends a reading session's transaction, and with it its locks: a dropped session's end is noticed later.
pub(crate) async fn release(session: &Session) -> Result<(), Error> {
    session.batch_execute("commit").await.map_err(Error::on(session))
}

/// A table as one end has it.
#[derive(Debug, Clone)]
pub(crate) struct TableEnd {
    pub table: Table,
    pub hash: RowHash,
}

impl TableEnd {
    /// The `from` clause that gives the table's compared rows, those for which `condition` holds when there is one. The
    /// only place that says which rows are compared.
    pub fn rows(&self, condition: Option<&str>) -> String {
        let rows = self.table.rows_sql();
        condition.map_or_else(|| rows.clone(), |condition| format!("{rows} where {condition}"))
    }
}

/// A table that both ends have.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub source: TableEnd,
    pub target: TableEnd,
}

impl Pair {
    /// Its name on the source.
    pub fn relation(&self) -> &Relation {
        &self.source.table.relation
    }

    /// Rows can be told apart by a key.
    pub fn has_key(&self) -> bool {
        !self.source.hash.key.is_empty()
    }
}
