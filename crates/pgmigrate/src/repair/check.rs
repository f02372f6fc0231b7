//! What forbids a repair, and what the target's role may do.

use pg_session::{Access, PgUrl, Session};
use runbook::{Finding, Severity};
use tokio_postgres::error::SqlState;

use super::Repair;
use super::sql::Mode;
use crate::error::Error;
use crate::extension::list;
use crate::fence;
use crate::findings::finding;
use crate::state::{self, SourceId};
use crate::verify::Comparison;

impl Repair {
    /// What forbids changing this target now.
    ///
    /// # Errors
    /// When either end cannot be read.
    pub async fn refusals(&self) -> Result<Vec<Finding>, Error> {
        let Comparison { survey, source, target, .. } = &self.comparison;
        let object = format!("target {}", survey.target.endpoint);
        let refusal = |message: String, remedy: &str| finding(Severity::Blocks, &object, message, remedy);
        let mut findings = Vec::new();
        if survey.is_same_database() {
            findings.push(refusal("it is the source".into(), "name two databases"));
        }
        if survey.target.standby {
            findings.push(refusal("it is a standby".into(), "name its primary as the target"));
        }
        let swapped = "are --source and --target the right way round?";
        if fence::is_fenced(&self.options.target).await? {
            findings.push(refusal("it is fenced, as the source of a migration is".into(), swapped));
        }
        let copied_from = |state: &state::CopyState, facts| state.source == SourceId::of(facts);
        if state::read(&source.session).await?.is_some_and(|state| copied_from(&state, &survey.target)) {
            findings.push(refusal("the source was copied from it".into(), swapped));
        }
        match state::read(&target.session).await? {
            Some(state) if !copied_from(&state, &survey.source) => {
                findings.push(refusal(
                    format!("it holds a copy of another database ({})", state.source.database),
                    "name the database it was copied from as the source",
                ));
            }
            Some(state) if !state.finished => {
                findings.push(refusal("its copy is not finished".into(), "resume the copy instead"));
            }
            _ => {}
        }
        let session = Session::connect(&self.options.target, Access::ReadOnly).await?;
        let rows =
            session.query(include_str!("../sql/repair_strangers.sql"), &[]).await.map_err(Error::on(&session))?;
        let strangers: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !strangers.is_empty() {
            findings.push(refusal(
                format!("others are connected, and what they have written would be undone: {}", list(&strangers)),
                "stop the application and end these sessions; or write a file with --repair-sql and review it",
            ));
        }
        Ok(findings)
    }
}

/// Whether the role may set `session_replication_role`, found by trying, since providers grant it in ways of their own.
pub(super) async fn mode(target: &PgUrl) -> Result<Mode, Error> {
    let session = Session::connect(target, Access::ReadOnly).await?;
    match session.batch_execute("begin; set local session_replication_role = replica").await {
        Ok(()) => Ok(Mode::Replica),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(Mode::Ordinary),
        Err(error) => Err(Error::on(&session)(error)),
    }
}
