//! A short look at how fast both ends are: round trips, and a sample of the largest tables read as the copy reads them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use pg_session::Session;
use runbook::Finding;
use tokio_postgres::error::SqlState;

use crate::catalog::Table;
use crate::checks;
use crate::error::Error;
use crate::survey::Survey;

/// The server ends the reading of one sample after this long, however wide its rows are.
const ONE_SAMPLE_TIME: Duration = Duration::from_secs(1);

/// As many of the largest tables are sampled.
const TABLES: usize = 4;

/// A sample is this many bytes on disk (what is kept outside the rows counts too), a third into the table: its beginning
/// is often older and emptier than the rest.
const SAMPLE_BYTES: u64 = 2 * 1024 * 1024;

/// Smaller tables weigh nothing; their sample would take longer than their copy.
const SMALLEST_TABLE_BYTES: u64 = 256 * 1024;

/// Less than this says nothing about speed.
const SMALLEST_SAMPLE_BYTES: u64 = 256 * 1024;

/// What was measured, and what came to light with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub source_round_trip_s: f64,
    pub target_round_trip_s: f64,
    /// Of one reader; `None` when there was too little to read.
    pub source_bytes_per_second: Option<f64>,
    /// By the table's oid.
    pub samples: BTreeMap<u32, Sample>,
    pub findings: Vec<Finding>,
}

/// A table's rows and bytes on their way, for each of its blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub rows_per_block: f64,
    pub bytes_per_block: f64,
}

/// Measures through `reader` and `target`; no sample begins after `time`, and oversized values are looked for as long
/// again.
pub(crate) async fn measure(
    reader: &Session,
    target: &Session,
    survey: &Survey,
    time: Duration,
) -> Result<Measured, Error> {
    let (source_round_trip_s, target_round_trip_s) = tokio::try_join!(round_trip(reader), round_trip(target))?;
    let mut measured = Measured { source_round_trip_s, target_round_trip_s, ..Measured::default() };
    sample(reader, survey, time, &mut measured).await?;
    measured.findings = checks::large_values(reader, survey, time).await?;
    Ok(measured)
}

/// The shortest of three, in seconds.
async fn round_trip(session: &Session) -> Result<f64, Error> {
    let mut shortest = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        session.simple_query("").await.map_err(Error::on(session))?;
        shortest = shortest.min(began.elapsed().as_secs_f64());
    }
    Ok(shortest)
}

async fn sample(reader: &Session, survey: &Survey, time: Duration, measured: &mut Measured) -> Result<(), Error> {
    let mut tables: Vec<&Table> = survey
        .tables
        .iter()
        .filter(|t| t.readable && !t.filtered && t.bytes >= SMALLEST_TABLE_BYTES && t.pages > 0)
        .filter(|t| !t.copied_columns().is_empty())
        .collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let limit = format!("set statement_timeout = {}", ONE_SAMPLE_TIME.as_millis());
    reader.batch_execute(&limit).await.map_err(Error::on(reader))?;
    let began = Instant::now();
    let (mut bytes, mut seconds) = (0, 0.0);
    for table in tables.into_iter().take(TABLES) {
        if began.elapsed() >= time {
            break;
        }
        let started = Instant::now();
        let blocks = (table.pages * SAMPLE_BYTES / table.bytes.max(1)).clamp(1, table.pages);
        let Some((rows, read)) = read_blocks(reader, table, blocks).await? else { continue };
        // The statement itself takes a round trip; nobody would count that as reading.
        seconds += (started.elapsed().as_secs_f64() - measured.source_round_trip_s).max(1e-6);
        bytes += read;
        let per_block = |n: u64| n as f64 / blocks as f64;
        measured
            .samples
            .insert(table.oid, Sample { rows_per_block: per_block(rows), bytes_per_block: per_block(read) });
    }
    reader.batch_execute("set statement_timeout = 0").await.map_err(Error::on(reader))?;
    measured.source_bytes_per_second = (bytes >= SMALLEST_SAMPLE_BYTES).then(|| bytes as f64 / seconds);
    Ok(())
}

/// Rows and bytes of some blocks in the copy's own format; `None` when it took too long or the role may not.
async fn read_blocks(reader: &Session, table: &Table, blocks: u64) -> Result<Option<(u64, u64)>, Error> {
    let first = (table.pages - blocks) / 3;
    let format = if table.is_portable() { " with (format binary)" } else { "" };
    let sql = format!(
        "copy (select {} from only {} where ctid >= '({first},0)'::pg_catalog.tid and ctid < '({},0)'::pg_catalog.tid) to stdout{format}",
        table.copied_columns(),
        table.relation,
        first + blocks
    );
    let read = async {
        let mut stream = Box::pin(reader.copy_out(&sql).await?);
        let (mut rows, mut bytes) = (0, 0);
        while let Some(row) = stream.next().await {
            bytes += row?.len() as u64;
            rows += 1;
        }
        Ok((rows, bytes))
    };
    match read.await {
        Ok(read) => Ok(Some(read)),
        Err(error) => {
            let error: tokio_postgres::Error = error;
            let given_up = [SqlState::QUERY_CANCELED, SqlState::INSUFFICIENT_PRIVILEGE];
            if error.code().is_some_and(|code| given_up.contains(code)) {
                return Ok(None);
            }
            Err(Error::on(reader)(error))
        }
    }
}
