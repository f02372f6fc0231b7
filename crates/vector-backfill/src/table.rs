//! A table as a server's catalogue has it: its columns, its key, its triggers.

use pg_session::{Ident, Relation, Session};
use runbook::{Finding, Severity};

use crate::error::Error;

/// One table of one server.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub relation: Relation,
    pub oid: u32,
    pub columns: Vec<Column>,
    pub keys: Vec<Key>,
    /// Whether this role may alter it.
    owned: bool,
    /// Whether this role may select from it.
    readable: bool,
    /// Whether row security keeps rows of it from this role.
    filtered: bool,
    /// The planner's figure; `None` when nothing was analyzed yet.
    rows_estimate: Option<u64>,
}

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    /// As SQL writes it, with modifier and (for types of extensions) schema.
    pub type_name: String,
    /// The bare name of the type.
    pub type_base: String,
    pub type_modifier: i32,
    pub is_text: bool,
    pub is_generated: bool,
}

/// A column whose values tell every row from every other, with its operators fully named.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub column: String,
    pub type_name: String,
    pub less: String,
    pub equal: String,
    pub not_less: String,
}

impl Table {
    /// Reads it; `None` when there is no such table (or the name is a view's).
    pub async fn read(session: &Session, relation: &Relation) -> Result<Option<Self>, Error> {
        let on = Error::on(session);
        let found =
            session.query_opt(include_str!("sql/table.sql"), &[&relation.schema, &relation.name]).await.map_err(&on)?;
        let Some(row) = found.filter(|row| ["r", "p"].contains(&row.get::<_, &str>(1))) else { return Ok(None) };
        let oid: u32 = row.get(0);
        let rows_estimate = Some(row.get::<_, f64>(2)).filter(|rows| *rows >= 0.0).map(|rows| rows as u64);
        let columns = session.query(include_str!("sql/columns.sql"), &[&oid]).await.map_err(&on)?;
        let columns = columns
            .iter()
            .map(|row| Column {
                name: row.get(0),
                type_name: row.get(1),
                type_base: row.get(2),
                type_modifier: row.get(3),
                is_text: row.get(4),
                is_generated: row.get(5),
            })
            .collect();
        let keys = session.query(include_str!("sql/keys.sql"), &[&oid]).await.map_err(&on)?;
        let keys = keys
            .iter()
            .map(|row| Key {
                column: row.get(0),
                type_name: row.get(1),
                less: row.get(2),
                equal: row.get(3),
                not_less: row.get(4),
            })
            .collect();
        Ok(Some(Self {
            relation: relation.clone(),
            oid,
            columns,
            keys,
            owned: row.get(3),
            readable: row.get(4),
            filtered: row.get(5),
            rows_estimate,
        }))
    }

    /// Reads it, or says that it is not there or not readable.
    pub async fn require(session: &Session, relation: &Relation) -> Result<Self, Error> {
        let found = Self::read(session, relation).await?;
        let finding = match found {
            None => missing_table(relation, &[session.url().endpoint()]),
            Some(table) => match table.unreadable() {
                None => return Ok(table),
                Some(finding) => finding,
            },
        };
        Err(Error::Blocked(vec![finding]))
    }

    /// What is in the way of reading all of it.
    pub fn unreadable(&self) -> Option<Finding> {
        let (message, remedy) = match (self.readable, self.filtered) {
            (true, false) => return None,
            (true, true) => (
                "row security hides rows of it from this role",
                "connect as the role that owns the table, or as one with bypassrls",
            ),
            (false, _) => {
                ("this role may not read it", "connect as the role that owns the table, or grant select on it")
            }
        };
        Some(blocks(self.object(), message, remedy))
    }

    /// What is in the way of adding a column or an index.
    pub fn unalterable(&self) -> Option<Finding> {
        let remedy = "connect as the role that owns the table, or as a member of it";
        (!self.owned)
            .then(|| blocks(self.object(), "it belongs to another role, and only its owner may alter it", remedy))
    }

    pub fn object(&self) -> String {
        table_object(&self.relation)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column texts are read from.
    pub fn text_column(&self, name: &str) -> Result<&Column, Finding> {
        match self.column(name) {
            Some(column) if column.is_text => Ok(column),
            Some(column) => Err(blocks(
                format!("column {}.{name}", self.relation.label()),
                format!("it is {}, not text", column.type_name),
                "name a column of type text, varchar or char as `text`",
            )),
            None => Err(blocks(
                self.object(),
                format!("it has no column {name}"),
                format!("name the text column; the table has {}", self.column_names()),
            )),
        }
    }

    /// The key rows are told apart by: the one asked for, else the primary key, else another that is one column.
    pub fn key(&self, wanted: Option<&str>) -> Result<&Key, Finding> {
        let found = match wanted {
            Some(name) => self.keys.iter().find(|key| key.column == name),
            None => self.keys.first(),
        };
        found.ok_or_else(|| match wanted {
            Some(name) => blocks(
                self.object(),
                format!("its column {name} is no key: not null with a unique index of its own"),
                "name another column as `key`, or leave it out to use the primary key",
            ),
            None => blocks(
                self.object(),
                "it has no key of a single column",
                "add a unique index on one column that is not null (an identity column, say), then start again",
            ),
        })
    }

    /// Whether the vector column is there; an error when something else has its name.
    pub fn has_vector(&self, name: &str, dimensions: usize) -> Result<bool, Finding> {
        let Some(column) = self.column(name) else { return Ok(false) };
        if column.type_base == "vector"
            && usize::try_from(column.type_modifier) == Ok(dimensions)
            && !column.is_generated
        {
            return Ok(true);
        }
        Err(blocks(
            format!("column {}.{name}", self.relation.label()),
            format!("it is there already, as {}, not vector({dimensions})", column.type_name),
            "choose another column name, or rename the one that is there",
        ))
    }

    /// The planner's estimate, or a count where nothing was analyzed yet.
    pub async fn rows(&self, session: &Session) -> Result<u64, Error> {
        match self.rows_estimate {
            Some(rows) => Ok(rows),
            None => count(session, &format!("select count(*) from {}", self.relation)).await,
        }
    }

    fn column_names(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Key {
    /// The column, quoted.
    pub fn sql(&self) -> Ident<'_> {
        Ident(&self.column)
    }

    /// `between low (included) and high (excluded)` of alias `t`, the bounds being text parameters `$1` and `$2` as far as
    /// they are given.
    pub fn within(&self, low: Option<&str>, high: Option<&str>) -> String {
        let Self { type_name, less, not_less, .. } = self;
        let mut sql = String::new();
        let mut place = 1;
        for (bound, operator) in [(low, not_less), (high, less)] {
            if bound.is_some() {
                sql += &format!(" and t.{} {operator} ${place}::text::{type_name}", self.sql());
                place += 1;
            }
        }
        sql
    }
}

/// Waits until whoever holds a lock on the table that conflicts with `mode` has ended, if the table is there.
///
/// A process that was killed leaves a statement running on the server, which notices within two seconds; or even a
/// commit on its way. What to undo or to repeat is only known after that.
pub(crate) async fn settle(session: &Session, relation: &Relation, mode: &str) -> Result<(), Error> {
    if Table::read(session, relation).await?.is_none() {
        return Ok(());
    }
    let done = session.batch_execute(&format!("begin; lock table {relation} in {mode} mode; commit")).await;
    if done.is_err() {
        // Best effort: a broken connection rolls back by itself.
        drop(session.batch_execute("rollback").await);
    }
    done.map_err(Error::statement(table_object(relation), "cannot lock it"))
}

/// `table public.messages`.
pub(crate) fn table_object(relation: &Relation) -> String {
    format!("table {}", relation.label())
}

/// The finding of a table that is on none of these servers.
pub(crate) fn missing_table(relation: &Relation, looked_at: &[String]) -> Finding {
    blocks(
        table_object(relation),
        format!("there is no such table on {}", looked_at.join(" or on ")),
        "correct the table's name in the playbook (schema.table), or create it first",
    )
}

pub(crate) fn blocks(object: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { severity: Severity::Blocks, object: object.into(), message: message.into(), remedy: remedy.into() }
}

/// The number a `select count(*)` without parameters returns.
pub(crate) async fn count(session: &Session, sql: &str) -> Result<u64, Error> {
    let row = session.query_one(sql, &[]).await.map_err(Error::on(session))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).expect("a count is not negative"))
}

/// `schema.table` as people write it, quoted where they like; without a schema it is `public`'s.
///
/// # Errors
/// [`Error::Argument`] when it is nothing of the kind.
pub fn parse_relation(text: &str) -> Result<Relation, Error> {
    let bad = || Error::Argument {
        object: format!("table {text:?}"),
        message: "it is no table name of the form schema.table".into(),
    };
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("there is always a part");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                part.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => part.push(c),
        }
    }
    if quoted || parts.iter().any(|part| part.is_empty() || part.len() > 63) {
        return Err(bad());
    }
    match parts.as_slice() {
        [name] => Ok(Relation::new("public", name)),
        [schema, name] => Ok(Relation::new(schema, name)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_table_names_as_people_write_them() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let relation = parse_relation(text).ok();
            assert_eq!(relation.as_ref().map(|r| (r.schema.as_str(), r.name.as_str())), expect, "{text}");
        };
        check("public.messages", Some(("public", "messages")));
        check("messages", Some(("public", "messages")));
        check("app.Mood Entries", Some(("app", "Mood Entries")));
        check(r#""a.b"."q""x""#, Some(("a.b", r#"q"x"#)));
        check("a.b.c", None);
        check("", None);
        check(".x", None);
        check(r#""open"#, None);
    }
}
