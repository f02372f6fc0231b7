//! The target: whether it is one, what is on it, what our role may make there.

use pg_session::Session;
use runbook::{Finding, Severity};

use crate::error::Error;
use crate::extension::list;
use crate::findings::finding;
use crate::selection::Contents;
use crate::state::{self, SourceId};
use crate::survey::Survey;

use Severity::{Blocks, Changes, Note};

/// What on the target stands in the way or will differ. `run` is the run this is part of.
pub(super) async fn target(target: &Session, survey: &Survey, run: Option<&str>) -> Result<Vec<Finding>, Error> {
    let at = format!("target {}", survey.target.endpoint);
    let (in_place, privileges) =
        tokio::try_join!(copy_in_place(target, survey, run, &at), target_privileges(target, survey, &at))?;
    Ok([in_place, privileges].concat())
}

/// What follows from what both servers say they are.
pub(super) fn servers(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (source, target) = (&survey.source, &survey.target);
    let at = format!("target {}", target.endpoint);
    if survey.is_same_database() {
        findings.push(finding(
            Blocks,
            format!("database {}", source.database),
            "source and target are the same database",
            "point the target at another, empty database",
        ));
    }
    if source.standby {
        findings.push(finding(
            Note,
            format!("source {}", source.endpoint),
            "it is a standby",
            "it can be copied from, but writes must be stopped on its primary",
        ));
    }
    if target.standby {
        findings.push(finding(Blocks, &at, "it is a standby", "point the target at the primary"));
    }
    let (from, to) = (source.version_num / 10_000, target.version_num / 10_000);
    if to < from {
        findings.push(finding(
            Note,
            &at,
            format!("it runs {}, older than the source's {}", target.version, source.version),
            "what the older version does not know will be refused by name",
        ));
    } else if to > from {
        findings.push(finding(
            Note,
            &at,
            format!("it runs {}, newer than the source's {}", target.version, source.version),
            format!("statistics are collected anew; read the release notes from {} to {to} for what the application may notice", from + 1),
        ));
    }
    findings
}

async fn copy_in_place(target: &Session, survey: &Survey, run: Option<&str>, at: &str) -> Result<Vec<Finding>, Error> {
    let readable: bool = target
        .query_one("select coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'tierlift'), true)", &[])
        .await
        .map_err(Error::on(target))?
        .get(0);
    if !readable {
        return Ok(vec![finding(
            Blocks,
            "schema tierlift",
            "it is on the target and belongs to another role",
            "connect as that role, or drop the schema when nothing of a copy or a backfill is needed any more",
        )]);
    }
    let Some(copy) = state::read(target).await? else {
        let there = contents(target, survey).await?;
        return Ok(if there.is_empty() || survey.wanted.contents == Contents::DataOnly {
            Vec::new()
        } else {
            vec![finding(Blocks, at, format!("it is not empty: it holds {}", list(&there)), "use an empty database")]
        });
    };
    if copy.source != SourceId::of(&survey.source) {
        return Ok(vec![finding(
            Blocks,
            at,
            format!("it holds a copy of another database, begun {}", copy.started_at),
            "roll that copy back, or use another database",
        )]);
    }
    let ours = copy.run.as_deref() == run;
    Ok(vec![match (copy.finished, ours) {
        (true, false) => finding(
            Blocks,
            at,
            format!("it holds a finished copy of this source, begun {}", copy.started_at),
            "roll that run back before starting another, or use another database",
        ),
        (true, true) => {
            finding(Note, at, format!("it holds a finished copy, begun {}", copy.started_at), "nothing is copied again")
        }
        (false, _) => finding(
            Note,
            at,
            format!("it holds an unfinished copy of this source, begun {}", copy.started_at),
            "the copy continues; what is finished is not repeated",
        ),
    }])
}

/// Names of what is on the target that neither a provider, an extension nor tierlift put there.
async fn contents(target: &Session, survey: &Survey) -> Result<Vec<String>, Error> {
    let rows = target.query(include_str!("../sql/contents.sql"), &[]).await.map_err(Error::on(target))?;
    Ok(rows
        .iter()
        .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)))
        .filter(|(schema, _)| !survey.target.provider.manages_schema(schema))
        .map(|(_, label)| label)
        .collect())
}

async fn target_privileges(target: &Session, survey: &Survey, at: &str) -> Result<Vec<Finding>, Error> {
    let user = &survey.roles.target_user;
    let row = target
        .query_one(
            "select has_database_privilege(current_database(), 'create'),
                    coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'create'), true),
                    coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'public'), true),
                    coalesce((select rolsuper or rolbypassrls from pg_roles where rolname = current_user), false)",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let (database, public, owns_public): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let sees_all: bool = row.get(3);
    let mut findings = Vec::new();
    if !database {
        findings.push(finding(
            Blocks,
            at,
            format!("role {user} may not create schemas in it"),
            format!("run `grant create on database {} to {user}` as its owner", survey.target.database),
        ));
    }
    if survey.wanted.contents == Contents::DataOnly {
        return Ok(findings);
    }
    let unseen =
        survey.tables.iter().filter(|t| t.forced && !sees_all && survey.wanted.contents == Contents::Everything);
    findings.extend(unseen.map(|table| {
        finding(
            Blocks,
            format!("table {}", table.relation.label()),
            format!("its row-level security is forced on its owner, so role {user} could not compare what has arrived"),
            format!(
                "run `alter role {user} bypassrls` on the target, or `alter table ... no force row level security` on the \
                 source (and force it on the target after the migration)"
            ),
        )
    }));
    if !public && survey.schemas.iter().any(|s| s == "public") {
        findings.push(finding(
            Blocks,
            "schema public",
            format!("role {user} may not create anything in it on the target"),
            format!("run `grant create on schema public to {user}` as its owner"),
        ));
    }
    if !owns_public {
        findings.push(finding(
            Changes,
            "schema public",
            format!("role {user} does not own it on the target"),
            "its comment and privileges stay as the target has them",
        ));
    }
    let granted = include_str!("../sql/assess/default_privileges.sql");
    for row in target.query(granted, &[&survey.schemas_on_target()]).await.map_err(Error::on(target))? {
        let (grant, place): (String, String) = (row.get(0), row.get(1));
        findings.push(finding(
            Changes,
            format!("default privileges of role {user} on the target{place}"),
            format!("they grant {grant}: everything that the copy makes there gets that besides its own privileges"),
            format!(
                "run `alter default privileges{place} revoke ...` on the target before the copy if that is too much"
            ),
        ));
    }
    Ok(findings)
}
