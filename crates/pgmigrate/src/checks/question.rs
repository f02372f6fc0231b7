//! Questions as data: a query whose rows are the objects of findings, asked many at once.

use futures_util::future::try_join_all;
use pg_session::Session;
use runbook::{Finding, Severity};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::findings::finding;

/// One question to one server.
pub(super) struct Question {
    /// What an answer means.
    pub severity: Severity,
    /// `$1` are the application's schemas. A row is an object, and optionally two texts that stand for `{}` in
    /// `message` and in `remedy`.
    pub sql: &'static str,
    pub message: &'static str,
    pub remedy: &'static str,
}

/// Asks all of them in one round trip: the client sends every query before it waits for the first answer.
pub(super) async fn ask(
    session: &Session,
    schemas: &[String],
    questions: &[&[Question]],
) -> Result<Vec<Finding>, Error> {
    let asked = questions.iter().copied().flatten();
    let answers = try_join_all(asked.map(|question| answer(session, schemas, question))).await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn answer(session: &Session, schemas: &[String], question: &Question) -> Result<Vec<Finding>, Error> {
    let rows = match session.query_typed(question.sql, &[(&schemas, Type::TEXT_ARRAY)]).await {
        Ok(rows) => rows,
        // A provider may hide a catalogue. What would not stop a copy need not stop the look at everything else.
        Err(error)
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) && question.severity != Severity::Blocks =>
        {
            let refused = error.as_db_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
            return Ok(vec![finding(
                Severity::Note,
                format!("role {}", session.url().user()),
                format!("it may not look whether anything is to be said like: {} ({refused})", question.message),
                "look yourself, or assess as a role with pg_read_all_settings and pg_read_all_stats",
            )]);
        }
        Err(error) => return Err(Error::on(session)(error)),
    };
    Ok(rows
        .iter()
        .map(|row| {
            let text = |at: usize| if at < row.len() { row.get::<_, Option<String>>(at) } else { None };
            let filled = |template: &str, detail: Option<String>| match detail {
                Some(detail) => template.replace("{}", &detail),
                None => template.to_owned(),
            };
            let second = text(1);
            let third = text(2).or_else(|| second.clone());
            finding(
                question.severity,
                row.get::<_, String>(0),
                filled(question.message, second),
                filled(question.remedy, third),
            )
        })
        .collect())
}

/// Whether the server lets our role do something that a read-only transaction can do and take back.
pub(super) async fn may(session: &Session, sql: &str) -> Result<bool, Error> {
    match session.query_typed(sql, &[]).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(Error::on(session)(error)),
    }
}
