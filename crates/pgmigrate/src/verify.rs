//! Compares contents, not counts: each server hashes its own rows, only sums travel, and where they differ the rows are
//! found by their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use pg_session::{Access, PgUrl, Relation, Session};
use runbook::Context;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Column, Table};
use crate::endpoint;
use crate::ends::{self, End, Pair, TableEnd};
use crate::error::Error;
use crate::finish::{self, Position};
use crate::large_object;
use crate::locate;
use crate::mapping;
use crate::refused::{self, Absent, LeftOut};
use crate::row_hash::{self, Hashing, RowHash};
use crate::selection::{Contents, Selection};
use crate::state;
use crate::sums::{self, Sum};
use crate::survey::Survey;

/// What to compare.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where the data came from.
    pub source: PgUrl,
    /// Where it is now.
    pub target: PgUrl,
    /// Tables (or parts of tables) compared at once; by default as many as this machine has cores, two at least.
    pub jobs: Option<usize>,
    /// Differences named per table; the rest are only counted as one more.
    pub limit: usize,
    /// What of the source is compared; by default what the copy on the target was asked for.
    pub selection: Option<Selection>,
}

impl VerifyOptions {
    /// With every default.
    pub fn new(source: PgUrl, target: PgUrl) -> Self {
        Self { source, target, jobs: None, limit: 20, selection: None }
    }
}

/// How two ends differ in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MismatchKind {
    /// The row is on both sides with another value.
    Changed,
    /// The row, table, column or object is on the source only.
    Missing,
    /// The row is on the target only.
    Extra,
    /// The sequence would give another next value.
    Sequence,
}

/// One difference. Values appear only as 64-bit digests: they are the application's data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mismatch {
    /// The table, or another object such as `index public.messages_user`.
    pub table: String,
    /// The row, e.g. `id=42`; without a primary key the place of one such row and how many there are.
    pub key: Option<String>,
    /// The column, when it is one.
    pub column: Option<String>,
    /// In which way.
    pub kind: MismatchKind,
    /// Digest of the source's value, or what it holds.
    pub source: Option<String>,
    /// Digest of the target's value, or what it holds.
    pub target: Option<String>,
}

/// How many rows of one table differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableDifference {
    /// The table.
    pub table: String,
    /// Rows on the source only.
    pub missing: u64,
    /// Rows on the target only.
    pub extra: u64,
    /// Rows on both sides with another value.
    pub changed: u64,
}

impl TableDifference {
    /// Of every kind.
    pub fn rows(&self) -> u64 {
        self.missing + self.extra + self.changed
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Tables compared.
    pub tables: u64,
    /// Rows compared, as the source has them.
    pub rows: u64,
    /// Large objects compared.
    pub large_objects: u64,
    /// Every table with differing rows, and how many there are.
    pub differing: Vec<TableDifference>,
    /// What differs; at most `limit` rows a table.
    pub mismatches: Vec<Mismatch>,
    /// True when a table has more differences than are listed.
    pub truncated: bool,
    /// What is not on the target because the copy was told to leave out what is refused there; no difference, and not
    /// compared.
    pub left_out: Vec<LeftOut>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Verification {
    /// Whether everything that was compared is the same; see `left_out` for what was not.
    pub fn is_equal(&self) -> bool {
        // With a limit of 0 nothing is listed.
        self.mismatches.is_empty() && self.differing.is_empty() && !self.truncated
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.table)?;
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        f.write_str(match self.kind {
            MismatchKind::Changed => ": differs",
            MismatchKind::Missing => ": missing on the target",
            MismatchKind::Extra => ": only on the target",
            MismatchKind::Sequence => ": would give another next value",
        })
    }
}

impl std::fmt::Display for TableDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts =
            [(self.missing, "missing on the target"), (self.extra, "only on the target"), (self.changed, "changed")];
        let counts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        write!(f, "{}: {} row(s) differ: {}", self.table, self.rows(), counts.join(", "))
    }
}

/// Compares every table of the source with the target's of the same name, sequences, large objects, and that every object
/// is there. The target may hold more: other tables, other columns.
///
/// Both ends are read in one snapshot each and not written to.
///
/// # Errors
/// When something could not be read; differences are no error.
pub async fn verify(options: &VerifyOptions, cx: &Context) -> Result<Verification, Error> {
    compare(options, None, cx).await?.close().await
}

/// What was compared, and what is needed to mend it. Both ends' snapshots are held as long as it lives.
pub(crate) struct Comparison {
    pub source: End,
    pub target: End,
    pub survey: Survey,
    /// Tables whose rows differ, with their sums.
    pub differing: Vec<(Pair, Sum, Sum)>,
    /// The other tables: oid on the target, and name.
    pub equal: Vec<(u32, Relation)>,
    /// Sequences to be set, as the source has them.
    pub sequences: Vec<Position>,
    /// Large objects to be written, as the source has them.
    pub large_objects: Vec<large_object::Object>,
    pub verification: Verification,
}

impl Comparison {
    /// Lets go of both snapshots.
    pub async fn close(self) -> Result<Verification, Error> {
        tokio::try_join!(ends::release(&self.source.session), ends::release(&self.target.session))?;
        Ok(self.verification)
    }
}

/// Compares all tables, or only these.
pub(crate) async fn compare(
    options: &VerifyOptions,
    only: Option<&BTreeSet<Relation>>,
    cx: &Context,
) -> Result<Comparison, Error> {
    let began = Instant::now();
    let (checked, connected) = tokio::join!(endpoint::check(&options.source, &options.target), async {
        tokio::try_join!(
            Session::connect(&options.source, Access::ReadOnly),
            Session::connect(&options.target, Access::ReadOnly)
        )
    });
    checked?;
    let (source, target) = connected?;
    let selection = selection(options, &target, cx).await?;
    let survey = Survey::take(&source, &target, &selection).await?;
    let decisions = refused::recorded(&target).await?;
    let absent = Absent::read(&source, &decisions).await?;
    let (source, target) = tokio::try_join!(End::hold(source), End::hold(target))?;
    let same_encoding = survey.source.encoding == survey.target.encoding;
    let hashing = Hashing { seed: row_hash::random_seed(), same_encoding };
    let mut mismatches = Vec::new();
    let mut pairs = pairs(&survey, &target.session, hashing, &absent, &mut mismatches).await?;
    if survey.wanted.contents == Contents::SchemaOnly {
        pairs.clear(); // their columns have been compared, and there are no rows
    }
    pairs.retain(|pair| only.is_none_or(|only| only.contains(pair.relation())));
    let sums = sums::sums(&source, &target, &pairs, jobs(options), cx).await?;
    let (tables, rows) = (pairs.len() as u64, sums.iter().map(|(from, _)| catalog::unsigned(from.rows)).sum());
    let (mut differing, mut equal) = (Vec::new(), Vec::new());
    for (pair, (from, to)) in pairs.into_iter().zip(sums) {
        if from == to {
            equal.push((pair.target.table.oid, pair.target.table.relation));
        } else {
            differing.push((pair, from, to));
        }
    }
    let mut counts = Vec::new();
    let mut truncated = false;
    for (pair, from, to) in &differing {
        let rows = from.rows.max(to.rows);
        let found = locate::locate(&source.session, &target.session, pair, rows, options.limit).await?;
        truncated |= found.mismatches.len() > options.limit || found.difference.rows() > options.limit as u64;
        mismatches.extend(found.mismatches.into_iter().take(options.limit));
        counts.push(found.difference);
    }
    let (sequences, unequal) = sequences(&source.session, &target.session, &survey, &absent).await?;
    mismatches.extend(unequal);
    let objects = if survey.wanted.large_objects() {
        large_object::compare(&source.session, &target.session, hashing.seed).await?
    } else {
        large_object::Objects::default()
    };
    truncated |= objects.differing.len() > options.limit;
    mismatches.extend(objects.differing.iter().take(options.limit).map(large_object::Object::mismatch));
    if survey.wanted.contents != Contents::DataOnly {
        mismatches.extend(structure(&source.session, &target.session, &survey, &absent).await?);
    }
    let verification = Verification {
        tables,
        rows,
        large_objects: objects.compared,
        differing: counts,
        mismatches,
        truncated,
        left_out: refused::listed(&decisions),
        seconds: began.elapsed().as_secs_f64(),
    };
    Ok(Comparison {
        source,
        target,
        survey,
        differing,
        equal,
        sequences,
        large_objects: objects.differing,
        verification,
    })
}

/// The selection given, else the one that the copy on the target was made with, which is said aloud.
async fn selection(options: &VerifyOptions, target: &Session, cx: &Context) -> Result<Selection, Error> {
    if let Some(given) = &options.selection {
        return Ok(given.clone());
    }
    let readable = "select coalesce(has_table_privilege(to_regclass('tierlift.copy'), 'select')
                                and has_schema_privilege('tierlift', 'usage'), false)";
    let there = "select to_regclass('tierlift.copy') is not null";
    for question in [there, readable] {
        if !target.query_one(question, &[]).await.map_err(Error::on(target))?.get::<_, bool>(0) {
            return Ok(Selection::default());
        }
    }
    let selection = state::read(target).await?.map(|copy| copy.selection).unwrap_or_else(Selection::default);
    if !selection.is_everything() {
        cx.note(format!("compared as it was copied: {}", selection.describe()));
    }
    Ok(selection)
}

/// Sessions on each end.
fn jobs(options: &VerifyOptions) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    options.jobs.unwrap_or(cores.clamp(2, 8)).max(1)
}

async fn pairs(
    survey: &Survey,
    target: &Session,
    hashing: Hashing,
    absent: &Absent,
    mismatches: &mut Vec<Mismatch>,
) -> Result<Vec<Pair>, Error> {
    let mut schemas: Vec<String> =
        survey.tables.iter().map(|t| survey.wanted.schema(&t.relation.schema).to_owned()).collect();
    schemas.sort();
    schemas.dedup();
    let same: Vec<String> = survey.extensions.iter().filter(|x| x.same_version()).map(|x| x.name.clone()).collect();
    let there: BTreeMap<Relation, Table> =
        catalog::tables(target, &schemas, &same).await?.into_iter().map(|t| (t.relation.clone(), t)).collect();
    let mut pairs = Vec::new();
    for table in &survey.tables {
        let missing = |column| Mismatch {
            table: table.relation.label(),
            key: None,
            column,
            kind: MismatchKind::Missing,
            source: None,
            target: None,
        };
        let Some(twin) = there.get(&survey.wanted.relation(&table.relation)) else {
            if !absent.relations.contains(&table.relation) {
                mismatches.push(missing(None));
            }
            continue;
        };
        let mut common: Vec<(&Column, &Column)> = Vec::new();
        for column in &table.columns {
            match twin.columns.iter().find(|c| c.name == column.name) {
                Some(other) => common.push((column, other)),
                None => mismatches.push(missing(Some(column.name.clone()))),
            }
        }
        let turned: Vec<_> = common.iter().map(|(a, b)| (*b, *a)).collect();
        let source = TableEnd { table: table.clone(), hash: RowHash::new(&common, &table.key, hashing) };
        let target = TableEnd { table: twin.clone(), hash: RowHash::new(&turned, &table.key, hashing) };
        pairs.push(Pair { source, target });
    }
    Ok(ends::join_partitions(pairs, hashing))
}

/// Sequences whose next value differs, and every difference.
async fn sequences(
    source: &Session,
    target: &Session,
    survey: &Survey,
    absent: &Absent,
) -> Result<(Vec<Position>, Vec<Mismatch>), Error> {
    let (left_out, nothing) = (&survey.choice.relations_left_out, BTreeSet::new());
    let there = survey.schemas_on_target();
    let with_values = survey.wanted.contents != Contents::SchemaOnly;
    let (from, to) = tokio::try_join!(
        finish::sequences(source, &survey.schemas, left_out),
        finish::sequences(target, &there, &nothing)
    )?;
    let shown = |p: &Position| format!("{}{}", p.last_value, if p.is_called { "" } else { " (not yet used)" });
    let (mut to_set, mut mismatches) = (Vec::new(), Vec::new());
    for position in from {
        let name = survey.wanted.relation(&position.relation);
        let twin = to.iter().find(|p| p.relation == name);
        let same = |twin: &Position| {
            !with_values || (twin.last_value, twin.is_called) == (position.last_value, position.is_called)
        };
        if twin.is_some_and(same) {
            continue;
        }
        if twin.is_none() && absent.relations.contains(&position.relation) {
            continue; // left out by decision
        }
        mismatches.push(Mismatch {
            table: format!("sequence {}", position.relation.label()),
            key: None,
            column: None,
            kind: if twin.is_some() { MismatchKind::Sequence } else { MismatchKind::Missing },
            source: Some(shown(&position)),
            target: twin.map(shown),
        });
        if twin.is_some() {
            to_set.push(position);
        }
    }
    Ok((to_set, mismatches))
}

/// Objects of the source that the target lacks, those aside that assess said would not come.
async fn structure(
    source: &Session,
    target: &Session,
    survey: &Survey,
    absent: &Absent,
) -> Result<Vec<Mismatch>, Error> {
    let sql = concat!(include_str!("sql/app_objects.sql"), include_str!("sql/structure.sql"));
    let schemas_there = survey.schemas_on_target();
    let (from, to) =
        tokio::try_join!(async { source.query(sql, &[&survey.schemas]).await.map_err(Error::on(source)) }, async {
            target.query(sql, &[&schemas_there]).await.map_err(Error::on(target))
        })?;
    let there: BTreeSet<String> = to.iter().map(|row| row.get(2)).collect();
    Ok(from
        .iter()
        .filter(|row| {
            let id = (row.get(0), row.get(1));
            !survey.managed.skipped.contains(&id) && !absent.ids.contains(&id)
        })
        .map(|row| row.get::<_, String>(2))
        .filter(|label| !there.contains(&mapping::label(&survey.wanted, label)))
        .map(|table| Mismatch {
            table,
            key: None,
            column: None,
            kind: MismatchKind::Missing,
            source: None,
            target: None,
        })
        .collect())
}
