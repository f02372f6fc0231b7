//! `--map-schema a=b`: what is in schema a of the source arrives in schema b.
//!
//! The copy works under the source's names and renames the schemas in the transaction that finishes it. Whatever refers
//! to an object (views, keys, defaults, policies, parsed function bodies) follows, because servers refer by number, and
//! no SQL has to be rewritten. Text that merely spells a name does not follow: that is found and reported.

use pg_session::{Ident, Session};
use runbook::{Finding, Severity};

use crate::choice::Choice;
use crate::error::Error;
use crate::findings::finding;
use crate::selection::{Contents, Wanted, refuse};
use crate::state;
use crate::undo::{self, Before, SchemaBefore};

/// What stands in the way of renaming, and what will not follow.
pub(crate) async fn findings(
    source: &Session,
    target: &Session,
    wanted: &Wanted,
    choice: &Choice,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    if wanted.schemas.is_empty() {
        return Ok(findings);
    }
    can_be_mapped(wanted, choice)?;
    for (from, to) in &wanted.schemas {
        findings.push(finding(
            Severity::Changes,
            format!("schema {from}"),
            "it is mapped",
            format!("what is in it arrives in schema {to}"),
        ));
    }
    findings.extend(spelled_names(source, wanted, choice).await?);
    // An unfinished copy goes on under the source's names; a finished one is somebody else's question.
    if wanted.contents != Contents::DataOnly && state::read(target).await?.is_none() {
        findings.extend(target_schemas(target, wanted).await?);
    }
    Ok(findings)
}

fn can_be_mapped(wanted: &Wanted, choice: &Choice) -> Result<(), Error> {
    for (from, to) in &wanted.schemas {
        let option = || format!("--map-schema {from}={to}");
        if !choice.schemas.contains(from) {
            let message = format!("no schema {from} is copied");
            return Err(refuse(option(), message, "compare it with the schemas that `pg assess` lists"));
        }
        if choice.schemas.contains(to) && !wanted.schemas.iter().any(|(other, _)| other == to) {
            let message = format!("schema {to} is copied too, and schemas are renamed, not merged");
            return Err(refuse(option(), message, format!("map {to} to another name as well, or exclude it")));
        }
    }
    Ok(())
}

/// Function bodies kept as text, and their search paths.
async fn spelled_names(source: &Session, wanted: &Wanted, choice: &Choice) -> Result<Vec<Finding>, Error> {
    let names: Vec<&str> = wanted.schemas.iter().map(|(from, _)| from.as_str()).collect();
    let rows = source
        .query(
            include_str!("sql/spelled_schemas.sql"),
            &[&choice.schemas, &names, &choice.oids_left_out(crate::choice::PROCEDURE)],
        )
        .await
        .map_err(Error::on(source))?;
    Ok(rows
        .iter()
        .map(|row| {
            let (function, schema): (String, String) = (row.get(0), row.get(1));
            let message = format!("its text names schema {schema}, which arrives as {}", wanted.schema(&schema));
            finding(
                Severity::Changes,
                function,
                message,
                "it comes as it is; change its text on the target after the copy",
            )
        })
        .collect())
}

async fn target_schemas(target: &Session, wanted: &Wanted) -> Result<Vec<Finding>, Error> {
    let rows = target
        .query(
            "select n.nspname::text, pg_has_role(n.nspowner, 'usage'),
                    array(select x.extname::text from pg_extension x where x.extnamespace = n.oid)
               from pg_namespace n",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let find = |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name);
    let mut findings = Vec::new();
    for (from, to) in &wanted.schemas {
        if find(to).is_some() && !wanted.schemas.iter().any(|(other, _)| other == to) {
            findings.push(finding(
                Severity::Blocks,
                format!("schema {to}"),
                format!("the target has one, and {from} is to arrive under that name"),
                format!("drop schema {to} on the target if it is empty, or map {from} to another name"),
            ));
        }
        let Some(there) = find(from) else { continue };
        if !there.get::<_, bool>(1) {
            findings.push(finding(
                Severity::Blocks,
                format!("schema {from}"),
                "it is on the target already and belongs to another role, so it cannot be renamed",
                format!("drop it there, or leave --map-schema {from}={to} away"),
            ));
        }
        let extensions: Vec<String> = there.get(2);
        if !extensions.is_empty() {
            findings.push(finding(
                Severity::Blocks,
                format!("schema {from}"),
                format!("extension {} is in it on the target and would move to {to}", extensions.join(", ")),
                "drop the extension there; the copy installs what the source uses",
            ));
        }
    }
    Ok(findings)
}

/// Gives the schemas their new names and marks the copy finished, in one transaction. A schema that was there before
/// the copy is there again after it, empty and as it was.
pub(crate) async fn conclude(target: &Session, wanted: &Wanted) -> Result<(), Error> {
    const FINISHED: &str = "update tierlift.copy set finished_at = clock_timestamp() where finished_at is null";
    if wanted.schemas.is_empty() || wanted.contents == Contents::DataOnly {
        return target.batch_execute(FINISHED).await.map_err(Error::on(target));
    }
    let copy = state::read(target).await?.ok_or_else(|| Error::Internal("the copy's state is gone".into()))?;
    let before = Before::read(copy.before)?;
    let renamed = async {
        target.batch_execute("begin").await.map_err(Error::on(target))?;
        target.batch_execute(&rename_sql(&wanted.schemas, &before.schemas)).await.map_err(Error::on(target))?;
        for was in before.schemas.iter().filter(|s| wanted.schemas.iter().any(|(from, _)| *from == s.name)) {
            undo::restore(target, was).await?;
        }
        target.batch_execute(&format!("{FINISHED}; commit")).await.map_err(Error::on(target))
    };
    match renamed.await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Best effort: when the connection itself broke, the server rolls back without being told.
            drop(target.batch_execute("rollback").await);
            Err(error)
        }
    }
}

/// By way of names that nobody has, so that two may be exchanged.
fn rename_sql(schemas: &[(String, String)], before: &[SchemaBefore]) -> String {
    let mut sql = String::new();
    for (at, (from, _)) in schemas.iter().enumerate() {
        sql.push_str(&format!("alter schema {} rename to tierlift_renamed_{at};\n", Ident(from)));
    }
    for (at, (_, to)) in schemas.iter().enumerate() {
        sql.push_str(&format!("alter schema tierlift_renamed_{at} rename to {};\n", Ident(to)));
    }
    let moved_away = |name: &str| schemas.iter().any(|(from, _)| from == name);
    let taken = |name: &str| schemas.iter().any(|(_, to)| to == name);
    for was in before.iter().filter(|s| moved_away(&s.name) && !taken(&s.name)) {
        sql.push_str(&format!("create schema {};\n", Ident(&was.name)));
    }
    sql
}

/// What the target calls an object that the source calls `label` (as `pg_describe_object` prints it).
pub(crate) fn label(wanted: &Wanted, label: &str) -> String {
    if wanted.schemas.is_empty() {
        return label.to_owned();
    }
    // Names of policies, triggers and the like may hold anything; the relation they are on comes last.
    let kinds = ["policy ", "trigger ", "rule ", "constraint ", "default value for column "];
    let separator = if label.starts_with("default") { " of " } else { " on " };
    let fixed = match label.rfind(separator) {
        Some(at) if kinds.iter().any(|kind| label.starts_with(kind)) => at,
        _ => 0,
    };
    let (head, tail) = label.split_at(fixed);
    let mut text = head.to_owned();
    let mut rest = tail;
    let mut boundary = true;
    'scan: while let Some(c) = rest.chars().next() {
        if boundary {
            for (from, to) in &wanted.schemas {
                for (written, new) in [(from.clone(), plain(to)), (Ident(from).to_string(), plain(to))] {
                    if let Some(after) = rest.strip_prefix(written.as_str()).filter(|after| after.starts_with('.')) {
                        text.push_str(&new);
                        rest = after;
                        boundary = false;
                        continue 'scan;
                    }
                }
            }
        }
        if c == '"' {
            // A quoted name is passed over whole.
            let end = rest[1..].find('"').map_or(rest.len(), |at| at + 2);
            text.push_str(&rest[..end]);
            rest = &rest[end..];
            boundary = false;
            continue;
        }
        boundary = !(c.is_alphanumeric() || c == '_' || c == '.' || c == '$');
        text.push(c);
        rest = &rest[c.len_utf8()..];
    }
    text
}

/// A name as the server prints it: quoted only where it must be.
fn plain(name: &str) -> String {
    let relation = pg_session::Relation::new(name, "x").label();
    relation.strip_suffix(".x").map_or_else(|| name.to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(maps: &[(&str, &str)]) -> Wanted {
        Wanted { schemas: maps.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(), ..Wanted::default() }
    }

    #[test]
    fn labels_follow_the_schema_and_nothing_else() {
        let check = |source: &str, expect: &str| {
            assert_eq!(label(&wanted(&[("a", "b"), ("b", "My C")]), source), expect, "{source}");
        };
        check("view a.t", "view b.t");
        check("view b.a", "view \"My C\".a");
        check("function a.f(a.mood,text,b.x[])", "function b.f(b.mood,text,\"My C\".x[])");
        check("function x.a(integer)", "function x.a(integer)");
        check("view data.a", "view data.a");
        check("policy read a.t on table a.t", "policy read a.t on table b.t");
        check("default value for column id of table a.t", "default value for column id of table b.t");
        check("view \"x a.t\".y", "view \"x a.t\".y");
    }

    #[test]
    fn schemas_are_exchanged_and_old_ones_come_back() {
        let maps = |maps: &[(&str, &str)]| wanted(maps).schemas;
        let was = |name: &str| SchemaBefore { name: name.into(), owner: "o".into(), comment: None, grants: Vec::new() };
        assert_eq!(
            rename_sql(&maps(&[("a", "b"), ("b", "a")]), &[was("public"), was("a")]),
            "alter schema \"a\" rename to tierlift_renamed_0;\nalter schema \"b\" rename to tierlift_renamed_1;\n\
             alter schema tierlift_renamed_0 rename to \"b\";\nalter schema tierlift_renamed_1 rename to \"a\";\n"
        );
        assert_eq!(
            rename_sql(&maps(&[("public", "app")]), &[was("public")]),
            "alter schema \"public\" rename to tierlift_renamed_0;\nalter schema tierlift_renamed_0 rename to \"app\";\n\
             create schema \"public\";\n"
        );
    }
}
