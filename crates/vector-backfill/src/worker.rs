//! The workers: claim, read, embed, write, sweep.
//!
//! A worker is two sessions: one claims a chunk, reads its texts and has them embedded on a thread of their own, the
//! other writes the chunk before. No transaction is open while embedding.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use pg_session::{Access, Relation, Session};
use runbook::{Context, Progress};
use tokio::sync::mpsc;

use crate::backfill::BackfillOptions;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::job::{self, Chunk, Job, Missing};
use crate::write::{CopyRows, Dead, Prepared, Written, prepare_session, sha256, write};

/// How often to look whether chunks another process works on are done, or free again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Failures in a row that may pass before we believe them, and the pause after the first, doubled after each: 25 s in all,
/// which a server's restart takes at most.
const ATTEMPTS_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Sweeps before we give up on rows that are edited faster than they are embedded.
const PASSES_MAX: usize = 20;

/// What all workers of a call share.
pub(crate) struct Shared<'a> {
    pub options: &'a BackfillOptions,
    pub job: Job,
    pub embedder: Arc<dyn Embedder>,
    pub as_replica: bool,
    pub cx: &'a Context,
    /// Rows embedded before this call.
    pub base: u64,
    pub total: AtomicU64,
    pub rows: AtomicU64,
}

impl Shared<'_> {
    /// Goes through trouble that passes (the server restarts, a connection breaks, a deadlock), as long as it gets
    /// somewhere in between.
    pub async fn run_patiently(&self) -> Result<Missing, Error> {
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

    pub fn report(&self, finished: bool) {
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
