//! Makes the target equal to the source where a comparison found it different: as a file of SQL to be reviewed, or at
//! once, one transaction a table.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pg_session::{Access, PgUrl, Relation, Session, literal};
use runbook::{Context, Finding, Severity};
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::ends::{self, End, Pair};
use crate::error::Error;
use crate::extension::list;
use crate::findings::finding;
use crate::large_object::{CHUNK_BYTES, Object};
use crate::repair_sink::{RepairFile, Sink};
use crate::repair_sql::{Actor, Mend, Mode, Part, SESSION_SETTINGS};
use crate::state::SourceId;
use crate::verify::{Comparison, Verification, VerifyOptions, compare};
use crate::walk::{Difference, Walk};
use crate::{fence, leftover, locate, state};

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

/// One transaction of a repair.
#[derive(Debug, Clone, Copy)]
enum Section {
    Table { at: usize, part: Part },
    Sequences,
    LargeObjects,
}

/// Rows of the source asked for at once.
const BATCH_ROWS: usize = 500;

/// Bytes gathered before they are sent on.
const SEND_BYTES: usize = 64 * 1024;

impl Repair {
    /// Compares both ends and reads what a repair must know. Changes nothing.
    ///
    /// # Errors
    /// As [`crate::verify()`].
    pub async fn plan(options: &VerifyOptions, cx: &Context) -> Result<Self, Error> {
        let comparison = compare(options, None, cx).await?;
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
        let mode = mode(&options.target).await?;
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

    /// What forbids changing this target now.
    ///
    /// # Errors
    /// When either end cannot be read.
    pub async fn refusals(&self) -> Result<Vec<Finding>, Error> {
        let Comparison { survey, source, target, .. } = &self.comparison;
        let object = format!("target {}", survey.target.endpoint);
        let refusal = |message: String, remedy: &str| finding(Severity::Blocks, &object, message, remedy);
        let mut findings = Vec::new();
        if survey.is_same_database() {
            findings.push(refusal("it is the source".into(), "name two databases"));
        }
        if survey.target.standby {
            findings.push(refusal("it is a standby".into(), "name its primary as the target"));
        }
        let swapped = "are --source and --target the right way round?";
        if fence::is_fenced(&self.options.target).await? {
            findings.push(refusal("it is fenced, as the source of a migration is".into(), swapped));
        }
        let copied_from = |state: &state::CopyState, facts| state.source == SourceId::of(facts);
        if state::read(&source.session).await?.is_some_and(|state| copied_from(&state, &survey.target)) {
            findings.push(refusal("the source was copied from it".into(), swapped));
        }
        match state::read(&target.session).await? {
            Some(state) if !copied_from(&state, &survey.source) => {
                findings.push(refusal(
                    format!("it holds a copy of another database ({})", state.source.database),
                    "name the database it was copied from as the source",
                ));
            }
            Some(state) if !state.finished => {
                findings.push(refusal("its copy is not finished".into(), "resume the copy instead"));
            }
            _ => {}
        }
        let session = Session::connect(&self.options.target, Access::ReadOnly).await?;
        let rows = session.query(include_str!("sql/repair_strangers.sql"), &[]).await.map_err(Error::on(&session))?;
        let strangers: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !strangers.is_empty() {
            findings.push(refusal(
                format!("others are connected, and what they have written would be undone: {}", list(&strangers)),
                "stop the application and end these sessions; or write a file with --repair-sql and review it",
            ));
        }
        Ok(findings)
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

    /// The transactions, in an order in which foreign keys hold after each.
    fn sections(&self) -> Vec<Section> {
        let tables = &self.comparison.differing;
        let mut sections = Vec::new();
        let mut last = Vec::new();
        for at in self.parents_first() {
            let oid = tables[at].0.target.table.oid;
            if self.mode == Mode::Replica || !self.pointing.contains_key(&oid) {
                sections.push(Section::Table { at, part: Part::Whole });
            } else {
                sections.push(Section::Table { at, part: Part::Rows });
                last.push(Section::Table { at, part: Part::Surplus });
            }
        }
        sections.extend(last.into_iter().rev());
        if !self.comparison.sequences.is_empty() {
            sections.push(Section::Sequences);
        }
        if !self.comparison.large_objects.is_empty() {
            sections.push(Section::LargeObjects);
        }
        sections
    }

    /// Tables that are pointed at come before those that point at them, circles aside.
    fn parents_first(&self) -> Vec<usize> {
        let oid = |at: usize| self.comparison.differing[at].0.target.table.oid;
        let mut waiting: Vec<usize> = (0..self.comparison.differing.len()).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let points_at = |child: u32, parent: u32| {
                child != parent && self.pointing.get(&parent).is_some_and(|children| children.contains(&child))
            };
            let (mut ready, rest): (Vec<usize>, Vec<usize>) =
                waiting.iter().partition(|child| !waiting.iter().any(|parent| points_at(oid(**child), oid(*parent))));
            waiting = rest;
            if ready.is_empty() {
                ready.push(waiting.remove(0)); // a circle: any of them, and what is refused is tried again
            }
            order.append(&mut ready);
        }
        order
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

    /// The rows of one table that differ, as the data of [`Mend::copy_in`].
    async fn rows(
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
                Difference::Missing(row) => batch.push((mark, row.ctid, None)),
                Difference::Changed(row, there) => batch.push((mark, row.ctid, Some((there.ctid, there.hash)))),
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

    fn sequences_sql(&self) -> String {
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

    async fn write_large_objects(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
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

/// Reads a batch of rows of the source and hands them on, unparsed.
async fn forward(
    mend: &Mend<'_>,
    pair: &Pair,
    batch: &[(char, String, Option<(String, i64)>)],
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

/// Comments end with their line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// Whether the role may set `session_replication_role`, found by trying, since providers grant it in ways of their own.
async fn mode(target: &PgUrl) -> Result<Mode, Error> {
    let session = Session::connect(target, Access::ReadOnly).await?;
    match session.batch_execute("begin; set local session_replication_role = replica").await {
        Ok(()) => Ok(Mode::Replica),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(Mode::Ordinary),
        Err(error) => Err(Error::on(&session)(error)),
    }
}
