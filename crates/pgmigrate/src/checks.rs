//! The single questions of a preflight, each a query and a finding.

use pg_session::{Relation, Session};
use runbook::{Finding, Severity};
use tokio_postgres::types::{ToSql, Type};

use crate::assess::Required;
use crate::error::Error;
use crate::extension::list;
use crate::findings::finding;
use crate::questions::{Question, RARE_OBJECTS};
use crate::state::{self, SourceId};
use crate::survey::Survey;

use Severity::{Blocks, Changes, Note};

/// What on the source stands in the way or will differ.
pub(crate) async fn source(source: &Session, survey: &Survey, requires: &[Required]) -> Result<Vec<Finding>, Error> {
    let mut findings = required(survey, requires);
    if survey.is_same_database() {
        findings.push(finding(
            Blocks,
            format!("database {}", survey.source.database),
            "source and target are the same database",
            "point the target at another, empty database",
        ));
    }
    if survey.source.standby {
        findings.push(finding(
            Note,
            format!("source {}", survey.source.endpoint),
            "it is a standby",
            "it can be copied from, but writes must be stopped on its primary",
        ));
    }
    if !survey.managed_schemas.is_empty() {
        findings.push(finding(
            Changes,
            format!("schemas {}", survey.managed_schemas.join(", ")),
            "they are the provider's own",
            "they stay behind",
        ));
    }
    findings.extend(tables(survey));
    findings.extend(owners(source, survey).await?);
    let questions = SOURCE_QUESTIONS.iter().chain(RARE_OBJECTS);
    let parameters = [(&survey.schemas as &(dyn ToSql + Sync), Type::TEXT_ARRAY)];
    let answers = questions.clone().map(|(sql, ..)| source.query_typed(sql, &parameters));
    let answers = futures_util::future::try_join_all(answers).await.map_err(Error::on(source))?;
    for ((_, severity, message, remedy), rows) in questions.zip(answers) {
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !names.is_empty() {
            findings.push(finding(*severity, list(&names), *message, *remedy));
        }
    }
    Ok(findings)
}

/// Nothing keeps its owner: the target's role may own only what it makes itself.
async fn owners(source: &Session, survey: &Survey) -> Result<Option<Finding>, Error> {
    let rows = source
        .query(
            "select distinct format('%s', pg_get_userbyid(c.relowner)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = any ($1) order by 1",
            &[&survey.schemas],
        )
        .await
        .map_err(Error::on(source))?;
    let owners: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let target_user = &survey.roles.target_user;
    let differs = owners.iter().any(|owner| owner != target_user);
    Ok(differs.then(|| {
        let message = format!("objects belong to {}", list(&owners));
        finding(Changes, "owners", message, format!("everything on the target belongs to {target_user}"))
    }))
}

const SOURCE_QUESTIONS: &[Question] = &[
    (
        "select format('prepared transaction %s', gid) from pg_prepared_xacts
          where database = current_database() and $1::text[] is not null",
        Blocks,
        "it holds locks and may still commit",
        "commit or roll it back first",
    ),
    (
        "select format('foreign table %I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind = 'f' and n.nspname = any ($1) order by 1",
        Changes,
        "its rows live on another server",
        "its definition comes; the target needs its own way to that server",
    ),
    (
        "select format('sequence %I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = any ($1) and case c.relkind when 'S' then not has_sequence_privilege(c.oid, 'select') else false end order by 1",
        Blocks,
        "the source role may not read it",
        "grant select on it to the source role",
    ),
    (
        "select format('subscription %I', subname) from pg_stat_subscription where $1::text[] is not null order by 1",
        Changes,
        "subscriptions hold credentials of another server",
        "it is not created on the target",
    ),
    (
        "select format('column %I.%I.%I', n.nspname, c.relname, a.attname)
           from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = any ($1) and array_to_string(a.attoptions, ',') ~ 'pg_attver' order by 1",
        Changes,
        "it carries the server's internal option pg_attver",
        "the option is left out, no other server needs it",
    ),
    (
        "select format('column %I.%I.%I (%s)', n.nspname, c.relname, a.attname, l.collname)
           from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
           join pg_collation l on l.oid = a.attcollation
          where n.nspname = any ($1) and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
            and l.collprovider in ('c', 'i') and l.collname not in ('C', 'POSIX', 'default', 'ucs_basic') order by 1",
        Note,
        "its order depends on the operating system's or ICU's library",
        "its indexes are built anew on the target; sorted lists may come in another order",
    ),
];

/// What on the target stands in the way or will differ. `run` is the run this is part of.
pub(crate) async fn target(target: &Session, survey: &Survey, run: Option<&str>) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let at = format!("target {}", survey.target.endpoint);
    if survey.target.standby {
        findings.push(finding(Blocks, &at, "it is a standby", "point the target at the primary"));
    }
    if survey.target.version_num / 10_000 < survey.source.version_num / 10_000 {
        findings.push(finding(
            Note,
            &at,
            format!("it runs {}, older than the source's {}", survey.target.version, survey.source.version),
            "what the older version does not know will be refused by name",
        ));
    }
    if survey.target.encoding != survey.source.encoding {
        let severity =
            if survey.target.encoding == "UTF8" && survey.source.encoding != "SQL_ASCII" { Changes } else { Blocks };
        findings.push(finding(
            severity,
            &at,
            format!("its encoding is {}, the source's {}", survey.target.encoding, survey.source.encoding),
            "text is converted; create the target database with encoding UTF8",
        ));
    }
    if survey.target.collation != survey.source.collation {
        findings.push(finding(
            Changes,
            &at,
            format!("its collation is {}, the source's {}", survey.target.collation, survey.source.collation),
            "text may sort in another order; indexes are built anew",
        ));
    }
    findings.extend(copy_in_place(target, survey, run, &at).await?);
    findings.extend(target_privileges(target, survey, &at).await?);
    Ok(findings)
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
        return Ok(if there.is_empty() {
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
pub(crate) async fn contents(target: &Session, survey: &Survey) -> Result<Vec<String>, Error> {
    let rows = target.query(include_str!("sql/contents.sql"), &[]).await.map_err(Error::on(target))?;
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
                    coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'public'), true)",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let (database, public, owns_public): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let mut findings = Vec::new();
    if !database {
        findings.push(finding(
            Blocks,
            at,
            format!("role {user} may not create schemas in it"),
            format!("run `grant create on database {} to {user}` as its owner", survey.target.database),
        ));
    }
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
    Ok(findings)
}

fn required(survey: &Survey, requires: &[Required]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for required in requires {
        let object = format!("table {}", required.table);
        let named = |relation: &Relation| {
            relation.label() == required.table || format!("{}.{}", relation.schema, relation.name) == required.table
        };
        let Some(table) = survey.tables.iter().find(|t| named(&t.relation)) else {
            findings.push(finding(
                Blocks,
                object,
                "the source has no such table",
                "correct the playbook, or the source's URL",
            ));
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

fn tables(survey: &Survey) -> Vec<Finding> {
    let labels = |pick: &dyn Fn(&crate::catalog::Table) -> bool| -> Vec<String> {
        survey.tables.iter().filter(|t| pick(t)).map(|t| format!("table {}", t.relation.label())).collect()
    };
    let mut findings = Vec::new();
    let mut add = |names: Vec<String>, severity, message: &str, remedy: &str| {
        if !names.is_empty() {
            findings.push(finding(severity, list(&names), message, remedy));
        }
    };
    add(
        labels(&|t| !t.readable),
        Blocks,
        "the source role may not read it",
        "grant select on it (and usage on its schema) to the source role",
    );
    add(
        labels(&|t| t.filtered),
        Blocks,
        "row-level security hides rows from the source role",
        "connect as the table's owner or as a role with BYPASSRLS",
    );
    add(labels(&|t| t.unlogged), Note, "it is unlogged", "it comes unlogged, and is emptied when the target crashes");
    add(
        labels(&|t| t.key.is_empty()),
        Note,
        "it has no primary key",
        "it is copied and compared all the same; a difference is named by row instead of by key",
    );
    findings
}
