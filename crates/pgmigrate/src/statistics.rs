//! Statistics of what was copied. The planner needs them, but no copy is worth less for lacking some: where a foreign
//! partition's server is out of reach, or an expression's function fails, that is told and the copy goes on.
//!
//! A server from 18 on takes over the source's: what the planner knew of a table there it knows here, at once, and without
//! sorting a sample of every column once more.

use futures_util::TryStreamExt;
use pg_session::{DbError, Relation, Session, literal};
use tokio_postgres::error::Severity;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::catalog::{ServerFacts, Table};
use crate::error::Error;

/// The first version with `pg_restore_attribute_stats`.
const TAKES_OVER: u32 = 180_000;

/// Statements sent together; a column's statistics may be two hundred kilobytes.
const BATCH_BYTES: usize = 256 * 1024;

/// What `sql/statistics.sql` says of a column behind its name, as `pg_restore_attribute_stats` calls it, and of which type.
const FIGURES: &[(&str, &str)] = &[
    ("null_frac", "real"),
    ("avg_width", "integer"),
    ("n_distinct", "real"),
    ("most_common_vals", "text"),
    ("most_common_freqs", "real[]"),
    ("histogram_bounds", "text"),
    ("correlation", "real"),
];

/// Whether statistics of one server mean the same on the other: those of text are in the order of its collation.
pub(crate) fn may_travel(source: &ServerFacts, target: &ServerFacts) -> bool {
    target.version_num >= TAKES_OVER && (&source.collation, &source.encoding) == (&target.collation, &target.encoding)
}

/// Takes over the statistics that the source has of a table copied as it is. False where that can't be, or not of all of
/// them: then the table is to be analysed.
pub(crate) async fn take_over(source: &Session, target: &Session, table: &Table) -> Result<bool, Error> {
    let label = table.relation.label();
    let on_source = || Error::table(&label, "source");
    if !table.is_filled_whole() || table.condition.is_some() {
        return Ok(false);
    }
    let known = source.query_typed_raw(include_str!("sql/statistics.sql"), [(table.oid, Type::OID)]);
    let mut known = std::pin::pin!(known.await.map_err(on_source())?);
    let (mut sql, mut any) = (String::new(), false);
    while let Some(column) = known.try_next().await.map_err(on_source())? {
        sql.push_str(&restore_sql(&table.onto, &column));
        any = true;
        if sql.len() > BATCH_BYTES && !taken(target, &std::mem::take(&mut sql), &label).await? {
            return Ok(false);
        }
    }
    Ok(any && taken(target, &sql, &label).await?)
}

/// The call for one column; figures that the source has not are left out.
fn restore_sql(onto: &Relation, column: &Row) -> String {
    let mut sql = format!(
        "select pg_catalog.pg_restore_attribute_stats('schemaname', {}, 'relname', {}, 'attname', {}, 'inherited', false",
        literal(&onto.schema),
        literal(&onto.name),
        literal(column.get(0))
    );
    for (at, (name, kind)) in FIGURES.iter().enumerate() {
        if let Some(value) = column.get::<_, Option<&str>>(at + 1) {
            sql.push_str(&format!(", '{name}', {}::{kind}", literal(value)));
        }
    }
    sql.push_str(");\n");
    sql
}

/// Sends calls; false when the server could not use all of what they bring, of which it only warns.
async fn taken(target: &Session, sql: &str, label: &str) -> Result<bool, Error> {
    match target.simple_query(sql).await {
        Ok(answers) => Ok(answers.iter().all(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => true,
        })),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(Error::table(label, "target")(error)),
    }
}

/// Analyses tables. Returns what is to be told of those that could not be.
pub(crate) async fn analyze(target: &Session, tables: &[&Relation]) -> Result<Vec<String>, Error> {
    if tables.is_empty() {
        return Ok(Vec::new()); // without names it would analyse the whole database
    }
    let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    match target.batch_execute(&format!("analyze {}", names.join(", "))).await {
        Ok(()) => return Ok(Vec::new()),
        Err(error) if is_refusal(&error) => {}
        Err(error) => return Err(of_table(tables[0], error)), // there is one at least
    }
    let mut untold = Vec::new();
    for table in tables {
        match target.batch_execute(&format!("analyze {table}")).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => untold.push(format!(
                "table {} has no statistics: {}; run `analyze {table}` when that is settled",
                table.label(),
                DbError::from(error)
            )),
            Err(error) => return Err(of_table(table, error)),
        }
    }
    Ok(untold)
}

/// The statement failed and the session lives.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|e| e.parsed_severity() == Some(Severity::Error))
}

fn of_table(table: &Relation, error: tokio_postgres::Error) -> Error {
    Error::table(&table.label(), "target")(error)
}
