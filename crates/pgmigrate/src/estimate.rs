//! How much a copy will carry and how long it will take, and afterwards how wrong that was.
//!
//! Bytes and rows come from the catalogue, corrected by a sample. The source's speed and both round trips are measured;
//! the target's speed can't be without writing to it, so it is declared below. Each constant says where it is from.

use pg_session::Session;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::catalog::Table;
use crate::copy::CopyReport;
use crate::error::Error;
use crate::measure::Measured;
use crate::survey::Survey;

/// What one writer gets into a table of a managed server with a few cores: COPY FREEZE into tables without indexes.
/// Declared. On two cores of a plain virtual machine it is 60 to 100 MB/s; network disks are slower.
const TARGET_BYTES_PER_SECOND: f64 = 50e6;

/// What one reader gets when there was too little to measure.
const SOURCE_BYTES_PER_SECOND: f64 = 60e6;

/// Bytes of a finished btree built in a second by one worker (measured 35 to 60 on one core, reading included).
const BTREE_BYTES_PER_SECOND: f64 = 40e6;

/// The same for gin, gist, and vector indexes, which sort less and compute more (measured 5 to 12).
const OTHER_INDEX_BYTES_PER_SECOND: f64 = 8e6;

/// One object of the schema: its part of pg_dump, parsing it, creating it (measured 0.3 to 0.6 ms on two busy cores).
const SECONDS_PER_OBJECT: f64 = 0.000_4;

/// A table's own files, recording its progress, collecting its statistics (2,500 small tables with a key each took
/// 3.7 s on two busy cores, which is this and two objects each).
const SECONDS_PER_TABLE: f64 = 0.000_5;

/// Starting pg_dump and sessions, and the questions before the first row (one tiny table took 0.2 s).
const SECONDS_FIXED: f64 = 0.25;

/// Answers that one thing waits for after another before the first row and after the last: connecting, settings, the
/// survey, pg_dump's own questions, the target's state (one tiny table took 3.1 s at 30 ms).
const ROUND_TRIPS_FIXED: f64 = 90.0;

/// Answers that a worker waits for at the target for each table that is copied by itself.
const ROUND_TRIPS_PER_TABLE: f64 = 3.0;

/// Smaller tables go many at a time.
const SMALL_TABLE_BYTES: u64 = 1_000_000;

/// Small tables whose round trips are shared (300 took 0.7 s more than one did, at 30 ms).
const SMALL_TABLES_PER_ROUND_TRIP: f64 = 25.0;

/// Objects that are sent to the target in one round trip.
const OBJECTS_PER_ROUND_TRIP: f64 = 200.0;

/// Bytes on their way for each byte on disk, where no sample says otherwise: headers and free space stay behind.
const BYTES_ON_THE_WAY: f64 = 0.8;

/// Workers that the estimate reckons with: what `--jobs` is on the machine that copies, unless it is given.
const MOST_WORKERS: usize = 8;

/// A window must hold a copy that goes badly: another load on either end, a slower disk.
const WORST_CASE: f64 = 2.5;

/// What a copy is expected to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Rows that will travel.
    pub rows: u64,
    /// Bytes that will travel, in the copy's own format.
    pub bytes: u64,
    /// Wall-clock seconds of the whole copy; the sum of the four below.
    pub seconds: f64,
    /// Of that, connecting, questions, pg_dump, creating empty tables.
    pub schema_seconds: f64,
    /// Of that, rows.
    pub rows_seconds: f64,
    /// Of that, indexes and keys.
    pub index_seconds: f64,
    /// Of that, waiting for answers.
    pub round_trip_seconds: f64,
    /// Tables.
    pub tables: u64,
    /// Other objects of the schema, indexes included.
    pub objects: u64,
    /// Workers it reckons with.
    pub jobs: u64,
    /// Measured.
    pub source_round_trip_ms: f64,
    /// Measured.
    pub target_round_trip_ms: f64,
    /// Measured on a sample of the largest tables; none when there was too little to read.
    pub source_bytes_per_second: Option<f64>,
    /// Declared, for it can't be measured without writing.
    pub target_bytes_per_second: f64,
}

/// What a copy has to make beside rows.
struct Work {
    btree_bytes: f64,
    other_index_bytes: f64,
    indexes: u64,
    objects: u64,
}

impl Forecast {
    /// As the engine wants it: `seconds` is the worst case there.
    pub fn worst_case(&self) -> runbook::Estimate {
        runbook::Estimate {
            rows: Some(self.rows),
            bytes: Some(self.bytes),
            seconds: Some(2.0 + self.seconds * WORST_CASE),
        }
    }

    fn of(survey: &Survey, measured: &Measured, work: &Work) -> Self {
        let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, MOST_WORKERS);
        let (rows, bytes) = travelling(survey, measured);
        let tables = survey.tables.len() as f64;
        let objects = work.objects + work.indexes;
        let workers = jobs as f64;
        // A worker reads from one end and writes to the other at the same time: the slower of both counts.
        let source = measured.source_bytes_per_second.unwrap_or(SOURCE_BYTES_PER_SECOND);
        let rows_seconds = bytes as f64 / (source.min(TARGET_BYTES_PER_SECOND) * workers);
        let index_seconds = (work.btree_bytes / BTREE_BYTES_PER_SECOND
            + work.other_index_bytes / OTHER_INDEX_BYTES_PER_SECOND)
            / workers;
        let schema_seconds = SECONDS_FIXED + objects as f64 * SECONDS_PER_OBJECT + tables * SECONDS_PER_TABLE;
        let slower = measured.source_round_trip_s.max(measured.target_round_trip_s);
        let small = survey.tables.iter().filter(|t| t.bytes < SMALL_TABLE_BYTES).count() as f64;
        let waits = ROUND_TRIPS_FIXED + objects as f64 / OBJECTS_PER_ROUND_TRIP + small / SMALL_TABLES_PER_ROUND_TRIP;
        let round_trip_seconds =
            waits * slower + (tables - small) * ROUND_TRIPS_PER_TABLE * measured.target_round_trip_s / workers;
        Self {
            rows,
            bytes,
            seconds: schema_seconds + rows_seconds + index_seconds + round_trip_seconds,
            schema_seconds,
            rows_seconds,
            index_seconds,
            round_trip_seconds,
            tables: survey.tables.len() as u64,
            objects,
            jobs: jobs as u64,
            source_round_trip_ms: measured.source_round_trip_s * 1000.0,
            target_round_trip_ms: measured.target_round_trip_s * 1000.0,
            source_bytes_per_second: measured.source_bytes_per_second,
            target_bytes_per_second: TARGET_BYTES_PER_SECOND,
        }
    }
}

/// Asks the source what there is to make, and reckons.
pub(crate) async fn forecast(source: &Session, survey: &Survey, measured: &Measured) -> Result<Forecast, Error> {
    let rows = source
        .query_typed(include_str!("sql/assess/work.sql"), &[(&survey.schemas, Type::TEXT_ARRAY)])
        .await
        .map_err(Error::on(source))?;
    let row = rows.first().ok_or_else(|| Error::Internal("a query of one row gave none".into()))?;
    let number = |at: usize| crate::catalog::unsigned(row.get(at));
    let work = Work {
        btree_bytes: number(0) as f64,
        other_index_bytes: number(1) as f64,
        indexes: number(2),
        objects: number(3),
    };
    Ok(Forecast::of(survey, measured, &work))
}

/// Rows and bytes on their way. A table that was never analysed has no row count of its own, and one that was sampled
/// has a better one for its bytes.
fn travelling(survey: &Survey, measured: &Measured) -> (u64, u64) {
    let (mut rows, mut bytes) = (0.0, 0.0);
    for table in &survey.tables {
        let sample = measured.samples.get(&table.oid);
        let pages = table.pages as f64;
        rows += match sample {
            Some(sample) if table.rows_estimate == 0 => sample.rows_per_block * pages,
            _ => table.rows_estimate as f64,
        };
        bytes += match sample {
            // By row where the count is known: a sample's blocks may be fuller or emptier than others.
            Some(sample) if sample.rows_per_block > 0.0 && table.rows_estimate > 0 => {
                sample.bytes_per_block / sample.rows_per_block * table.rows_estimate as f64
            }
            Some(sample) => sample.bytes_per_block * pages,
            None => on_disk(table) * BYTES_ON_THE_WAY,
        };
    }
    (rows.round() as u64, bytes.round() as u64)
}

/// Bytes of rows and of what is kept outside them. A table's last block is half empty, and maps of free space, which
/// make the most of a small table, do not travel.
fn on_disk(table: &Table) -> f64 {
    const BLOCK: f64 = 8192.0;
    const MAPS: f64 = 5.0 * BLOCK;
    let heap = table.pages as f64 * BLOCK;
    (heap - BLOCK / 2.0).max(0.0) + (table.bytes as f64 - heap - MAPS).max(0.0)
}

/// An estimate beside what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Before.
    pub estimated: f64,
    /// After.
    pub actual: f64,
    /// How far the estimate was off, of what it really was: `25.0` is a quarter too much, negative too little. None when
    /// there was nothing to compare with.
    pub error_percent: Option<f64>,
}

impl Compared {
    fn new(estimated: f64, actual: f64) -> Self {
        let error = (estimated - actual) / actual * 100.0;
        Self { estimated, actual, error_percent: error.is_finite().then(|| (error * 10.0).round() / 10.0) }
    }
}

/// How good an estimate was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Wall-clock seconds.
    pub seconds: Compared,
    /// Rows that travelled.
    pub rows: Compared,
    /// Bytes that travelled.
    pub bytes: Compared,
}

impl Accuracy {
    /// Compares; `None` when the copy was done in several attempts, since no one of them was what the estimate is of.
    pub fn of(forecast: &Forecast, report: &CopyReport) -> Option<Self> {
        (!report.resumed).then(|| Self {
            seconds: Compared::new(forecast.seconds, report.seconds),
            rows: Compared::new(forecast.rows as f64, report.rows as f64),
            bytes: Compared::new(forecast.bytes as f64, report.bytes as f64),
        })
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = |compared: &Compared| match compared.error_percent {
            Some(percent) => format!("{percent:+.0} %"),
            None => "nothing to compare".to_owned(),
        };
        write!(
            f,
            "the estimate was off by {} in time ({:.1} s for {:.1} s), {} in rows, {} in bytes",
            error(&self.seconds),
            self.seconds.estimated,
            self.seconds.actual,
            error(&self.rows),
            error(&self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_off_an_estimate_was() {
        let check = |estimated: f64, actual: f64, expect: Option<f64>| {
            assert_eq!(Compared::new(estimated, actual).error_percent, expect, "{estimated} for {actual}");
        };
        check(12.5, 10.0, Some(25.0));
        check(5.0, 10.0, Some(-50.0));
        check(10.0, 10.0, Some(0.0));
        check(0.0, 0.0, None);
        check(3.0, 0.0, None);
    }
}
