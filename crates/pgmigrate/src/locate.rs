//! Finds the rows in which two tables differ, without moving either.
//!
//! Rows are sorted into buckets by their key's hash and each server sums its buckets. Of the buckets that differ, each
//! server then sends two hashes and the place of every row, in order, and the two streams are compared as they come: no
//! more memory is needed for a million differing rows than for one. Only rows that are to be named are looked at again.

use std::collections::{BTreeMap, BTreeSet};

use pg_session::Session;

use crate::ends::{Pair, TableEnd};
use crate::error::Error;
use crate::sums::{Sum, whole_number};
use crate::verify::{Mismatch, MismatchKind, TableDifference};
use crate::walk::{Buckets, Difference, Place, Walk};

/// Rows a bucket holds on average: few enough to send, enough to keep the number of buckets small.
const ROWS_PER_BUCKET: i64 = 256;

/// Buckets of a table at most: what is kept of each in memory is some 50 bytes.
const BUCKETS_MAX: i64 = 1 << 16;

/// What was found in one table.
pub(crate) struct Found {
    pub difference: TableDifference,
    /// Of at most `limit` rows, by key.
    pub mismatches: Vec<Mismatch>,
}

/// Counts every difference and names `limit` rows.
pub(crate) async fn locate(
    source: &Session,
    target: &Session,
    pair: &Pair,
    rows: i64,
    limit: usize,
) -> Result<Found, Error> {
    let buckets = differing_buckets(source, target, pair, rows).await?;
    let mut difference = TableDifference { table: pair.relation().label(), ..TableDifference::default() };
    let mut shown: Vec<Difference> = Vec::new();
    let mut last = None;
    let mut walk = Walk::start(source, target, pair, &buckets).await?;
    while let Some(next) = walk.next().await? {
        let key = match &next {
            Difference::Missing(at) => {
                difference.missing += 1;
                at.key
            }
            Difference::Extra(at) => {
                difference.extra += 1;
                at.key
            }
            Difference::Changed(at, _) => {
                difference.changed += 1;
                at.key
            }
        };
        // Without a key, all rows that are alike are told of together.
        if shown.len() < limit && (pair.has_key() || last != Some(key)) {
            shown.push(next);
        }
        last = Some(key);
    }
    drop(walk);
    let mut mismatches = if pair.has_key() {
        name_by_key(source, target, pair, &shown).await?
    } else {
        name_by_place(source, target, pair, &shown).await?
    };
    mismatches.sort();
    Ok(Found { difference, mismatches })
}

/// The buckets in which the two ends differ.
pub(crate) async fn differing_buckets(
    source: &Session,
    target: &Session,
    pair: &Pair,
    rows: i64,
) -> Result<Buckets, Error> {
    let count = (rows / ROWS_PER_BUCKET).clamp(1, BUCKETS_MAX);
    let mask = count.unsigned_abs().next_power_of_two().cast_signed() - 1;
    let (left, right) = tokio::try_join!(
        bucket_sums(source, &pair.source, mask, "source"),
        bucket_sums(target, &pair.target, mask, "target")
    )?;
    let numbers = left
        .keys()
        .chain(right.keys().filter(|k| !left.contains_key(k)))
        .copied()
        .filter(|k| left.get(k) != right.get(k))
        .collect();
    Ok(Buckets { mask, numbers })
}

async fn bucket_sums(
    session: &Session,
    end: &TableEnd,
    mask: i64,
    side: &'static str,
) -> Result<BTreeMap<i64, Sum>, Error> {
    let sql = format!(
        "select {} & {mask}, count(*), sum({})::text from {} group by 1",
        end.hash.key_hash,
        end.hash.row,
        end.rows(None)
    );
    let rows = query(session, end, side, &sql, &[]).await?;
    rows.iter().map(|row| Ok((row.get(0), Sum { rows: row.get(1), hash: whole_number(row.get(2))? }))).collect()
}

async fn query(
    session: &Session,
    end: &TableEnd,
    side: &'static str,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    session.query(sql, params).await.map_err(Error::table(&end.table.relation.label(), side))
}

/// A row that is looked at again: its key, its hash, and each column's hash (`None` for NULL).
struct Named {
    key: String,
    hash: i64,
    columns: Vec<Option<i64>>,
}

/// What is at these places, by place.
async fn look_again(
    session: &Session,
    end: &TableEnd,
    side: &'static str,
    places: Vec<&str>,
) -> Result<BTreeMap<String, Named>, Error> {
    let hashes: Vec<&str> = end.hash.columns.iter().map(|(_, sql)| sql.as_str()).collect();
    let sql = format!(
        "select ctid::text, {}, {}, array[{}]::int8[] from {}",
        end.hash.key_text,
        end.hash.row,
        hashes.join(", "),
        end.rows(Some("ctid = any ($1::text[]::pg_catalog.tid[])"))
    );
    let rows = query(session, end, side, &sql, &[&places]).await?;
    Ok(rows.iter().map(|row| (row.get(0), Named { key: row.get(1), hash: row.get(2), columns: row.get(3) })).collect())
}

async fn name_by_key(
    source: &Session,
    target: &Session,
    pair: &Pair,
    shown: &[Difference],
) -> Result<Vec<Mismatch>, Error> {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for difference in shown {
        match difference {
            Difference::Missing(at) => from.push(at.ctid.as_str()),
            Difference::Extra(at) => to.push(at.ctid.as_str()),
            Difference::Changed(a, b) => {
                from.push(&a.ctid);
                to.push(&b.ctid);
            }
        }
    }
    let (from, to) = tokio::try_join!(
        look_again(source, &pair.source, "source", from),
        look_again(target, &pair.target, "target", to)
    )?;
    let at = |side: &BTreeMap<String, Named>, place: &Place| {
        side.get(&place.ctid)
            .map(|n| (pair.source.hash.key_label(&n.key), n.hash, n.columns.clone()))
            .ok_or_else(|| Error::Internal(format!("{}: a row at {} went away", pair.relation().label(), place.ctid)))
    };
    let one = |kind, key, column, source, target| Mismatch {
        table: pair.relation().label(),
        key: Some(key),
        column,
        kind,
        source,
        target,
    };
    let mut found = Vec::new();
    for difference in shown {
        match difference {
            Difference::Missing(place) => {
                let (key, hash, _) = at(&from, place)?;
                found.push(one(MismatchKind::Missing, key, None, Some(digest(hash)), None));
            }
            Difference::Extra(place) => {
                let (key, hash, _) = at(&to, place)?;
                found.push(one(MismatchKind::Extra, key, None, None, Some(digest(hash))));
            }
            Difference::Changed(a, b) => {
                let ((key, _, mine), (_, _, theirs)) = (at(&from, a)?, at(&to, b)?);
                for ((name, _), (a, b)) in pair.source.hash.columns.iter().zip(mine.iter().zip(&theirs)) {
                    if a != b {
                        let shown = |v: &Option<i64>| Some(v.map_or_else(|| "null".to_owned(), digest));
                        found.push(one(MismatchKind::Changed, key.clone(), Some(name.clone()), shown(a), shown(b)));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Rows themselves are the keys; what can differ is how often each is there.
async fn name_by_place(
    source: &Session,
    target: &Session,
    pair: &Pair,
    shown: &[Difference],
) -> Result<Vec<Mismatch>, Error> {
    let hashes: BTreeSet<i64> = shown
        .iter()
        .map(|difference| match difference {
            Difference::Missing(at) | Difference::Extra(at) | Difference::Changed(at, _) => at.hash,
        })
        .collect();
    let hashes: Vec<i64> = hashes.into_iter().collect();
    let (from, to) = tokio::try_join!(
        counts(source, &pair.source, "source", &hashes),
        counts(target, &pair.target, "target", &hashes)
    )?;
    Ok(hashes
        .iter()
        .map(|hash| {
            let (a, b) = (from.get(hash), to.get(hash));
            let count = |end: Option<&(i64, String)>| end.map_or(0, |(count, _)| *count);
            let (kind, side, end) = if count(a) > count(b) {
                (MismatchKind::Missing, "source", a)
            } else {
                (MismatchKind::Extra, "target", b)
            };
            let place = end.map_or("", |(_, place)| place);
            Mismatch {
                table: pair.relation().label(),
                key: Some(format!("row at ctid {place} of the {side}")),
                column: None,
                kind,
                source: Some(format!("{} such row(s)", count(a))),
                target: Some(format!("{} such row(s)", count(b))),
            }
        })
        .collect())
}

/// Hash of a row -> how many such rows, and where the first is.
async fn counts(
    session: &Session,
    end: &TableEnd,
    side: &'static str,
    hashes: &[i64],
) -> Result<BTreeMap<i64, (i64, String)>, Error> {
    let sql = format!(
        "select {0}, count(*), min(ctid)::text from {1} group by 1",
        end.hash.row,
        end.rows(Some(&format!("{} = any ($1)", end.hash.row)))
    );
    let rows = query(session, end, side, &sql, &[&hashes]).await?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}

/// In hexadecimal.
fn digest(hash: i64) -> String {
    format!("{hash:016x}")
}
