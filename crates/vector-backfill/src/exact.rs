//! Exact nearest neighbours of many queries at once: every vector is fetched once and compared with all of them here.
//!
//! Asking the server query by query fetches every vector from TOAST each time: half a second each at 50,000 rows, where
//! this takes two seconds for a hundred queries.

use futures_util::{TryStreamExt, pin_mut};
use pg_session::Session;
use pgvector::Vector;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::BinaryCopyOutStream;

use crate::error::Error;
use crate::search::Place;

/// Vectors compared at a time; 6 MB of them at 1536 dimensions would not stay in a processor's cache, 400 kB does.
const BATCH: usize = 64;

/// For each query the distance of its `k`th nearest row (or of its farthest, when there are fewer), and the number of rows.
pub(crate) async fn kth_distances(
    session: &Session,
    place: &Place,
    queries: Vec<Vec<f32>>,
    k: usize,
) -> Result<(Vec<f64>, u64), Error> {
    let object = format!("table {}", place.relation.label());
    let failed = || Error::statement(object.clone(), "cannot read its vectors");
    let kind = session.prepare(&format!("select null::{}.vector", place.schema)).await.map_err(failed())?;
    let column = kind.columns().first().ok_or_else(|| Error::Internal("a select of one column has none".into()))?;
    let sql = format!(
        "copy (select t.{0} from {1} t where t.{0} is not null) to stdout (format binary)",
        place.column, place.relation
    );
    let rows = BinaryCopyOutStream::new(session.copy_out(&sql).await.map_err(failed())?, &[column.type_().clone()]);
    pin_mut!(rows);

    let (batches, mut waiting) = mpsc::channel::<Vec<Vector>>(8);
    let comparing = tokio::task::spawn_blocking(move || {
        let mut nearest: Vec<Nearest> = queries.iter().map(|query| Nearest::of(query, k)).collect();
        let mut seen = 0u64;
        while let Some(batch) = waiting.blocking_recv() {
            seen += batch.len() as u64;
            let lengths: Vec<f32> = batch.iter().map(|vector| length(vector.as_slice())).collect();
            for (query, nearest) in queries.iter().zip(&mut nearest) {
                for (vector, length) in batch.iter().zip(&lengths) {
                    nearest.offer(dot(query, vector.as_slice()), *length);
                }
            }
        }
        (nearest.into_iter().map(Nearest::kth_distance).collect(), seen)
    });
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = rows.try_next().await.map_err(failed())? {
        batch.push(row.try_get::<Vector>(0).map_err(failed())?);
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            // Nobody receives only when comparing panicked, and joining says so.
            drop(batches.send(full).await);
        }
    }
    drop(batches.send(batch).await);
    drop(batches);
    comparing.await.map_err(|error| Error::Internal(format!("comparing vectors panicked: {error}")))
}

/// The `k` best similarities so far, sorted, best first.
struct Nearest {
    best: Vec<f32>,
    k: usize,
    query_length: f32,
}

impl Nearest {
    fn of(query: &[f32], k: usize) -> Self {
        Self { best: Vec::with_capacity(k + 1), k, query_length: length(query) }
    }

    fn offer(&mut self, dot: f32, length: f32) {
        let similarity = dot / (length * self.query_length);
        if self.best.len() == self.k && self.best.last().is_some_and(|worst| similarity <= *worst) {
            return;
        }
        let at = self.best.partition_point(|other| *other > similarity);
        self.best.insert(at, similarity);
        self.best.truncate(self.k);
    }

    fn kth_distance(self) -> f64 {
        self.best.last().map_or(f64::INFINITY, |similarity| 1.0 - f64::from(*similarity))
    }
}

fn length(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt()
}

/// Sixteen running sums, so that the compiler may use whole vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0f32; LANES];
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_kth_best() {
        let check = |k: usize, offered: &[f32], expect: f64| {
            let mut nearest = Nearest::of(&[1.0], k);
            offered.iter().for_each(|similarity| nearest.offer(*similarity, 1.0));
            assert!((nearest.kth_distance() - expect).abs() < 1e-6 || expect.is_infinite(), "{k} of {offered:?}");
        };
        check(1, &[0.5, 1.0, 0.25], 0.0);
        check(2, &[0.5, 1.0, 0.25], 0.5);
        check(2, &[0.5, 0.5, 0.5], 0.5);
        check(5, &[0.5, 0.75], 0.5);
        check(3, &[], f64::INFINITY);
    }

    #[test]
    fn dot_takes_any_length() {
        for n in [0usize, 1, 15, 16, 17, 1536] {
            let v: Vec<f32> = (0..n).map(|i| (i % 7) as f32).collect();
            let expect: f32 = v.iter().map(|x| x * x).sum();
            assert!((dot(&v, &v) - expect).abs() <= expect * 1e-6, "{n}");
        }
    }
}
