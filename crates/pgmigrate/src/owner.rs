//! `--map-owner a=b`: what belongs to role a on the source belongs to role b on the target.
//!
//! Everything is made by the role we connect as and handed over at the end, once nothing is left to be done to it.

use std::collections::BTreeMap;

use pg_session::{Ident, Session};
use runbook::{Finding, Severity};

use crate::choice::Choice;
use crate::error::Error;
use crate::findings::finding;
use crate::selection::{Wanted, refuse};
use crate::survey::Survey;
use crate::toc::Entry;

/// Objects an entry hands over: each is locked until its transaction ends.
const BATCH: usize = 100;

/// An object with an owner to be mapped.
struct Owned {
    schema: String,
    owner: String,
    /// As `alter` wants it, e.g. `materialized view`.
    kind: String,
    identity: String,
}

async fn owned(source: &Session, wanted: &Wanted, choice: &Choice) -> Result<Vec<Owned>, Error> {
    let roles: Vec<&str> = wanted.owners.iter().map(|(from, _)| from.as_str()).collect();
    let rows =
        source.query(include_str!("sql/owned.sql"), &[&choice.schemas, &roles]).await.map_err(Error::on(source))?;
    Ok(rows
        .iter()
        .filter(|row| !choice.left_out.contains(&(row.get(0), row.get(1))))
        .map(|row| Owned { schema: row.get(2), owner: row.get(3), kind: row.get(4), identity: row.get(5) })
        .collect())
}

/// What stands in the way.
pub(crate) async fn findings(
    source: &Session,
    target: &Session,
    wanted: &Wanted,
    choice: &Choice,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    if wanted.owners.is_empty() {
        return Ok(findings);
    }
    let owned = owned(source, wanted, choice).await?;
    let may_become = if target.version_num() >= 160_000 { "set" } else { "member" };
    for (from, to) in &wanted.owners {
        let count = owned.iter().filter(|o| o.owner == *from).count();
        if count == 0 {
            let message = format!("nothing that is copied belongs to role {from}");
            return Err(refuse(
                format!("--map-owner {from}={to}"),
                message,
                "compare it with the owners on the source",
            ));
        }
        let object = format!("role {to}");
        let row = target
            .query_opt(
                "select pg_has_role(r.oid, 'usage') and pg_has_role(r.oid, $2), current_user::text
                   from pg_roles r where r.rolname = $1",
                &[to, &may_become],
            )
            .await
            .map_err(Error::on(target))?;
        findings.push(match row {
            None => finding(
                Severity::Blocks,
                object,
                format!("{count} object(s) of {from} are to belong to it, and the target has no such role"),
                format!("create role {to} on the target, as the application needs it"),
            ),
            Some(row) if !row.get::<_, bool>(0) => finding(
                Severity::Blocks,
                object,
                format!(
                    "{count} object(s) of {from} are to belong to it, and {} may not act as it",
                    row.get::<_, &str>(1)
                ),
                format!("run `grant {} to {}` on the target", Ident(to), Ident(row.get(1))),
            ),
            Some(_) => finding(
                Severity::Changes,
                object,
                format!("{count} object(s) belong to {from} on the source"),
                format!("they belong to {to} on the target"),
            ),
        });
    }
    Ok(findings)
}

/// The statements that hand everything over, under the names that the copy works with.
pub(crate) async fn entries(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Entry>, Error> {
    let wanted = &survey.wanted;
    let mut entries = Vec::new();
    if wanted.owners.is_empty() {
        return Ok(entries);
    }
    let owned = owned(source, wanted, &survey.choice).await?;
    for (from, to) in &wanted.owners {
        let of_role: Vec<&Owned> = owned.iter().filter(|o| o.owner == *from).collect();
        let closed = closed_schemas(target, &of_role, to).await?;
        for (number, batch) in of_role.chunks(BATCH).enumerate() {
            let mut by_schema: BTreeMap<&str, Vec<&Owned>> = BTreeMap::new();
            for object in batch {
                by_schema.entry(&object.schema).or_default().push(object);
            }
            let mut sql = String::new();
            // Schemas sort first within their own name only, so they are handed over before anything else.
            for object in batch.iter().filter(|o| o.kind == "schema") {
                sql.push_str(&object.statement(to));
            }
            for (schema, objects) in by_schema {
                // A new owner must be allowed to create in the schema, if only for this moment.
                let (grant, revoke) = if closed.iter().any(|s| s == schema) {
                    let (schema, to) = (Ident(schema), Ident(to));
                    (
                        format!("grant create on schema {schema} to {to};\n"),
                        format!("revoke create on schema {schema} from {to};\n"),
                    )
                } else {
                    Default::default()
                };
                sql.push_str(&grant);
                for object in objects.into_iter().filter(|o| o.kind != "schema") {
                    sql.push_str(&object.statement(to));
                }
                sql.push_str(&revoke);
            }
            entries.push(Entry {
                id: 0,
                class: 0,
                oid: 0,
                dependencies: Vec::new(),
                name: format!("{from} to {to}, batch {}", number + 1),
                kind: "OWNER".into(),
                schema: "-".into(),
                sql,
            });
        }
    }
    Ok(entries)
}

impl Owned {
    fn statement(&self, to: &str) -> String {
        format!("alter {} {} owner to {};\n", self.kind, self.identity, Ident(to))
    }
}

/// Schemas in which `to` may not create, those aside that will be its own.
async fn closed_schemas(target: &Session, objects: &[&Owned], to: &str) -> Result<Vec<String>, Error> {
    let schemas: Vec<&str> = objects.iter().map(|o| o.schema.as_str()).collect();
    let rows = target
        .query(
            "select nspname::text from pg_namespace
              where nspname = any ($1) and not has_schema_privilege($2::name, oid, 'create')",
            &[&schemas, &to],
        )
        .await
        .map_err(Error::on(target))?;
    let becomes_its_own = |schema: &str| objects.iter().any(|o| o.kind == "schema" && o.schema == schema);
    Ok(rows.iter().map(|row| row.get::<_, String>(0)).filter(|schema| !becomes_its_own(schema)).collect())
}
