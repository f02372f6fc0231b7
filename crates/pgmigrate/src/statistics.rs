//! Statistics of what was copied. The planner needs them, but no copy is worth less for lacking some: where a foreign
//! partition's server is out of reach, or an expression's function fails, that is told and the copy goes on.

use pg_session::{DbError, Relation, Session};
use tokio_postgres::error::Severity;

use crate::error::Error;

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
