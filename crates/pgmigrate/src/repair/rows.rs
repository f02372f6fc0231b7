//! The contents of a repair's transactions: rows, sequences, large objects.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pg_session::{Session, literal};

use super::Repair;
use super::sink::Sink;
use super::sql::{Coming, Mend, Part};
use crate::ends::Pair;
use crate::error::Error;
use crate::large_object::{CHUNK_BYTES, Object};
use crate::locate;
use crate::walk::{Difference, Walk};

/// Rows of the source asked for at once.
const BATCH_ROWS: usize = 500;

/// Bytes gathered before they are sent on.
const SEND_BYTES: usize = 64 * 1024;

impl Repair {
    /// The rows of one table that differ, as the data of [`Mend::copy_in`].
    pub(super) async fn rows(
        &self,
        at: usize,
        part: Part,
        target: &Session,
        fetch: &Session,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let (pair, from, to) = &self.comparison.differing[at];
        let mend = self.mend(at);
        let source = &self.comparison.source.session;
        let rows = from.rows.max(to.rows);
        let buckets = locate::differing_buckets(source, target, pair, rows).await?;
        let mut walk = Walk::start(source, target, pair, &buckets).await?;
        sink.begin_copy(&mend.copy_in()).await?;
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        let mut lines = BytesMut::new();
        while let Some(difference) = walk.next().await? {
            let Some(mark) = part.mark(&difference) else { continue };
            match difference {
                Difference::Missing(row) => batch.push(Coming { mark, ctid: row.ctid, replaces: None }),
                Difference::Changed(row, there) => {
                    batch.push(Coming { mark, ctid: row.ctid, replaces: Some(there) });
                }
                Difference::Extra(row) => {
                    lines.extend_from_slice(mend.surplus_line(&row.ctid, row.hash).as_bytes());
                    if lines.len() >= SEND_BYTES {
                        sink.data(lines.split().freeze()).await?;
                    }
                }
            }
            if batch.len() == BATCH_ROWS {
                forward(&mend, pair, &batch, fetch, sink).await?;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            forward(&mend, pair, &batch, fetch, sink).await?;
        }
        if !lines.is_empty() {
            sink.data(lines.freeze()).await?;
        }
        sink.end_copy().await
    }

    pub(super) fn sequences_sql(&self) -> String {
        let calls: Vec<String> = self
            .comparison
            .sequences
            .iter()
            .map(|p| {
                let name = literal(&p.relation.to_string());
                format!("select pg_catalog.setval({name}::pg_catalog.regclass, {}, {});\n", p.last_value, p.is_called)
            })
            .collect();
        format!("begin;\n{}commit;\n", calls.concat())
    }

    pub(super) async fn write_large_objects(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let source = &self.comparison.source.session;
        sink.sql("begin;\n").await?;
        for object in &self.comparison.large_objects {
            sink.sql(&large_object_opening(object)).await?;
            let mut at = 0;
            while at < object.bytes {
                let row = source
                    .query_one(
                        "select pg_catalog.encode(pg_catalog.lo_get($1, $2, $3), 'hex')",
                        &[&object.oid, &at, &i32::try_from(CHUNK_BYTES).unwrap_or(i32::MAX)],
                    )
                    .await
                    .map_err(Error::table("pg_largeobject", "source"))?;
                let hex: String = row.get(0);
                sink.sql(&format!("select pg_catalog.lo_put({}, {at}, '\\x{hex}');\n", object.oid)).await?;
                at += CHUNK_BYTES;
            }
        }
        sink.sql("commit;\n").await
    }
}

/// Reads a batch of rows of the source and hands them on, unparsed.
async fn forward(
    mend: &Mend<'_>,
    pair: &Pair,
    batch: &[Coming],
    fetch: &Session,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let label = pair.relation().label();
    let stream = fetch.copy_out(&mend.copy_out(batch)).await.map_err(Error::table(&label, "source"))?;
    let mut stream = Box::pin(stream);
    let (mut gathered, mut rows) = (BytesMut::new(), 0);
    while let Some(row) = stream.next().await {
        let row: Bytes = row.map_err(Error::table(&label, "source"))?;
        gathered.extend_from_slice(&row);
        rows += 1;
        if gathered.len() >= SEND_BYTES {
            sink.data(gathered.split().freeze()).await?;
        }
    }
    if rows != batch.len() {
        return Err(Error::Internal(format!("{label}: {rows} rows came where {} were asked for", batch.len())));
    }
    sink.data(gathered.freeze()).await
}

/// An object of that number, of no more bytes than it is to have. 393216 is INV_READ and INV_WRITE.
fn large_object_opening(object: &Object) -> String {
    let create =
        if object.is_there() { String::new() } else { format!("select pg_catalog.lo_create({});\n", object.oid) };
    format!("{create}select pg_catalog.lo_truncate64(pg_catalog.lo_open({}, 393216), {});\n", object.oid, object.bytes)
}
