//! Copies a whole database: schema, rows from one snapshot, indexes, keys, sequences, everything after.
//!
//! Every piece is recorded on the target in the transaction that makes it, so a copy that was killed at any moment
//! continues where it was and repeats nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pg_session::{Access, PgUrl, Relation, Session, literal};
use runbook::{Context, Finding, Severity};
use serde::Serialize;

use crate::assess::{self, Look};
use crate::catalog::Table;
use crate::dump;
use crate::endpoint;
use crate::error::Error;
use crate::estimate::{Accuracy, Forecast};
use crate::extension;
use crate::findings::{finding, in_order};
use crate::finish;
use crate::large_objects;
use crate::leftover;
use crate::load::{self, Load, TableLoad, Tally, Worker};
use crate::lost;
use crate::moment::Moment;
use crate::place;
use crate::refused::{self, Decision, Decisions, LeftOut, OnRefused};
use crate::retry::Call;
use crate::roles;
use crate::schema::{self, OfTable, Schema};
use crate::state::{self, CopyState, PartRow, SourceId};
use crate::stream::Meter;
use crate::survey::Survey;
use crate::trial;
use crate::undo::{self, Before};
use crate::writes;
use crate::{catalog, ddl};

/// More workers than this only stand in each other's way, unless somebody asks for them.
const MOST_JOBS: usize = 8;

/// A managed server's restart takes half a minute.
const RETRY_FOR: Duration = Duration::from_secs(60);

/// Reading a sample beside pg_dump may take this long; the estimate is only for the report.
const SAMPLE_TIME: Duration = Duration::from_millis(100);

/// What to copy, and how.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Where the data is.
    pub source: PgUrl,
    /// An empty database.
    pub target: PgUrl,
    /// Tables (or parts of tables) copied at once; by default what this machine and both ends can take.
    pub jobs: Option<usize>,
    /// Tables larger than this are cut into parts of about this size; by default only where that is worth it.
    pub split_bytes: Option<u64>,
    /// Folder of `pg_dump`; by default `TIERLIFT_PG_BIN`, then PATH, then where distributions install it.
    pub pg_bin: Option<PathBuf>,
    /// How long to go on trying without getting on, when a server or a connection breaks off; zero gives up at once.
    pub retry_for: Duration,
    /// What to do when the target refuses an object.
    pub on_refused: OnRefused,
}

impl CopyOptions {
    /// With every default.
    pub fn new(source: PgUrl, target: PgUrl) -> Self {
        let on_refused = OnRefused::Stop;
        Self { source, target, jobs: None, split_bytes: None, pg_bin: None, retry_for: RETRY_FOR, on_refused }
    }
}

/// What a copy did.
#[derive(Debug, Clone, Serialize)]
pub struct CopyReport {
    /// Tables that are now on the target.
    pub tables: u64,
    /// Their rows, those of earlier attempts included.
    pub rows: u64,
    /// Large objects that are now on the target.
    pub large_objects: u64,
    /// Bytes that travelled, those of earlier attempts included.
    pub bytes: u64,
    /// Rows copied by this call alone.
    pub rows_now: u64,
    /// Parts copied by this call alone.
    pub parts_now: u64,
    /// Schema entries sent by this call alone.
    pub entries_now: u64,
    /// True when it continued an earlier attempt.
    pub resumed: bool,
    /// Wall-clock seconds of this call.
    pub seconds: f64,
    /// Tables, or parts of tables, that were copied at once.
    pub jobs: u64,
    /// What assess has to say of this pair of databases, most serious first.
    pub findings: Vec<Finding>,
    /// What the target refused and what needs it, none of which is there; empty for a copy of everything.
    pub left_out: Vec<LeftOut>,
    /// What was left out or changed on the way besides.
    pub notes: Vec<String>,
    /// How good the estimate was; none when the copy was done in several attempts.
    pub accuracy: Option<Accuracy>,
}

/// One attempt at a copy, from whatever the target has recorded of it; [`crate::retry`] makes as many as are needed.
pub(crate) async fn attempt(options: &CopyOptions, cx: &Context, call: &Call) -> Result<CopyReport, Error> {
    // At once, for the round trips; but what a pooler does to the others is not worth telling.
    let (checked, connected) = tokio::join!(endpoint::check(&options.source, &options.target), async {
        tokio::try_join!(
            leftover::lock(&options.target),
            async { Ok::<_, Error>(Session::connect(&options.source, Access::ReadOnly).await?) },
            async { Ok(Session::connect(&options.target, Access::ReadWrite).await?) },
        )
    });
    checked?;
    let (lock, source, target) = connected?;
    let outcome = carry(&source, &target, options, cx, call).await;
    if outcome.is_err() {
        call.note_broken([&source, &target]).await;
    }
    drop(lock);
    outcome
}

async fn carry(
    source: &Session,
    target: &Session,
    options: &CopyOptions,
    cx: &Context,
    call: &Call,
) -> Result<CopyReport, Error> {
    let began = Instant::now();
    let (from, to, (), ()) = tokio::try_join!(
        catalog::server_facts(source),
        catalog::server_facts(target),
        async { target.batch_execute(ddl::SESSION_SETTINGS).await.map_err(Error::on(target)) },
        leftover::end_orphans(target),
    )?;
    let (schemas, managed_schemas) = catalog::schemas(source, from.provider).await?;
    let writes = writes::read(source, &schemas).await?;
    let snapshot = export_snapshot(source).await?;
    // pg_dump takes longest of all that comes before the first row, most of it waiting for round trips: everything
    // else happens meanwhile. It is ended with this call, whatever its outcome.
    let schema_dump = async {
        let dump = dump::find(options.pg_bin.as_deref(), from.version_num / 10_000, from.tls).await?;
        dump::schema(&dump, &options.source, &snapshot, &managed_schemas).await
    };
    let preparation = async {
        let (survey, places, positions, owns_public, wanted) = tokio::try_join!(
            Survey::of(source, target, from.clone(), to),
            place::read(source, &schemas),
            finish::readable_sequences(source, &schemas),
            owns_public(target),
            jobs(source, target, options)
        )?;
        let now = Moment::read(source, &survey, writes).await?;
        let (state, findings, forecast) = prepare(source, target, &survey, &now, options.on_refused, cx).await?;
        call.begun.store(true, Ordering::Relaxed);
        // Of a new copy assess has said so already.
        let (positions, unreadable) = positions;
        if let Some(sequence) = unreadable.first() {
            let object = format!("sequence {}", sequence.label());
            let remedy = "grant select on it (and usage on its schema) to the source role";
            return Err(Error::Blocked(vec![finding(
                Severity::Blocks,
                object,
                "the source role may not read it",
                remedy,
            )]));
        }
        let jobs = wanted.min(survey.tables.len().max(1) * MOST_JOBS);
        let workers = (0..jobs).map(|_| Worker::connect(&options.source, &options.target, &snapshot));
        let workers = if state.finished { Vec::new() } else { futures_util::future::try_join_all(workers).await? };
        Ok::<_, Error>((survey, places, positions, owns_public, now, state, findings, forecast, workers))
    };
    // Where both fail, what the preparation found says why.
    let (sql, (mut survey, places, mut positions, owns_public, now, state, findings, forecast, workers)) =
        tokio::try_join!(async { Ok(schema_dump.await) }, preparation)?;
    let jobs = workers.len();
    let resumed = *call.resumed.get_or_init(|| state.schema_done);
    let tally = &call.done;
    if state.finished {
        return report(target, tally, Outcome { began, resumed, jobs, findings, notes: Vec::new() }).await;
    }
    let mut schema = schema::plan(&survey, &places, &sql?, owns_public)?;
    for note in &schema.notes {
        cx.note(note.clone());
    }
    if !state.schema_done {
        cx.note(format!("schema: {}", schema::summary(&schema)));
        let sent = match create_schema(target, &workers, &mut survey, &schema, options, cx).await {
            Err(Error::Blocked(refused)) => {
                undo::remove(target, &Before::read(state.before)?, cx).await?;
                return Err(Error::Blocked(refused));
            }
            made => made?,
        };
        tally.entries.fetch_add(sent, Ordering::Relaxed);
    }
    let (done_entries, parts, decisions) =
        tokio::try_join!(state::done_entries(target), state::parts(target), refused::recorded(target))?;
    leave_out(target, &decisions, &mut survey, &mut schema, &mut positions).await?;
    for line in refused::listed(&decisions) {
        cx.note(line.to_string());
    }
    let (rows_before, bytes_before) = parts.iter().fold((0, 0), |(r, b), p| (r + p.rows, b + p.bytes));
    let mut todo: BTreeMap<String, Vec<PartRow>> = BTreeMap::new();
    for part in parts.into_iter().filter(|p| !p.done) {
        todo.entry(part.relation.clone()).or_default().push(part);
    }
    let Schema { before_data, mut of_table, foreign_keys, after_data, notes, .. } = schema;
    let tables = survey
        .tables
        .iter()
        .map(|table| {
            let of_table = of_table.remove(&table.oid).unwrap_or_else(OfTable::default);
            TableLoad {
                from_query: is_shim(&survey, &table.relation),
                parts: todo.remove(&table.relation.to_string()).into_iter().flatten().collect(),
                keys: of_table.keys,
                indexes: of_table.indexes,
                table: table.clone(),
            }
        })
        .collect();
    let meter = Arc::new(Meter::new(cx, survey.rows_estimate(), survey.bytes()));
    meter.add(catalog::unsigned(rows_before), catalog::unsigned(bytes_before));
    let load = Load {
        tables,
        foreign_keys,
        done_entries: done_entries.clone(),
        meter: Arc::clone(&meter),
        done: Arc::clone(tally),
    };
    let work = async {
        // Beside the tables, over the two connections that have nothing to do meanwhile.
        let objects = large_objects::copy(source, target, &survey.roles, &meter);
        tokio::try_join!(load::run(load, workers), objects)?;
        cx.note(format!("rows are in, {} triggers, policies and privileges follow", after_data.len()));
        let remaining = finish::Remaining {
            before_data: &before_data,
            after_data: &after_data,
            done: &done_entries,
            positions: &positions,
        };
        finish::finish(source, target, &survey, &remaining).await
    };
    let sent = now.confirm_beside(source, target, work).await?;
    tally.entries.fetch_add(sent, Ordering::Relaxed);
    let mut report = report(target, tally, Outcome { began, resumed, jobs, findings, notes }).await?;
    report.accuracy = forecast.as_ref().and_then(|forecast| Accuracy::of(forecast, &report));
    cx.progress(runbook::Progress {
        item: "copy".into(),
        rows: report.rows,
        rows_total: Some(report.rows),
        bytes: report.bytes,
        bytes_total: Some(report.bytes),
        finished: true,
    });
    Ok(report)
}

/// Whether the target holds a finished copy of this source.
pub(crate) async fn is_complete(source: &PgUrl, target: &PgUrl, run: Option<&str>) -> Result<bool, Error> {
    let (source, target) =
        tokio::try_join!(Session::connect(source, Access::ReadOnly), Session::connect(target, Access::ReadOnly))?;
    let facts = catalog::server_facts(&source).await?;
    let Some(copy) = state::read(&target).await? else { return Ok(false) };
    Ok(copy.finished && copy.source == SourceId::of(&facts) && copy.run.as_deref() == run)
}

/// True for a table of which only some columns come, under the provider's own name.
pub(crate) fn is_shim(survey: &Survey, relation: &Relation) -> bool {
    survey.managed.shim.as_ref().and_then(|s| s.users.as_ref()).is_some_and(|users| users.relation == *relation)
}

async fn export_snapshot(source: &Session) -> Result<String, Error> {
    source.batch_execute("begin isolation level repeatable read read only").await.map_err(Error::on(source))?;
    let row = source.query_typed_one("select pg_export_snapshot()", &[]).await.map_err(Error::on(source))?;
    Ok(row.get(0))
}

/// The state of the copy: the one that is there, or a new one with everything that undo will need.
async fn prepare(
    source: &Session,
    target: &Session,
    survey: &Survey,
    now: &Moment,
    on_refused: OnRefused,
    cx: &Context,
) -> Result<(CopyState, Vec<Finding>, Option<Forecast>), Error> {
    let id = SourceId::of(&survey.source);
    if let Some(copy) = state::read(target).await? {
        if copy.source != id {
            return Err(Error::OtherCopy(format!(
                "the target holds a copy of another database, begun {}",
                copy.started_at
            )));
        }
        if copy.finished && copy.run.as_deref() != cx.run_id() {
            return Err(Error::OtherCopy(format!(
                "the target holds a finished copy of this source, begun {}",
                copy.started_at
            )));
        }
        let changed = if copy.finished {
            if Moment::of(&copy)?.counts_differ(now) {
                cx.note("the copy is finished, but the source was written to since it began; it is not repeated");
            }
            None
        } else {
            cannot_continue(source, target, survey, &copy, now, cx).await?
        };
        let Some(changed) = changed else {
            // Whoever continues a copy answers for it, and its undo may take it back.
            target.execute("update tierlift.copy set run = $1", &[&cx.run_id()]).await.map_err(Error::on(target))?;
            return Ok((copy, in_order(survey.findings.clone()), None));
        };
        cx.note(format!("{changed}: the copy begins anew"));
        undo::remove(target, &Before::read(copy.before)?, cx).await?;
        // Roles that the earlier attempt made are missing again.
        let fresh = Survey::take(source, target).await?;
        return begin(source, target, &fresh, now, on_refused, cx, id).await;
    }
    begin(source, target, survey, now, on_refused, cx, id).await
}

/// Why what is on the target is no good beginning any more, if so.
async fn cannot_continue(
    source: &Session,
    target: &Session,
    survey: &Survey,
    copy: &CopyState,
    now: &Moment,
    cx: &Context,
) -> Result<Option<String>, Error> {
    let (parts, then) = (state::parts(target).await?, Moment::of(copy)?);
    let changed = then.changed(now, source, survey, &parts).await?;
    if changed.is_some() {
        return Ok(changed);
    }
    // Only a superuser could look at when a large object was written.
    if !then.sees_what(now) && large_objects::remove(target).await? > 0 {
        cx.note("large objects may have been written to since the copy began: they are copied again");
    }
    lost::reset(target, survey, &parts, cx).await
}

async fn begin(
    source: &Session,
    target: &Session,
    survey: &Survey,
    now: &Moment,
    on_refused: OnRefused,
    cx: &Context,
    id: SourceId,
) -> Result<(CopyState, Vec<Finding>, Option<Forecast>), Error> {
    let (Look { mut findings, forecast }, mut before) = tokio::try_join!(
        assess::look(source, target, survey, &[], cx.run_id(), SAMPLE_TIME),
        Before::capture(target, survey.roles.missing.clone()),
    )?;
    let refused_roles = roles::refused(target, &survey.roles.missing).await?;
    match on_refused {
        OnRefused::Skip => refused::defer(&mut findings),
        OnRefused::Stop => findings.extend(refused_roles.findings()),
    }
    let findings = in_order(findings);
    if findings.iter().any(|f| f.severity == Severity::Blocks) {
        return Err(Error::Blocked(findings.into_iter().filter(|f| f.severity == Severity::Blocks).collect()));
    }
    let no_roles: Vec<&str> = refused::roles(&refused_roles.made).collect();
    before.roles.retain(|role| !no_roles.contains(&role.as_str()));
    let roles: String =
        before.roles.iter().map(|role| format!("create role {} nologin;\n", pg_session::Ident(role))).collect();
    let before = serde_json::json!(before);
    let seen = serde_json::json!(now);
    let mut sql = state::CREATE.to_owned();
    sql.push_str(&format!(
        "insert into tierlift.copy (source, run, before, writes) values ({}, {}, {}, {});\n",
        literal(&serde_json::json!(id).to_string()),
        cx.run_id().map_or_else(|| "null".to_owned(), literal),
        literal(&before.to_string()),
        literal(&seen.to_string()),
    ));
    sql.push_str(&refused::record_sql(&refused_roles.made));
    sql.push_str(&roles);
    state::in_one_transaction(target, &sql)
        .await
        .map_err(|source| Error::Entry { object: "schema tierlift and roles".into(), source })?;
    let state = state::read(target).await?.ok_or_else(|| Error::Internal("the copy's state is gone".into()))?;
    Ok((state, findings, Some(forecast)))
}

/// Everything before the data, and a trial of what comes after it; the last transaction also writes down what stays out
/// and how the tables are cut. `Blocked` when something is refused and nothing may stay out.
async fn create_schema(
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
    let parts = cut(survey, options, workers.len());
    let mut sql = String::from("update tierlift.copy set schema_done = true;\n");
    sql.push_str(&refused::record_sql(&decisions.made));
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
        .map_err(|source| Error::Entry { object: "table tierlift.copy_part".into(), source })?;
    Ok(sent)
}

/// Obeys what was decided: nothing of it is created or filled any more.
async fn leave_out(
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
    let there = finish::sequences(target, &survey.schemas).await?;
    positions.retain(|p| there.iter().any(|t| t.relation == p.relation));
    Ok(())
}

/// Cuts tables into parts, by ranges of blocks.
fn cut(survey: &Survey, options: &CopyOptions, jobs: usize) -> Vec<PartRow> {
    let mut rows = Vec::new();
    for table in &survey.tables {
        let wanted = if is_shim(survey, &table.relation) {
            1
        } else {
            parts_of(Size::of(table), survey.bytes(), jobs as u64, options.split_bytes)
        };
        let parts = wanted.clamp(1, table.pages.clamp(1, 1000));
        let block = |part: u64| i64::try_from(table.pages * part / parts).unwrap_or(i64::MAX);
        for part in 0..parts {
            rows.push(PartRow {
                relation: table.relation.to_string(),
                part: i32::try_from(part).unwrap_or(i32::MAX),
                parts: i32::try_from(parts).unwrap_or(i32::MAX),
                first_block: block(part),
                end_block: (part + 1 < parts).then(|| block(part + 1)),
                // A table without a single block has no row that the snapshot could see.
                done: table.pages == 0,
                rows: 0,
                bytes: 0,
            });
        }
    }
    rows
}

/// What decides how a table is cut.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    /// Most of the bytes are values too large for their row.
    out_of_line: bool,
}

impl Size {
    fn of(table: &Table) -> Self {
        const PAGE_BYTES: u64 = 8192;
        Self { bytes: table.bytes, out_of_line: table.pages * PAGE_BYTES * 2 < table.bytes }
    }
}

/// Into how many parts a table is cut. Whole is faster as long as every worker has something to do: its rows go in
/// frozen, which spares the target a second write of every page (measured: a quarter of the time on two cores), and a
/// reader and a writer keep two cores busy already. A table so large that other workers would wait for it is cut, and
/// so is one that nobody wants to begin again from its first row. Out-of-line values are compressed by whoever writes
/// them, and no index looks at their pages: such a table gains by a second writer (a fifth) and loses nothing.
fn parts_of(size: Size, all_bytes: u64, jobs: u64, split_bytes: Option<u64>) -> u64 {
    const LEAST_BYTES: u64 = 256 * 1024 * 1024;
    const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;
    let Size { bytes, out_of_line } = size;
    if jobs <= 1 {
        return 1; // nothing to gain
    }
    if let Some(split_bytes) = split_bytes {
        return bytes / split_bytes.max(1);
    }
    let share = all_bytes / jobs;
    let patience = if out_of_line { share } else { 2 * share };
    let outlasts_the_others = bytes > LEAST_BYTES && bytes > patience;
    if outlasts_the_others || bytes > MOST_BYTES {
        return bytes.div_ceil((share / 2).clamp(LEAST_BYTES, MOST_BYTES / 2));
    }
    1
}

/// As many as asked for, or as this machine has cores (at least two, so that reading and writing overlap), within what
/// both ends have connections left for.
async fn jobs(source: &Session, target: &Session, options: &CopyOptions) -> Result<usize, Error> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let wanted = options.jobs.unwrap_or(cores.clamp(2, MOST_JOBS)).max(1);
    let (at_source, at_target) = tokio::try_join!(free_connections(source), free_connections(target))?;
    Ok(wanted.min(at_source).min(at_target).max(1))
}

async fn free_connections(session: &Session) -> Result<usize, Error> {
    let row = session
        .query_typed_one(
            "select greatest(0, current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
                     - (select count(*) from pg_stat_activity where backend_type = 'client backend') - 2)",
            &[],
        )
        .await
        .map_err(Error::on(session))?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

async fn owns_public(target: &Session) -> Result<bool, Error> {
    let row = target
        .query_one(
            "select coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'public'), true)",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    Ok(row.get(0))
}

struct Outcome {
    began: Instant,
    resumed: bool,
    jobs: usize,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

async fn report(target: &Session, tally: &Tally, outcome: Outcome) -> Result<CopyReport, Error> {
    let (parts, objects, decisions) =
        tokio::try_join!(state::parts(target), large_objects::brought(target), refused::recorded(target))?;
    let tables: BTreeSet<&str> = parts.iter().map(|p| p.relation.as_str()).collect();
    Ok(CopyReport {
        tables: tables.len() as u64,
        rows: parts.iter().map(|p| catalog::unsigned(p.rows)).sum(),
        large_objects: objects.count,
        bytes: parts.iter().map(|p| catalog::unsigned(p.bytes)).sum::<u64>() + objects.bytes,
        rows_now: tally.rows.load(Ordering::Relaxed),
        parts_now: tally.parts.load(Ordering::Relaxed),
        entries_now: tally.entries.load(Ordering::Relaxed),
        resumed: outcome.resumed,
        seconds: outcome.began.elapsed().as_secs_f64(),
        jobs: outcome.jobs as u64,
        findings: outcome.findings,
        left_out: refused::listed(&decisions),
        notes: outcome.notes,
        accuracy: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_only_where_that_is_worth_it() {
        const GB: u64 = 1024 * 1024 * 1024;
        let check = |bytes: u64, all: u64, jobs: u64, split: Option<u64>, expect: u64| {
            let size = Size { bytes, out_of_line: false };
            assert_eq!(parts_of(size, all, jobs, split), expect, "{bytes} of {all} bytes, {jobs} jobs, {split:?}");
        };
        check(GB, GB, 1, Some(1), 1);
        check(GB, GB, 2, None, 1);
        check(GB, GB, 4, None, 4);
        check(4 * GB, 4 * GB, 4, None, 8);
        check(GB, 4 * GB, 4, None, 1);
        check(20 * GB, 20 * GB, 2, None, 5);
        check(GB / 8, GB / 8, 8, None, 1);
        check(GB, 4 * GB, 4, Some(GB / 2), 2);
        assert_eq!(parts_of(Size { bytes: GB, out_of_line: true }, GB, 2, None), 4);
        assert_eq!(parts_of(Size { bytes: GB, out_of_line: true }, 4 * GB, 2, None), 1);
    }
}
