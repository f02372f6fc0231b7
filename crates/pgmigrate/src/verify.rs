//! Compares contents, not counts: each server hashes its own rows, only sums travel, and where they differ the rows are
//! found by their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pg_session::{Access, PgUrl, Relation, Session};
use runbook::{Context, Progress};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::catalog::{self, Table};
use crate::error::Error;
use crate::finish;
use crate::locate;
use crate::mapping;
use crate::queue::Queue;
use crate::row_hash::RowHash;
use crate::selection::{Contents, Selection};
use crate::state;
use crate::survey::Survey;

/// What to compare.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where the data came from.
    pub source: PgUrl,
    /// Where it is now.
    pub target: PgUrl,
    /// Tables (or parts of tables) compared at once; by default as many as this machine has cores, two at least.
    pub jobs: Option<usize>,
    /// Differences named per table; the rest are only counted as one more.
    pub limit: usize,
    /// What of the source is compared; by default what the copy on the target was asked for.
    pub selection: Option<Selection>,
}

impl VerifyOptions {
    /// With every default.
    pub fn new(source: PgUrl, target: PgUrl) -> Self {
        Self { source, target, jobs: None, limit: 20, selection: None }
    }
}

/// How two ends differ in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MismatchKind {
    /// The row is on both sides with another value.
    Changed,
    /// The row, table, column or object is on the source only.
    Missing,
    /// The row is on the target only.
    Extra,
    /// The sequence would give another next value.
    Sequence,
}

/// One difference. Values appear only as 64-bit digests: they are the application's data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mismatch {
    /// The table, or another object such as `index public.messages_user`.
    pub table: String,
    /// The row, e.g. `id=42`; without a primary key the place of one such row and how many there are.
    pub key: Option<String>,
    /// The column, when it is one.
    pub column: Option<String>,
    /// In which way.
    pub kind: MismatchKind,
    /// Digest of the source's value, or what it holds.
    pub source: Option<String>,
    /// Digest of the target's value, or what it holds.
    pub target: Option<String>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Tables compared.
    pub tables: u64,
    /// Rows compared, as the source has them.
    pub rows: u64,
    /// What differs; at most `limit` rows a table.
    pub mismatches: Vec<Mismatch>,
    /// True when a table has more differences than are listed.
    pub truncated: bool,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Verification {
    /// Whether both ends hold the same.
    pub fn is_equal(&self) -> bool {
        self.mismatches.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.table)?;
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        f.write_str(match self.kind {
            MismatchKind::Changed => ": differs",
            MismatchKind::Missing => ": missing on the target",
            MismatchKind::Extra => ": only on the target",
            MismatchKind::Sequence => ": would give another next value",
        })
    }
}

/// Rows and their summed hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub rows: i64,
    /// Sums rather than exclusive-or: a row that is there twice must not vanish.
    pub hash: i128,
}

/// Compares every table of the source with the target's of the same name, sequences, and that every object is there.
/// The target may hold more: other tables, other columns.
///
/// # Errors
/// When something could not be read; differences are no error.
pub async fn verify(options: &VerifyOptions, cx: &Context) -> Result<Verification, Error> {
    let began = Instant::now();
    let (source, target) = tokio::try_join!(
        Session::connect(&options.source, Access::ReadOnly),
        Session::connect(&options.target, Access::ReadOnly)
    )?;
    let selection = selection(options, &target, cx).await?;
    let survey = Survey::take(&source, &target, &selection).await?;
    let mut mismatches = Vec::new();
    let mut pairs = pairs(&survey, &target, &mut mismatches).await?;
    if survey.wanted.contents == Contents::SchemaOnly {
        pairs.clear(); // their columns have been compared, and there are no rows
    }
    let sums = sums(options, &pairs, cx).await?;
    let mut truncated = false;
    for (pair, (from, to)) in pairs.iter().zip(&sums) {
        if from != to {
            let found = locate::locate(&source, &target, pair, from.rows.max(to.rows), options.limit).await?;
            truncated |= found.len() > options.limit;
            mismatches.extend(found.into_iter().take(options.limit));
        }
    }
    mismatches.extend(sequences(&source, &target, &survey).await?);
    if survey.wanted.contents != Contents::DataOnly {
        mismatches.extend(structure(&source, &target, &survey).await?);
    }
    Ok(Verification {
        tables: pairs.len() as u64,
        rows: sums.iter().map(|(from, _)| catalog::unsigned(from.rows)).sum(),
        mismatches,
        truncated,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The selection given, else the one that the copy on the target was made with, which is said aloud.
async fn selection(options: &VerifyOptions, target: &Session, cx: &Context) -> Result<Selection, Error> {
    if let Some(given) = &options.selection {
        return Ok(given.clone());
    }
    let readable = "select coalesce(has_table_privilege(to_regclass('tierlift.copy'), 'select')
                                and has_schema_privilege('tierlift', 'usage'), false)";
    let there = "select to_regclass('tierlift.copy') is not null";
    for question in [there, readable] {
        if !target.query_one(question, &[]).await.map_err(Error::on(target))?.get::<_, bool>(0) {
            return Ok(Selection::default());
        }
    }
    let selection = state::read(target).await?.map(|copy| copy.selection).unwrap_or_else(Selection::default);
    if !selection.is_everything() {
        cx.note(format!("compared as it was copied: {}", selection.describe()));
    }
    Ok(selection)
}

/// A table as both ends have it.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub source: Table,
    pub target: Table,
    pub hash: RowHash,
}

async fn pairs(survey: &Survey, target: &Session, mismatches: &mut Vec<Mismatch>) -> Result<Vec<Pair>, Error> {
    let mut schemas: Vec<String> =
        survey.tables.iter().map(|t| survey.wanted.schema(&t.relation.schema).to_owned()).collect();
    schemas.sort();
    schemas.dedup();
    let there: BTreeMap<Relation, Table> =
        catalog::tables(target, &schemas, &[]).await?.into_iter().map(|t| (t.relation.clone(), t)).collect();
    let mut pairs = Vec::new();
    for table in &survey.tables {
        let missing = |column| Mismatch {
            table: table.relation.label(),
            key: None,
            column,
            kind: MismatchKind::Missing,
            source: None,
            target: None,
        };
        let Some(twin) = there.get(&survey.wanted.relation(&table.relation)) else {
            mismatches.push(missing(None));
            continue;
        };
        let has = |name: &str| twin.columns.iter().any(|c| c.name == name);
        let (common, gone): (Vec<_>, Vec<_>) = table.columns.iter().partition(|c| has(&c.name));
        mismatches.extend(gone.into_iter().map(|c| missing(Some(c.name.clone()))));
        let hash = RowHash::new(&common, &table.key);
        pairs.push(Pair { source: table.clone(), target: twin.clone(), hash });
    }
    Ok(pairs)
}

/// Part `part` of `parts` of one table, on both ends at once.
struct Slice {
    table: usize,
    part: u64,
    parts: u64,
}

/// Tables are hashed in slices of this size, so that several workers can share a large one.
const SLICE_BYTES: u64 = 64 * 1024 * 1024;

async fn sums(options: &VerifyOptions, pairs: &[Pair], cx: &Context) -> Result<Vec<(Sum, Sum)>, Error> {
    let queue = Queue::new();
    for (table, pair) in pairs.iter().enumerate() {
        let bytes = pair.source.bytes.max(pair.target.bytes);
        let parts = (bytes / SLICE_BYTES).clamp(1, 10_000);
        for part in 0..parts {
            queue.push(bytes / parts, Slice { table, part, parts });
        }
    }
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let jobs = options.jobs.unwrap_or(cores.clamp(2, 8)).clamp(1, pairs.len().max(1) * 8);
    let shared = Arc::new(Shared {
        queue,
        pairs: pairs.to_vec(),
        sums: Mutex::new(vec![(Sum::default(), Sum::default()); pairs.len()]),
        rows: AtomicU64::new(0),
        rows_total: pairs.iter().map(|p| p.source.rows_estimate).sum(),
        cx: cx.clone(),
    });
    let mut workers = JoinSet::new();
    for _ in 0..jobs {
        workers.spawn(worker(Arc::clone(&shared), options.source.clone(), options.target.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|e| Error::Internal(format!("a verify worker ended abnormally: {e}")))??;
    }
    shared.report(true);
    let sums = shared.sums.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(sums.clone())
}

struct Shared {
    queue: Queue<Slice>,
    pairs: Vec<Pair>,
    sums: Mutex<Vec<(Sum, Sum)>>,
    rows: AtomicU64,
    rows_total: u64,
    cx: Context,
}

impl Shared {
    fn add(&self, table: usize, from: Sum, to: Sum) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, target) = &mut sums[table];
        for (sum, more) in [(source, from), (target, to)] {
            sum.rows += more.rows;
            sum.hash += more.hash;
        }
        drop(sums);
        self.rows.fetch_add(catalog::unsigned(from.rows), Ordering::Relaxed);
        self.report(false);
    }

    fn report(&self, finished: bool) {
        let rows = self.rows.load(Ordering::Relaxed);
        let rows_total = if finished { Some(rows) } else { (self.rows_total > 0).then(|| self.rows_total.max(rows)) };
        self.cx.progress(Progress { item: "verify".into(), rows, rows_total, finished, ..Progress::default() });
    }
}

async fn worker(shared: Arc<Shared>, source: PgUrl, target: PgUrl) -> Result<(), Error> {
    let (source, target) =
        tokio::try_join!(Session::connect(&source, Access::ReadOnly), Session::connect(&target, Access::ReadOnly))?;
    while let Some(slice) = shared.queue.take().await {
        let pair = &shared.pairs[slice.table];
        let (from, to) = tokio::try_join!(
            sum(&source, &pair.source, &pair.hash, &slice, "source"),
            sum(&target, &pair.target, &pair.hash, &slice, "target")
        )?;
        shared.add(slice.table, from, to);
        shared.queue.finish();
    }
    Ok(())
}

async fn sum(
    session: &Session,
    table: &Table,
    hash: &RowHash,
    slice: &Slice,
    side: &'static str,
) -> Result<Sum, Error> {
    let mut range = String::new();
    if slice.parts > 1 {
        // Each end cuts its own blocks: the sums of all slices are the table's whichever way it is cut.
        let block = |part: u64| table.pages * part / slice.parts;
        range = format!(" where ctid >= '({},0)'::tid", block(slice.part));
        if slice.part + 1 < slice.parts {
            range.push_str(&format!(" and ctid < '({},0)'::tid", block(slice.part + 1)));
        }
    }
    let sql = format!("select count(*), coalesce(sum({}), 0)::text from {}{range}", hash.row, table.rows_sql());
    let label = table.relation.label();
    let row = session.query_one(&sql, &[]).await.map_err(Error::table(&label, side))?;
    Ok(Sum { rows: row.get(0), hash: whole_number(row.get(1))? })
}

/// A sum of 64-bit integers, which Postgres gives as numeric.
pub(crate) fn whole_number(text: &str) -> Result<i128, Error> {
    text.parse().map_err(|_| Error::Internal(format!("a sum of hashes came back as {text:?}")))
}

async fn sequences(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Mismatch>, Error> {
    let (left_out, nothing) = (&survey.choice.relations_left_out, BTreeSet::new());
    let there = survey.schemas_on_target();
    let with_values = survey.wanted.contents != Contents::SchemaOnly;
    let (from, to) = tokio::try_join!(
        finish::sequences(source, &survey.schemas, left_out),
        finish::sequences(target, &there, &nothing)
    )?;
    let shown = |p: &finish::Position| format!("{}{}", p.last_value, if p.is_called { "" } else { " (not yet used)" });
    Ok(from
        .iter()
        .filter_map(|position| {
            let name = survey.wanted.relation(&position.relation);
            let twin = to.iter().find(|p| p.relation == name);
            let same = |twin: &finish::Position| {
                !with_values || (twin.last_value, twin.is_called) == (position.last_value, position.is_called)
            };
            (!twin.is_some_and(same)).then(|| Mismatch {
                table: format!("sequence {}", position.relation.label()),
                key: None,
                column: None,
                kind: if twin.is_some() { MismatchKind::Sequence } else { MismatchKind::Missing },
                source: Some(shown(position)),
                target: twin.map(shown),
            })
        })
        .collect())
}

/// Objects of the source that the target lacks, those aside that assess said would not come.
async fn structure(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Mismatch>, Error> {
    let sql = concat!(include_str!("sql/app_objects.sql"), include_str!("sql/structure.sql"));
    let schemas_there = survey.schemas_on_target();
    let (from, to) =
        tokio::try_join!(async { source.query(sql, &[&survey.schemas]).await.map_err(Error::on(source)) }, async {
            target.query(sql, &[&schemas_there]).await.map_err(Error::on(target))
        })?;
    let there: BTreeSet<String> = to.iter().map(|row| row.get(2)).collect();
    Ok(from
        .iter()
        .filter(|row| !survey.managed.skipped.contains(&(row.get(0), row.get(1))))
        .map(|row| row.get::<_, String>(2))
        .filter(|label| !there.contains(&mapping::label(&survey.wanted, label)))
        .map(|table| Mismatch {
            table,
            key: None,
            column: None,
            kind: MismatchKind::Missing,
            source: None,
            target: None,
        })
        .collect())
}
