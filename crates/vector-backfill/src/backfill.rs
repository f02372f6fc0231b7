//! Embedding every row that has no embedding yet, by any number of workers, however often it is cut off.
//!
//! What a row said when it was read is checked by a hash when its vector is written; rows edited in between are left, and
//! found again by the sweep at the end. How far it has come is in the database ([`crate::job`]), so a call that was cut off
//! is simply made again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use pg_session::{Access, Ident, PgUrl, Relation, Session};
use runbook::Context;
use serde::Serialize;

use crate::embedder::Embedder;
use crate::enable::{Pgvector, check_dimensions};
use crate::error::Error;
use crate::job::{self, Job, Wanted, begin_or_take_up};
use crate::table::{Table, blocks, settle};
use crate::triggers::{Firing, firing};
use crate::worker::Shared;

/// Each worker is two sessions, and servers have a hundred.
const WORKERS_MAX: usize = 32;

/// What to embed, and how.
#[derive(Debug, Clone)]
pub struct BackfillOptions {
    /// The database.
    pub target: PgUrl,
    /// The table.
    pub table: Relation,
    /// Its key, one column; the primary key unless given.
    pub key: Option<String>,
    /// The column with the texts.
    pub text: String,
    /// The vector column.
    pub column: String,
    /// Workers in this process.
    pub workers: usize,
    /// Rows a chunk, about.
    pub chunk_rows: u32,
    /// How long a worker that is connected and silent keeps its chunk. A worker that is gone loses it at once.
    pub lease_seconds: f64,
}

impl BackfillOptions {
    /// 500 rows a chunk (3 MB of vectors; a worker has up to three in hand), leases of five minutes.
    pub fn new(target: PgUrl, table: Relation, text: &str, column: &str) -> Self {
        Self {
            target,
            table,
            key: None,
            text: text.to_owned(),
            column: column.to_owned(),
            workers: 2,
            chunk_rows: 500,
            lease_seconds: 300.0,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if (1..=WORKERS_MAX).contains(&self.workers) {
            return Ok(());
        }
        let message = format!("it is not from 1 to {WORKERS_MAX}");
        Err(Error::Argument { object: format!("workers {}", self.workers), message })
    }
}

/// What a backfill did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillReport {
    /// Rows embedded by this call. Those of a call that was cut off before are not among them.
    pub rows: u64,
    /// Rows embedded by this and all earlier calls.
    pub rows_total: u64,
    /// Rows by this call a second.
    pub rows_per_second: f64,
    /// Rows without a text (blank); they keep no embedding.
    pub skipped: u64,
    /// Rows that could not be embedded; `tierlift.backfill_dead` has the reasons.
    pub dead: u64,
    /// Rows that still have no embedding because they are edited all the time; 0 unless something writes.
    pub missing: u64,
    /// Seconds this call took.
    pub seconds: f64,
    /// The model.
    pub model: String,
    /// Length of the vectors.
    pub dimensions: usize,
    /// The model's own length, if the vectors were lifted from it.
    pub lifted_from: Option<usize>,
}

/// Embeds every row of the table that has no embedding yet. Called again after it was cut off at any point, it goes on
/// where it was: chunks that were committed are not embedded again.
///
/// # Errors
/// [`Error::Blocked`] names what stands in the way before anything is written.
pub async fn backfill(
    options: &BackfillOptions,
    embedder: Arc<dyn Embedder>,
    cx: &Context,
) -> Result<BackfillReport, Error> {
    let started = Instant::now();
    let session = Session::connect(&options.target, Access::ReadWrite).await?;
    let (job, as_replica) = resolve(&session, options, embedder.as_ref(), cx).await?;
    let (base, total) = job.progress(&session).await?;
    drop(session);
    let shared =
        Shared { options, job, embedder, as_replica, cx, base, total: AtomicU64::new(total), rows: AtomicU64::new(0) };
    shared.report(false);
    let missing = shared.run_patiently().await?;
    if missing.rows > 0 {
        cx.note(format!("{} rows are edited faster than they are embedded", missing.rows));
    }
    shared.report(true);
    if missing.dead > 0 {
        cx.note(format!("{} rows could not be embedded; table tierlift.backfill_dead says why", missing.dead));
    }
    let (rows, seconds) = (shared.rows.into_inner(), started.elapsed().as_secs_f64());
    Ok(BackfillReport {
        rows,
        rows_total: base + rows,
        rows_per_second: rows as f64 / seconds,
        skipped: missing.blank,
        dead: missing.dead,
        missing: missing.rows,
        seconds,
        model: shared.embedder.model().to_owned(),
        dimensions: shared.embedder.dimensions(),
        lifted_from: shared.embedder.lifted_from(),
    })
}

/// Finds everything the catalogue must have, and begins or takes up the job.
async fn resolve(
    session: &Session,
    options: &BackfillOptions,
    embedder: &dyn Embedder,
    cx: &Context,
) -> Result<(Job, bool), Error> {
    let blocked = |finding| Error::Blocked(vec![finding]);
    check_dimensions(embedder.dimensions())?;
    options.check()?;
    let vector_schema = Pgvector::require_schema(session).await?;
    let table = Table::require(session, &options.table).await?;
    table.text_column(&options.text).map_err(blocked)?;
    let key = table.key(options.key.as_deref()).map_err(blocked)?;
    if !table.has_vector(&options.column, embedder.dimensions()).map_err(blocked)? {
        return Err(blocked(blocks(
            table.object(),
            format!("it has no column {} of type vector({})", options.column, embedder.dimensions()),
            "add it first: step vector.enable, or `tierlift vector enable`",
        )));
    }
    let as_replica = match firing(session, session, &table, &options.column).await? {
        Firing::None => false,
        Firing::Avoidable { .. } => true,
        Firing::Unavoidable { finding } => return Err(blocked(finding)),
    };
    let wanted = Wanted {
        table: &table,
        key,
        text: &options.text,
        column: &options.column,
        model: embedder.model(),
        dimensions: embedder.dimensions(),
        vector_schema: &vector_schema,
        chunk_rows: options.chunk_rows.max(1).into(),
    };
    Ok((begin_or_take_up(session, &wanted, cx).await?, as_replica))
}

/// Whether there is nothing to do: no row wants an embedding, and no backfill was left unfinished. Read-only.
///
/// # Errors
/// When the state can't be read.
pub async fn is_backfilled(options: &BackfillOptions, dimensions: usize) -> Result<bool, Error> {
    let session = Session::connect(&options.target, Access::ReadOnly).await?;
    let Some((_, vector_schema)) = Pgvector::read(&session).await?.installed else { return Ok(false) };
    let Some(table) = Table::read(&session, &options.table).await? else { return Ok(false) };
    let Ok(key) = table.key(options.key.as_deref()) else { return Ok(false) };
    if table.has_vector(&options.column, dimensions) != Ok(true) || table.text_column(&options.text).is_err() {
        return Ok(false);
    }
    let state = job::read_state(&session, &options.table, &options.column).await?;
    let job = Job {
        id: state.as_ref().map(|state| state.id),
        relation: options.table.clone(),
        key: key.clone(),
        text: options.text.clone(),
        column: options.column.clone(),
        vector_schema,
    };
    Ok(state.is_none_or(|state| state.finished) && job.missing(&session).await?.rows == 0)
}

/// Takes away the embeddings a backfill wrote, and its record. Rows that had one before keep it.
///
/// # Errors
/// When the server refuses.
pub async fn undo_backfill(target: &PgUrl, relation: &Relation, column: &str) -> Result<(), Error> {
    let session = Session::connect(target, Access::ReadWrite).await?;
    job::settle_begin(&session).await?;
    settle(&session, relation, "share row exclusive").await?; // a worker's update holds a lock beside which this is not given
    let Some(state) = job::read_state(&session, relation, column).await? else { return Ok(()) };
    let table = Table::read(&session, relation).await?;
    if let Some(table) = table.filter(|table| table.column(column).is_some_and(|c| c.type_base == "vector")) {
        let key = table.key(Some(&state.key_column)).map_err(|finding| Error::Blocked(vec![finding]))?;
        let replica = match firing(&session, &session, &table, column).await? {
            Firing::None => "",
            Firing::Avoidable { .. } => "set local session_replication_role = replica;",
            Firing::Unavoidable { finding } => return Err(Error::Blocked(vec![finding])),
        };
        let sql = format!(
            "begin; {replica}
             update {relation} t set {column} = null
              where t.{column} is not null
                and not exists (select from tierlift.backfill_kept k where k.job = {id} and k.key = t.{key}::text);
             commit",
            column = Ident(column),
            id = state.id,
            key = key.sql()
        );
        let done = session.batch_execute(&sql).await;
        if done.is_err() {
            // Best effort: a broken connection rolls back by itself.
            drop(session.batch_execute("rollback").await);
        }
        done.map_err(Error::statement(table.object(), format!("cannot empty column {column}")))?;
    }
    job::forget(&session, state.id).await
}
