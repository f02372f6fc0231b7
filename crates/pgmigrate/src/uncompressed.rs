//! Columns whose large values do not get smaller: until such a table is filled, the target does not try.
//!
//! PostgreSQL compresses a value that makes its row too large, and keeps it as it is where that saves too little. A copy
//! would try every value again, to the same end: a third of the time that 4 kB of random text a row took. Such a
//! column's storage is `external` from the moment its table is made until its rows are in. Both changes are recorded as
//! entries of the schema are, so a copy that was killed between them puts the column back when it continues.

use std::collections::BTreeSet;

use pg_session::{Ident, Session};

use crate::catalog::{Column, Table};
use crate::cut::is_shim;
use crate::error::Error;
use crate::selection::Contents;
use crate::survey::Survey;
use crate::toc::Entry;

/// Below this many bytes outside of the rows, a round trip for the question costs as much as it may save.
const LEAST_BYTES: u64 = 8 * 1024 * 1024;

/// The first version that tells how a value is compressed.
const TELLS: u32 = 140_000;

/// Blocks of a table to look at; the values themselves are not read.
const SAMPLE_BLOCKS: u64 = 64;

/// Fewer large values than this say nothing about the others.
const LEAST_VALUES: i64 = 50;

/// A value of this many bytes or more was tried, if its row has no larger one.
const TRIED_BYTES: u64 = 2000;

/// What leaves columns untried for which that saves work and costs hardly any space.
pub(crate) async fn begin(source: &Session, survey: &Survey) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    if survey.source.version_num < TELLS || survey.wanted.contents != Contents::Everything {
        return Ok(entries);
    }
    let tables = survey.tables.iter().filter(|t| t.is_filled_whole() && t.bytes_out_of_line() >= LEAST_BYTES);
    for table in tables.filter(|t| !is_shim(survey, &t.relation)) {
        entries.extend(in_vain(source, table).await?.into_iter().map(|column| entry(table, column, "external")));
    }
    Ok(entries)
}

/// What ends that for a table of which `done` says that it was begun.
pub(crate) fn end(table: &Table, done: &BTreeSet<String>) -> Vec<Entry> {
    let begun = table.copied().filter(|column| done.contains(&entry(table, column, "external").key()));
    begun.map(|column| entry(table, column, "extended")).collect()
}

fn entry(table: &Table, column: &Column, storage: &str) -> Entry {
    let name = Ident(&column.name);
    Entry {
        id: 0,
        class: 0,
        oid: 0,
        dependencies: Vec::new(),
        name: format!("{} {}", table.onto.name, column.name),
        kind: "STORAGE".into(),
        schema: table.onto.schema.clone(),
        sql: format!("alter table only {} alter {name} set storage {storage};", table.onto),
    }
}

/// Columns of which the source tried to compress values and kept them as they were.
async fn in_vain<'a>(source: &Session, table: &'a Table) -> Result<Vec<&'a Column>, Error> {
    let columns: Vec<&Column> = table.copied().filter(|column| column.compressible).collect();
    if columns.is_empty() {
        return Ok(columns);
    }
    let seen: Vec<String> = columns
        .iter()
        .map(|column| {
            let (name, size) = (Ident(&column.name), format!("pg_column_size({})", Ident(&column.name)));
            let values = |which: &str| {
                format!("count(*) filter (where {which}), coalesce(sum({size}) filter (where {which}), 0)")
            };
            let compressed = values(&format!("pg_column_compression({name}) is not null"));
            let kept = values(&format!("pg_column_compression({name}) is null and {size} >= {TRIED_BYTES}"));
            format!("{compressed}, {kept}")
        })
        .collect();
    let percent = (SAMPLE_BLOCKS as f64 * 100.0 / table.pages.max(1) as f64).min(100.0);
    // In an array: a row of the answer has room for no more than 1,664 columns.
    let sql = format!(
        "select array[{}] from only {} tablesample system ({percent}) repeatable (0)",
        seen.join(", "),
        table.relation
    );
    let row = source.query_typed_one(&sql, &[]).await.map_err(Error::table(&table.relation.label(), "source"))?;
    let figures: Vec<i64> = row.get(0);
    let seen = columns.into_iter().zip(figures.chunks_exact(4));
    let values = |of: &[i64]| Values { count: of[0], bytes: of[1] };
    let vain = seen.filter(|(_, of)| saves_nothing(values(&of[..2]), values(&of[2..])));
    Ok(vain.map(|(column, _)| column).collect())
}

/// Values of a column: how many, and their bytes as they are kept.
#[derive(Debug, Clone, Copy)]
struct Values {
    count: i64,
    bytes: i64,
}

/// Bytes count too: one huge value that gets small weighs more than a hundred others.
fn saves_nothing(compressed: Values, kept: Values) -> bool {
    kept.count >= LEAST_VALUES && compressed.count * 100 <= kept.count && compressed.bytes * 100 <= kept.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_values_of_which_hardly_any_was_compressed_say_so() {
        let check = |compressed: (i64, i64), kept: (i64, i64), expect: bool| {
            let of = |(count, bytes)| Values { count, bytes };
            assert_eq!(saves_nothing(of(compressed), of(kept)), expect, "{compressed:?} compressed, {kept:?} kept");
        };
        check((0, 0), (LEAST_VALUES, 100_000), true);
        check((0, 0), (LEAST_VALUES - 1, 100_000), false);
        check((10, 1000), (1000, 4_000_000), true);
        check((11, 1000), (1000, 4_000_000), false);
        check((10, 40_000), (1000, 4_000_000), true);
        check((1, 40_001), (1000, 4_000_000), false);
        check((1000, 1_000_000), (0, 0), false);
        check((0, 0), (0, 0), false);
    }
}
