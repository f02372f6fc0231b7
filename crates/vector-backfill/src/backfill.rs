//! Embedding every row that has no embedding yet, by any number of workers, however often it is cut off.
//!
//! A worker is two sessions: one claims a chunk, reads its texts and has them embedded on a thread of their own, the
//! other writes the chunk before. No transaction is open while embedding. What a chunk's rows were when they were read is
//! checked by a hash when they are written; rows edited in between are left, and found again by the sweep at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pg_session::{Access, Ident, PgUrl, Relation, Session};
use runbook::{Context, Progress};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::embedder::Embedder;
use crate::enable::{Pgvector, check_dimensions};
use crate::error::Error;
use crate::job::{self, Chunk, Job, Missing, Wanted, begin_or_take_up};
use crate::table::{Table, blocks};
use crate::triggers::{Firing, firing};
use crate::write::{CopyRows, Dead, Prepared, Written, prepare_session, sha256, write};

/// How often to look whether chunks another process works on are done, or free again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Failures in a row that may pass before we believe them, and the pause after the first, doubled after each: 25 s in all,
/// which a server's restart takes at most.
const ATTEMPTS_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Sweeps before we give up on rows that are edited faster than they are embedded.
const PASSES_MAX: usize = 20;

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
    /// 1,000 rows a chunk (6 MB of vectors), leases of five minutes.
    pub fn new(target: PgUrl, table: Relation, text: &str, column: &str) -> Self {
        Self {
            target,
            table,
            key: None,
            text: text.to_owned(),
            column: column.to_owned(),
            workers: 2,
            chunk_rows: 1000,
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

/// What all workers of a call share.
struct Shared<'a> {
    options: &'a BackfillOptions,
    job: Job,
    embedder: Arc<dyn Embedder>,
    as_replica: bool,
    cx: &'a Context,
    /// Rows embedded before this call.
    base: u64,
    total: AtomicU64,
    rows: AtomicU64,
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

impl Shared<'_> {
    /// Goes through trouble that passes (the server restarts, a connection breaks, a deadlock), as long as it gets
    /// somewhere in between.
    async fn run_patiently(&self) -> Result<Missing, Error> {
        let (mut attempts, mut reached) = (0, 0);
        loop {
            let trouble = match self.run_passes().await {
                Err(error) if error.is_transient() => error,
                end => return end,
            };
            let rows = self.rows.load(Ordering::Relaxed);
            attempts = if rows > reached { 1 } else { attempts + 1 };
            reached = rows;
            if attempts > ATTEMPTS_MAX {
                return Err(trouble);
            }
            self.cx.note(format!("{trouble}; trying again"));
            tokio::time::sleep(PAUSE * 2u32.pow(attempts)).await; // backoff
        }
    }

    /// Works off every chunk, then sweeps for rows that still want an embedding, until there are none.
    async fn run_passes(&self) -> Result<Missing, Error> {
        let session = Session::connect(&self.options.target, Access::ReadWrite).await?;
        let mut missing = Missing::default();
        for _ in 0..PASSES_MAX {
            self.run_chunks(&session).await?;
            missing = self.job.missing(&session).await?;
            if missing.rows == 0 {
                self.job.set_finished(&session).await?;
                break;
            }
            let planned = self.job.plan_chunks(&session, self.options.chunk_rows.max(1).into()).await?;
            self.total.fetch_add(planned, Ordering::Relaxed);
        }
        tidy_up(&session, &self.options.table).await?;
        Ok(missing)
    }

    /// Returns when no chunk is open: neither one of ours nor one another process works on.
    async fn run_chunks(&self, session: &Session) -> Result<(), Error> {
        loop {
            let open = self.job.open_chunks(session).await?;
            if open == 0 {
                return Ok(());
            }
            let workers = self.options.workers.min(usize::try_from(open).unwrap_or(usize::MAX));
            let before = self.rows.load(Ordering::Relaxed);
            try_join_all((0..workers).map(|_| self.work())).await?;
            if self.rows.load(Ordering::Relaxed) == before && self.job.open_chunks(session).await? > 0 {
                // Somebody else has what is left; it ends, or its lease does.
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// One worker: claims, reads and embeds ahead of what it writes, until there is nothing left to claim.
    async fn work(&self) -> Result<(), Error> {
        let url = &self.options.target;
        let (reader, writer) =
            tokio::try_join!(Session::connect(url, Access::ReadWrite), Session::connect(url, Access::ReadWrite))?;
        let worker = job::enlist(&reader).await?;
        prepare_session(&writer, &self.job, self.embedder.dimensions()).await?;
        let (ahead, prepared) = mpsc::channel(1);
        tokio::try_join!(self.prepare_chunks(&reader, worker, ahead), self.write_chunks(writer, prepared))?;
        Ok(())
    }

    async fn prepare_chunks(&self, reader: &Session, worker: i32, ahead: mpsc::Sender<Prepared>) -> Result<(), Error> {
        loop {
            // Room first, so that a chunk is not leased before there is a use for it.
            let Ok(room) = ahead.reserve().await else { return Ok(()) };
            let Some(chunk) = self.job.claim(reader, worker, self.options.lease_seconds).await? else { return Ok(()) };
            let rows = self.read_chunk(reader, &chunk).await?;
            let embedder = self.embedder.clone();
            let embedded = tokio::task::spawn_blocking(move || embed_rows(chunk, &rows, embedder.as_ref())).await;
            room.send(embedded.map_err(|error| Error::Internal(format!("the embedder panicked: {error}")))??);
        }
    }

    async fn read_chunk(&self, reader: &Session, chunk: &Chunk) -> Result<Vec<(String, String)>, Error> {
        let sql = format!(
            "select t.{}::text, {} from {} t where {}{}",
            self.job.key.sql(),
            self.job.text_sql(),
            self.job.relation,
            self.job.missing_sql(),
            self.job.key.within(chunk.low.as_deref(), chunk.high.as_deref())
        );
        let bounds: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            chunk.low.iter().chain(&chunk.high).map(|bound| bound as _).collect();
        let object = format!("table {}", self.job.relation.label());
        let rows = reader.query(&sql, &bounds).await.map_err(Error::statement(object, "cannot read its texts"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn write_chunks(&self, mut writer: Session, mut prepared: mpsc::Receiver<Prepared>) -> Result<(), Error> {
        while let Some(prepared) = prepared.recv().await {
            match write(&mut writer, &self.job, &prepared, self.as_replica).await? {
                Written::Rows(rows) => {
                    self.rows.fetch_add(rows, Ordering::Relaxed);
                    self.report(false);
                }
                Written::Lost => self.cx.note(format!(
                    "chunk {} took longer than its lease and went to another worker",
                    prepared.chunk.chunk
                )),
            }
        }
        Ok(())
    }

    fn report(&self, finished: bool) {
        let rows = self.base + self.rows.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed).max(rows);
        let bytes = |rows: u64| rows * (self.embedder.dimensions() as u64 * 4 + 8);
        self.cx.progress(Progress {
            item: format!("embed {}", self.job.relation.label()),
            rows,
            rows_total: Some(total),
            bytes: bytes(rows),
            bytes_total: Some(bytes(total)),
            finished,
        });
    }
}

/// Runs on a thread that may block: embeds the texts and puts the vectors into COPY's format.
fn embed_rows(chunk: Chunk, rows: &[(String, String)], embedder: &dyn Embedder) -> Result<Prepared, Error> {
    let texts: Vec<&str> = rows.iter().map(|(_, text)| text.as_str()).collect();
    let vectors = embedder.embed(&texts);
    if vectors.len() != texts.len() {
        return Err(Error::Internal(format!("{} texts gave {} vectors", texts.len(), vectors.len())));
    }
    let mut copy = CopyRows::with_capacity(rows.len(), embedder.dimensions());
    let mut dead = Vec::new();
    for ((key, text), vector) in rows.iter().zip(vectors) {
        let hash = sha256(text);
        match vector.and_then(|vector| usable(vector, embedder.dimensions())) {
            Ok(vector) => copy.push(key, &hash, &vector),
            Err(reason) => {
                let sample = text.chars().take(200).collect();
                dead.push(Dead { key: key.clone(), sha256: hash.to_vec(), reason, sample });
            }
        }
    }
    Ok(Prepared { chunk, copy: copy.finish(), dead })
}

/// Whatever the embedder is, one bad vector must cost its own row and no other: the server refuses a whole COPY.
fn usable(vector: Vec<f32>, dimensions: usize) -> Result<Vec<f32>, String> {
    if vector.len() != dimensions {
        return Err(format!("the model gave {} dimensions instead of {dimensions}", vector.len()));
    }
    if vector.iter().any(|x| !x.is_finite()) {
        return Err("the model gave a vector that is not finite".to_owned());
    }
    if vector.iter().all(|x| *x == 0.0) {
        return Err("the model gave a vector of zeros, which has no direction".to_owned());
    }
    Ok(vector)
}

/// Every row was updated, and hardly one in place: gives the old versions' space back and tells the planner. The TOAST
/// table was only appended to, and reading it all again for nothing takes longer than the rest.
async fn tidy_up(session: &Session, table: &Relation) -> Result<(), Error> {
    let how = if session.major() >= 14 { "analyze, process_toast false" } else { "analyze" };
    let refused = Error::statement(format!("table {}", table.label()), "cannot vacuum it");
    session.batch_execute(&format!("vacuum ({how}) {table}")).await.map_err(refused)
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
