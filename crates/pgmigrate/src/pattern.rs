//! Names and globs as people type them: `app_*`, `public.messages`, `public."Mood Entries"`.
//!
//! Names count as they stand, capitals and all. `*` stands for any characters and `?` for one. Inside double quotes
//! every character stands for itself, dots included, and a quote is written twice.

use pg_session::Relation;

/// A glob over schemas (`app_*`), or over what is in them (`public.*_log`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// As it was typed.
    pub text: String,
    schema: Glob,
    relation: Option<Glob>,
}

impl Pattern {
    /// Reads one; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = parts(text)?.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(schema), relation, None) => Ok(Self { text: text.to_owned(), schema, relation }),
            _ => Err("it has more than one dot; put a name that holds a dot into double quotes".into()),
        }
    }

    /// True when it is about schemas as a whole and `schema` is one of them.
    pub fn takes_schema(&self, schema: &str) -> bool {
        self.relation.is_none() && self.schema.matches(schema)
    }

    /// True when `relation` is meant, by its own name or with its whole schema.
    pub fn takes(&self, relation: &Relation) -> bool {
        self.schema.matches(&relation.schema) && self.relation.as_ref().is_none_or(|glob| glob.matches(&relation.name))
    }

    /// True for a pattern without a dot that would fit this name, were it a schema's.
    pub fn would_take(&self, name: &str) -> bool {
        self.takes_schema(name)
    }
}

/// A name without any glob, of a schema or a role.
pub(crate) fn exact_name(text: &str) -> Result<String, String> {
    match parts(text)?.as_slice() {
        [one] => one.name(),
        _ => Err("a dot belongs into double quotes".into()),
    }
}

/// `schema.table` without any glob.
pub(crate) fn exact_relation(text: &str) -> Result<Relation, String> {
    match parts(text)?.as_slice() {
        [schema, table] => Ok(Relation::new(schema.name()?, table.name()?)),
        _ => Err("a table is written schema.table".into()),
    }
}

/// Splits `left=right` at the first `=` outside of double quotes.
pub(crate) fn assignment(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '=' && !quoted).then_some(at)
    })?;
    Some((text[..at].trim(), text[at + 1..].trim()))
}

/// The parts between dots.
fn parts(text: &str) -> Result<Vec<Glob>, String> {
    let mut parts = vec![Glob(Vec::new())];
    let mut quoted = false;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let piece = match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                Piece::Char('"')
            }
            '"' => {
                quoted = !quoted;
                continue;
            }
            '.' if !quoted => {
                parts.push(Glob(Vec::new()));
                continue;
            }
            '*' if !quoted => Piece::Many,
            '?' if !quoted => Piece::One,
            c => Piece::Char(c),
        };
        // There is one part from the start on.
        if let Some(part) = parts.last_mut() {
            part.0.push(piece);
        }
    }
    if quoted {
        return Err("a double quote is not closed".into());
    }
    if parts.iter().any(|part| part.0.is_empty()) {
        return Err("a name in it is empty".into());
    }
    Ok(parts)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

impl Glob {
    fn name(&self) -> Result<String, String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Char(c) => Ok(*c),
                _ => Err("it must be one name; put a name that holds * or ? into double quotes".to_owned()),
            })
            .collect()
    }

    fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // Where to go on when a later piece fails: behind the last `*`, one character further each time.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.0.get(piece) {
                Some(Piece::Many) => {
                    piece += 1;
                    retry = Some((piece, at));
                }
                Some(Piece::One) => (piece, at) = (piece + 1, at + 1),
                Some(Piece::Char(c)) if *c == name[at] => (piece, at) = (piece + 1, at + 1),
                _ => match retry {
                    Some((behind, from)) => {
                        (piece, at) = (behind, from + 1);
                        retry = Some((behind, from + 1));
                    }
                    None => return false,
                },
            }
        }
        self.0[piece..].iter().all(|p| *p == Piece::Many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_take_what_they_say() {
        let check = |pattern: &str, schema: &str, name: &str, expect: bool| {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.takes(&Relation::new(schema, name)), expect, "{pattern} against {schema} {name}");
        };
        check("public", "public", "messages", true);
        check("public", "Public", "messages", false);
        check("app_*", "app_", "t", true);
        check("app_*", "app", "t", false);
        check("*", "anything", "at all", true);
        check("public.messages", "public", "messages", true);
        check("public.messages", "public", "messages_old", false);
        check("public.mess*", "public", "messages_old", true);
        check("public.*_log", "public", "a_log_log", true);
        check("public.*_log", "public", "a_log_", false);
        check("*.audit", "x", "audit", true);
        check("public.t?", "public", "t1", true);
        check("public.t?", "public", "t", false);
        check("public.t?", "public", "tü", true);
        check("a*b*c.t", "aXbXbXc", "t", true);
        check("a*b*c.t", "aXbXbX", "t", false);
        check(r#"public."Mood Entries""#, "public", "Mood Entries", true);
        check(r#""a.b"."t""x""#, "a.b", "t\"x", true);
        check(r#"public."*""#, "public", "anything", false);
        check(r#"public."*"*"#, "public", "*x", true);
    }

    #[test]
    fn a_pattern_for_tables_takes_no_whole_schema() {
        let pattern = Pattern::parse("public.*").expect("it is good");
        assert!(!pattern.takes_schema("public"));
        assert!(Pattern::parse("public").expect("it is good").takes_schema("public"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let check = |text: &str, expect: &str| {
            let error = Pattern::parse(text).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "empty");
        check("public.", "empty");
        check(".t", "empty");
        check("a.b.c", "more than one dot");
        check("public.\"t", "not closed");
        assert!(exact_relation("public.t*").is_err());
        assert!(exact_relation("t").is_err());
        assert!(exact_name("a.b").is_err());
        assert_eq!(exact_name(r#""a.b""#), Ok("a.b".to_owned()));
    }

    #[test]
    fn assignments_split_outside_of_quotes() {
        let check = |text, expect| assert_eq!(assignment(text), expect, "{text}");
        check("a=b", Some(("a", "b")));
        check("public.t = x = 1", Some(("public.t", "x = 1")));
        check(r#""a=b"=c"#, Some((r#""a=b""#, "c")));
        check("a", None);
    }
}
