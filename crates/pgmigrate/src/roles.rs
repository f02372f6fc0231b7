//! Roles that privileges and policies name: made as NOLOGIN stubs where the target lacks them.

use pg_session::{DbError, Ident, Session};
use runbook::{Finding, Severity};

use crate::choice::{Choice, RELATION};
use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;
use crate::refused::{Decisions, ROLE};
use crate::trial;

/// What the copy must know of roles.
#[derive(Debug, Clone)]
pub(crate) struct Roles {
    /// Named on the source, absent on the target; created NOLOGIN, without any attribute, and dropped by undo.
    pub missing: Vec<String>,
    /// Every role the target has.
    pub present: Vec<String>,
    /// The role we connect to the target as; it owns everything there.
    pub target_user: String,
}

impl Roles {
    /// True for a role that the target has or gets.
    pub fn will_have(&self, role: &str) -> bool {
        self.missing.iter().chain(&self.present).any(|known| known == role)
    }

    /// That role where the target has or gets it. Any other is the source's owner, for all others are made: the owner
    /// there is us.
    pub fn known<'a>(&'a self, role: &'a str) -> &'a str {
        if self.will_have(role) { role } else { &self.target_user }
    }
}

/// Compares the roles that the application's privileges and policies name with the target's.
pub(crate) async fn roles(
    source: &Session,
    target: &Session,
    choice: &Choice,
    provider: Provider,
    findings: &mut Vec<Finding>,
) -> Result<Roles, Error> {
    let all: Vec<String> = source
        .query("select rolname::text from pg_roles", &[])
        .await
        .map_err(Error::on(source))?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let managed: Vec<&str> = all.iter().map(String::as_str).filter(|r| provider.manages_role(r)).collect();
    let stays = choice.oids_left_out(RELATION);
    let named = source
        .query(include_str!("sql/roles.sql"), &[&choice.schemas, &managed, &stays])
        .await
        .map_err(Error::on(source))?;
    let row = target
        .query_one(
            "select current_user::text, rolsuper or rolcreaterole,
                    (select array_agg(rolname::text) from pg_roles) from pg_roles where rolname = current_user",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let (target_user, may_create): (String, bool) = (row.get(0), row.get(1));
    let present: Vec<String> = row.get(2);
    let missing: Vec<String> =
        named.iter().map(|row| row.get::<_, String>(0)).filter(|role| !present.contains(role)).collect();
    for role in &missing {
        let object = format!("role {role}");
        findings.push(if may_create {
            finding(
                Severity::Changes,
                object,
                "privileges or policies name it and the target has none of that name",
                "it is created there without login, password, memberships or settings; give it a password if an application connects as it",
            )
        } else {
            finding(
                Severity::Blocks,
                object,
                format!(
                    "privileges or policies name it, the target lacks it and role {target_user} may not create roles"
                ),
                format!("create it on the target, or grant CREATEROLE to {target_user}"),
            )
        });
    }
    Ok(Roles { missing, present, target_user })
}

/// Those of `missing` that the target's role may not create, with the server's own word. Asked in a transaction that is
/// rolled back.
pub(crate) async fn refused(target: &Session, missing: &[String]) -> Result<Decisions, Error> {
    let mut decisions = Decisions::default();
    if missing.is_empty() {
        return Ok(decisions);
    }
    let create = |role: &String| format!("create role {} nologin;\n", Ident(role));
    let all: String = missing.iter().map(create).collect();
    if target.batch_execute(&format!("begin;\n{all}rollback;")).await.is_ok() {
        return Ok(decisions);
    }
    target.batch_execute("rollback").await.map_err(Error::on(target))?;
    for role in missing {
        let Err(error) = target.batch_execute(&format!("begin;\n{}rollback;", create(role))).await else { continue };
        let error = DbError::from(error);
        if !trial::is_refusal(&error) {
            return Err(Error::Entry { object: format!("role {role}"), source: error });
        }
        target.batch_execute("rollback").await.map_err(Error::on(target))?;
        let key = format!("{ROLE}{role}");
        decisions.refuse_named(format!("role {role}"), &key, (0, 0), None, &error.to_string());
    }
    Ok(decisions)
}
