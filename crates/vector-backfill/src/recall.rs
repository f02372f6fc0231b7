//! How much of what an exact search would find the index finds, and how many lists it must look into for that.

use std::collections::BTreeMap;
use std::time::Instant;

use pg_session::{Access, Ident, PgUrl, Relation, Session, literal};
use pgvector::Vector;
use runbook::{Context, Progress};
use serde::{Deserialize, Serialize};

use crate::embedder::Embedder;
use crate::enable::Pgvector;
use crate::error::Error;
use crate::exact;
use crate::lift::SplitMix64;
use crate::search::{Place, check_k, embed_query, use_index_sql};
use crate::table::blocks;

/// Distances nearer to each other than this are a tie: the server adds up 1536 products in single precision.
const TIE: f64 = 1e-5;

/// Queries also asked of the server without its index, to prove that our own exact search is right and to time it.
const ASKED_TWICE: usize = 3;

/// Queries taken from the table when none are given.
pub const QUERIES_DEFAULT: usize = 100;

/// What to measure, and what it must reach.
#[derive(Debug, Clone)]
pub struct RecallOptions {
    /// The database.
    pub target: PgUrl,
    /// The table.
    pub table: Relation,
    /// The column with the texts.
    pub text: String,
    /// The vector column.
    pub column: String,
    /// Neighbours asked for.
    pub k: usize,
    /// Mean recall to reach, 0 to 1.
    pub min_recall: f64,
    /// The slowest acceptable search of twenty, in milliseconds.
    pub max_p95_ms: Option<f64>,
    /// Texts to search for; rows of the table with every third word left out, unless given.
    pub queries: Vec<String>,
}

/// One number of probes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Lists looked into.
    pub probes: u32,
    /// Mean share of the true neighbours found.
    pub recall: f64,
    /// Lower end of its 95% confidence interval.
    pub recall_low: f64,
    /// Upper end.
    pub recall_high: f64,
    /// Median milliseconds of a search, seen from here.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecallReport {
    /// The smallest number of probes that reaches the recall asked for, or every list.
    #[serde(flatten)]
    pub chosen: Point,
    /// Neighbours asked for.
    pub k: usize,
    /// Queries asked.
    pub queries: usize,
    /// Rows that have a vector.
    pub rows: u64,
    /// Lists of the index.
    pub lists: u32,
    /// Milliseconds of an exact search on the server (median of a few).
    pub exact_ms: f64,
    /// Whether the planner takes the index by itself; if not, searches need `enable_seqscan = off`.
    pub planner_uses_index: bool,
    /// Everything measured, by probes.
    pub curve: Vec<Point>,
}

/// Measures recall@k and latency for growing numbers of probes until the recall asked for is reached. Changes nothing.
///
/// # Errors
/// [`Error::Blocked`] when there is no index or nothing to ask. A missed gate is no error here; see [`RecallOptions::gate`].
pub async fn measure_recall(
    options: &RecallOptions,
    embedder: &dyn Embedder,
    cx: &Context,
) -> Result<RecallReport, Error> {
    options.check()?;
    let mut session = Session::connect(&options.target, Access::ReadOnly).await?;
    let place =
        Place::resolve(&session, &options.table, Some(&options.text), &options.column, embedder.dimensions()).await?;
    let lists = place.lists.ok_or_else(|| {
        Error::Blocked(vec![blocks(
            format!("column {}.{}", options.table.label(), options.column),
            "it has no ivfflat index",
            "build it first: step vector.index, or `tierlift vector index`",
        )])
    })?;
    let queries = held_out_queries(&session, options, embedder).await?;
    let texts = queries.len();
    let plain: Vec<Vec<f32>> = queries.iter().map(|query| query.as_slice().to_vec()).collect();
    let (kth, rows) = exact::kth_distances(&session, &place, plain, options.k).await?;
    let there = options.k.min(usize::try_from(rows).unwrap_or(usize::MAX)).max(1);
    let mut bench = Bench { session: &mut session, place: &place, queries: &queries, kth: &kth, k: options.k, there };
    let exact_ms = bench.confirm_exact().await?;
    let planner_uses_index = bench.planner_uses_index().await?;
    let (chosen, curve) = choose_probes(&mut bench, lists, options.min_recall, cx).await?;
    if !planner_uses_index {
        cx.note(
            "the planner would scan the table, because it does not count the vectors in TOAST: searches need \
             `set local enable_seqscan = off`",
        );
    }
    Ok(RecallReport { chosen, k: options.k, queries: texts, rows, lists, exact_ms, planner_uses_index, curve })
}

impl RecallOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_k(self.k)?;
        let bad = |object: String, message: &str| Err(Error::Argument { object, message: message.to_owned() });
        if !(self.min_recall > 0.0 && self.min_recall <= 1.0) {
            return bad(format!("min_recall {}", self.min_recall), "it is not above 0 and at most 1");
        }
        match self.max_p95_ms {
            Some(ms) if ms.is_nan() || ms <= 0.0 => bad(format!("max_p95_ms {ms}"), "it is not above 0"),
            _ => Ok(()),
        }
    }

    /// Whether what was measured is good enough.
    ///
    /// # Errors
    /// [`Error::Gate`] says what was missed.
    pub fn gate(&self, measured: &RecallReport) -> Result<(), Error> {
        let Point { probes, recall, p95_ms, .. } = measured.chosen;
        let object = format!("index on {}.{}", self.table.label(), self.column);
        if recall < self.min_recall {
            return Err(Error::Gate {
                object,
                message: format!(
                    "recall@{} is {recall:.3} with {probes} of {} lists, below {}",
                    self.k, measured.lists, self.min_recall
                ),
                hint: "rebuild the index with fewer lists, or accept a lower min_recall".into(),
            });
        }
        match self.max_p95_ms {
            Some(limit) if p95_ms > limit => Err(Error::Gate {
                object,
                message: format!("one search in twenty takes over {p95_ms:.0} ms, more than {limit} ms"),
                hint: "rebuild the index with more lists, use a larger machine, or accept a lower min_recall".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// The texts given, or rows of the table changed so that they are not among what is searched.
async fn held_out_queries(
    session: &Session,
    options: &RecallOptions,
    embedder: &dyn Embedder,
) -> Result<Vec<Vector>, Error> {
    if !options.queries.is_empty() {
        return options.queries.iter().map(|query| embed_query(query, embedder)).collect();
    }
    let (text, column) = (Ident(&options.text), Ident(&options.column));
    let sql = format!(
        "select t.{text}::text from {table} t
          where t.{column} is not null and t.{text}::text ~ '[^[:space:]]'
          order by sha256(convert_to(t.{text}::text, 'UTF8')) limit {QUERIES_DEFAULT}",
        table = options.table
    );
    let failed = Error::statement(format!("table {}", options.table.label()), "cannot sample its texts");
    let rows = session.query(&sql, &[]).await.map_err(failed)?;
    let mut random = SplitMix64(0x7265_6361_6c6c);
    let texts: Vec<String> = rows.iter().map(|row| without_every_third_word(row.get(0), &mut random)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let queries: Vec<Vector> = embedder.embed(&texts).into_iter().flatten().map(Vector::from).collect();
    if queries.is_empty() {
        return Err(Error::Blocked(vec![blocks(
            format!("table {}", options.table.label()),
            "it holds no embedded text to ask for",
            "backfill it first: step vector.backfill, or `tierlift vector backfill`",
        )]));
    }
    Ok(queries)
}

/// Leaves out about a third of the words, as somebody who half remembers. Texts of less than three words stay.
fn without_every_third_word(text: &str, random: &mut SplitMix64) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let kept: Vec<&str> = words.iter().copied().filter(|_| !random.next().is_multiple_of(3)).collect();
    if words.len() < 3 || kept.is_empty() { text.to_owned() } else { kept.join(" ") }
}

/// The smallest number of probes that reaches the target, found by doubling and then halving the gap; and all that was
/// measured on the way.
async fn choose_probes(
    bench: &mut Bench<'_>,
    lists: u32,
    target: f64,
    cx: &Context,
) -> Result<(Point, Vec<Point>), Error> {
    let mut curve = BTreeMap::new();
    let (mut too_few, mut probes) = (0, 1);
    let mut chosen = loop {
        let point = bench.measure(probes).await?;
        curve.insert(probes, point);
        report(cx, curve.len() * bench.queries.len(), false);
        if point.recall >= target || probes == lists {
            break point;
        }
        too_few = probes;
        probes = (probes * 2).min(lists);
    };
    while chosen.recall >= target && chosen.probes - too_few > 1 {
        let middle = too_few + (chosen.probes - too_few) / 2;
        let point = bench.measure(middle).await?;
        curve.insert(middle, point);
        report(cx, curve.len() * bench.queries.len(), false);
        if point.recall >= target { chosen = point } else { too_few = middle }
    }
    report(cx, curve.len() * bench.queries.len(), true);
    Ok((chosen, curve.into_values().collect()))
}

/// The unit is queries asked; how many there will be is not known beforehand.
fn report(cx: &Context, asked: usize, finished: bool) {
    let item = "ask queries of the index".to_owned();
    cx.progress(Progress { item, rows: asked as u64, finished, ..Progress::default() });
}

/// Queries with their true answers, and a session to ask them in.
struct Bench<'a> {
    session: &'a mut Session,
    place: &'a Place,
    queries: &'a [Vector],
    /// Distance of each query's true `k`th neighbour.
    kth: &'a [f64],
    k: usize,
    /// Neighbours there can be: `k`, or all rows of a small table.
    there: usize,
}

impl Bench<'_> {
    fn failed(&self) -> impl FnOnce(tokio_postgres::Error) -> Error + use<> {
        Error::statement(format!("table {}", self.place.relation.label()), "cannot search it")
    }

    async fn measure(&mut self, probes: u32) -> Result<Point, Error> {
        let answers = self.ask(&use_index_sql(Some(probes)), self.queries.len()).await?;
        let share = |(distances, kth): (&Vec<f64>, &f64)| {
            let found = distances.iter().filter(|distance| **distance <= kth + TIE).count();
            found.min(self.there) as f64 / self.there as f64
        };
        let shares: Vec<f64> = answers.iter().map(|(distances, _)| distances).zip(self.kth).map(share).collect();
        let n = shares.len() as f64;
        let recall = shares.iter().sum::<f64>() / n;
        let variance = shares.iter().map(|share| (share - recall).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let margin = 1.96 * (variance / n).sqrt();
        let times: Vec<f64> = answers.into_iter().map(|(_, ms)| ms).collect();
        Ok(Point {
            probes,
            recall,
            recall_low: (recall - margin).max(0.0),
            recall_high: (recall + margin).min(1.0),
            p50_ms: percentile(&times, 0.5),
            p95_ms: percentile(&times, 0.95),
        })
    }

    /// The server's own exact search must agree with ours. Returns its median milliseconds.
    async fn confirm_exact(&mut self) -> Result<f64, Error> {
        let n = self.queries.len().min(ASKED_TWICE);
        let answers = self.ask("set local enable_indexscan = off; set local enable_bitmapscan = off", n).await?;
        for ((distances, _), kth) in answers.iter().zip(self.kth) {
            let last = distances.last().copied().unwrap_or(f64::INFINITY);
            if (last - kth).abs() > TIE {
                return Err(Error::Internal(format!(
                    "the server's exact search puts the {}th neighbour at {last}, ours at {kth}",
                    self.k
                )));
            }
        }
        let times: Vec<f64> = answers.into_iter().map(|(_, ms)| ms).collect();
        Ok(percentile(&times, 0.5))
    }

    async fn planner_uses_index(&mut self) -> Result<bool, Error> {
        let sql = format!("explain {}", self.place.nearest_sql(&format!("t.{}", self.place.key)));
        let limit = check_k(self.k)?;
        let rows = self.session.query(&sql, &[&self.queries[0], &limit]).await.map_err(self.failed())?;
        Ok(rows.iter().any(|row| row.get::<_, &str>(0).contains("Index Scan")))
    }

    /// The distances each of the first `n` queries gets, and its milliseconds.
    async fn ask(&mut self, settings: &str, n: usize) -> Result<Vec<(Vec<f64>, f64)>, Error> {
        let failed = || Error::statement(format!("table {}", self.place.relation.label()), "cannot search it");
        let sql = self.place.nearest_sql(&format!("t.{}", self.place.key));
        let limit = check_k(self.k)?;
        let transaction = self.session.transaction().await.map_err(failed())?;
        transaction.batch_execute(settings).await.map_err(failed())?;
        let statement = transaction.prepare(&sql).await.map_err(failed())?;
        // Once unmeasured, so that the first query does not pay for loading the library and the index's centres.
        transaction.query(&statement, &[&self.queries[0], &limit]).await.map_err(failed())?;
        let mut answers = Vec::with_capacity(n);
        for query in &self.queries[..n] {
            let started = Instant::now();
            let rows = transaction.query(&statement, &[query, &limit]).await.map_err(failed())?;
            let ms = started.elapsed().as_secs_f64() * 1e3;
            answers.push((rows.iter().map(|row| row.get(1)).collect(), ms));
        }
        transaction.rollback().await.map_err(failed())?;
        Ok(answers)
    }
}

/// Nearest rank.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// What the database's `ivfflat.probes` was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbesBefore {
    /// `None` when it was not set.
    pub probes: Option<String>,
}

/// What `ivfflat.probes` is set to for the whole database. Read-only.
///
/// # Errors
/// When it can't be read.
pub async fn probes_before(target: &PgUrl) -> Result<ProbesBefore, Error> {
    let session = Session::connect(target, Access::ReadOnly).await?;
    let row = session
        .query_opt(
            "select split_part(setting, '=', 2)
               from pg_catalog.pg_db_role_setting s
               join pg_catalog.pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) setting
              where d.datname = current_database() and s.setrole = 0 and setting like 'ivfflat.probes=%'",
            &[],
        )
        .await
        .map_err(Error::on(&session))?;
    Ok(ProbesBefore { probes: row.map(|row| row.get(0)) })
}

/// Sets `ivfflat.probes` for every new session of the database; `None` unsets it.
///
/// # Errors
/// When the role does not own the database.
pub async fn store_probes(target: &PgUrl, probes: Option<&str>) -> Result<(), Error> {
    let session = Session::connect(target, Access::ReadWrite).await?;
    let schema = Pgvector::require_schema(&session).await?;
    let database = Ident(target.dbname());
    let change = match probes {
        Some(probes) => format!("set ivfflat.probes = {}", literal(probes)),
        None => "reset ivfflat.probes".to_owned(),
    };
    // Only a superuser may store a setting whose library the server has not loaded.
    let sql = format!("select '[1]'::{}.vector; alter database {database} {change}", Ident(&schema));
    let refused = Error::statement(format!("database {}", target.dbname()), "cannot store ivfflat.probes");
    session.batch_execute(&sql).await.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (share, expect) in [(0.5, 50.0), (0.95, 95.0), (1.0, 100.0), (0.001, 1.0)] {
            assert_eq!(percentile(&values, share), expect, "{share}");
        }
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
    }

    #[test]
    fn queries_are_held_out() {
        let mut random = SplitMix64(1);
        let text = "I lie awake until three in the morning and the night feels endless";
        let query = without_every_third_word(text, &mut random);
        assert!(query != text && query.split(' ').count() >= 4, "{query}");
        assert_eq!(without_every_third_word("two words", &mut random), "two words");
    }
}
