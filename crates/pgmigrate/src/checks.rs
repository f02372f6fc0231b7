//! The preflight's questions, a file a subject.
//!
//! Each file's function takes sessions and the survey and gives findings; all of them wait for the network at the same
//! time, so together they cost a few round trips. None writes: sessions are read-only, and what our role may do is
//! asked of the server (privilege functions, settings that a transaction may set and forget), never guessed from names.

mod activity;
mod cron;
mod large_value;
mod objects;
mod question;
mod rare;
mod role;
mod search_path;
mod settings;
mod target;
mod text;

use pg_session::{Relation, Session};
use runbook::{Finding, Severity};
use tokio_postgres::types::Type;

pub(crate) use activity::exclusive_locks;
pub(crate) use large_value::large_values;
pub(crate) use settings::ignored_keys;

use crate::assess::Required;
use crate::error::Error;
use crate::findings::finding;
use crate::selection::Contents;
use crate::survey::Survey;
use question::ask;

use Severity::Blocks;

/// Everything there is to say before a copy. `run` is the run this is part of. A question may be refused, so `source`
/// must not be in a transaction.
pub(crate) async fn everything(
    source: &Session,
    target: &Session,
    survey: &Survey,
    requires: &[Required],
    run: Option<&str>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = required(survey, requires);
    findings.extend(target::servers(survey));
    findings.extend(objects::tables(survey));
    findings.extend(objects::managed_schemas(survey));
    let questions = [objects::QUESTIONS, rare::QUESTIONS, text::SOURCE, activity::QUESTIONS];
    let (asked, text, functions, settings, there, owners, roles, jobs) = tokio::try_join!(
        ask(source, &survey.schemas, &questions),
        text::compare(source, target, survey),
        search_path::functions(source, survey),
        settings::settings(source, target, survey),
        target::target(target, survey, run),
        async {
            if survey.wanted.contents == Contents::DataOnly { Ok(Vec::new()) } else { owners(source, survey).await }
        },
        role::roles(source, survey),
        cron::jobs(source),
    )?;
    let of_objects = [asked, text, functions].concat();
    findings.extend(of_objects.into_iter().filter(|finding| !survey.choice.leaves_out(&finding.object)));
    findings.extend([settings, there, owners, roles, jobs].concat());
    Ok(findings)
}

/// Nothing keeps its owner: the target's role may own only what it makes itself.
async fn owners(source: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let rows = source
        .query_typed(
            "select distinct pg_get_userbyid(c.relowner)::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = any ($1) order by 1",
            &[(&survey.schemas, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(Error::on(source))?;
    let owners: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(objects::owners(survey, &owners).into_iter().collect())
}

fn required(survey: &Survey, requires: &[Required]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for required in requires {
        let object = format!("table {}", required.table);
        let named = |relation: &Relation| {
            relation.label() == required.table || format!("{}.{}", relation.schema, relation.name) == required.table
        };
        let Some(table) = survey.tables.iter().find(|t| named(&t.relation)) else {
            let (message, remedy) = if survey.choice.relations_left_out.iter().any(named) {
                ("it is required and not selected", "select it, or require it no more")
            } else {
                ("the source has no such table", "correct the playbook, or the source's URL")
            };
            findings.push(finding(Blocks, object, message, remedy));
            continue;
        };
        for column in required.columns.iter().filter(|c| !table.columns.iter().any(|have| have.name == **c)) {
            findings.push(finding(
                Blocks,
                format!("column {}.{column}", required.table),
                "the source's table has no such column",
                "correct the playbook, or the source's URL",
            ));
        }
    }
    findings
}
