//! Makes the schema on the target, before any row; finds out what is refused there, and obeys what was decided about it.

use std::collections::BTreeSet;

use pg_session::{Session, literal};
use runbook::Context;

use crate::copy::CopyOptions;
use crate::cut::cut;
use crate::ddl;
use crate::error::Error;
use crate::extension;
use crate::finish;
use crate::load::Worker;
use crate::refused::{self, Decision, Decisions, OnRefused};
use crate::schema::Schema;
use crate::state::{self, PartRow};
use crate::survey::Survey;
use crate::trial;
use crate::uncompressed;

/// Everything before the data, and a trial of what comes after it; the last transaction also writes down what stays out
/// and how the tables are cut. `Blocked` when something is refused and nothing may stay out.
pub(crate) async fn create_schema(
    target: &Session,
    workers: &[Worker],
    survey: &mut Survey,
    schema: &Schema,
    options: &CopyOptions,
    cx: &Context,
) -> Result<u64, Error> {
    let recorded = refused::recorded(target).await?;
    survey.forget_roles(&refused::roles(&recorded).collect::<Vec<_>>());
    let mut decisions = Decisions::default();
    extension::create(target, &survey.extensions, &schema.extensions, &mut decisions, cx).await?;
    let done = state::done_entries(target).await?;
    if let Some(shim) = &survey.managed.shim {
        const KEY: &str = "SHIM auth";
        if !done.contains(KEY) {
            let sql = shim.create_sql() + &state::record_entries_sql(std::iter::once(KEY));
            state::in_one_transaction(target, &sql)
                .await
                .map_err(|source| Error::Entry { object: "schema auth".into(), source })?;
        }
    }
    let sessions: Vec<&Session> = workers.iter().map(|worker| &worker.target).collect();
    let sent = trial::create(&sessions, &schema.before_data, &done, &mut decisions).await?;
    trial::rehearse(target, schema, survey.source.version_num / 10_000, &mut decisions).await?;
    if options.on_refused == OnRefused::Stop && !decisions.made.is_empty() {
        return Err(Error::Blocked(decisions.findings()));
    }
    survey.leave_out(&refused::relations(&decisions.made).collect());
    let mut more = refused::record_sql(&decisions.made);
    let mut untried = 0;
    if let Some(worker) = workers.first() {
        let entries = uncompressed::begin(&worker.source, survey).await?;
        let (sql, count) = ddl::statements(&entries.iter().collect::<Vec<_>>(), &done);
        more.push_str(&sql);
        untried = count;
    }
    record_parts(target, &cut(survey, options.split_bytes, workers.len()), &more).await?;
    Ok(sent + untried)
}

/// Writes down that the tables are there, how they are cut, and `more`.
pub(crate) async fn record_parts(target: &Session, parts: &[PartRow], more: &str) -> Result<(), Error> {
    let mut sql = String::from("update tierlift.copy set schema_done = true;\n");
    sql.push_str(more);
    for batch in parts.chunks(1000) {
        let values: Vec<String> = batch
            .iter()
            .map(|p| {
                let end = p.end_block.map_or_else(|| "null".to_owned(), |e| e.to_string());
                let done = if p.done { "0, 0, clock_timestamp()" } else { "null, null, null" };
                format!("({}, {}, {}, {}, {end}, {done})", literal(&p.relation), p.part, p.parts, p.first_block)
            })
            .collect();
        sql.push_str(&format!(
            "insert into tierlift.copy_part (relation, part, parts, first_block, end_block, rows, bytes, done_at)
             values {};\n",
            values.join(", ")
        ));
    }
    state::in_one_transaction(target, &sql)
        .await
        .map_err(|source| Error::Entry { object: "table tierlift.copy_part".into(), source })
}

/// Obeys what was decided: nothing of it is created or filled any more.
pub(crate) async fn leave_out(
    target: &Session,
    decisions: &[Decision],
    survey: &mut Survey,
    schema: &mut Schema,
    positions: &mut Vec<finish::Position>,
) -> Result<(), Error> {
    if decisions.is_empty() {
        return Ok(());
    }
    refused::apply(decisions, schema);
    survey.leave_out(&refused::relations(decisions).collect());
    // Identity columns' sequences are no entries of the dump: what is there says which have gone with their tables.
    let there = finish::sequences(target, &survey.schemas, &BTreeSet::new()).await?;
    positions.retain(|p| there.iter().any(|t| t.relation == p.relation));
    Ok(())
}
