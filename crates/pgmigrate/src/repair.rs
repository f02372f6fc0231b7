//! Makes the target equal to the source where a comparison found it different: as a file of SQL to be reviewed, or at
//! once, one transaction a table.

mod check;
mod order;
mod rows;
mod sink;
mod sql;

use std::collections::{BTreeMap, BTreeSet};

use pg_session::{Access, Relation, Session};
use runbook::Context;
use serde::Serialize;

pub use self::sink::RepairFile;

use self::order::Section;
use self::sink::Sink;
use self::sql::{Actor, Mend, Mode, Part, SESSION_SETTINGS};
use crate::ends::{self, End};
use crate::error::Error;
use crate::leftover;
use crate::selection::{Contents, refuse};
use crate::verify::{Comparison, Verification, VerifyOptions, compare};

/// A comparison, and how what differs would be mended.
pub struct Repair {
    comparison: Comparison,
    options: VerifyOptions,
    mode: Mode,
    /// By target table: what acts on rows that are written.
    actors: BTreeMap<u32, Vec<Actor>>,
    /// By target table: the tables that point at it.
    pointing: BTreeMap<u32, BTreeSet<u32>>,
}

/// What a repair did.
#[derive(Debug, Clone, Serialize)]
pub struct RepairReport {
    /// Tables that were mended.
    pub tables: Vec<String>,
    /// Triggers and rules that were kept still meanwhile.
    pub kept_still: Vec<String>,
    /// What could not be mended, with the server's word for it.
    pub failures: Vec<RepairFailure>,
    /// Everything that was touched, compared once more; and what never could be mended.
    pub verification: Verification,
}

/// A table (or the sequences, or the large objects) that could not be mended. Nothing of it was changed.
#[derive(Debug, Clone, Serialize)]
pub struct RepairFailure {
    /// Which.
    pub object: String,
    /// Why.
    pub message: String,
}

impl std::fmt::Display for RepairFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: could not be mended: {}", self.object, self.message)
    }
}

impl Repair {
    /// Compares both ends and reads what a repair must know. Changes nothing.
    ///
    /// # Errors
    /// As [`crate::verify()`]; and when rows were selected or schemas renamed.
    pub async fn plan(options: &VerifyOptions, cx: &Context) -> Result<Self, Error> {
        let comparison = compare(options, None, cx).await?;
        let wanted = &comparison.survey.wanted;
        if !wanted.conditions.is_empty() || !wanted.schemas.is_empty() || wanted.contents == Contents::SchemaOnly {
            return Err(refuse(
                "--repair",
                "only whole tables under their own names can be mended, and this comparison has --where, --map-schema or --schema-only",
                "undo the copy and make it again",
            ));
        }
        if let Some((pair, ..)) = comparison.differing.iter().find(|(pair, ..)| pair.source.table.rows_from.is_some()) {
            return Err(refuse(
                "--repair",
                format!(
                    "table {} is partitioned by a hash that is another on each server, and its rows differ: rows are named by \
                     their place, which says nothing of such a table",
                    pair.relation().label()
                ),
                "undo the copy and make it again",
            ));
        }
        let target = &comparison.target.session;
        let oids: Vec<u32> = comparison.differing.iter().map(|(pair, ..)| pair.target.table.oid).collect();
        let mut actors: BTreeMap<u32, Vec<Actor>> = BTreeMap::new();
        for row in target.query(include_str!("sql/repair_actors.sql"), &[&oids]).await.map_err(Error::on(target))? {
            let actor = Actor { kind: row.get(1), name: row.get(2), state: row.get(3) };
            actors.entry(row.get(0)).or_default().push(actor);
        }
        let mut pointing: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let rows = target
            .query(
                "select confrelid, conrelid from pg_constraint where contype = 'f' and confrelid = any ($1)",
                &[&oids],
            )
            .await
            .map_err(Error::on(target))?;
        for row in rows {
            pointing.entry(row.get(0)).or_default().insert(row.get(1));
        }
        let mode = check::mode(&options.target).await?;
        Ok(Self { comparison, options: options.clone(), mode, actors, pointing })
    }

    /// What the comparison found.
    pub fn verification(&self) -> &Verification {
        &self.comparison.verification
    }

    /// Whether there is anything that a repair could mend: rows, sequences, large objects.
    pub fn is_possible(&self) -> bool {
        let found = &self.comparison;
        !(found.differing.is_empty() && found.sequences.is_empty() && found.large_objects.is_empty())
    }

    /// Writes the SQL to a file, from the same snapshots as the comparison.
    ///
    /// # Errors
    /// When either end cannot be read, or the file cannot be written.
    pub async fn write_sql(self, file: &mut RepairFile, cx: &Context) -> Result<Verification, Error> {
        let Comparison { source, target, .. } = &self.comparison;
        file.write(self.header().as_bytes())?;
        let fetch = source.reader().await?;
        for section in self.sections() {
            cx.note(format!("writing what mends {}", self.label(section)));
            let title = format!("\n-- {}\n", one_line(&self.label(section)));
            file.write(title.as_bytes())?;
            let mut sink = Sink::File(file);
            match section {
                Section::Table { at, part } => {
                    let mend = self.mend(at);
                    // Surplus rows go after others came: the sum is another by then, places and hashes must do.
                    let seen = (part != Part::Surplus).then_some(&self.comparison.differing[at].2);
                    sink.sql(&mend.opening(seen)).await?;
                    self.rows(at, part, &target.session, &fetch, &mut sink).await?;
                    sink.sql(&mend.closing(part)).await?;
                }
                Section::Sequences => sink.sql(&self.sequences_sql()).await?,
                Section::LargeObjects => self.write_large_objects(&mut sink).await?,
            }
        }
        file.finish()?;
        ends::release(&fetch).await?;
        self.comparison.close().await
    }

    /// Mends the target, one transaction a table, and compares what was touched once more.
    ///
    /// # Errors
    /// `Blocked` with [`Repair::refusals`], and `Locked` while something else changes the target; nothing was changed
    /// then. What a server refuses of one table is no error but in the report.
    pub async fn apply(self, cx: &Context) -> Result<RepairReport, Error> {
        let refusals = self.refusals().await?;
        if !refusals.is_empty() {
            return Err(Error::Blocked(refusals));
        }
        let _lock = leftover::lock(&self.options.target).await?;
        let fetch = self.comparison.source.reader().await?;
        // Locks of the comparison's own would be in the way of ours.
        ends::release(&self.comparison.target.session).await?;
        let mut tables = BTreeSet::new();
        let mut pending = self.sections();
        let mut failures = Vec::new();
        // What needs rows of a table that could not be mended yet is tried again as long as others succeed meanwhile.
        while !pending.is_empty() {
            let mut again = Vec::new();
            failures.clear();
            let before = pending.len();
            for section in pending {
                cx.note(format!("mending {}", self.label(section)));
                match self.perform(section, &fetch).await {
                    Ok(()) => {
                        tables.insert(self.label(section));
                    }
                    Err(error) => {
                        failures.push(RepairFailure { object: self.label(section), message: error.to_string() });
                        again.push(section);
                    }
                }
            }
            if again.len() == before {
                break;
            }
            pending = again;
        }
        let kept_still = self.kept_still();
        let touched = self.touched();
        let (options, before) = (self.options, self.comparison.verification);
        tokio::try_join!(ends::release(&self.comparison.source.session), ends::release(&fetch))?;
        let verification = compare(&options, Some(&touched), cx).await?.close().await?;
        let verification = Verification { tables: before.tables, rows: before.rows, ..verification };
        Ok(RepairReport { tables: tables.into_iter().collect(), kept_still, failures, verification })
    }

    /// Triggers and rules that a repair keeps still.
    pub fn kept_still(&self) -> Vec<String> {
        let pairs = self.comparison.differing.iter().map(|(pair, ..)| pair);
        pairs
            .flat_map(|pair| {
                let actors = self.actors.get(&pair.target.table.oid).into_iter().flatten();
                actors
                    .filter(|actor| self.mode == Mode::Replica || actor.acts(self.mode))
                    .map(|actor| format!("{} {} of {}", actor.kind, actor.name, pair.relation().label()))
            })
            .collect()
    }

    async fn perform(&self, section: Section, fetch: &Session) -> Result<(), Error> {
        let writer = Session::connect(&self.options.target, Access::ReadWrite).await?;
        let mut sink = Sink::server(&writer, self.label(section));
        match section {
            Section::Table { at, part } => {
                let mend = self.mend(at);
                sink.sql(&mend.opening(None)).await?;
                // Reads what is there under the lock, and lets go of it before triggers are switched.
                let reader = End::reader_of_now(&self.options.target).await?;
                self.rows(at, part, &reader, fetch, &mut sink).await?;
                ends::release(&reader).await?;
                sink.sql(&mend.closing(part)).await
            }
            Section::Sequences => sink.sql(&self.sequences_sql()).await,
            Section::LargeObjects => self.write_large_objects(&mut sink).await,
        }
    }

    fn sections(&self) -> Vec<Section> {
        let found = &self.comparison;
        let oids: Vec<u32> = found.differing.iter().map(|(pair, ..)| pair.target.table.oid).collect();
        let mut sections = order::sections(&oids, &self.pointing, self.mode);
        if !found.sequences.is_empty() {
            sections.push(Section::Sequences);
        }
        if !found.large_objects.is_empty() {
            sections.push(Section::LargeObjects);
        }
        sections
    }

    fn mend(&self, at: usize) -> Mend<'_> {
        let pair = &self.comparison.differing[at].0;
        let actors = self.actors.get(&pair.target.table.oid).cloned().unwrap_or_default();
        Mend { pair, mode: self.mode, actors }
    }

    fn label(&self, section: Section) -> String {
        match section {
            Section::Table { at, .. } => self.comparison.differing[at].0.relation().label(),
            Section::Sequences => "sequences".into(),
            Section::LargeObjects => "large objects".into(),
        }
    }

    /// Tables to be compared again: those that differed, and those that point at them.
    fn touched(&self) -> BTreeSet<Relation> {
        let differing: BTreeSet<u32> = self.comparison.differing.iter().map(|(p, ..)| p.target.table.oid).collect();
        let mut touched: BTreeSet<Relation> =
            self.comparison.differing.iter().map(|(pair, ..)| pair.relation().clone()).collect();
        if self.mode == Mode::Ordinary {
            let children: BTreeSet<u32> =
                differing.iter().filter_map(|oid| self.pointing.get(oid)).flatten().copied().collect();
            touched.extend(
                self.comparison.equal.iter().filter(|(oid, _)| children.contains(oid)).map(|(_, name)| name.clone()),
            );
        }
        touched
    }

    fn header(&self) -> String {
        let survey = &self.comparison.survey;
        let mut text = format!(
            "-- Makes {} equal to {}. Written by tierlift; holds rows of the application.\n\
             -- To run it: psql -X -v ON_ERROR_STOP=1 -f THIS-FILE TARGET-URL\n\
             -- Each table is one transaction, which refuses when the table is not as it was when this was written.\n",
            one_line(&survey.target.endpoint),
            one_line(&survey.source.endpoint)
        );
        for kept in self.kept_still() {
            text.push_str(&format!("-- kept still meanwhile: {}\n", one_line(&kept)));
        }
        for found in &self.comparison.verification.mismatches {
            let mended = found.key.is_some()
                || self.comparison.sequences.iter().any(|p| found.table == format!("sequence {}", p.relation.label()))
                || self.comparison.large_objects.iter().any(|o| found.table == format!("large object {}", o.oid));
            if !mended {
                text.push_str(&format!("-- NOT mended here: {}\n", one_line(&found.to_string())));
            }
        }
        text.push_str(SESSION_SETTINGS);
        text
    }
}

/// Comments end with their line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
