//! Cuts `pg_dump --verbose` output into the entries of its table of contents.
//!
//! A header counts only outside of quotes, so that a function body or a comment that looks like one cuts nothing.

/// One entry: a header's fields and the SQL below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// pg_dump's own number, which `dependencies` of others refer to.
    pub id: u32,
    /// Catalogue (`pg_class.oid` of `pg_constraint` and the like) and object id; 0 for entries about another object.
    pub class: u32,
    pub oid: u32,
    pub dependencies: Vec<u32>,
    /// As pg_dump names it, e.g. `messages` or `messages messages_pkey` or `TABLE "messages"`.
    pub name: String,
    /// e.g. `TABLE`, `FK CONSTRAINT`, `COMMENT`.
    pub kind: String,
    /// `-` for objects in no schema.
    pub schema: String,
    pub sql: String,
}

impl Entry {
    /// `view public.mood`, for people.
    pub fn label(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.schema == "-" {
            format!("{kind} {}", self.name)
        } else {
            format!("{kind} {}.{}", self.schema, self.name)
        }
    }

    /// The same for the same object in two dumps of one schema; entries that differ in text differ in key.
    pub fn key(&self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.sql.as_bytes());
        format!(
            "{} {}.{} {:02x}{:02x}{:02x}{:02x}",
            self.kind, self.schema, self.name, digest[0], digest[1], digest[2], digest[3]
        )
    }

    /// True for entries that come after the data.
    pub fn is_post_data(&self) -> bool {
        const KINDS: &[&str] = &[
            "INDEX",
            "INDEX ATTACH",
            "CONSTRAINT",
            "FK CONSTRAINT",
            "CHECK CONSTRAINT",
            "TRIGGER",
            "RULE",
            "POLICY",
            "ROW SECURITY",
            "STATISTICS",
            "EVENT TRIGGER",
            "PUBLICATION",
            "PUBLICATION TABLE",
            "PUBLICATION TABLES IN SCHEMA",
            "SUBSCRIPTION",
            "ACL",
            "DEFAULT ACL",
        ];
        KINDS.contains(&self.kind.as_str())
    }
}

/// Every entry of a dump, in its order. What precedes the first (settings, which sessions pin themselves) is dropped.
pub(crate) fn entries(dump: &str) -> Result<Vec<Entry>, String> {
    let starts = line_starts_outside_quotes(dump);
    let is_header = |at: &usize| dump[*at..].starts_with("--\n-- TOC entry ");
    let headers: Vec<usize> = starts.iter().copied().filter(is_header).collect();
    let end = starts
        .iter()
        .copied()
        .rev()
        .find(|at| dump[*at..].starts_with("--\n-- PostgreSQL database dump complete\n"))
        .ok_or("the dump is cut short: its last line is missing")?;
    let mut entries = Vec::with_capacity(headers.len());
    for (i, &at) in headers.iter().enumerate() {
        let until = headers.get(i + 1).copied().unwrap_or(end);
        let text = &dump[at..until];
        entries.push(entry(text).ok_or_else(|| format!("cannot read this entry of the dump: {}", first_lines(text)))?);
    }
    Ok(entries)
}

/// Splits SQL at semicolons outside of quotes. Not for bodies of `begin atomic` functions.
pub(crate) fn statements(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut scan = Scan::new(sql);
    while let Some(token) = scan.next_token() {
        if let Token::Byte(at, b';') = token {
            found.push(sql[from..=at].trim());
            from = at + 1;
        }
    }
    found.push(sql[from..].trim());
    found.retain(|s| !s.is_empty());
    found
}

/// Byte positions in `sql` of `word` outside of quotes and comments.
pub(crate) fn find_unquoted(sql: &str, word: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut scan = Scan::new(sql);
    while let Some(token) = scan.next_token() {
        if let Token::Byte(at, _) = token
            && sql.as_bytes()[at..].starts_with(word.as_bytes())
        {
            found.push(at);
        }
    }
    found
}

/// An identifier as it stands in SQL, without its quotes.
pub(crate) fn unquote(ident: &str) -> String {
    match ident.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => ident.to_owned(),
    }
}

fn entry(text: &str) -> Option<Entry> {
    let mut lines = text.split_inclusive('\n');
    let mut used = lines.next()?.len();
    let toc = lines.next()?;
    used += toc.len();
    let (id, rest) = toc.trim_end().strip_prefix("-- TOC entry ")?.split_once(" (class ")?;
    let (class, oid) = rest.strip_suffix(')')?.split_once(" OID ")?;
    let mut dependencies = Vec::new();
    let mut fields = None;
    for line in lines {
        used += line.len();
        let line = line.trim_end_matches('\n');
        if let Some(list) = line.strip_prefix("-- Dependencies: ") {
            dependencies = list.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        } else if let Some(rest) = line.strip_prefix("-- Name: ") {
            // From the right: a name may hold anything, kinds and schemas hardly.
            let (rest, _owner) = rest.rsplit_once("; Owner: ")?;
            let (rest, schema) = rest.rsplit_once("; Schema: ")?;
            let (name, kind) = rest.rsplit_once("; Type: ")?;
            fields = Some((name.to_owned(), kind.to_owned(), schema.to_owned()));
        } else if line == "--" {
            break;
        }
    }
    let (name, kind, schema) = fields?;
    let sql = without_trailing_settings(&text[used..]).to_owned();
    Some(Entry {
        id: id.parse().ok()?,
        class: class.parse().ok()?,
        oid: oid.parse().ok()?,
        dependencies,
        name,
        kind,
        schema,
        sql,
    })
}

/// pg_dump announces table defaults ahead of the next entry; sessions keep the target's own defaults instead. Comments
/// after the last statement go too.
fn without_trailing_settings(sql: &str) -> &str {
    let mut sql = sql.trim();
    loop {
        let Some(at) = sql.rfind('\n') else { return sql };
        let last = &sql[at + 1..];
        let setting = last.starts_with("SET default_table") && last.ends_with(';');
        if !setting && !last.starts_with("-- Completed on ") {
            return sql;
        }
        sql = sql[..at].trim_end();
    }
}

fn first_lines(text: &str) -> String {
    text.lines().take(4).collect::<Vec<_>>().join(" ")
}

fn line_starts_outside_quotes(sql: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut scan = Scan::new(sql);
    while let Some(token) = scan.next_token() {
        match token {
            Token::Byte(at, b'\n') => starts.push(at + 1),
            Token::CommentEnd(at) => starts.push(at),
            Token::Byte(..) => {}
        }
    }
    starts
}

/// What is left of SQL when quotes and comments are passed over.
enum Token {
    Byte(usize, u8),
    /// A line comment ended; the next line starts here.
    CommentEnd(usize),
}

struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql: sql.as_bytes(), at: 0 }
    }

    fn next_token(&mut self) -> Option<Token> {
        loop {
            let at = self.at;
            let byte = *self.sql.get(at)?;
            let rest = &self.sql[at..];
            match byte {
                b'\'' => self.at = self.after_quote(at + 1, b'\'', self.is_escape_string(at)),
                b'"' => self.at = self.after_quote(at + 1, b'"', false),
                b'$' if !self.follows_word(at) => match dollar_tag(rest) {
                    Some(tag) => {
                        let body = at + tag.len();
                        let length = find(&self.sql[body..], tag).unwrap_or(self.sql.len() - body);
                        self.at = (body + length + tag.len()).min(self.sql.len());
                    }
                    None => self.at += 1,
                },
                b'-' if rest.starts_with(b"--") => {
                    let length = find(rest, b"\n").map_or(rest.len(), |n| n + 1);
                    self.at += length;
                    return Some(Token::CommentEnd(self.at));
                }
                b'/' if rest.starts_with(b"/*") => self.at = self.after_block_comment(at),
                _ => {
                    self.at += 1;
                    return Some(Token::Byte(at, byte));
                }
            }
        }
    }

    fn after_quote(&self, mut at: usize, quote: u8, escapes: bool) -> usize {
        while let Some(&byte) = self.sql.get(at) {
            if escapes && byte == b'\\' {
                at += 2;
            } else if byte == quote {
                if self.sql.get(at + 1) == Some(&quote) {
                    at += 2;
                } else {
                    return at + 1;
                }
            } else {
                at += 1;
            }
        }
        self.sql.len()
    }

    fn after_block_comment(&self, mut at: usize) -> usize {
        let mut depth = 0;
        while at < self.sql.len() {
            if self.sql[at..].starts_with(b"/*") {
                depth += 1;
                at += 2;
            } else if self.sql[at..].starts_with(b"*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            } else {
                at += 1;
            }
        }
        at
    }

    fn is_escape_string(&self, quote: usize) -> bool {
        quote > 0 && matches!(self.sql[quote - 1], b'e' | b'E') && !(quote > 1 && is_word(self.sql[quote - 2]))
    }

    fn follows_word(&self, at: usize) -> bool {
        at > 0 && is_word(self.sql[at - 1])
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let end = rest[1..].iter().position(|b| *b == b'$')? + 1;
    let name = &rest[1..end];
    let valid = name.iter().all(|b| is_word(*b)) && !name.first().is_some_and(u8::is_ascii_digit);
    valid.then(|| &rest[..=end])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

SET row_security = off;

--
-- TOC entry 355 (class 1255 OID 16797)
-- Name: touch(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION "public"."touch"() RETURNS "trigger"
    AS $$ begin
--
-- TOC entry 99 (class 1 OID 1)
-- Name: x; Type: y; Schema: z; Owner: q
--
 return new; end $$;


SET default_table_access_method = "heap";

--
-- TOC entry 2846 (class 0 OID 0)
-- Dependencies: 222 7
-- Name: TABLE "it's; Type: x"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE "public"."it's; Type: x" IS 'it''s
--
-- TOC entry 98 (class 1 OID 1)
-- Name: x; Type: y; Schema: z; Owner: q
--';


-- Completed on 2026-01-01 00:00:00 UTC

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"#;

    #[test]
    fn cuts_only_at_real_headers() {
        let entries = entries(DUMP).expect("it is a whole dump");
        let seen: Vec<_> = entries.iter().map(|e| (e.id, e.kind.as_str(), e.name.as_str())).collect();
        assert_eq!(seen, [(355, "FUNCTION", "touch()"), (2846, "COMMENT", "TABLE \"it's; Type: x\"")]);
        assert_eq!(entries[1].dependencies, [222, 7]);
        assert!(entries[0].sql.ends_with("return new; end $$;"), "{}", entries[0].sql);
        assert!(entries[1].sql.ends_with("--';"), "{}", entries[1].sql);
    }

    #[test]
    fn a_dump_that_was_cut_short_is_refused() {
        assert!(entries(&DUMP[..DUMP.len() - 80]).is_err());
    }

    #[test]
    fn splits_statements_outside_of_quotes() {
        let check = |sql: &str, expect: &[&str]| assert_eq!(statements(sql), expect, "{sql}");
        check("a; b;", &["a;", "b;"]);
        check("grant x on \"a;b\" to c;\nd", &["grant x on \"a;b\" to c;", "d"]);
        check(r"select E'\';'; select '\';", &[r"select E'\';';", r"select '\';"]);
        check("do $x$ a; $y$ b; $x$; /* ; /* ; */ ; */ e;", &["do $x$ a; $y$ b; $x$;", "/* ; /* ; */ ; */ e;"]);
        check("select a$1;b$2;", &["select a$1;", "b$2;"]);
    }
}
