//! Goes through the rows of a table on both ends side by side, in the order of their keys' hashes, and stops where they
//! differ. Holds one row of each end, whatever the table.

use std::cmp::Ordering;
use std::pin::Pin;

use futures_util::TryStreamExt;
use pg_session::Session;
use tokio_postgres::RowStream;
use tokio_postgres::types::ToSql;

use crate::ends::{Pair, TableEnd};
use crate::error::Error;

/// A row that only one end has, or that both have with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// On the source only.
    Missing(Place),
    /// On the target only.
    Extra(Place),
    /// On the source, and what the target has under the same key.
    Changed(Place, Place),
}

/// Where a row is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Hash of the key; of the row where there is no key.
    pub key: i64,
    /// Hash of the row.
    pub hash: i64,
    /// Its ctid, which names it as long as its table's snapshot is held.
    pub ctid: String,
}

/// Only rows whose key's hash, masked, is one of `numbers`.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    pub mask: i64,
    pub numbers: Vec<i64>,
}

/// Both ends' rows, sorted by the servers.
pub(crate) struct Walk {
    source: Rows,
    target: Rows,
}

impl Walk {
    /// Starts it. Neither session may be used for anything else until the walk is dropped.
    pub async fn start(source: &Session, target: &Session, pair: &Pair, buckets: &Buckets) -> Result<Self, Error> {
        let (source, target) = tokio::try_join!(
            Rows::start(source, &pair.source, buckets, "source"),
            Rows::start(target, &pair.target, buckets, "target")
        )?;
        Ok(Self { source, target })
    }

    /// The next difference, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Difference>, Error> {
        loop {
            let order = match (&self.source.head, &self.target.head) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.key.cmp(&b.key),
            };
            let from = if order.is_le() { self.source.take().await? } else { None };
            let to = if order.is_ge() { self.target.take().await? } else { None };
            match (from, to) {
                // Without a key, equal keys are equal rows, and each is matched with one other.
                (Some(a), Some(b)) if a.hash == b.hash => {}
                (Some(a), Some(b)) => return Ok(Some(Difference::Changed(a, b))),
                (Some(a), None) => return Ok(Some(Difference::Missing(a))),
                (None, Some(b)) => return Ok(Some(Difference::Extra(b))),
                (None, None) => {}
            }
        }
    }
}

/// One end's rows.
struct Rows {
    stream: Pin<Box<RowStream>>,
    head: Option<Place>,
    label: String,
    side: &'static str,
}

impl Rows {
    async fn start(session: &Session, end: &TableEnd, buckets: &Buckets, side: &'static str) -> Result<Self, Error> {
        let condition = format!("{} & {} = any ($1)", end.hash.key_hash, buckets.mask);
        let sql = format!(
            "select {}, {}, ctid::text from {} order by 1, 2, ctid",
            end.hash.key_hash,
            end.hash.row,
            end.rows(Some(&condition))
        );
        let label = end.table.relation.label();
        let numbers: &(dyn ToSql + Sync) = &buckets.numbers;
        let stream = session.query_raw(&sql, [numbers]).await.map_err(Error::table(&label, side))?;
        let mut rows = Self { stream: Box::pin(stream), head: None, label, side };
        rows.take().await?;
        Ok(rows)
    }

    /// The head, after which the next row is the head.
    async fn take(&mut self) -> Result<Option<Place>, Error> {
        let next = self.stream.try_next().await.map_err(Error::table(&self.label, self.side))?;
        let next = next.map(|row| Place { key: row.get(0), hash: row.get(1), ctid: row.get(2) });
        Ok(std::mem::replace(&mut self.head, next))
    }
}
