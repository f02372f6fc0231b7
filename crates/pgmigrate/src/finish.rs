//! The end of a copy: sequences, foreign keys, triggers, policies, privileges, materialised views, statistics.

use std::collections::BTreeSet;

use pg_session::{Relation, Session, literal};
use runbook::Context;
use serde::{Deserialize, Serialize};

use crate::ddl;
use crate::error::Error;
use crate::existing;
use crate::mapping;
use crate::owner;
use crate::selection::Contents;
use crate::statistics;
use crate::survey::Survey;
use crate::toc::Entry;

/// Sequences asked for in one query.
const BATCH: usize = 200;

/// What is left when rows and indexes are in.
pub(crate) struct Remaining<'a> {
    pub cx: &'a Context,
    pub before_data: &'a [Entry],
    pub after_data: &'a [Entry],
    pub done: &'a BTreeSet<String>,
    /// The source's sequences, read after the snapshot: no row that came has a higher number.
    pub positions: &'a [Position],
}

/// Does it, and marks the copy finished. Returns how many entries were sent.
pub(crate) async fn finish(
    source: &Session,
    target: &Session,
    survey: &Survey,
    remaining: &Remaining<'_>,
) -> Result<u64, Error> {
    let contents = survey.wanted.contents;
    let schemas_now = if contents == Contents::DataOnly { survey.schemas_on_target() } else { survey.schemas.clone() };
    let ((), filled, partitioned) = tokio::try_join!(
        set_sequences(target, survey, remaining.positions),
        filled_views(source, &survey.schemas),
        partitioned(target, &schemas_now)
    )?;
    let entries: Vec<&Entry> = remaining.after_data.iter().collect();
    let mut sent = ddl::send(target, &entries, remaining.done).await?;
    if contents == Contents::Everything {
        sent += refresh_views(target, remaining, &filled).await?;
    }
    for note in statistics::analyze(target, &partitioned.iter().collect::<Vec<_>>()).await? {
        remaining.cx.note(note);
    }
    if contents == Contents::DataOnly {
        existing::check_keys(target, survey).await?;
    }
    let owners = owner::entries(source, target, survey).await?;
    sent += ddl::send(target, &owners.iter().collect::<Vec<_>>(), remaining.done).await?;
    mapping::conclude(target, &survey.wanted).await?;
    Ok(sent)
}

/// A sequence's position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub relation: Relation,
    pub last_value: i64,
    pub is_called: bool,
}

/// Every sequence of `schemas` but those left out, with its position; identity columns' are included.
pub(crate) async fn sequences(
    session: &Session,
    schemas: &[String],
    left_out: &BTreeSet<Relation>,
) -> Result<Vec<Position>, Error> {
    let (readable, unreadable) = names(session, schemas, left_out).await?;
    positions(session, [readable, unreadable].concat()).await // the server says best why one can't be read
}

/// The same for a session in a transaction, which a refusal would end: and those that the role may not read.
pub(crate) async fn readable_sequences(
    session: &Session,
    schemas: &[String],
    left_out: &BTreeSet<Relation>,
) -> Result<(Vec<Position>, Vec<Relation>), Error> {
    let (readable, unreadable) = names(session, schemas, left_out).await?;
    Ok((positions(session, readable).await?, unreadable))
}

async fn names(
    session: &Session,
    schemas: &[String],
    left_out: &BTreeSet<Relation>,
) -> Result<(Vec<Relation>, Vec<Relation>), Error> {
    let rows = session
        .query(
            "select n.nspname::text, c.relname::text,
                    has_sequence_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'S' and n.nspname = any ($1)
                and not exists (select from pg_depend d
                                 where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
              order by 1, 2",
            &[&schemas],
        )
        .await
        .map_err(Error::on(session))?;
    let (readable, unreadable): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get::<_, bool>(2));
    let relations = |rows: Vec<&tokio_postgres::Row>| {
        rows.iter()
            .map(|row| Relation::new(row.get::<_, String>(0), row.get::<_, String>(1)))
            .filter(|relation| !left_out.contains(relation))
            .collect()
    };
    Ok((relations(readable), relations(unreadable)))
}

async fn positions(session: &Session, relations: Vec<Relation>) -> Result<Vec<Position>, Error> {
    let mut positions = Vec::with_capacity(relations.len());
    for batch in relations.chunks(BATCH) {
        let selects: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(at, relation)| format!("select {at}::int8, last_value, is_called from {relation}"))
            .collect();
        let rows = session.query(&selects.join(" union all "), &[]).await.map_err(Error::on(session))?;
        for row in rows {
            let at = usize::try_from(row.get::<_, i64>(0))
                .map_err(|_| Error::Internal("a sequence came back under no number".into()))?;
            positions.push(Position { relation: batch[at].clone(), last_value: row.get(1), is_called: row.get(2) });
        }
    }
    positions.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(positions)
}

async fn set_sequences(target: &Session, survey: &Survey, positions: &[Position]) -> Result<(), Error> {
    if survey.wanted.contents == Contents::SchemaOnly {
        return Ok(()); // without rows they start anew
    }
    for batch in positions.chunks(BATCH) {
        let calls: Vec<String> = batch
            .iter()
            .map(|p| {
                format!(
                    "pg_catalog.setval({}::regclass, {}, {})",
                    literal(&survey.onto(&p.relation).to_string()),
                    p.last_value,
                    p.is_called
                )
            })
            .collect();
        target.batch_execute(&format!("select {}", calls.join(", "))).await.map_err(Error::on(target))?;
    }
    Ok(())
}

/// Materialised views that hold rows on the source.
async fn filled_views(source: &Session, schemas: &[String]) -> Result<BTreeSet<u32>, Error> {
    let rows = source
        .query(
            "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'm' and c.relispopulated and n.nspname = any ($1)",
            &[&schemas],
        )
        .await
        .map_err(Error::on(source))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Fills the materialised views that are filled on the source, in the dump's order, which follows their dependencies.
async fn refresh_views(target: &Session, remaining: &Remaining<'_>, filled: &BTreeSet<u32>) -> Result<u64, Error> {
    let views = remaining.before_data.iter().chain(remaining.after_data).filter(|e| e.kind == "MATERIALIZED VIEW");
    let refreshes: Vec<Entry> = views
        .filter(|view| filled.contains(&view.oid))
        .map(|view| {
            let relation = Relation::new(&view.schema, &view.name);
            let sql = format!("refresh materialized view {relation};\nanalyze {relation};");
            Entry { kind: "REFRESH".into(), sql, ..view.clone() }
        })
        .collect();
    // One by one: a later one reads the rows of an earlier, and may take its time. What a function reads is known to no
    // dump, so one that finds another unfilled waits for it.
    let (mut sent, mut todo) = (0, refreshes);
    loop {
        let mut waiting = Vec::new();
        for refresh in &todo {
            match ddl::send(target, &[refresh], remaining.done).await {
                Ok(one) => sent += one,
                Err(error) if finds_another_unfilled(&error) => waiting.push((refresh.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        if waiting.is_empty() {
            return Ok(sent);
        }
        if waiting.len() == todo.len() {
            return Err(waiting.swap_remove(0).1); // none of them got on
        }
        todo = waiting.into_iter().map(|(refresh, _)| refresh).collect();
    }
}

fn finds_another_unfilled(error: &Error) -> bool {
    const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    matches!(error, Error::Entry { source, .. } if source.code.as_deref() == Some(NOT_IN_PREREQUISITE_STATE))
}

/// Partitioned tables that are no partition themselves: each table with rows has its statistics already.
async fn partitioned(target: &Session, schemas: &[String]) -> Result<Vec<Relation>, Error> {
    let rows = target
        .query(
            "select n.nspname::text, c.relname::text
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'p' and n.nspname = any ($1) and not c.relispartition",
            &[&schemas],
        )
        .await
        .map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| Relation::new(row.get::<_, String>(0), row.get::<_, String>(1))).collect())
}
