//! The transactions of a repair, in an order in which foreign keys hold after each.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::{Mode, Part};

/// One transaction of a repair.
#[derive(Debug, Clone, Copy)]
pub(super) enum Section {
    Table { at: usize, part: Part },
    Sequences,
    LargeObjects,
}

/// What mends these tables, given by oid. `pointing` has for each table those whose foreign keys point at it.
pub(super) fn sections(tables: &[u32], pointing: &BTreeMap<u32, BTreeSet<u32>>, mode: Mode) -> Vec<Section> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for at in parents_first(tables, pointing) {
        if mode == Mode::Replica || !pointing.contains_key(&tables[at]) {
            first.push(Section::Table { at, part: Part::Whole });
        } else {
            first.push(Section::Table { at, part: Part::Rows });
            last.push(Section::Table { at, part: Part::Surplus });
        }
    }
    first.extend(last.into_iter().rev());
    first
}

/// Tables that are pointed at come before those that point at them, circles aside.
fn parents_first(tables: &[u32], pointing: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<usize> {
    let points_at = |child: usize, parent: usize| {
        child != parent && pointing.get(&tables[parent]).is_some_and(|children| children.contains(&tables[child]))
    };
    let mut waiting: Vec<usize> = (0..tables.len()).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let (mut ready, mut rest): (Vec<usize>, Vec<usize>) =
            waiting.iter().partition(|child| !waiting.iter().any(|parent| points_at(**child, *parent)));
        if ready.is_empty() {
            ready.push(rest.remove(0)); // a circle: any of them, and what is refused is tried again
        }
        waiting = rest;
        order.append(&mut ready);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_children_and_lose_rows_after_them() {
        let check = |tables: &[u32], points: &[(u32, u32)], mode, expect: &str| {
            let mut pointing: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for (child, parent) in points {
                pointing.entry(*parent).or_default().insert(*child);
            }
            let shown = sections(tables, &pointing, mode).into_iter().map(|section| match section {
                Section::Table { at, part: Part::Whole } => tables[at].to_string(),
                Section::Table { at, part: Part::Rows } => format!("+{}", tables[at]),
                Section::Table { at, part: Part::Surplus } => format!("-{}", tables[at]),
                other => format!("{other:?}"),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expect);
        };
        check(&[1, 2], &[], Mode::Ordinary, "1 2");
        check(&[1, 2], &[(1, 2)], Mode::Replica, "2 1");
        check(&[1, 2, 3], &[(1, 2), (2, 3)], Mode::Ordinary, "+3 +2 1 -2 -3");
        check(&[1], &[(1, 1)], Mode::Ordinary, "+1 -1");
        check(&[1, 2], &[(1, 2), (2, 1)], Mode::Ordinary, "+1 +2 -2 -1");
    }
}
