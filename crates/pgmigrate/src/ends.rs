//! The two databases of a comparison, each seen as it was at one moment.

use std::collections::BTreeMap;

use pg_session::{Access, Ident, PgUrl, Relation, Session, literal};

use crate::catalog::{Column, Table};
use crate::error::Error;
use crate::row_hash::{Hashing, RowHash};

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

/// Compares partitions whose rows the target places anew as the one table they are of: there a row may be in another of
/// them. Without a key, since a partition's need not be one of the whole.
pub(crate) fn join_partitions(pairs: Vec<Pair>, hashing: Hashing) -> Vec<Pair> {
    let (scattered, mut joined): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|pair| pair.source.table.placed_by.is_some());
    let mut groups: BTreeMap<Option<Relation>, Vec<Pair>> = BTreeMap::new();
    for pair in scattered {
        groups.entry(pair.source.table.placed_by.clone()).or_default().push(pair);
    }
    for (name, partitions) in groups {
        let (sources, targets): (Vec<Table>, Vec<Table>) =
            partitions.into_iter().map(|pair| (pair.source.table, pair.target.table)).unzip();
        let (source, target) = (union(sources, name.as_ref()), union(targets, name.as_ref()));
        let (Some(source), Some(target)) = (source, target) else { continue };
        let twins: Vec<(&Column, &Column)> = source
            .columns
            .iter()
            .filter_map(|c| target.columns.iter().find(|other| other.name == c.name).map(|other| (c, other)))
            .collect();
        let turned: Vec<_> = twins.iter().map(|(a, b)| (*b, *a)).collect();
        let hashes = (RowHash::new(&twins, &[], hashing), RowHash::new(&turned, &[], hashing));
        joined.push(Pair {
            source: TableEnd { table: source, hash: hashes.0 },
            target: TableEnd { table: target, hash: hashes.1 },
        });
    }
    joined
}

/// All rows of some tables with the same columns.
fn union(tables: Vec<Table>, name: Option<&Relation>) -> Option<Table> {
    let (names, bytes) = {
        let names = |t: &Table| t.columns.iter().map(|c| format!(", {}", Ident(&c.name))).collect::<String>();
        (tables.first().map(names)?, tables.iter().map(|t| t.bytes).sum())
    };
    let selects: Vec<String> = tables.iter().map(|t| format!("select ctid{names} from {}", t.rows_sql())).collect();
    let rows_estimate = tables.iter().map(|t| t.rows_estimate).sum();
    let mut whole = tables.into_iter().next()?;
    for column in &mut whole.columns {
        column.not_null = false; // each partition may say otherwise
    }
    Some(Table {
        relation: name?.clone(),
        rows_from: Some(format!("({}) as chosen", selects.join(" union all "))),
        key: Vec::new(),
        condition: None,
        rows_estimate,
        bytes,
        pages: 1, // it is not cut: places mean something only within one table
        ..whole
    })
}
