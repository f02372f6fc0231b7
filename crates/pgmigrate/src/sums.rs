//! Hashes whole tables: each server sums its own rows, in slices, both servers at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use pg_session::Session;
use runbook::{Context, Progress};
use tokio::task::JoinSet;

use crate::catalog;
use crate::ends::{self, End, Pair, TableEnd};
use crate::error::Error;
use crate::queue::Queue;

/// Rows and their summed hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub rows: i64,
    /// Of 64-bit numbers, exact: see [`crate::row_hash`].
    pub hash: i128,
}

/// A sum of 64-bit integers, which Postgres gives as numeric.
pub(crate) fn whole_number(text: &str) -> Result<i128, Error> {
    text.parse().map_err(|_| Error::Internal(format!("a sum of hashes came back as {text:?}")))
}

/// Tables are hashed in slices of this size, so that several workers can share a large one.
const SLICE_BYTES: u64 = 64 * 1024 * 1024;

/// Tables smaller than this are asked for [`AT_ONCE`] at a time, without waiting for one another's answers: thousands of
/// round trips would take longer than the work.
const SMALL_BYTES: u64 = 1024 * 1024;

/// Small tables in one piece of work.
const AT_ONCE: usize = 32;

/// Part `part` of `parts` of one table. Each end cuts its own blocks: the sums of all slices are the table's whichever
/// way it is cut.
struct Slice {
    table: usize,
    part: u64,
    parts: u64,
}

/// What the workers of one end share.
struct Work {
    tables: Vec<TableEnd>,
    side: &'static str,
    queue: Queue<Vec<Slice>>,
    sums: Mutex<Vec<Sum>>,
    meter: Arc<Meter>,
}

/// Rows hashed on both ends together.
struct Meter {
    rows: AtomicU64,
    rows_total: u64,
    cx: Context,
}

impl Meter {
    fn report(&self, finished: bool) {
        let rows = self.rows.load(Ordering::Relaxed) / 2;
        let rows_total = if finished { Some(rows) } else { (self.rows_total > 0).then(|| self.rows_total.max(rows)) };
        self.cx.progress(Progress { item: "verify".into(), rows, rows_total, finished, ..Progress::default() });
    }
}

/// The sums of every table, source and target, with `jobs` sessions on each end.
pub(crate) async fn sums(
    source: &End,
    target: &End,
    pairs: &[Pair],
    jobs: usize,
    cx: &Context,
) -> Result<Vec<(Sum, Sum)>, Error> {
    let rows_total = pairs.iter().map(|p| p.source.table.rows_estimate).sum();
    let meter = Arc::new(Meter { rows: AtomicU64::new(0), rows_total, cx: cx.clone() });
    let side = |side, tables: Vec<TableEnd>| {
        let queue = Queue::new();
        let (small, large): (Vec<_>, Vec<_>) =
            tables.iter().enumerate().partition(|(_, t)| t.table.bytes < SMALL_BYTES);
        for some in small.chunks(AT_ONCE) {
            let slices = some.iter().map(|(table, _)| Slice { table: *table, part: 0, parts: 1 });
            queue.push(some.iter().map(|(_, end)| end.table.bytes).sum(), slices.collect());
        }
        for (table, end) in large {
            let parts = (end.table.bytes / SLICE_BYTES).clamp(1, 10_000).min(end.table.pages.max(1));
            for part in 0..parts {
                queue.push(end.table.bytes / parts, vec![Slice { table, part, parts }]);
            }
        }
        let sums = Mutex::new(vec![Sum::default(); tables.len()]);
        Arc::new(Work { tables, side, queue, sums, meter: Arc::clone(&meter) })
    };
    let (from, to) = (
        side("source", pairs.iter().map(|p| p.source.clone()).collect()),
        side("target", pairs.iter().map(|p| p.target.clone()).collect()),
    );
    let mut workers = JoinSet::new();
    for (end, work) in [(source, &from), (target, &to)] {
        for _ in 0..jobs.min(work.queue.len()) {
            let session = end.reader().await?;
            workers.spawn(worker(session, Arc::clone(work)));
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|e| Error::Internal(format!("a verify worker ended abnormally: {e}")))??;
    }
    meter.report(true);
    let taken = |work: &Work| std::mem::take(&mut *work.sums.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(taken(&from).into_iter().zip(taken(&to)).collect())
}

async fn worker(session: Session, work: Arc<Work>) -> Result<(), Error> {
    while let Some(slices) = work.queue.take().await {
        let found =
            try_join_all(slices.iter().map(|slice| sum(&session, &work.tables[slice.table], slice, work.side))).await?;
        {
            // Nothing between lock and unlock can panic half-way.
            let mut sums = work.sums.lock().unwrap_or_else(PoisonError::into_inner);
            for (slice, more) in slices.iter().zip(&found) {
                sums[slice.table].rows += more.rows;
                sums[slice.table].hash += more.hash;
            }
        }
        let rows = found.iter().map(|sum| catalog::unsigned(sum.rows)).sum();
        work.meter.rows.fetch_add(rows, Ordering::Relaxed);
        work.meter.report(false);
        work.queue.finish();
    }
    ends::release(&session).await
}

async fn sum(session: &Session, end: &TableEnd, slice: &Slice, side: &'static str) -> Result<Sum, Error> {
    let range = (slice.parts > 1).then(|| {
        let block = |part: u64| end.table.pages * part / slice.parts;
        let from = format!("ctid >= '({},0)'::pg_catalog.tid", block(slice.part));
        // The last one has no end: the table may have grown since its size was read.
        if slice.part + 1 == slice.parts {
            return from;
        }
        format!("{from} and ctid < '({},0)'::pg_catalog.tid", block(slice.part + 1))
    });
    let sql = format!("select count(*), coalesce(sum({}), 0)::text from {}", end.hash.row, end.rows(range.as_deref()));
    let label = end.table.relation.label();
    let row = session.query_typed_one(&sql, &[]).await.map_err(Error::table(&label, side))?;
    Ok(Sum { rows: row.get(0), hash: whole_number(row.get(1))? })
}
