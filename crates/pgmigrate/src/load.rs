//! The parallel middle of a copy: rows of every table, and each table's keys and indexes as soon as its rows are in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pg_session::{Access, PgUrl, Session};
use tokio::task::JoinSet;

use crate::catalog::Table;
use crate::ddl;
use crate::error::Error;
use crate::queue::Queue;
use crate::state::PartRow;
use crate::stream::{self, Meter};
use crate::toc::Entry;

/// A table's way through the load.
pub(crate) struct TableLoad {
    pub table: Table,
    /// Read through a query because only some of its columns come.
    pub from_query: bool,
    /// Parts still to be copied.
    pub parts: Vec<PartRow>,
    /// Keys and exclusion constraints, which lock the table against one another, then indexes, which do not.
    pub keys: Vec<Entry>,
    pub indexes: Vec<Entry>,
    /// Large enough to be analysed on its own, beside other work.
    pub analyze: bool,
}

/// What all workers share.
pub(crate) struct Load {
    pub source: PgUrl,
    pub target: PgUrl,
    pub snapshot: String,
    pub tables: Vec<TableLoad>,
    pub done_entries: BTreeSet<String>,
    pub meter: Meter,
    /// What this call did, earlier attempts aside.
    pub done: Tally,
}

/// Work done by one call.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub parts: AtomicU64,
    pub entries: AtomicU64,
}

enum Job {
    Part { table: usize, part: PartRow },
    Keys { table: usize },
    Index { table: usize, index: usize },
    Analyze { table: usize },
}

struct Shared {
    load: Load,
    queue: Queue<Job>,
    parts_left: Vec<AtomicUsize>,
    indexes_left: Vec<AtomicUsize>,
}

/// Does all of it with `jobs` workers; the first failure stops them all.
pub(crate) async fn run(load: Load, jobs: usize) -> Result<Tally, Error> {
    let shared = Arc::new(Shared {
        queue: Queue::new(),
        parts_left: load.tables.iter().map(|t| AtomicUsize::new(t.parts.len())).collect(),
        indexes_left: load.tables.iter().map(|t| AtomicUsize::new(t.indexes.len())).collect(),
        load,
    });
    for (at, table) in shared.load.tables.iter().enumerate() {
        for part in &table.parts {
            let weight = table.table.bytes / u64::try_from(part.parts).unwrap_or(1).max(1);
            shared.queue.push(weight, Job::Part { table: at, part: part.clone() });
        }
        if table.parts.is_empty() {
            shared.after_rows(at);
        }
    }
    let mut workers = JoinSet::new();
    for _ in 0..jobs {
        workers.spawn(worker(Arc::clone(&shared)));
    }
    while let Some(ended) = workers.join_next().await {
        // Leaving drops the set, which ends the other workers and with them their transactions.
        ended.map_err(|e| Error::Internal(format!("a copy worker ended abnormally: {e}")))??;
    }
    let shared = Arc::into_inner(shared).ok_or_else(|| Error::Internal("a copy worker outlived the copy".into()))?;
    Ok(shared.load.done)
}

async fn worker(shared: Arc<Shared>) -> Result<(), Error> {
    let load = &shared.load;
    let (source, target) = tokio::try_join!(reader(&load.source, &load.snapshot), writer(&load.target))?;
    while let Some(job) = shared.queue.take().await {
        shared.perform(&source, &target, job).await?;
        shared.queue.finish();
    }
    Ok(())
}

/// A session that sees exactly what the exported snapshot sees.
pub(crate) async fn reader(source: &PgUrl, snapshot: &str) -> Result<Session, Error> {
    let session = Session::connect(source, Access::ReadOnly).await?;
    session
        .batch_execute(&format!(
            "begin isolation level repeatable read read only; set transaction snapshot {}",
            pg_session::literal(snapshot)
        ))
        .await
        .map_err(Error::on(&session))?;
    Ok(session)
}

async fn writer(target: &PgUrl) -> Result<Session, Error> {
    let session = Session::connect(target, Access::ReadWrite).await?;
    // Losing the last moments of a crashed copy costs nothing (their parts are copied again), waiting for each of
    // thousands of commits to reach the disk does. Nothing is lost once the final, synchronous commit has returned.
    let settings = format!("{} set lock_timeout = 0; set synchronous_commit = off", ddl::SESSION_SETTINGS);
    session.batch_execute(&settings).await.map_err(Error::on(&session))?;
    Ok(session)
}

impl Shared {
    async fn perform(&self, source: &Session, target: &Session, job: Job) -> Result<(), Error> {
        match job {
            Job::Part { table: at, part } => {
                let table = &self.load.tables[at];
                let (rows, bytes) =
                    stream::copy_part(source, target, &table.table, table.from_query, &part, &self.load.meter).await?;
                let done = &self.load.done;
                done.rows.fetch_add(rows, Ordering::Relaxed);
                done.bytes.fetch_add(bytes, Ordering::Relaxed);
                done.parts.fetch_add(1, Ordering::Relaxed);
                if self.parts_left[at].fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.after_rows(at);
                }
            }
            Job::Keys { table: at } => {
                let keys: Vec<&Entry> = self.load.tables[at].keys.iter().collect();
                self.send(target, &keys).await?;
                self.after_keys(at);
            }
            Job::Index { table: at, index } => {
                self.send(target, &[&self.load.tables[at].indexes[index]]).await?;
                if self.indexes_left[at].fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.after_indexes(at);
                }
            }
            Job::Analyze { table: at } => {
                let table = &self.load.tables[at].table;
                let label = table.relation.label();
                let analyzed = target.batch_execute(&format!("analyze {}", table.relation)).await;
                analyzed.map_err(Error::table(&label, "target"))?;
            }
        }
        Ok(())
    }

    async fn send(&self, target: &Session, entries: &[&Entry]) -> Result<(), Error> {
        let sent = ddl::send(target, entries, &self.load.done_entries).await?;
        self.load.done.entries.fetch_add(sent, Ordering::Relaxed);
        Ok(())
    }

    fn after_rows(&self, at: usize) {
        let table = &self.load.tables[at];
        if table.keys.is_empty() {
            self.after_keys(at);
        } else {
            self.queue.push(table.table.bytes, Job::Keys { table: at });
        }
    }

    fn after_keys(&self, at: usize) {
        let table = &self.load.tables[at];
        for index in 0..table.indexes.len() {
            self.queue.push(table.table.bytes, Job::Index { table: at, index });
        }
        if table.indexes.is_empty() {
            self.after_indexes(at);
        }
    }

    fn after_indexes(&self, at: usize) {
        if self.load.tables[at].analyze {
            self.queue.push(0, Job::Analyze { table: at });
        }
    }
}
