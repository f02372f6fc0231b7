//! What of a database is copied, and under which names it arrives.

use pg_session::Relation;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::pattern::{self, Pattern};

/// What of the source comes, as an operator says it; by default everything, under its own names.
///
/// The copy keeps it on the target, so that a resume and a verification mean the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Globs over `schema` or `schema.table`: only what one of them takes comes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Globs over `schema` or `schema.table`: what one of them takes stays behind, included or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Everything but rows and what follows from them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schema_only: bool,
    /// Rows and sequences only, into tables that the target has and that are empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub data_only: bool,
    /// `a=b`: what is in schema a arrives in schema b.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub map_schema: Vec<String>,
    /// `a=b`: what belongs to role a will belong to role b.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub map_owner: Vec<String>,
    /// `schema.table=condition`: only the rows for which the SQL condition holds on the source.
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// A [`Selection`] that has been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub include: Vec<Pattern>,
    pub exclude: Vec<Pattern>,
    pub contents: Contents,
    /// (schema on the source, schema on the target).
    pub schemas: Vec<(String, String)>,
    /// (role on the source, role on the target).
    pub owners: Vec<(String, String)>,
    pub conditions: Vec<(Relation, String)>,
}

/// Which half of a database comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Contents {
    #[default]
    Everything,
    SchemaOnly,
    DataOnly,
}

impl Selection {
    /// True when nothing is left out or renamed.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// As it would be typed, for messages.
    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        let lists = [
            ("--include", &self.include),
            ("--exclude", &self.exclude),
            ("--map-schema", &self.map_schema),
            ("--map-owner", &self.map_owner),
            ("--where", &self.conditions),
        ];
        for (option, values) in lists {
            words.extend(values.iter().map(|value| {
                if value.contains([' ', '"', '*', '?', '\'']) {
                    format!("{option} '{value}'")
                } else {
                    format!("{option} {value}")
                }
            }));
        }
        for (option, given) in [("--schema-only", self.schema_only), ("--data-only", self.data_only)] {
            if given {
                words.push(option.to_owned());
            }
        }
        if words.is_empty() { "no filter at all".into() } else { words.join(" ") }
    }

    /// Two selections that say the same in another order are the same.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.in_order() == other.in_order()
    }

    fn in_order(&self) -> Self {
        let mut sorted = self.clone();
        for list in [
            &mut sorted.include,
            &mut sorted.exclude,
            &mut sorted.map_schema,
            &mut sorted.map_owner,
            &mut sorted.conditions,
        ] {
            list.sort();
            list.dedup();
        }
        sorted
    }

    /// Reads it; nothing is looked up yet.
    pub(crate) fn parse(&self) -> Result<Wanted, Error> {
        if self.schema_only && self.data_only {
            return Err(refuse("--schema-only", "--data-only was given too", "leave one of the two away"));
        }
        let contents = match (self.schema_only, self.data_only) {
            (true, _) => Contents::SchemaOnly,
            (_, true) => Contents::DataOnly,
            _ => Contents::Everything,
        };
        let patterns = |option: &str, texts: &[String]| {
            texts
                .iter()
                .map(|text| Pattern::parse(text).map_err(|e| refuse(format!("{option} {text}"), e, PATTERN_HINT)))
                .collect::<Result<Vec<_>, _>>()
        };
        let wanted = Wanted {
            include: patterns("--include", &self.include)?,
            exclude: patterns("--exclude", &self.exclude)?,
            contents,
            schemas: pairs("--map-schema", &self.map_schema)?,
            owners: pairs("--map-owner", &self.map_owner)?,
            conditions: conditions(&self.conditions)?,
        };
        for (_, to) in &wanted.schemas {
            if to.starts_with("pg_") || ["information_schema", "tierlift"].contains(&to.as_str()) {
                return Err(refuse(
                    format!("--map-schema {}", self.map_schema.join(" ")),
                    format!("schema {to} is not an application's"),
                    "choose another name",
                ));
            }
        }
        if let Some((_, second)) = twice(wanted.schemas.iter().map(|(_, to)| to)) {
            return Err(refuse(
                "--map-schema",
                format!("two schemas would both become {second}"),
                "give each a name of its own: schemas are renamed, not merged",
            ));
        }
        match contents {
            Contents::SchemaOnly if !wanted.conditions.is_empty() => {
                Err(refuse("--where", "--schema-only copies no rows", "leave one of the two away"))
            }
            Contents::DataOnly if !wanted.owners.is_empty() => Err(refuse(
                "--map-owner",
                "--data-only creates nothing that could belong to anybody",
                "leave one of the two away",
            )),
            _ => Ok(wanted),
        }
    }
}

impl Wanted {
    /// True when large objects come: they are in no schema, and nothing says which tables they belong to.
    pub fn large_objects(&self) -> bool {
        !self.is_filtered() && self.contents == Contents::Everything
    }

    /// True when only some schemas or tables come.
    pub fn is_filtered(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// Where a relation of the source is once the copy is finished.
    pub fn relation(&self, source: &Relation) -> Relation {
        Relation::new(self.schema(&source.schema), &source.name)
    }

    /// The name that a schema of the source has on the target.
    pub fn schema<'a>(&'a self, source: &'a str) -> &'a str {
        self.schemas.iter().find(|(from, _)| from == source).map_or(source, |(_, to)| to)
    }
}

const PATTERN_HINT: &str =
    "write schema or schema.table; * and ? are wildcards, names with dots, quotes or wildcards go into double quotes";

/// An option that cannot be used.
pub(crate) fn refuse(option: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Option { option: option.into(), message: message.into(), hint: hint.into() }
}

fn pairs(option: &str, texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    for text in texts {
        let bad = |message: String| refuse(format!("{option} {text}"), message, "write old=new, two names");
        let (from, to) = pattern::assignment(text).ok_or_else(|| bad("it has no =".into()))?;
        let (from, to) = (pattern::exact_name(from).map_err(bad)?, pattern::exact_name(to).map_err(bad)?);
        if from == to {
            return Err(bad("both names are the same".into()));
        }
        pairs.push((from, to));
    }
    match twice(pairs.iter().map(|(from, _)| from)) {
        Some((_, name)) => Err(refuse(option, format!("{name} is given twice"), "each name can become one other")),
        None => Ok(pairs),
    }
}

fn conditions(texts: &[String]) -> Result<Vec<(Relation, String)>, Error> {
    let mut conditions: Vec<(Relation, String)> = Vec::new();
    for text in texts {
        let bad = |message: String| {
            let hint = "write schema.table=condition, e.g. --where \"public.events=created_at >= '2026-01-01'\"";
            refuse(format!("--where {text}"), message, hint)
        };
        let (table, condition) = pattern::assignment(text).ok_or_else(|| bad("it has no =".into()))?;
        let relation = pattern::exact_relation(table).map_err(bad)?;
        if condition.is_empty() {
            return Err(bad("the condition is empty".into()));
        }
        if conditions.iter().any(|(known, _)| *known == relation) {
            return Err(bad(format!("{} has a condition already; join the two with `and`", relation.label())));
        }
        conditions.push((relation, condition.to_owned()));
    }
    Ok(conditions)
}

/// The first name that occurs twice.
fn twice<'a>(names: impl Iterator<Item = &'a String>) -> Option<(&'a String, &'a String)> {
    let mut seen: Vec<&String> = Vec::new();
    for name in names {
        if let Some(first) = seen.iter().find(|known| **known == name) {
            return Some((first, name));
        }
        seen.push(name);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_by_name() {
        let strings = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let check = |selection: Selection, option: &str, message: &str| match selection.parse() {
            Err(Error::Option { option: o, message: m, hint }) => {
                assert!(o.contains(option) && m.contains(message) && !hint.is_empty(), "{o}: {m} ({hint})");
            }
            other => panic!("{selection:?} gave {other:?}"),
        };
        let with = |change: &dyn Fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection
        };
        check(with(&|s| (s.schema_only, s.data_only) = (true, true)), "--schema-only", "--data-only");
        check(with(&|s| s.include = strings(&["a.b.c"])), "--include a.b.c", "dot");
        check(with(&|s| s.map_schema = strings(&["a"])), "--map-schema a", "no =");
        check(with(&|s| s.map_schema = strings(&["a=a"])), "--map-schema a=a", "same");
        check(with(&|s| s.map_schema = strings(&["a=c", "b=c"])), "--map-schema", "both become c");
        check(with(&|s| s.map_schema = strings(&["a=b", "a=c"])), "--map-schema", "twice");
        check(with(&|s| s.map_schema = strings(&["a=pg_x"])), "--map-schema", "pg_x");
        check(with(&|s| s.conditions = strings(&["t=true"])), "--where", "schema.table");
        check(with(&|s| s.conditions = strings(&["a.t=true", "a.t=false"])), "--where", "already");
        check(with(&|s| s.conditions = strings(&["a.t="])), "--where", "empty");
        check(with(&|s| (s.schema_only, s.conditions) = (true, strings(&["a.t=true"]))), "--where", "no rows");
        check(with(&|s| (s.data_only, s.map_owner) = (true, strings(&["a=b"]))), "--map-owner", "creates nothing");
    }

    #[test]
    fn swaps_are_allowed_and_order_does_not_matter() {
        let selection = |maps: &[&str]| Selection {
            map_schema: maps.iter().map(|m| (*m).to_owned()).collect(),
            ..Selection::default()
        };
        let wanted = selection(&["a=b", "b=a"]).parse().expect("a swap is fine");
        assert_eq!(wanted.relation(&Relation::new("a", "t")), Relation::new("b", "t"));
        assert_eq!(wanted.relation(&Relation::new("c", "t")), Relation::new("c", "t"));
        assert!(selection(&["a=b", "b=a"]).is_same_as(&selection(&["b=a", "a=b"])));
        assert!(!selection(&["a=b"]).is_same_as(&selection(&[])));
        assert_eq!(selection(&["a=b"]).describe(), "--map-schema a=b");
    }
}
