//! Copies a whole database: schema, rows from one snapshot, indexes, keys, sequences, everything after.
//!
//! Every piece is recorded on the target in the transaction that makes it, so a copy that was killed at any moment
//! continues where it was and repeats nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pg_session::{Access, PgUrl, Session};
use runbook::{Context, Finding, Severity};
use serde::Serialize;

use crate::begin::prepare;
use crate::capacity;
use crate::choice::{Choice, RELATION};
use crate::create::{create_schema, leave_out, record_parts};
use crate::cut::{cut, is_shim};
use crate::dump;
use crate::endpoint;
use crate::error::Error;
use crate::estimate::Accuracy;
use crate::existing;
use crate::findings::finding;
use crate::finish;
use crate::gate::Gate;
use crate::large_objects;
use crate::leftover;
use crate::load::{self, Load, TableLoad, Tally, Worker};
use crate::moment::{self, Moment};
use crate::place;
use crate::refused::{self, LeftOut, OnRefused};
use crate::retry::Call;
use crate::schema::{self, OfTable, Schema};
use crate::selection::{Contents, Selection};
use crate::state::{self, PartRow, SourceId};
use crate::statistics;
use crate::stream::Meter;
use crate::survey::Survey;
use crate::throttle::{Rate, Throttle};
use crate::uncompressed;
use crate::undo::{self, Before};
use crate::writes;
use crate::{catalog, ddl};

/// Parts of one table copied at once: more only stand in each other's way.
const PARTS_AT_ONCE: usize = 8;

/// A managed server's restart takes half a minute.
const RETRY_FOR: Duration = Duration::from_secs(60);

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
    /// What of the source comes, and under which names.
    pub selection: Selection,
    /// How fast the source is read, all readers together.
    pub max_rate: Option<Rate>,
    /// While the source has more active sessions than this beside ours, no further reader starts; one always goes on.
    pub max_source_sessions: Option<u32>,
    /// How long to go on trying without getting on, when a server or a connection breaks off; zero gives up at once.
    pub retry_for: Duration,
    /// What to do when the target refuses an object.
    pub on_refused: OnRefused,
}

impl CopyOptions {
    /// With every default.
    pub fn new(source: PgUrl, target: PgUrl) -> Self {
        Self {
            source,
            target,
            jobs: None,
            split_bytes: None,
            pg_bin: None,
            selection: Selection::default(),
            max_rate: None,
            max_source_sessions: None,
            retry_for: RETRY_FOR,
            on_refused: OnRefused::Stop,
        }
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
    let contents = options.selection.parse()?.contents;
    let choice = Choice::make(source, &options.selection.parse()?, &schemas, &managed_schemas).await?;
    let writes = writes::read(source, &choice.schemas, &choice.oids_left_out(RELATION)).await?;
    let snapshot = export_snapshot(source).await?;
    // pg_dump takes longest of all that comes before the first row, most of it waiting for round trips: everything
    // else happens meanwhile. It is ended with this call, whatever its outcome.
    let schema_dump = async {
        if contents == Contents::DataOnly {
            return Ok(None);
        }
        let dump = dump::find(options.pg_bin.as_deref(), from.version_num / 10_000, from.tls).await?;
        let not_dumped = [managed_schemas.as_slice(), &choice.schemas_left_out].concat();
        dump::schema(&dump, &options.source, &snapshot, &not_dumped, &choice.unreadable).await.map(Some)
    };
    let preparation = async {
        let (survey, places, positions, owns_public, wanted) = tokio::try_join!(
            Survey::of(source, target, from.clone(), to, &options.selection),
            place::read(source, &choice.schemas),
            finish::readable_sequences(source, &choice.schemas, &choice.relations_left_out),
            owns_public(target),
            jobs(source, target, options)
        )?;
        let now = Moment::read(source, &survey, writes).await?;
        let (state, findings, forecast) = prepare(source, target, &survey, &now, options, cx).await?;
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
        let jobs = wanted.min(survey.tables.len().max(1) * PARTS_AT_ONCE);
        let quiet = contents == Contents::DataOnly && existing::may_replicate(target).await?;
        let workers = (0..jobs).map(|_| Worker::connect(&options.source, &options.target, &snapshot, quiet));
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
        let tables = survey.tables.len();
        return report(target, tally, Outcome { tables, began, resumed, jobs, findings, notes: Vec::new() }).await;
    }
    let mut schema = match sql? {
        Some(sql) => schema::plan(&survey, &places, &sql, owns_public)?,
        None => Schema::default(),
    };
    for note in &schema.notes {
        cx.note(note.clone());
    }
    if !state.schema_done && contents == Contents::DataOnly {
        record_parts(target, &cut(&survey, options.split_bytes, jobs), "").await?;
    } else if !state.schema_done {
        cx.note(format!("schema: {}", schema::summary(&schema)));
        let sent = match create_schema(target, &workers, &mut survey, &schema, options, cx).await {
            Err(Error::Blocked(refused)) => {
                undo::remove(target, &Before::read(state.before)?, &[], cx).await?;
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
                once_filled: uncompressed::end(table, &done_entries),
                from_query: is_shim(&survey, &table.relation),
                parts: todo.remove(&table.relation.to_string()).into_iter().flatten().collect(),
                keys: of_table.keys,
                indexes: of_table.indexes,
                table: table.clone(),
            }
        })
        .collect();
    let (rows, bytes) =
        if contents == Contents::SchemaOnly { (0, 0) } else { (survey.rows_estimate(), survey.bytes()) };
    let meter = Arc::new(Meter::new(cx, rows, bytes, Throttle::new(options.max_rate)));
    meter.add(catalog::unsigned(rows_before), catalog::unsigned(bytes_before));
    let load = Load {
        tables,
        foreign_keys,
        done_entries: done_entries.clone(),
        meter: Arc::clone(&meter),
        gate: Gate::new(&options.source, options.max_source_sessions, cx),
        statistics_travel: statistics::may_travel(&survey.source, &survey.target),
        done: Arc::clone(tally),
    };
    let work = async {
        // Beside the tables, over the two connections that have nothing to do meanwhile.
        let objects = async {
            if survey.wanted.large_objects() {
                large_objects::copy(source, target, &survey.roles, &meter).await
            } else {
                Ok(())
            }
        };
        tokio::try_join!(load::run(load, workers), objects)?;
        if contents != Contents::SchemaOnly {
            moment::refuse_rewritten(source, &survey.tables).await?;
        }
        if contents == Contents::DataOnly
            && let Some(note) = existing::views_to_refresh(target, &survey).await?
        {
            cx.note(note);
        }
        cx.note(format!("rows are in, {} triggers, policies and privileges follow", after_data.len()));
        let remaining = finish::Remaining {
            cx,
            before_data: &before_data,
            after_data: &after_data,
            done: &done_entries,
            positions: &positions,
        };
        finish::finish(source, target, &survey, &remaining).await
    };
    let sent = now.confirm_beside(source, target, work).await.map_err(|e| explain(e, options))?;
    tally.entries.fetch_add(sent, Ordering::Relaxed);
    let tables = survey.tables.len();
    let mut report = report(target, tally, Outcome { tables, began, resumed, jobs, findings, notes }).await?;
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

async fn export_snapshot(source: &Session) -> Result<String, Error> {
    source.batch_execute("begin isolation level repeatable read read only").await.map_err(Error::on(source))?;
    let row = source.query_typed_one("select pg_export_snapshot()", &[]).await.map_err(Error::on(source))?;
    Ok(row.get(0))
}

/// As many as asked for, or as both ends and this machine can take.
async fn jobs(source: &Session, target: &Session, options: &CopyOptions) -> Result<usize, Error> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let (at_source, at_target) = tokio::try_join!(capacity::read(source), capacity::read(target))?;
    Ok(capacity::jobs(options.jobs, cores, at_source, at_target))
}

/// A foreign key that fails behind a filter fails because of it, most likely.
fn explain(error: Error, options: &CopyOptions) -> Error {
    let filtered = !options.selection.conditions.is_empty();
    match error {
        Error::Entry { object, source } if filtered && source.code.as_deref() == Some("23503") => {
            let detail = source.detail.map(|d| format!(" ({d})")).unwrap_or_default();
            Error::Dangling { object, message: format!("{}{detail}", source.message) }
        }
        other => other,
    }
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
    tables: usize,
    began: Instant,
    resumed: bool,
    jobs: usize,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

async fn report(target: &Session, tally: &Tally, outcome: Outcome) -> Result<CopyReport, Error> {
    let (parts, objects, decisions) =
        tokio::try_join!(state::parts(target), large_objects::brought(target), refused::recorded(target))?;
    Ok(CopyReport {
        tables: outcome.tables as u64,
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
