//! What roles have on the source and will not have on the target: attributes, passwords, settings, memberships.

use pg_session::Session;
use runbook::{Finding, Severity};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::findings::finding;
use crate::survey::Survey;

/// Of every role that the copy makes, everything that its stub lacks; and whose default privileges stay behind.
pub(super) async fn roles(source: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let rows = source
        .query_typed(
            include_str!("../sql/assess/roles.sql"),
            &[(&survey.roles.missing, Type::TEXT_ARRAY), (&survey.schemas, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(Error::on(source))?;
    let mut findings = Vec::new();
    for row in rows {
        let name: String = row.get(0);
        let will_be_made: bool = row.get(1);
        let (attributes, settings, groups): (Vec<String>, Vec<String>, Vec<String>) =
            (row.get(2), row.get(3), row.get(4));
        let (logs_in, has_default_privileges): (bool, bool) = (row.get(5), row.get(6));
        let object = format!("role {name}");
        let mut add = |message: String, remedy: String| {
            findings.push(finding(Severity::Changes, &object, message, remedy));
        };
        if has_default_privileges && survey.source.provider.manages_role(&name) {
            add(
                "it is the provider's own, and has default privileges in the application's schemas".into(),
                "those default privileges stay behind; what exists keeps its privileges".into(),
            );
        }
        if !will_be_made {
            continue;
        }
        if !attributes.is_empty() {
            add(
                format!("it has {} on the source", attributes.join(", ")),
                "it is made without; row security and limits of privilege apply to it on the target".into(),
            );
        }
        if logs_in {
            add(
                "it logs in on the source, and passwords can't be read from there".into(),
                "it is made without login: run `alter role ... login password ...` on the target".into(),
            );
        }
        if !settings.is_empty() {
            add(
                format!("it has settings of its own: {}", settings.join(", ")),
                "they are not copied: run `alter role ... set ...` on the target".into(),
            );
        }
        if !groups.is_empty() {
            add(
                format!("it is a member of {}", groups.join(", ")),
                "memberships are not copied: run `grant ... to ...` on the target".into(),
            );
        }
    }
    Ok(findings)
}
