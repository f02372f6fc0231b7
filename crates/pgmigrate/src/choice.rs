//! What `--include` and `--exclude` come to: every object of the application either comes or is left out.
//!
//! What is left out takes with it what cannot be without it, as `drop ... cascade` would, and every such object is
//! named. What is chosen brings the types, functions and sequences it needs. A table is never lost to a dependency:
//! where one would be, the choice is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pg_session::{Relation, Session};
use runbook::{Finding, Severity};

use crate::error::Error;
use crate::findings::finding;
use crate::pattern::Pattern;
use crate::selection::{Contents, Wanted, refuse};

/// (catalogue, object), as in `pg_depend`.
pub(crate) type ObjectId = (u32, u32);

/// The outcome.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// Schemas of which something comes.
    pub schemas: Vec<String>,
    /// The application's other schemas.
    pub schemas_left_out: Vec<String>,
    /// Objects of `schemas` that stay behind.
    pub left_out: BTreeSet<ObjectId>,
    /// Relations among them, and sequences.
    pub relations_left_out: BTreeSet<Relation>,
    /// Tables among them that the source role may not even lock: the dump must not meet them.
    pub unreadable: Vec<Relation>,
    /// What does not come, or comes without the whole it belonged to: sequences without the table that owned them, partitions and their
    /// indexes without the partitioned ones. The dump ties them together in entries that name only the part.
    pub loose: BTreeSet<Relation>,
    pub findings: Vec<Finding>,
}

impl Choice {
    /// Decides. `schemas` are the application's, `managed` the provider's.
    pub async fn make(
        source: &Session,
        wanted: &Wanted,
        schemas: &[String],
        managed: &[String],
    ) -> Result<Self, Error> {
        if wanted.include.is_empty() && wanted.exclude.is_empty() {
            return Ok(Self { schemas: schemas.to_vec(), ..Self::default() });
        }
        let objects = objects(source, schemas).await?;
        every_pattern_means_something(wanted, &objects, schemas, managed)?;
        let graph = Graph::read(source).await?;
        let fates = Fates::decide(wanted, &objects, &graph);
        let mut choice = fates.choice(wanted, &objects, schemas, &graph);
        if choice.schemas.is_empty() {
            let message = "nothing is left to copy";
            return Err(refuse("--include and --exclude", message, "exclude less, or include something else"));
        }
        choice.findings = fates.findings(source, &objects).await?;
        Ok(choice)
    }

    /// Those of one catalogue.
    pub fn oids_left_out(&self, catalogue: u32) -> Vec<u32> {
        self.left_out.iter().filter(|(class, _)| *class == catalogue).map(|(_, oid)| *oid).collect()
    }

    /// True for a name as the preflight's queries print it (`sequence a.b`, `column a.b.c (x)`) of something left out.
    pub fn leaves_out(&self, printed: &str) -> bool {
        self.relations_left_out.iter().any(|relation| {
            let label = relation.label();
            ["sequence ", "foreign table ", "column "].iter().any(|kind| {
                let rest = printed.strip_prefix(kind).and_then(|name| name.strip_prefix(label.as_str()));
                rest.is_some_and(|rest| rest.is_empty() || (*kind == "column " && rest.starts_with('.')))
            })
        })
    }
}

/// Something that can be chosen.
#[derive(Debug, Clone)]
struct Object {
    id: ObjectId,
    /// `None` for what is in no schema.
    schema: Option<String>,
    name: String,
    kind: String,
    /// The relation it is a part of.
    whole: Option<u32>,
    /// The partitioned table it is a partition of.
    parent: Option<u32>,
    lockable: bool,
}

impl Object {
    /// True for what a pattern with a dot can mean.
    fn has_relation_name(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p" | "v" | "m" | "f" | "S")
    }

    /// Relations are chosen; sequences, like functions, also come where they are needed.
    fn is_chosen_by_name(&self) -> bool {
        self.has_relation_name() && self.kind != "S"
    }

    fn holds_rows(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p" | "f")
    }

    fn is_index(&self) -> bool {
        matches!(self.kind.as_str(), "i" | "I")
    }

    /// Comes with what it is about.
    fn is_rider(&self) -> bool {
        matches!(self.kind.as_str(), "cast" | "transform" | "user mapping")
    }

    fn relation(&self) -> Option<Relation> {
        let schema = self.schema.as_ref().filter(|_| self.has_relation_name())?;
        Some(Relation::new(schema, &self.name))
    }
}

async fn objects(source: &Session, schemas: &[String]) -> Result<Vec<Object>, Error> {
    let rows = source.query(include_str!("sql/choice_objects.sql"), &[&schemas]).await.map_err(Error::on(source))?;
    let some = |oid: u32| (oid != 0).then_some(oid);
    Ok(rows
        .iter()
        .map(|row| Object {
            id: (row.get(0), row.get(1)),
            schema: row.get(2),
            name: row.get(3),
            kind: row.get(4),
            whole: some(row.get(5)),
            parent: some(row.get(6)),
            lockable: row.get(7),
        })
        .collect())
}

fn every_pattern_means_something(
    wanted: &Wanted,
    objects: &[Object],
    schemas: &[String],
    managed: &[String],
) -> Result<(), Error> {
    let relations: Vec<Relation> = objects.iter().filter_map(Object::relation).collect();
    for (option, patterns) in [("--include", &wanted.include), ("--exclude", &wanted.exclude)] {
        for pattern in patterns {
            let means = schemas.iter().any(|s| pattern.takes_schema(s)) || relations.iter().any(|r| pattern.takes(r));
            if means {
                continue;
            }
            let option = format!("{option} {}", pattern.text);
            if let Some(schema) = managed.iter().find(|s| pattern.takes(&Relation::new(s.as_str(), ""))) {
                let message = format!("schema {schema} is the provider's own and stays behind in any case");
                return Err(refuse(option, message, "leave this filter away"));
            }
            let hint = match relations.iter().find(|r| pattern.would_take(&r.name)) {
                Some(relation) => format!("a table is written with its schema: {}", relation.label()),
                None => "compare it with the tables that `pg assess` lists; names are case-sensitive".to_owned(),
            };
            return Err(refuse(option, "it matches no schema and no table of the source", hint));
        }
    }
    Ok(())
}

/// What needs what.
#[derive(Debug, Default)]
struct Graph {
    needs: HashMap<ObjectId, Vec<ObjectId>>,
    needed_by: HashMap<ObjectId, Vec<ObjectId>>,
}

impl Graph {
    async fn read(source: &Session) -> Result<Self, Error> {
        let rows = source.query(include_str!("sql/choice_needs.sql"), &[]).await.map_err(Error::on(source))?;
        let mut graph = Self::default();
        for row in rows {
            let (one, other): (ObjectId, ObjectId) = ((row.get(0), row.get(1)), (row.get(2), row.get(3)));
            graph.add(one, other);
            if row.get(4) {
                graph.add(other, one);
            }
        }
        Ok(graph)
    }

    fn add(&mut self, one: ObjectId, needed: ObjectId) {
        self.needs.entry(one).or_default().push(needed);
        self.needed_by.entry(needed).or_default().push(one);
    }
}

/// Every object's fate.
#[derive(Debug, Default)]
struct Fates {
    /// They come, by name or with what they are a part of.
    chosen: HashSet<ObjectId>,
    /// They cannot come: left out by name, or (with the relation that is missing) for want of one that is.
    out: HashMap<ObjectId, Option<ObjectId>>,
    /// Chosen at first, but out.
    lost: Vec<(ObjectId, ObjectId)>,
    /// Not chosen, but needed by what is (which is named).
    brought: BTreeMap<ObjectId, ObjectId>,
}

/// `pg_class`, the same in every Postgres.
pub(crate) const RELATION: u32 = 1259;

/// `pg_proc`.
pub(crate) const PROCEDURE: u32 = 1255;

impl Fates {
    fn decide(wanted: &Wanted, objects: &[Object], graph: &Graph) -> Self {
        let relations: HashMap<u32, &Object> =
            objects.iter().filter(|o| o.id.0 == RELATION).map(|o| (o.id.1, o)).collect();
        let mut fates = Self::default();
        for object in objects {
            if is_chosen(wanted, object, &relations) {
                fates.chosen.insert(object.id);
            } else if object.is_chosen_by_name() {
                fates.out.insert(object.id, None);
            }
        }
        // Tables that the target has need nothing of ours.
        if wanted.contents != Contents::DataOnly {
            fates.spread(graph);
        }
        let gone = |id: &ObjectId| fates.out.get(id).copied().flatten().map(|missing| (*id, missing));
        fates.lost = objects.iter().filter(|o| fates.chosen.contains(&o.id)).filter_map(|o| gone(&o.id)).collect();
        fates.chosen.retain(|id| !fates.out.contains_key(id));
        fates.bring(objects, graph);
        fates
    }

    /// What is out takes along what needs it.
    fn spread(&mut self, graph: &Graph) {
        let mut reached: Vec<(ObjectId, ObjectId)> = self.out.keys().map(|id| (*id, *id)).collect();
        reached.sort_unstable(); // so that the same relation is named each time
        while let Some((at, missing)) = reached.pop() {
            for dependant in graph.needed_by.get(&at).into_iter().flatten() {
                if !self.out.contains_key(dependant) {
                    self.out.insert(*dependant, Some(missing));
                    reached.push((*dependant, missing));
                }
            }
        }
    }

    /// What is chosen brings what it needs; casts and the like ride with the types and servers they are about.
    fn bring(&mut self, objects: &[Object], graph: &Graph) {
        let known: HashSet<ObjectId> = objects.iter().map(|o| o.id).collect();
        let mut seen = self.chosen.clone();
        let mut reached: Vec<(ObjectId, ObjectId)> = self.chosen.iter().map(|id| (*id, *id)).collect();
        reached.sort_unstable();
        while !reached.is_empty() {
            while let Some((at, by)) = reached.pop() {
                for needed in graph.needs.get(&at).into_iter().flatten() {
                    if self.out.contains_key(needed) || !seen.insert(*needed) {
                        continue;
                    }
                    if known.contains(needed) {
                        self.brought.insert(*needed, by);
                    }
                    reached.push((*needed, by));
                }
            }
            for rider in objects.iter().filter(|o| o.is_rider() && !self.out.contains_key(&o.id)) {
                let needs = graph.needs.get(&rider.id).into_iter().flatten().filter(|id| known.contains(id));
                let (here, away): (Vec<&ObjectId>, Vec<&ObjectId>) = needs.partition(|id| seen.contains(id));
                if !here.is_empty() && away.is_empty() && seen.insert(rider.id) {
                    self.chosen.insert(rider.id);
                    reached.push((rider.id, rider.id));
                }
            }
        }
    }

    fn comes(&self, id: &ObjectId) -> bool {
        self.chosen.contains(id) || self.brought.contains_key(id)
    }

    fn choice(&self, wanted: &Wanted, objects: &[Object], schemas: &[String], graph: &Graph) -> Choice {
        let alive: BTreeSet<&str> =
            objects.iter().filter(|o| self.comes(&o.id)).filter_map(|o| o.schema.as_deref()).collect();
        let (schemas, schemas_left_out): (Vec<String>, Vec<String>) =
            schemas.iter().cloned().partition(|s| alive.contains(s.as_str()) || takes_whole_schema(wanted, s));
        let mut choice = Choice { schemas, schemas_left_out, ..Choice::default() };
        let relations: HashMap<u32, &Object> =
            objects.iter().filter(|o| o.id.0 == RELATION).map(|o| (o.id.1, o)).collect();
        for object in objects {
            let relation = object.relation();
            if self.comes(&object.id) {
                if let (true, Some(schema)) = (self.is_loose(object, &relations), &object.schema) {
                    choice.loose.insert(Relation::new(schema, &object.name));
                }
                continue;
            }
            if let (true, Some(schema)) = (object.is_index(), &object.schema) {
                choice.loose.insert(Relation::new(schema, &object.name));
            }
            choice.loose.extend(relation.clone());
            choice.left_out.insert(object.id);
            if !object.lockable && object.schema.as_ref().is_some_and(|s| choice.schemas.contains(s)) {
                choice.unreadable.extend(relation.clone());
            }
            choice.relations_left_out.extend(relation);
        }
        // Parts that nobody chooses go with their wholes: row types of tables, checks of domains.
        choice.left_out.extend(self.out.keys());
        let known: HashSet<ObjectId> = objects.iter().map(|o| o.id).collect();
        let mut reached: Vec<ObjectId> = choice.left_out.iter().copied().collect();
        while let Some(at) = reached.pop() {
            let parts = graph.needed_by.get(&at).into_iter().flatten().filter(|id| !known.contains(id));
            reached.extend(parts.copied().filter(|id| choice.left_out.insert(*id)));
        }
        choice
    }

    fn is_loose(&self, object: &Object, relations: &HashMap<u32, &Object>) -> bool {
        let away = |oid: Option<u32>| oid.is_some_and(|oid| !self.comes(&(RELATION, oid)));
        let of_partition = || object.whole.and_then(|oid| relations.get(&oid)).and_then(|table| table.parent);
        match object.kind.as_str() {
            "S" => away(object.whole),
            _ if object.is_index() => away(of_partition()),
            _ => away(object.parent),
        }
    }

    async fn findings(&self, source: &Session, objects: &[Object]) -> Result<Vec<Finding>, Error> {
        let by_id: HashMap<ObjectId, &Object> = objects.iter().map(|o| (o.id, o)).collect();
        // A part goes with its whole, which is named.
        let is_part_of_lost =
            |id: &ObjectId| by_id[id].whole.is_some_and(|oid| self.out.contains_key(&(RELATION, oid)));
        let lost: Vec<(ObjectId, ObjectId)> =
            self.lost.iter().filter(|(id, _)| !is_part_of_lost(id)).copied().collect();
        let brought: Vec<(ObjectId, ObjectId)> = self.brought.iter().map(|(id, by)| (*id, *by)).collect();
        let labels = labels(source, lost.iter().chain(&brought).flat_map(|(a, b)| [*a, *b])).await?;
        let mut findings = Vec::new();
        for (id, missing) in lost {
            let (name, missing) = (&labels[&id], &labels[&missing]);
            let because = format!("it needs {missing}, which is not selected");
            findings.push(if by_id[&id].holds_rows() {
                let remedy = format!("select {missing} as well, or exclude {name} by name");
                finding(Severity::Blocks, name, because, remedy)
            } else {
                finding(Severity::Changes, name, because, "it is not created on the target")
            });
        }
        for (id, by) in brought {
            let because = format!("it is not selected, but {} needs it", labels[&by]);
            findings.push(finding(Severity::Note, &labels[&id], because, "it comes along"));
        }
        for object in objects.iter().filter(|o| self.chosen.contains(&o.id)) {
            if object.parent.is_some_and(|parent| self.out.contains_key(&(RELATION, parent)))
                && let Some(relation) = object.relation()
            {
                findings.push(finding(
                    Severity::Changes,
                    format!("table {}", relation.label()),
                    "it is a partition of a table that is not selected",
                    "it arrives as a table of its own, without the foreign keys and triggers of that one",
                ));
            }
        }
        Ok(findings)
    }
}

/// Whether it comes as far as the patterns say, leaving aside what it needs.
fn is_chosen(wanted: &Wanted, object: &Object, relations: &HashMap<u32, &Object>) -> bool {
    let (Some(schema), false) = (&object.schema, object.is_rider()) else {
        return wanted.include.is_empty() && !object.is_rider();
    };
    let whole = object.whole.and_then(|oid| relations.get(&oid));
    match (object.relation(), whole) {
        (Some(sequence), Some(owner)) => {
            let by_name = |patterns: &[Pattern]| patterns.iter().any(|p| p.takes(&sequence));
            !by_name(&wanted.exclude)
                && (is_selected(wanted, owner, relations) || (!wanted.include.is_empty() && by_name(&wanted.include)))
        }
        (Some(_), None) => is_selected(wanted, object, relations),
        (None, Some(whole)) => is_selected(wanted, whole, relations),
        (None, None) => takes_whole_schema(wanted, schema),
    }
}

/// A partition goes where the table goes that it is a part of, unless it is named itself.
fn is_selected(wanted: &Wanted, object: &Object, relations: &HashMap<u32, &Object>) -> bool {
    let mut line = vec![object];
    while let Some(parent) = line[line.len() - 1].parent.and_then(|oid| relations.get(&oid)) {
        line.push(parent);
    }
    let taken = |patterns: &[Pattern]| {
        line.iter().filter_map(|o| o.relation()).any(|relation| patterns.iter().any(|p| p.takes(&relation)))
    };
    (wanted.include.is_empty() || taken(&wanted.include)) && !taken(&wanted.exclude)
}

/// Functions, types and the like come with a schema that comes whole.
fn takes_whole_schema(wanted: &Wanted, schema: &str) -> bool {
    let taken = |patterns: &[Pattern]| patterns.iter().any(|p| p.takes_schema(schema));
    (wanted.include.is_empty() || taken(&wanted.include)) && !taken(&wanted.exclude)
}

/// Objects as the server describes them.
async fn labels(source: &Session, ids: impl Iterator<Item = ObjectId>) -> Result<HashMap<ObjectId, String>, Error> {
    let (classes, oids): (Vec<u32>, Vec<u32>) = ids.collect::<BTreeSet<_>>().into_iter().unzip();
    let rows = source
        .query(
            "select class, object, pg_describe_object(class, object, 0)
               from unnest($1::oid[], $2::oid[]) as ids (class, object)",
            &[&classes, &oids],
        )
        .await
        .map_err(Error::on(source))?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
}
