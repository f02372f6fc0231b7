//! The parallel middle of a copy: rows of every table, each table's indexes as soon as its rows are in, its keys, and
//! the foreign keys between tables that are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pg_session::{Access, PgUrl, Relation, Session};
use tokio::task::JoinSet;

use crate::build::{self, Limits};
use crate::catalog::Table;
use crate::ddl;
use crate::error::Error;
use crate::gate::Gate;
use crate::queue::Queue;
use crate::schema::ForeignKey;
use crate::small;
use crate::state::{self, PartRow};
use crate::statistics;
use crate::stream::{self, Meter};
use crate::toc::Entry;

/// A table's way through the load.
pub(crate) struct TableLoad {
    pub table: Table,
    /// Read through a query because only some of its columns come.
    pub from_query: bool,
    /// What makes its columns as they are to be, once its rows are in; see [`crate::uncompressed`].
    pub once_filled: Vec<Entry>,
    /// Parts still to be copied.
    pub parts: Vec<PartRow>,
    /// Indexes, which are built side by side, those of keys included where the key can take one over.
    pub indexes: Vec<Entry>,
    /// Keys and exclusion constraints, which lock the table against everything else.
    pub keys: Vec<Entry>,
}

impl TableLoad {
    /// True when it goes with others: nothing of it is worth a round trip of its own.
    fn is_small(&self) -> bool {
        small::is_small(&self.table)
            && !self.from_query
            && self.table.is_filled_whole()
            && self.parts.iter().all(|part| part.parts == 1)
    }

    fn has_rows(&self) -> bool {
        self.table.pages > 0
    }
}

/// What all workers share.
pub(crate) struct Load {
    pub tables: Vec<TableLoad>,
    pub foreign_keys: Vec<ForeignKey>,
    pub done_entries: BTreeSet<String>,
    pub meter: Arc<Meter>,
    pub gate: Gate,
    /// The target can take over the source's statistics.
    pub statistics_travel: bool,
    /// What this call did, earlier calls aside.
    pub done: Arc<Tally>,
}

/// Work done by one call.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub parts: AtomicU64,
    pub entries: AtomicU64,
}

/// One worker's connections.
pub(crate) struct Worker {
    pub source: Session,
    pub target: Session,
    pub limits: Limits,
}

impl Worker {
    /// A source session that sees exactly what the exported snapshot sees, and a target session; a quiet one lets no
    /// trigger and no foreign key act on the rows that it writes.
    pub async fn connect(source: &PgUrl, target: &PgUrl, snapshot: &str, quiet: bool) -> Result<Self, Error> {
        let (source, (target, limits)) = tokio::try_join!(reader(source, snapshot), writer(target, quiet))?;
        Ok(Self { source, target, limits })
    }
}

enum Job {
    /// Rows, indexes and keys of several small tables.
    Small(Vec<usize>),
    Part {
        table: usize,
        part: PartRow,
    },
    Filled {
        table: usize,
    },
    Index {
        table: usize,
        index: usize,
    },
    Keys {
        table: usize,
    },
    /// Adds a foreign key without looking at rows, then looks.
    Foreign(usize),
    Analyze(Vec<usize>),
}

struct Shared {
    load: Load,
    queue: Queue<Job>,
    /// How many there are.
    workers: usize,
    parts_left: Vec<AtomicUsize>,
    indexes_left: Vec<AtomicUsize>,
    /// Tables that each foreign key still waits for.
    tables_left: Vec<AtomicUsize>,
    /// Held while a foreign key is added.
    adding: tokio::sync::Mutex<()>,
    /// Foreign keys that wait for each table.
    waiting: Vec<Vec<usize>>,
}

/// Does all of it; the first failure stops all workers.
pub(crate) async fn run(load: Load, workers: Vec<Worker>) -> Result<(), Error> {
    let (waiting, tables_left) = dependencies(&load);
    let shared = Arc::new(Shared {
        queue: Queue::new(),
        workers: workers.len(),
        parts_left: load.tables.iter().map(|t| AtomicUsize::new(t.parts.len())).collect(),
        indexes_left: load.tables.iter().map(|t| AtomicUsize::new(t.indexes.len())).collect(),
        tables_left,
        adding: tokio::sync::Mutex::new(()),
        waiting,
        load,
    });
    let tables = &shared.load.tables;
    let small = tables.iter().enumerate().filter(|(_, t)| t.is_small());
    for batch in small::batches(small.map(|(at, t)| (at, t.table.bytes))) {
        shared.queue.push(batch.iter().map(|at| tables[*at].table.bytes).sum(), Job::Small(batch));
    }
    for (at, table) in tables.iter().enumerate().filter(|(_, t)| !t.is_small()) {
        for part in &table.parts {
            let weight = table.table.bytes / u64::try_from(part.parts).unwrap_or(1).max(1);
            shared.queue.push(weight, Job::Part { table: at, part: part.clone() });
        }
        if table.parts.is_empty() {
            shared.after_rows(at);
        }
    }
    let mut running = JoinSet::new();
    for worker in workers {
        let shared = Arc::clone(&shared);
        running.spawn(async move {
            while let Some(job) = shared.queue.take().await {
                shared.perform(&worker, job).await?;
                shared.queue.finish();
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = running.join_next().await {
        // Leaving drops the set, which ends the other workers and with them their transactions.
        ended.map_err(|e| Error::Internal(format!("a copy worker ended abnormally: {e}")))??;
    }
    Ok(())
}

/// The foreign keys that wait for each table, and how many tables each foreign key waits for.
fn dependencies(load: &Load) -> (Vec<Vec<usize>>, Vec<AtomicUsize>) {
    let by_oid: BTreeMap<u32, usize> = load.tables.iter().enumerate().map(|(at, t)| (t.table.oid, at)).collect();
    let mut waiting = vec![Vec::new(); load.tables.len()];
    let mut tables_left = Vec::with_capacity(load.foreign_keys.len());
    for (at, key) in load.foreign_keys.iter().enumerate() {
        let ends = BTreeSet::from([by_oid[&key.from], by_oid[&key.to]]); // schema.rs takes only keys between copied tables
        for table in &ends {
            waiting[*table].push(at);
        }
        tables_left.push(AtomicUsize::new(ends.len()));
    }
    (waiting, tables_left)
}

async fn reader(source: &PgUrl, snapshot: &str) -> Result<Session, Error> {
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

async fn writer(target: &PgUrl, quiet: bool) -> Result<(Session, Limits), Error> {
    let session = Session::connect(target, Access::ReadWrite).await?;
    // Losing the last moments of a crashed copy costs nothing (their parts are copied again), waiting for each of
    // thousands of commits to reach the disk does. Nothing is lost once the final, synchronous commit has returned.
    // What it reads it has just written: the page cache has it, and asking a process for each read only adds to that.
    let mut settings = format!(
        "{} set lock_timeout = 0; set synchronous_commit = off; set effective_io_concurrency = 0;",
        ddl::SESSION_SETTINGS
    );
    if quiet {
        settings.push_str(" set session_replication_role = replica");
    }
    session.batch_execute(&settings).await.map_err(Error::on(&session))?;
    let limits = Limits::of(&session).await?;
    Ok((session, limits))
}

impl Shared {
    async fn perform(&self, worker: &Worker, job: Job) -> Result<(), Error> {
        let target = &worker.target;
        match job {
            Job::Small(batch) => {
                if !self.small(worker, &batch).await? {
                    for at in &batch {
                        self.one_by_one(worker, *at).await?;
                    }
                }
                for at in &batch {
                    self.settled(*at);
                }
                let filled: Vec<usize> = batch.into_iter().filter(|at| self.load.tables[*at].has_rows()).collect();
                if !filled.is_empty() {
                    self.queue.push(0, Job::Analyze(filled));
                }
            }
            Job::Part { table: at, part } => {
                self.part(worker, at, &part).await?;
                if self.parts_left[at].fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.after_rows(at);
                }
            }
            Job::Filled { table: at } => {
                let entries: Vec<&Entry> = self.load.tables[at].once_filled.iter().collect();
                self.send(target, &entries).await?;
                self.build(at);
            }
            Job::Index { table: at, index } => {
                let index = &self.load.tables[at].indexes[index];
                self.prepare_build(worker, at, index).await?;
                self.send(target, &[index]).await?;
                if self.indexes_left[at].fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.after_indexes(at);
                }
            }
            Job::Keys { table: at } => {
                let keys: Vec<&Entry> = self.load.tables[at].keys.iter().collect();
                if let Some(key) = keys.iter().find(|key| !key.sql.contains(" USING INDEX ")) {
                    self.prepare_build(worker, at, key).await?;
                }
                self.send(target, &keys).await?;
                self.after_keys(at);
            }
            Job::Foreign(at) => {
                let key = &self.load.foreign_keys[at];
                // Two transactions: the first locks both tables against writers, the second neither. Two at once could
                // lock the same tables in either order, and wait for each other.
                {
                    let _alone = self.adding.lock().await;
                    self.send(target, &[&key.add]).await?;
                }
                self.send(target, &[&key.validate]).await?;
            }
            Job::Analyze(tables) => {
                // Of small tables, many at a time, an analysis costs no more than asking for what the source knows.
                if let [at] = tables[..]
                    && self.load.statistics_travel
                    && statistics::take_over(&worker.source, target, &self.load.tables[at].table).await?
                {
                    return Ok(());
                }
                let names: Vec<&Relation> = tables.iter().map(|at| &self.load.tables[*at].table.onto).collect();
                for note in statistics::analyze(target, &names).await? {
                    self.load.meter.note(note);
                }
            }
        }
        Ok(())
    }

    /// A batch of small tables in one transaction; false when it has to be done one by one.
    async fn small(&self, worker: &Worker, batch: &[usize]) -> Result<bool, Error> {
        let all: Vec<&TableLoad> = batch.iter().map(|at| &self.load.tables[*at]).collect();
        let unread: Vec<&TableLoad> = all.iter().copied().filter(|t| !t.parts.is_empty()).collect();
        let unread_tables: Vec<&Table> = unread.iter().map(|t| &t.table).collect();
        let turn = self.load.gate.enter().await?;
        let Ok(Some(rows)) = small::read(&worker.source, &unread_tables, &self.load.meter).await else {
            return Ok(false);
        };
        drop(turn);
        let pairs: Vec<_> = unread_tables.iter().copied().zip(rows.values()).collect();
        let entries: Vec<&Entry> = all.iter().flat_map(|t| t.indexes.iter().chain(&t.keys)).collect();
        let (sql, sent) = ddl::statements(&entries, &self.load.done_entries);
        let sql = small::insert_sql(&pairs) + &sql;
        if sql.is_empty() {
            return Ok(true);
        }
        if state::in_one_transaction(&worker.target, &sql).await.is_err() {
            return Ok(false); // the usual way meets the same refusal, and names it
        }
        self.count(rows.values().map(|r| r.rows).sum(), rows.values().map(|r| r.bytes).sum(), unread.len() as u64);
        self.load.done.entries.fetch_add(sent, Ordering::Relaxed);
        Ok(true)
    }

    /// A small table after all, on its own.
    async fn one_by_one(&self, worker: &Worker, at: usize) -> Result<(), Error> {
        let table = &self.load.tables[at];
        for part in &table.parts {
            self.part(worker, at, part).await?;
        }
        for entry in table.indexes.iter().chain(&table.keys) {
            self.send(&worker.target, &[entry]).await?;
        }
        Ok(())
    }

    async fn part(&self, worker: &Worker, at: usize, part: &PartRow) -> Result<(), Error> {
        let _turn = self.load.gate.enter().await?;
        let load = &self.load.tables[at];
        let (rows, bytes) =
            stream::copy_part(&worker.source, &worker.target, &load.table, load.from_query, part, &self.load.meter)
                .await?;
        self.count(rows, bytes, 1);
        Ok(())
    }

    fn count(&self, rows: u64, bytes: u64, parts: u64) {
        let done = &self.load.done;
        done.rows.fetch_add(rows, Ordering::Relaxed);
        done.bytes.fetch_add(bytes, Ordering::Relaxed);
        done.parts.fetch_add(parts, Ordering::Relaxed);
    }

    async fn send(&self, target: &Session, entries: &[&Entry]) -> Result<(), Error> {
        let sent = ddl::send(target, entries, &self.load.done_entries).await?;
        self.load.done.entries.fetch_add(sent, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare_build(&self, worker: &Worker, at: usize, entry: &Entry) -> Result<(), Error> {
        // The last one is probably at work when the others have ended.
        let is_last = self.workers > 1 && self.queue.len() == 0;
        let idle = self.workers.saturating_sub(self.queue.busy()).max(usize::from(is_last));
        let settings = worker.limits.settings(&entry.sql, self.load.tables[at].table.bytes, idle);
        worker.target.batch_execute(&settings).await.map_err(Error::on(&worker.target))
    }

    fn after_rows(&self, at: usize) {
        if self.load.tables[at].once_filled.is_empty() {
            self.build(at);
        } else {
            self.queue.push(u64::MAX, Job::Filled { table: at }); // takes no time, and indexes are made as the column is
        }
    }

    fn build(&self, at: usize) {
        let table = &self.load.tables[at];
        for (index, entry) in table.indexes.iter().enumerate() {
            self.queue.push(build::weight(&entry.sql, table.table.bytes), Job::Index { table: at, index });
        }
        if table.indexes.is_empty() {
            self.after_indexes(at);
        }
    }

    fn after_indexes(&self, at: usize) {
        let table = &self.load.tables[at];
        if table.keys.is_empty() {
            self.after_keys(at);
        } else {
            // Ahead of everything: most are promotions, which take no time, and foreign keys wait for them.
            self.queue.push(u64::MAX, Job::Keys { table: at });
        }
    }

    fn after_keys(&self, at: usize) {
        let table = &self.load.tables[at];
        if table.has_rows() {
            self.queue.push(build::analysis_weight(table.table.bytes), Job::Analyze(vec![at]));
        }
        self.settled(at);
    }

    /// Nothing more locks the table: foreign keys that wait for no other may start.
    fn settled(&self, at: usize) {
        for key in &self.waiting[at] {
            if self.tables_left[*key].fetch_sub(1, Ordering::AcqRel) == 1 {
                let from = self.load.foreign_keys[*key].from;
                let bytes = self.load.tables.iter().find(|t| t.table.oid == from).map_or(0, |t| t.table.bytes);
                self.queue.push(bytes, Job::Foreign(*key));
            }
        }
    }
}
