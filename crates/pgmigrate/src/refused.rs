//! What the target refuses, and what goes with it: decided once, written down beside the copy, and never silent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pg_session::{DbError, Relation, Session, literal};
use runbook::{Finding, Severity};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::error::Error;
use crate::findings::finding;
use crate::schema::Schema;
use crate::toc::Entry;

/// What to do when the target refuses an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRefused {
    /// Name everything that is refused, take back what was made, copy nothing.
    #[default]
    Stop,
    /// Leave it out with all that needs it, and say so wherever the copy is spoken of.
    Skip,
}

/// An object of the source that is not on the target because the target refused it, or something it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// Kind and name, e.g. `view public.mood`.
    pub object: String,
    /// What it needs that was refused; `None` when it was refused itself.
    pub needs: Option<String>,
    /// The server's own error.
    pub error: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.needs {
            Some(needs) => write!(f, "{} was left out: it needs {needs} ({})", self.object, self.error),
            None => write!(f, "{} was left out: {}", self.object, self.error),
        }
    }
}

/// The decision over one entry, as `tierlift.copy_refused` keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// [`Entry::key`], or an extension or role that is no entry.
    pub entry: String,
    /// The source's catalogue and object id; 0 where the entry has none.
    pub id: (u32, u32),
    /// What is sent in the entry's place; `None` for nothing.
    pub instead: Option<String>,
    pub left_out: LeftOut,
}

/// What was decided so far, and pg_dump's numbers of all that must not be sent any more.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    pub made: Vec<Decision>,
    /// What was refused at the root of each.
    gone: BTreeMap<u32, (String, String)>,
}

impl Decisions {
    /// Takes down that the target refuses `entry` itself.
    pub fn refuse(&mut self, entry: &Entry, error: &DbError) {
        self.refuse_named(entry.label(), &entry.key(), (entry.class, entry.oid), Some(entry.id), &error.to_string());
    }

    /// The same for what is no entry that we send: an extension, a role.
    pub fn refuse_named(&mut self, object: String, key: &str, id: (u32, u32), number: Option<u32>, error: &str) {
        if let Some(number) = number {
            self.gone.insert(number, (object.clone(), error.to_owned()));
        }
        let left_out = LeftOut { object, needs: None, error: error.to_owned() };
        self.made.push(Decision { entry: key.to_owned(), id, instead: None, left_out });
    }

    /// Takes down that of an entry only `instead` is sent, without this statement.
    pub fn refuse_statement(&mut self, entry: &Entry, statement: &str, error: &DbError, instead: &str) {
        let statement = statement.trim_end_matches(';');
        let object = format!("{}, of which {statement}", entry.label());
        let left_out = LeftOut { object, needs: None, error: error.to_string() };
        let instead = Some(instead.to_owned());
        self.made.push(Decision { entry: entry.key(), id: (0, 0), instead, left_out });
    }

    /// True when `entry` must not be sent, because it was refused or needs what was; in the latter case it is taken
    /// down too, and with it whatever needs it.
    pub fn excludes(&mut self, entry: &Entry) -> bool {
        let own = self.gone.get(&entry.id);
        let Some((root, error)) = own.or_else(|| entry.dependencies.iter().find_map(|id| self.gone.get(id))).cloned()
        else {
            return false;
        };
        self.gone.entry(entry.id).or_insert_with(|| (root.clone(), error.clone()));
        let key = entry.key();
        if !self.made.iter().any(|d| d.entry == key) {
            let left_out = LeftOut { object: entry.label(), needs: Some(root), error };
            self.made.push(Decision { entry: key, id: (entry.class, entry.oid), instead: None, left_out });
        }
        true
    }

    /// Takes down everything among `entries` that needs what is gone, and what needs that.
    pub fn settle(&mut self, entries: &[&Entry]) {
        let mut known = usize::MAX;
        while self.gone.len() != known {
            known = self.gone.len();
            for entry in entries {
                self.excludes(entry);
            }
        }
    }

    /// A finding for each object that was refused, naming what goes with it.
    pub fn findings(&self) -> Vec<Finding> {
        let listed = listed(&self.made);
        let roots = listed.iter().filter(|l| l.needs.is_none());
        roots
            .map(|root| {
                let with_it: Vec<&str> = listed
                    .iter()
                    .filter(|l| l.needs.as_deref() == Some(root.object.as_str()))
                    .map(|l| l.object.as_str())
                    .collect();
                let message = match with_it.as_slice() {
                    [] => format!("the target refuses it: {}", root.error),
                    _ => format!("the target refuses it: {}; what needs it: {}", root.error, with_it.join(", ")),
                };
                finding(Severity::Blocks, &root.object, message, REMEDY)
            })
            .collect()
    }
}

/// What to do about something that the target refuses.
pub(crate) const REMEDY: &str =
    "make the target accept it, or remove it from the source, or leave it out with --on-refused skip";

/// What people are told of: comments, privileges and switches go with their object and need no line of their own.
pub(crate) fn listed(decisions: &[Decision]) -> Vec<LeftOut> {
    let silent = |d: &&Decision| {
        d.left_out.needs.is_some()
            && ["comment ", "acl ", "security label ", "row security ", "sequence owned by "]
                .iter()
                .any(|kind| d.left_out.object.starts_with(kind))
    };
    let mut listed: Vec<LeftOut> = decisions.iter().filter(|d| !silent(d)).map(|d| d.left_out.clone()).collect();
    listed.dedup();
    listed
}

/// Under [`OnRefused::Skip`] an extension or a role that the target lacks is left out rather than in the way.
pub(crate) fn defer(findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|f| f.severity == Severity::Blocks) {
        if ["extension ", "role "].iter().any(|kind| finding.object.starts_with(kind)) {
            finding.severity = Severity::Changes;
            finding.remedy = "what needs it is left out, and named".into();
        }
    }
}

/// Drops from a schema what was decided to be left out.
pub(crate) fn apply(decisions: &[Decision], schema: &mut Schema) {
    if decisions.is_empty() {
        return;
    }
    let by_key: BTreeMap<&str, Option<&str>> =
        decisions.iter().map(|d| (d.entry.as_str(), d.instead.as_deref())).collect();
    let keep = |entry: &mut Entry| match by_key.get(entry.key().as_str()) {
        Some(None) => false,
        Some(Some(instead)) => {
            (*instead).clone_into(&mut entry.sql);
            !entry.sql.is_empty()
        }
        None => true,
    };
    schema.before_data.retain_mut(keep);
    schema.after_data.retain_mut(keep);
    for of_table in schema.of_table.values_mut() {
        of_table.indexes.retain_mut(keep);
        of_table.keys.retain_mut(keep);
    }
    schema.foreign_keys.retain_mut(|key| keep(&mut key.add) && keep(&mut key.validate));
    let gone: BTreeSet<u32> = relations(decisions).collect();
    schema.of_table.retain(|table, _| !gone.contains(table));
    schema.foreign_keys.retain(|key| !gone.contains(&key.from) && !gone.contains(&key.to));
}

/// Relations of the source, by oid, that were left out.
pub(crate) fn relations(decisions: &[Decision]) -> impl Iterator<Item = u32> + '_ {
    const PG_CLASS: u32 = 1259; // fixed in every Postgres
    decisions.iter().filter(|d| d.id.0 == PG_CLASS && d.instead.is_none()).map(|d| d.id.1)
}

/// What of the source may be absent from the target because it was left out, or cannot be without what was.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    pub ids: BTreeSet<(u32, u32)>,
    pub relations: BTreeSet<Relation>,
}

impl Absent {
    /// Follows the source's dependencies from what was left out.
    pub async fn read(source: &Session, decisions: &[Decision]) -> Result<Self, Error> {
        let whole = decisions.iter().filter(|d| d.instead.is_none() && d.id.1 != 0);
        let (classes, oids): (Vec<u32>, Vec<u32>) = whole.map(|d| d.id).unzip();
        if oids.is_empty() {
            return Ok(Self::default());
        }
        let rows =
            source.query(include_str!("sql/gone_with.sql"), &[&classes, &oids]).await.map_err(Error::on(source))?;
        let relation = |row: &Row| Some(Relation::new(row.get::<_, Option<String>>(2)?, row.get::<_, String>(3)));
        Ok(Self {
            ids: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            relations: rows.iter().filter_map(relation).collect(),
        })
    }
}

/// The name of each role that was not to be had.
pub(crate) fn roles(decisions: &[Decision]) -> impl Iterator<Item = &str> {
    decisions.iter().filter_map(|d| d.entry.strip_prefix(ROLE))
}

/// How a role is recorded that could not be made.
pub(crate) const ROLE: &str = "ROLE ";

/// The statement that writes decisions down; empty for none.
pub(crate) fn record_sql(decisions: &[Decision]) -> String {
    let null_or = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), literal);
    let values: Vec<String> = decisions
        .iter()
        .map(|d| {
            let LeftOut { object, needs, error } = &d.left_out;
            format!(
                "({}, {}, {}, {}, {}, {}, {})",
                literal(&d.entry),
                d.id.0,
                d.id.1,
                null_or(d.instead.as_deref()),
                literal(object),
                null_or(needs.as_deref()),
                literal(error)
            )
        })
        .collect();
    if values.is_empty() {
        return String::new();
    }
    format!(
        "insert into tierlift.copy_refused (entry, class, oid, instead, object, needs, error) values {}
         on conflict do nothing;\n",
        values.join(", ")
    )
}

/// Reads them back; none where no copy has been, or one of an older tierlift.
pub(crate) async fn recorded(target: &Session) -> Result<Vec<Decision>, Error> {
    const READABLE: &str =
        "select coalesce(has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage'), false)
                              from pg_class c join pg_namespace n on n.oid = c.relnamespace
                             where n.nspname = 'tierlift' and c.relname = 'copy_refused'";
    let readable = target.query_opt(READABLE, &[]).await.map_err(Error::on(target))?;
    if !readable.is_some_and(|row| row.get(0)) {
        return Ok(Vec::new());
    }
    let rows = target
        .query("select entry, class, oid, instead, object, needs, error from tierlift.copy_refused order by place", &[])
        .await
        .map_err(Error::on(target))?;
    Ok(rows
        .iter()
        .map(|row| Decision {
            entry: row.get(0),
            id: (row.get(1), row.get(2)),
            instead: row.get(3),
            left_out: LeftOut { object: row.get(4), needs: row.get(5), error: row.get(6) },
        })
        .collect())
}
