//! `--data-only`: rows into tables that the target has.
//!
//! Every table is compared column by column beforehand and must be empty. Rows go in with `session_replication_role =
//! replica`, so that no trigger fires and no foreign key is checked row by row; the keys are checked afterwards, all
//! together. Where the role may not set that, tables with triggers or foreign keys are refused.

use std::collections::{BTreeMap, BTreeSet};

use pg_session::{Relation, Session, literal};
use runbook::{Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::catalog::Table;
use crate::error::Error;
use crate::extension::list;
use crate::findings::finding;
use crate::finish::{self, Position};
use crate::mapping;
use crate::selection::Wanted;
use crate::state;
use crate::survey::Survey;

use Severity::Blocks;

/// What undo empties and sets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataBefore {
    /// Tables that were empty.
    pub tables: Vec<Relation>,
    pub sequences: Vec<Position>,
}

impl DataBefore {
    /// Reads it before the first row is written.
    pub async fn capture(target: &Session, survey: &Survey) -> Result<Self, Error> {
        let tables = survey.tables.iter().map(|t| t.onto.clone()).collect();
        let mine = survey.choice.relations_left_out.iter().map(|r| survey.wanted.relation(r)).collect();
        Ok(Self { tables, sequences: finish::sequences(target, &survey.schemas_on_target(), &mine).await? })
    }
}

/// A column as the target has it.
struct Column {
    type_name: String,
    /// Nothing fills it when the copy does not.
    required: bool,
    generated: bool,
}

/// A table as the target has it.
struct Existing {
    kind: String,
    may_load: bool,
    filtered: bool,
    columns: BTreeMap<String, Column>,
}

/// Whether triggers and foreign keys can be kept quiet.
pub(crate) async fn may_replicate(target: &Session) -> Result<bool, Error> {
    match target.batch_execute("begin; set local session_replication_role = replica; rollback").await {
        Ok(()) => Ok(true),
        Err(error) if error.code().is_some() => {
            target.batch_execute("rollback").await.map_err(Error::on(target))?;
            Ok(false)
        }
        Err(error) => Err(Error::on(target)(error)),
    }
}

/// Everything that keeps rows of `tables` out of the target's.
pub(crate) async fn findings(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let (tables, wanted) = (&survey.tables, &survey.wanted);
    let existing = read(target, &survey.schemas_on_target()).await?;
    let begun = state::read(target).await?.is_some();
    let mut findings = Vec::new();
    let mut found = Vec::new();
    for table in tables {
        let label = format!("table {}", table.onto.label());
        let Some(there) = existing.get(&table.onto) else {
            findings.push(finding(Blocks, label, "the target has no such table", "create it there, or exclude it"));
            continue;
        };
        let faults = faults(table, there, wanted);
        if faults.is_empty() {
            found.push(table);
        }
        findings.extend(faults.into_iter().map(|(message, remedy)| finding(Blocks, &label, message, remedy)));
    }
    if !begun {
        for table in &found {
            let sql = format!("select exists (select from only {})", table.onto);
            if target.query_one(&sql, &[]).await.map_err(Error::table(&table.onto.label(), "target"))?.get(0) {
                let label = format!("table {}", table.onto.label());
                findings.push(finding(Blocks, label, "it has rows on the target", "empty it, or exclude it"));
            }
        }
    }
    findings.extend(in_the_way(target, &found).await?);
    findings.extend(sequences(source, target, survey).await?);
    Ok(findings)
}

fn faults(table: &Table, there: &Existing, wanted: &Wanted) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut add = |message: String, remedy: &str| faults.push((message, remedy.to_owned()));
    match there.kind.as_str() {
        "r" => {}
        "p" => {
            add("it is partitioned on the target and holds no rows itself".into(), "create it as it is on the source")
        }
        _ => add("it is no table on the target".into(), "create it as it is on the source"),
    }
    if !there.may_load {
        add("the target role may not read, fill and empty it".into(), "grant select, insert and truncate on it");
    }
    if there.filtered {
        add("row-level security on the target hides rows from the role".into(), "connect as the table's owner");
    }
    for column in &table.columns {
        let name = &column.name;
        let expected = mapping::label(wanted, &column.type_name);
        match there.columns.get(name) {
            None if column.generated => {}
            None => add(format!("its column {name} is missing on the target"), "add it there"),
            Some(at) if at.type_name != expected => add(
                format!("its column {name} is {expected} on the source and {} on the target", at.type_name),
                "give both the same type",
            ),
            Some(at) if at.generated != column.generated => {
                let end = if at.generated { "target" } else { "source" };
                add(format!("its column {name} is generated on the {end} only"), "make it the same at both ends");
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    for (name, _) in there.columns.iter().filter(|(name, c)| c.required && !known.contains(name.as_str())) {
        add(
            format!("the target's column {name} is not on the source, and is not null without a default"),
            "give it a default, or allow null",
        );
    }
    faults
}

/// Triggers and foreign keys that would act on the rows.
async fn in_the_way(target: &Session, tables: &[&Table]) -> Result<Vec<Finding>, Error> {
    let quiet = may_replicate(target).await?;
    let names: Vec<String> = tables.iter().map(|t| t.onto.to_string()).collect();
    let rows = target.query(include_str!("sql/in_the_way.sql"), &[&names, &quiet]).await.map_err(Error::on(target))?;
    let remedy = if quiet {
        "disable it for the time of the copy"
    } else {
        "let the role set session_replication_role (grant set on parameter session_replication_role), or drop it for the time of the copy"
    };
    Ok(rows.iter().map(|row| finding(Blocks, row.get::<_, String>(0), row.get::<_, String>(1), remedy)).collect())
}

async fn sequences(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let here = finish::sequences(source, &survey.schemas, &survey.choice.relations_left_out).await?;
    let mut findings = Vec::new();
    for position in here {
        let name = survey.wanted.relation(&position.relation);
        let usable: Option<bool> = target
            .query_one(
                "select has_sequence_privilege(c.oid, 'update') and has_sequence_privilege(c.oid, 'select')
                   from (select to_regclass($1)) as t (id) left join pg_class c on c.oid = t.id and c.relkind = 'S'",
                &[&name.to_string()],
            )
            .await
            .map_err(Error::on(target))?
            .get(0);
        let label = format!("sequence {}", name.label());
        match usable {
            Some(true) => {}
            Some(false) => {
                findings.push(finding(
                    Blocks,
                    label,
                    "the target role may not set it",
                    "grant select and update on it",
                ));
            }
            None => {
                findings.push(finding(Blocks, label, "the target has no such sequence", "create it, or exclude it"))
            }
        }
    }
    Ok(findings)
}

async fn read(target: &Session, schemas: &[String]) -> Result<BTreeMap<Relation, Existing>, Error> {
    let rows = target.query(include_str!("sql/existing_columns.sql"), &[&schemas]).await.map_err(Error::on(target))?;
    let mut tables: BTreeMap<Relation, Existing> = BTreeMap::new();
    for row in rows {
        let relation = Relation::new(row.get::<_, String>(0), row.get::<_, String>(1));
        let table = tables.entry(relation).or_insert_with(|| Existing {
            kind: row.get(2),
            may_load: row.get(3),
            filtered: row.get(4),
            columns: BTreeMap::new(),
        });
        if let Some(name) = row.get::<_, Option<String>>(5) {
            let column = Column { type_name: row.get(6), required: row.get(7), generated: row.get(8) };
            table.columns.insert(name, column);
        }
    }
    Ok(tables)
}

/// Looks for rows whose foreign key points nowhere: they went in unchecked.
pub(crate) async fn check_keys(target: &Session, survey: &Survey) -> Result<(), Error> {
    let names: Vec<String> = survey.tables.iter().map(|t| t.onto.to_string()).collect();
    let rows = target.query(include_str!("sql/dangling.sql"), &[&names]).await.map_err(Error::on(target))?;
    for row in rows {
        let (key, sql): (String, String) = (row.get(0), row.get(1));
        if target.query_opt(&sql, &[]).await.map_err(Error::on(target))?.is_some() {
            return Err(Error::Dangling {
                object: key,
                message: "a row that was copied points at one that the target does not have".into(),
            });
        }
    }
    Ok(())
}

/// Empties exactly the tables that were filled, and sets the sequences back, in one transaction.
pub(crate) async fn take_back(target: &Session, before: &DataBefore) -> Result<(), Error> {
    target.batch_execute("begin").await.map_err(Error::on(target))?;
    let done = async {
        empty(target, &before.tables).await?;
        for p in &before.sequences {
            let sql = format!(
                "select setval({}::regclass, {}, {})",
                literal(&p.relation.to_string()),
                p.last_value,
                p.is_called
            );
            target.batch_execute(&sql).await.map_err(Error::on(target))?;
        }
        target.batch_execute("commit").await.map_err(Error::on(target))
    };
    if let Err(error) = done.await {
        // Best effort: when the connection itself broke, the server rolls back without being told.
        drop(target.batch_execute("rollback").await);
        return Err(error);
    }
    Ok(())
}

async fn empty(target: &Session, tables: &[Relation]) -> Result<(), Error> {
    if tables.is_empty() {
        return Ok(());
    }
    // Another table that refers to one of these forbids truncating it, even when that other is empty.
    let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let rows = target
        .query(
            "select conrelid::regclass::text, min(confrelid::regclass::text) from pg_constraint
              where contype = 'f' and confrelid = any ($1::text[]::regclass[]) and conrelid <> all ($1::text[]::regclass[])
              group by 1 order by 1",
            &[&names],
        )
        .await
        .map_err(Error::on(target))?;
    let mut all: Vec<String> = names.iter().map(|name| format!("only {name}")).collect();
    for row in &rows {
        let (outside, inside): (&str, &str) = (row.get(0), row.get(1));
        // Locked, so that it is still empty when it is truncated along, which then changes nothing.
        let sql = format!("lock table {outside} in access exclusive mode");
        target.batch_execute(&sql).await.map_err(Error::on(target))?;
        let filled =
            target.query_opt(&format!("select from {outside} limit 1"), &[]).await.map_err(Error::on(target))?;
        if filled.is_some() {
            return Err(Error::Option {
                option: format!("table {outside}"),
                message: format!("it has rows and refers to {inside}, which is to be emptied"),
                hint: format!("empty {outside}, or drop its foreign key, then roll back again"),
            });
        }
        all.push(outside.to_owned());
    }
    target.batch_execute(&format!("truncate {}", all.join(", "))).await.map_err(Error::on(target))
}

/// For a note: what the copy leaves to the operator.
pub(crate) async fn views_to_refresh(target: &Session, survey: &Survey) -> Result<Option<String>, Error> {
    let rows = target
        .query(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'm' and n.nspname = any ($1) order by 1",
            &[&survey.schemas_on_target()],
        )
        .await
        .map_err(Error::on(target))?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok((!names.is_empty()).then(|| format!("materialised views are not refreshed: {}", list(&names))))
}
