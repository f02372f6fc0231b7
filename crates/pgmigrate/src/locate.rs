//! Finds the rows in which two tables differ, without moving either.
//!
//! Rows are sorted into buckets by their key's hash and each server sums its buckets; only the keys of buckets that
//! differ travel.

use std::collections::BTreeMap;

use pg_session::Session;

use crate::catalog::Table;
use crate::error::Error;
use crate::verify::{Mismatch, MismatchKind, Pair, Sum, whole_number};

/// Rows a bucket holds on average: few enough to fetch, enough to keep the number of buckets small.
const ROWS_PER_BUCKET: i64 = 256;

/// Buckets whose keys are fetched at once.
const BUCKETS_AT_ONCE: usize = 16;

/// Up to `limit` differences and one more, if there are that many.
pub(crate) async fn locate(
    source: &Session,
    target: &Session,
    pair: &Pair,
    rows: i64,
    limit: usize,
) -> Result<Vec<Mismatch>, Error> {
    let (from, to) = (End::new(source, &pair.source, "source"), End::new(target, &pair.target, "target"));
    let buckets = (rows / ROWS_PER_BUCKET).clamp(1, 1 << 16);
    let mask = i64::try_from(u64::try_from(buckets).unwrap_or(1).next_power_of_two()).unwrap_or(1) - 1;
    let (left, right) = tokio::try_join!(from.buckets(pair, mask), to.buckets(pair, mask))?;
    let differing: Vec<i64> = left
        .keys()
        .chain(right.keys().filter(|k| !left.contains_key(k)))
        .copied()
        .filter(|k| left.get(k) != right.get(k))
        .collect();
    let mut found = Vec::new();
    for some in differing.chunks(BUCKETS_AT_ONCE) {
        found.extend(differences(&from, &to, pair, mask, some).await?);
        if found.len() > limit {
            break;
        }
    }
    found.sort();
    Ok(found)
}

/// One side of a comparison.
struct End<'a> {
    session: &'a Session,
    table: &'a Table,
    side: &'static str,
    label: String,
}

impl<'a> End<'a> {
    fn new(session: &'a Session, table: &'a Table, side: &'static str) -> Self {
        Self { session, table, side, label: table.relation.label() }
    }

    async fn query(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        self.session.query(sql, params).await.map_err(Error::table(&self.label, self.side))
    }

    async fn buckets(&self, pair: &Pair, mask: i64) -> Result<BTreeMap<i64, Sum>, Error> {
        let sql = format!(
            "select {} & {mask}, count(*), sum({})::text from {} group by 1",
            pair.hash.key_hash,
            pair.hash.row,
            self.table.rows_sql()
        );
        let rows = self.query(&sql, &[]).await?;
        rows.iter().map(|row| Ok((row.get(0), Sum { rows: row.get(1), hash: whole_number(row.get(2))? }))).collect()
    }

    /// Key -> (hash of the row, how many such rows, where one of them is).
    async fn rows(&self, pair: &Pair, mask: i64, buckets: &[i64]) -> Result<BTreeMap<String, Found>, Error> {
        let sql = format!(
            "select {}, sum({})::text, count(*), min(ctid)::text from {} where {} & {mask} = any ($1) group by 1",
            pair.hash.key_text,
            pair.hash.row,
            self.table.rows_sql(),
            pair.hash.key_hash
        );
        let rows = self.query(&sql, &[&buckets]).await?;
        rows.iter()
            .map(|row| {
                Ok((row.get(0), Found { hash: whole_number(row.get(1))?, count: row.get(2), place: row.get(3) }))
            })
            .collect()
    }

    /// Key -> hash of each column, `None` for NULL.
    async fn columns(
        &self,
        pair: &Pair,
        mask: i64,
        buckets: &[i64],
        keys: &[&str],
    ) -> Result<BTreeMap<String, Vec<Option<i64>>>, Error> {
        let hashes: Vec<&str> = pair.hash.columns.iter().map(|(_, sql)| sql.as_str()).collect();
        let sql = format!(
            "select {0}, array[{1}] from {2} where {3} & {mask} = any ($1) and {0} = any ($2)",
            pair.hash.key_text,
            hashes.join(", "),
            self.table.rows_sql(),
            pair.hash.key_hash
        );
        let rows = self.query(&sql, &[&buckets, &keys]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    hash: i128,
    count: i64,
    place: String,
}

async fn differences(
    from: &End<'_>,
    to: &End<'_>,
    pair: &Pair,
    mask: i64,
    buckets: &[i64],
) -> Result<Vec<Mismatch>, Error> {
    let (left, right) = tokio::try_join!(from.rows(pair, mask, buckets), to.rows(pair, mask, buckets))?;
    let mismatch = |kind, key: String, column: Option<String>, source: Option<String>, target: Option<String>| {
        Mismatch { table: from.label.clone(), key: Some(key), column, kind, source, target }
    };
    if pair.hash.key.is_empty() {
        return Ok(without_key(&left, &right)
            .into_iter()
            .map(|(kind, key, source, target)| mismatch(kind, key, None, Some(source), Some(target)))
            .collect());
    }
    let mut found = Vec::new();
    let mut changed = Vec::new();
    for (key, row) in &left {
        match right.get(key) {
            None => found.push(mismatch(
                MismatchKind::Missing,
                pair.hash.key_label(key),
                None,
                Some(digest(row.hash)),
                None,
            )),
            Some(twin) if twin.hash != row.hash => changed.push(key.as_str()),
            Some(_) => {}
        }
    }
    for (key, row) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
        found.push(mismatch(MismatchKind::Extra, pair.hash.key_label(key), None, None, Some(digest(row.hash))));
    }
    let (mine, theirs) =
        tokio::try_join!(from.columns(pair, mask, buckets, &changed), to.columns(pair, mask, buckets, &changed))?;
    for (key, values) in &mine {
        let Some(others) = theirs.get(key) else { continue };
        for ((name, _), (a, b)) in pair.hash.columns.iter().zip(values.iter().zip(others)) {
            if a != b {
                let shown = |v: &Option<i64>| Some(v.map_or_else(|| "null".to_owned(), |v| digest(v.into())));
                found.push(mismatch(
                    MismatchKind::Changed,
                    pair.hash.key_label(key),
                    Some(name.clone()),
                    shown(a),
                    shown(b),
                ));
            }
        }
    }
    Ok(found)
}

/// Rows themselves are the keys; what can differ is how often each is there.
fn without_key(
    left: &BTreeMap<String, Found>,
    right: &BTreeMap<String, Found>,
) -> Vec<(MismatchKind, String, String, String)> {
    let count = |side: &BTreeMap<String, Found>, key: &String| side.get(key).map_or(0, |f| f.count);
    let keys = left.keys().chain(right.keys().filter(|k| !left.contains_key(*k)));
    keys.filter_map(|key| {
        let (a, b) = (count(left, key), count(right, key));
        let (kind, side, place) = match a.cmp(&b) {
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => (MismatchKind::Missing, "source", &left[key].place),
            std::cmp::Ordering::Less => (MismatchKind::Extra, "target", &right[key].place),
        };
        Some((
            kind,
            format!("row at ctid {place} of the {side}"),
            format!("{a} such row(s)"),
            format!("{b} such row(s)"),
        ))
    })
    .collect()
}

/// The low 64 bits, in hexadecimal.
fn digest(hash: i128) -> String {
    format!("{:016x}", hash & i128::from(u64::MAX))
}
