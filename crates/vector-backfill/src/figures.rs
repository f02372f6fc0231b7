//! Estimates for plans. Measured on 2 cores with PostgreSQL 18.4 and pgvector 0.8.5 at 1536 dimensions; a plan shows the
//! worst case, so rates are half of what was seen or less.

/// A vector of 1536 dimensions in a table: four pieces in TOAST.
pub(crate) const TABLE_BYTES_PER_ROW: u64 = 8_200;
/// What writing it adds to the write-ahead log.
pub(crate) const WAL_BYTES_PER_ROW: u64 = 7_100;
/// A page of the index holds one.
pub(crate) const INDEX_BYTES_PER_ROW: u64 = 8_192;

/// Seen: 5,000 to 11,000 rows a second.
const BACKFILL_ROWS_PER_SECOND: f64 = 2_500.0;

/// Starting up and sweeping included.
pub(crate) fn backfill_seconds(rows: u64) -> f64 {
    5.0 + rows as f64 / BACKFILL_ROWS_PER_SECOND
}

/// Every row is compared with every list. Seen: 2.5 s for 50,000 rows and 50 lists.
pub(crate) fn index_seconds(rows: u64, lists: u32) -> f64 {
    5.0 + rows as f64 * f64::from(lists) / 500_000.0
}

/// Every vector is fetched once, and a few hundred searches are made. Seen: 4.7 s for 50,000 rows.
pub(crate) fn recall_seconds(rows: u64) -> f64 {
    10.0 + rows as f64 / 10_000.0
}

/// Rounded up.
pub(crate) fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
