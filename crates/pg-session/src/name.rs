//! Names and literals in SQL. Identifiers reach SQL only through [`Ident`] or [`Relation`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// An identifier; its `Display` is always double-quoted, so any name is safe inside SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A schema-qualified relation; `Display` is quoted for SQL, [`Relation::label`] is for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// Schema name as in `pg_namespace.nspname`.
    pub schema: String,
    /// Relation name as in `pg_class.relname`.
    pub name: String,
}

impl Relation {
    /// From the two names as the catalogue has them.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// `schema.name` as a person would write it: quoted only where it must be.
    pub fn label(&self) -> String {
        let part = |s: &str| if is_plain(s) { s.to_owned() } else { Ident(s).to_string() };
        format!("{}.{}", part(&self.schema), part(&self.name))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident(&self.schema), Ident(&self.name))
    }
}

/// A string literal, for the few statements that take no bind (`ALTER DATABASE ... SET`, `SET`).
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

fn is_plain(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_sql_and_readable_for_people() {
        let check = |schema: &str, name: &str, sql: &str, label: &str| {
            let relation = Relation::new(schema, name);
            assert_eq!((relation.to_string().as_str(), relation.label().as_str()), (sql, label));
        };
        check("public", "messages", r#""public"."messages""#, "public.messages");
        check("public", "Mood Entries", r#""public"."Mood Entries""#, r#"public."Mood Entries""#);
        check("a.b", r#"q"x"#, r#""a.b"."q""x""#, r#""a.b"."q""x""#);
        check("ünï", "1st", r#""ünï"."1st""#, r#""ünï"."1st""#);
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        let check = |text: &str, sql: &str| assert_eq!(literal(text), sql);
        check("plain", "'plain'");
        check("it's", "'it''s'");
        check(r"a\b'c", r"E'a\\b''c'");
    }
}
