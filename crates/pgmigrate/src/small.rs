//! Many small tables at once: one round trip reads the rows of all, one writes rows, keys and indexes of all.
//!
//! A COPY of its own costs a table several round trips at each end, which is nearly all of its time when it is small or
//! far away. Here the source prints each row as a list of literals, with the types' own output functions, and the target
//! reads them back with the input functions: the text form of COPY, in another wrapping. Whatever is refused here is
//! done again the usual way, a table at a time, which names what is wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::TryStreamExt;
use pg_session::{Session, literal};
use tokio_postgres::SimpleQueryMessage;

use crate::catalog::Table;
use crate::error::Error;
use crate::stream::{Meter, selection};

/// A table with more bytes than this (out-of-line values included) is copied by itself.
const MOST_BYTES: u64 = 512 * 1024;

/// A table with more rows than this is: parsing literals costs more than COPY does.
const MOST_ROWS: u64 = 5_000;

/// `format()` takes no more arguments than a function may have.
const MOST_COLUMNS: usize = 90;

/// Tables a transaction; each holds a handful of locks until its end, and a server has about 6,400 of them.
const BATCH_TABLES: usize = 100;

/// Bytes on disk of one batch's tables.
const BATCH_BYTES: u64 = 1024 * 1024;

/// Compressed values grow when they are read: a batch that exceeds this in memory is left to COPY.
const BATCH_MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// How often a limited rate is looked at.
const PAID_AT_ONCE_BYTES: u64 = 64 * 1024;

/// True for a table whose rows go with others'.
pub(crate) fn is_small(table: &Table) -> bool {
    let columns = table.copied().count();
    table.bytes <= MOST_BYTES && table.rows_estimate <= MOST_ROWS && (1..=MOST_COLUMNS).contains(&columns)
}

/// Cuts a list of small tables, given their bytes, into batches.
pub(crate) fn batches(tables: impl Iterator<Item = (usize, u64)>) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes_in_last = 0;
    for (table, bytes) in tables {
        match batches.last_mut() {
            Some(last) if last.len() < BATCH_TABLES && bytes_in_last + bytes <= BATCH_BYTES => {
                last.push(table);
                bytes_in_last += bytes;
            }
            _ => {
                batches.push(vec![table]);
                bytes_in_last = bytes;
            }
        }
    }
    batches
}

/// What one table's rows came to.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub rows: u64,
    pub bytes: u64,
    /// `(1,'a'),(2,NULL)`
    tuples: String,
}

/// Reads all rows of `tables`, by their place in the list; `None` when they are more than a batch may hold.
pub(crate) async fn read(
    source: &Session,
    tables: &[&Table],
    meter: &Meter,
) -> Result<Option<BTreeMap<usize, Rows>>, Error> {
    let mut found: BTreeMap<usize, Rows> = (0..tables.len()).map(|at| (at, Rows::default())).collect();
    if tables.is_empty() {
        return Ok(Some(found));
    }
    let selects: Vec<String> = tables.iter().enumerate().map(|(at, table)| select(at, table)).collect();
    // The simple protocol: no statement is prepared, so it takes one round trip.
    let stream = source.simple_query_raw(&selects.join(" union all ")).await.map_err(Error::on(source))?;
    let mut stream = std::pin::pin!(stream);
    let (mut memory_bytes, mut unpaid_bytes) = (0, 0);
    while let Some(message) = stream.try_next().await.map_err(Error::on(source))? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let (Some(at), Some(tuple)) = (row.get(0).and_then(|at| at.parse::<usize>().ok()), row.get(1)) else {
            return Err(Error::Internal("a row came back without its table's number".into()));
        };
        let Some(table) = found.get_mut(&at) else {
            return Err(Error::Internal(format!("a row came back for table number {at}")));
        };
        if !table.tuples.is_empty() {
            table.tuples.push(',');
        }
        table.tuples.push_str(tuple);
        table.rows += 1;
        table.bytes += tuple.len() as u64;
        memory_bytes += tuple.len();
        unpaid_bytes += tuple.len() as u64;
        if unpaid_bytes >= PAID_AT_ONCE_BYTES {
            meter.may_read(std::mem::take(&mut unpaid_bytes)).await;
        }
        if memory_bytes > BATCH_MEMORY_BYTES {
            return Ok(None);
        }
    }
    meter.may_read(unpaid_bytes).await;
    meter.add(found.values().map(|t| t.rows).sum(), found.values().map(|t| t.bytes).sum());
    Ok(Some(found))
}

fn select(at: usize, table: &Table) -> String {
    let columns: Vec<String> = table.copied().map(|c| pg_session::Ident(&c.name).to_string()).collect();
    let holes = vec!["%L"; columns.len()].join(",");
    format!("select {at}, pg_catalog.format('({holes})', {}) {}", columns.join(", "), selection(table))
}

/// The statements that insert and record them.
pub(crate) fn insert_sql(tables: &[(&Table, &Rows)]) -> String {
    let mut sql = String::new();
    for (table, rows) in tables.iter().filter(|(_, rows)| rows.rows > 0) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            sql,
            "insert into {} ({}) overriding system value values {};",
            table.onto,
            table.copied_columns(),
            rows.tuples
        );
    }
    let values: Vec<String> = tables
        .iter()
        .map(|(table, rows)| format!("({}, {}, {})", literal(&table.relation.to_string()), rows.rows, rows.bytes))
        .collect();
    if !values.is_empty() {
        let _ = writeln!(
            sql,
            "update tierlift.copy_part p set rows = v.rows, bytes = v.bytes, done_at = clock_timestamp()
               from (values {}) v (relation, rows, bytes) where p.relation = v.relation;",
            values.join(", ")
        );
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_by_number_and_by_bytes() {
        let check = |bytes: &[u64], expect: &[usize]| {
            let lengths: Vec<usize> = batches(bytes.iter().copied().enumerate()).iter().map(Vec::len).collect();
            assert_eq!(lengths, expect, "{bytes:?}");
        };
        check(&[], &[]);
        check(&[1, 2, 3], &[3]);
        check(&[BATCH_BYTES, 1, BATCH_BYTES], &[1, 1, 1]);
        check(&vec![1; BATCH_TABLES + 1], &[BATCH_TABLES, 1]);
    }
}
