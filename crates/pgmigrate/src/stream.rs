//! Moves the rows of one part: bytes from the source's COPY to the target's, unparsed, reading and writing at once.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use pg_session::Session;
use runbook::{Context, Progress};
use tokio::sync::mpsc;
use tokio_postgres::CopyInSink;

use crate::catalog::Table;
use crate::error::Error;
use crate::state::PartRow;
use crate::throttle::Throttle;

/// Rows arrive one protocol message each; they are gathered to this size, so that the writing side is woken and framed
/// a few thousand times a gigabyte instead of once a row.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks between reader and writer. With [`CHUNK_BYTES`] it bounds a worker's memory to half a megabyte, one row
/// larger than a chunk aside.
const CHUNKS_IN_FLIGHT: usize = 4;

/// What all workers have moved together.
pub(crate) struct Meter {
    cx: Context,
    throttle: Throttle,
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_total: Option<u64>,
    bytes_total: Option<u64>,
    began: Instant,
    next_report_ms: AtomicU64,
}

impl Meter {
    pub fn new(cx: &Context, rows_total: u64, bytes_total: u64, throttle: Throttle) -> Self {
        Self {
            throttle,
            cx: cx.clone(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rows_total: (rows_total > 0).then_some(rows_total),
            bytes_total: (bytes_total > 0).then_some(bytes_total),
            began: Instant::now(),
            next_report_ms: AtomicU64::new(0),
        }
    }

    /// Waits until this much more may be read.
    pub async fn may_read(&self, bytes: u64) {
        self.throttle.take(bytes).await;
    }

    /// Tells whoever watches.
    pub fn note(&self, text: String) {
        self.cx.note(text);
    }

    /// Counts, and tells whoever watches ten times a second at most.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.next_report_ms.load(Ordering::Relaxed);
        if now_ms >= due
            && self.next_report_ms.compare_exchange(due, now_ms + 100, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.report(false);
        }
    }

    pub fn report(&self, finished: bool) {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        // Totals are the server's estimates; an end that overshoots its total looks like a fault, so they give way.
        self.cx.progress(Progress {
            item: "copy".into(),
            rows,
            rows_total: if finished { Some(rows) } else { self.rows_total.map(|t| t.max(rows)) },
            bytes,
            bytes_total: if finished { Some(bytes) } else { self.bytes_total.map(|t| t.max(bytes)) },
            finished,
        });
    }
}

/// Copies one part and records it, in one transaction on the target. Returns rows and bytes.
pub(crate) async fn copy_part(
    source: &Session,
    target: &Session,
    table: &Table,
    from_query: bool,
    part: &PartRow,
    meter: &Meter,
) -> Result<(u64, u64), Error> {
    let label = table.relation.label();
    let (read_sql, write_sql) = statements(table, from_query, part);
    // A table copied whole is emptied in the same transaction, so that its rows can go in frozen: no second write of
    // every page later. A part shares its table with others and cannot.
    let opening = if part.parts == 1 && table.is_filled_whole() {
        format!("begin; truncate only {};", table.onto)
    } else {
        "begin;".to_owned()
    };
    // Sent together: `begin` and the COPY's preparation share a round trip.
    let (opened, sink, stream) = tokio::join!(
        target.batch_execute(&opening),
        target.copy_in::<_, Bytes>(&write_sql),
        source.copy_out(&read_sql)
    );
    opened.map_err(Error::table(&label, "target"))?;
    let (sink, stream) =
        (sink.map_err(Error::table(&label, "target"))?, stream.map_err(Error::table(&label, "source"))?);
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS_IN_FLIGHT);
    let read = read_rows(stream, sender, meter);
    let write = write_rows(Box::pin(sink), receiver);
    let (bytes, mut sink) = match tokio::join!(read, write) {
        // The writer stops first when the target refuses something; the reader then only finds its channel closed.
        (_, Err(error)) => return Err(Error::table(&label, "target")(error)),
        (Err(error), Ok(_)) => return Err(Error::table(&label, "source")(error)),
        (Ok(bytes), Ok(sink)) => (bytes, sink),
    };
    let rows = sink.as_mut().finish().await.map_err(Error::table(&label, "target"))?;
    target
        .batch_execute(&format!(
            "update tierlift.copy_part set rows = {rows}, bytes = {bytes}, done_at = clock_timestamp()
              where relation = {} and part = {}; commit;",
            pg_session::literal(&part.relation),
            part.part
        ))
        .await
        .map_err(Error::table(&label, "target"))?;
    Ok((rows, bytes))
}

/// Where a table's own rows are read from, not those of its children; only those that were asked for.
pub(crate) fn selection(table: &Table) -> String {
    format!("from {}", table.rows_sql())
}

fn statements(table: &Table, from_query: bool, part: &PartRow) -> (String, String) {
    let columns = table.copied_columns();
    let relation = &table.relation;
    let whole = part.parts == 1;
    let list = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    let from = if whole && !from_query && table.condition.is_none() {
        format!("{relation}{list}")
    } else {
        format!("(select {columns} {})", rows_of(table, part))
    };
    let mut options = Vec::new();
    if table.is_portable() {
        options.push("format binary");
    }
    let read_options = if options.is_empty() { String::new() } else { format!(" with ({})", options.join(", ")) };
    if whole && table.is_filled_whole() {
        options.push("freeze");
    }
    let write_options = if options.is_empty() { String::new() } else { format!(" with ({})", options.join(", ")) };
    (
        format!("copy {from} to stdout{read_options}"),
        format!("copy {}{list} from stdin{write_options}", table.filled_through()),
    )
}

/// A part's rows as the end of a query: `from ... where ...`.
pub(crate) fn rows_of(table: &Table, part: &PartRow) -> String {
    let mut sql = selection(table);
    if part.parts > 1 {
        sql.push_str(&format!(" where ctid >= '({},0)'::pg_catalog.tid", part.first_block));
        if let Some(end) = part.end_block {
            sql.push_str(&format!(" and ctid < '({end},0)'::pg_catalog.tid"));
        }
    }
    sql
}

async fn read_rows(
    stream: tokio_postgres::CopyOutStream,
    sender: mpsc::Sender<Bytes>,
    meter: &Meter,
) -> Result<u64, tokio_postgres::Error> {
    let mut stream = Box::pin(stream);
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    let (mut bytes, mut rows) = (0, 0);
    while let Some(row) = stream.next().await {
        chunk.extend_from_slice(&row?);
        rows += 1;
        if chunk.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut chunk, BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4));
            bytes += full.len() as u64;
            meter.add(rows, full.len() as u64);
            rows = 0;
            meter.may_read(full.len() as u64).await;
            if sender.send(full.freeze()).await.is_err() {
                return Ok(bytes); // the writer has failed and reports why
            }
        }
    }
    bytes += chunk.len() as u64;
    meter.add(rows, chunk.len() as u64);
    meter.may_read(chunk.len() as u64).await;
    // As above: a closed channel means the writer has its own error to report.
    drop(sender.send(chunk.freeze()).await);
    Ok(bytes)
}

async fn write_rows(
    mut sink: Pin<Box<CopyInSink<Bytes>>>,
    mut receiver: mpsc::Receiver<Bytes>,
) -> Result<Pin<Box<CopyInSink<Bytes>>>, tokio_postgres::Error> {
    while let Some(chunk) = receiver.recv().await {
        sink.send(chunk).await?;
    }
    Ok(sink)
}
