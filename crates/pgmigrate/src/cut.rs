//! How tables are cut into parts, each copied on its own.

use pg_session::Relation;

use crate::catalog::Table;
use crate::selection::Contents;
use crate::state::PartRow;
use crate::survey::Survey;

/// Cuts tables into parts, by ranges of blocks.
pub(crate) fn cut(survey: &Survey, split_bytes: Option<u64>, jobs: usize) -> Vec<PartRow> {
    let mut rows = Vec::new();
    let tables = if survey.wanted.contents == Contents::SchemaOnly { &[] } else { survey.tables.as_slice() };
    for table in tables {
        let wanted = if is_shim(survey, &table.relation) {
            1
        } else {
            parts_of(Size::of(table), survey.bytes(), jobs as u64, split_bytes)
        };
        let parts = wanted.clamp(1, table.pages.clamp(1, 1000));
        let block = |part: u64| i64::try_from(table.pages * part / parts).unwrap_or(i64::MAX);
        for part in 0..parts {
            rows.push(PartRow {
                relation: table.relation.to_string(),
                part: i32::try_from(part).unwrap_or(i32::MAX),
                parts: i32::try_from(parts).unwrap_or(i32::MAX),
                first_block: block(part),
                end_block: (part + 1 < parts).then(|| block(part + 1)),
                // A table without a single block has no row that the snapshot could see.
                done: table.pages == 0,
                rows: 0,
                bytes: 0,
            });
        }
    }
    rows
}

/// What decides how a table is cut.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    /// Most of the bytes are values too large for their row.
    out_of_line: bool,
}

impl Size {
    fn of(table: &Table) -> Self {
        Self { bytes: table.bytes, out_of_line: table.bytes_out_of_line() * 2 > table.bytes }
    }
}

/// Into how many parts a table is cut. Whole is faster as long as every worker has something to do: its rows go in
/// frozen, which spares the target a second write of every page (measured: a quarter of the time on two cores), and a
/// reader and a writer keep two cores busy already. A table so large that other workers would wait for it is cut, and
/// so is one that nobody wants to begin again from its first row. Out-of-line values are compressed by whoever writes
/// them, and no index looks at their pages: such a table gains by a second writer (a fifth) and loses nothing.
fn parts_of(size: Size, all_bytes: u64, jobs: u64, split_bytes: Option<u64>) -> u64 {
    const LEAST_BYTES: u64 = 256 * 1024 * 1024;
    const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;
    let Size { bytes, out_of_line } = size;
    if jobs <= 1 {
        return 1; // nothing to gain
    }
    if let Some(split_bytes) = split_bytes {
        return bytes / split_bytes.max(1);
    }
    let share = all_bytes / jobs;
    let patience = if out_of_line { share } else { 2 * share };
    let outlasts_the_others = bytes > LEAST_BYTES && bytes > patience;
    if outlasts_the_others || bytes > MOST_BYTES {
        return bytes.div_ceil((share / 2).clamp(LEAST_BYTES, MOST_BYTES / 2));
    }
    1
}

/// True for a table of which only some columns come, under the provider's own name.
pub(crate) fn is_shim(survey: &Survey, relation: &Relation) -> bool {
    survey.managed.shim.as_ref().and_then(|s| s.users.as_ref()).is_some_and(|users| users.relation == *relation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_only_where_that_is_worth_it() {
        const GB: u64 = 1024 * 1024 * 1024;
        let check = |bytes: u64, all: u64, jobs: u64, split: Option<u64>, expect: u64| {
            let size = Size { bytes, out_of_line: false };
            assert_eq!(parts_of(size, all, jobs, split), expect, "{bytes} of {all} bytes, {jobs} jobs, {split:?}");
        };
        check(GB, GB, 1, Some(1), 1);
        check(GB, GB, 2, None, 1);
        check(GB, GB, 4, None, 4);
        check(4 * GB, 4 * GB, 4, None, 8);
        check(GB, 4 * GB, 4, None, 1);
        check(20 * GB, 20 * GB, 2, None, 5);
        check(GB / 8, GB / 8, 8, None, 1);
        check(GB, 4 * GB, 4, Some(GB / 2), 2);
        assert_eq!(parts_of(Size { bytes: GB, out_of_line: true }, GB, 2, None), 4);
        assert_eq!(parts_of(Size { bytes: GB, out_of_line: true }, 4 * GB, 2, None), 1);
    }
}
