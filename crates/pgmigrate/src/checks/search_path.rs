//! Functions that rely on `search_path` where Postgres runs them without one: in indexes, checks (of tables and of
//! domains), partition keys, generated columns and materialised views.
//!
//! Their bodies are strings, so the names in them are found by text, and text can be wrong. Where an expression can be
//! tried, it is: our sessions have an empty `search_path`, as the copy's have, so evaluating it on one row of the source
//! shows what the target would say.

use futures_util::future::try_join_all;
use pg_session::Session;
use runbook::{Finding, Severity};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::findings::finding;
use crate::survey::Survey;

/// An index or the like, and the function it calls.
struct Use {
    object: String,
    function: String,
    names: String,
    /// Table, quoted, and the expression over its columns; none where it can't be tried by itself.
    trial: Option<(String, String)>,
}

/// Names every such use, and blocks where the function is seen to fail.
pub(super) async fn functions(source: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let rows = source
        .query_typed(include_str!("../sql/assess/search_path.sql"), &[(&survey.schemas, Type::TEXT_ARRAY)])
        .await
        .map_err(Error::on(source))?;
    let uses: Vec<Use> = rows
        .iter()
        .map(|row| Use {
            object: row.get(0),
            function: row.get(1),
            names: row.get(2),
            trial: row.get::<_, Option<String>>(3).zip(row.get(4)),
        })
        .collect();
    try_join_all(uses.iter().map(|found| judge(source, found))).await
}

async fn judge(source: &Session, found: &Use) -> Result<Finding, Error> {
    let Use { object, function, names, trial } = found;
    let remedy =
        format!("run `alter function {function} set search_path = ...` on the source, or qualify the names in it");
    let refused = match trial {
        Some((table, expression)) => fails(source, table, expression).await?,
        None => None,
    };
    Ok(match refused {
        Some(error) => finding(
            Severity::Blocks,
            object,
            format!("it calls {function}, which fails without a search_path: {error}"),
            remedy,
        ),
        None => finding(
            Severity::Changes,
            object,
            format!("it calls {function}, whose body names {names} without a schema"),
            format!("it runs without a search_path on the target and may fail there: {remedy}"),
        ),
    })
}

/// What the server says of the expression, when it is that a name is unknown.
async fn fails(source: &Session, table: &str, expression: &str) -> Result<Option<String>, Error> {
    let unknown = [
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_COLUMN,
    ];
    match source.query_typed(&format!("select {expression} from only {table} limit 1"), &[]).await {
        Ok(_) => Ok(None),
        Err(error) if error.code().is_some_and(|code| unknown.contains(code)) => {
            Ok(error.as_db_error().map(|e| e.message().to_owned()))
        }
        // Any other refusal (no right to read, a row it can't do) says nothing of search_path.
        Err(error) if error.as_db_error().is_some() => Ok(None),
        Err(error) => Err(Error::on(source)(error)),
    }
}
