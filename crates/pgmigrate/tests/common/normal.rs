//! What of a dump may differ between two ends that hold the same. docs/copy.md lists it for users, line by line.

/// The lines of a `pg_dump` that must be equal at both ends of a copy, the older of which has this major version.
pub fn lines(dump: &str, older: u16) -> Vec<String> {
    let mut lines = Vec::new();
    let dump = without_attver(dump);
    for entry in dump.split(ENTRY) {
        let kind = entry.lines().next().and_then(|header| header.split("; Type: ").nth(1)).unwrap_or("");
        let is = |kinds: &[&str]| kinds.iter().any(|k| kind.split(';').next() == Some(*k));
        if is(&["USER MAPPING"]) {
            continue; // they hold passwords and stay behind
        }
        // Before 16 a server prints every column of a view with its table.
        let text = match entry.split_once("\n--\n") {
            Some((header, sql)) if older < 16 && is(&["VIEW", "MATERIALIZED VIEW", "RULE"]) => {
                format!("{header}\n{}", unqualified(sql))
            }
            _ => entry.replacen("\n--\n", "\n", 1),
        };
        let inherits = text.contains("\nINHERITS (");
        let compared = text.lines().filter(|line| !NOT_COMPARED.iter().any(|start| line.starts_with(start)));
        for line in compared {
            let mut line = line.to_owned();
            if older < 18 {
                line = nameless_not_null(&line); // before 18 it has no name, and 18 makes one up
                if inherits {
                    line = line.replace(" NOT NULL", ""); // before 18 an heir's own is not told from its parent's
                }
            }
            if older < 17 && (line.starts_with("GRANT ") || line.starts_with("REVOKE ")) {
                line = without_maintain(&line); // the privilege is as old as 17
            }
            lines.push(line);
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop(); // between entries there are as many as settings stood there
        }
    }
    lines
}

/// What precedes the name of an entry.
const ENTRY: &str = "\n--\n-- Name: ";

/// Beginnings of lines that say nothing of what the database holds, or what assess said would differ.
const NOT_COMPARED: &[&str] = &[
    // A token that is another in every dump.
    "\\restrict ",
    "\\unrestrict ",
    // The servers' versions.
    "-- Dumped from ",
    "-- Dumped by ",
    // Privileges handed on by a grantee: on the target the owner hands them on.
    "SET SESSION AUTHORIZATION ",
    "RESET SESSION AUTHORIZATION;",
    // Tables are stored where and how the target stores them.
    "SET default_tablespace = ",
    "SET default_table_access_method = ",
];

/// Newer minor releases keep an option of their own with each column.
fn without_attver(dump: &str) -> String {
    const OPTION: &str = "pg_attver=";
    let mut out = String::new();
    let mut rest = dump;
    while let Some((before, after)) = rest.split_once(OPTION) {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(after) = rest.strip_prefix(", ") {
            rest = after;
        } else if out.ends_with(", ") {
            out.truncate(out.len() - ", ".len());
        } else if let Some(after) = rest.strip_prefix(");") {
            rest = after;
            out.truncate(out.rfind("\nALTER ").expect("a statement sets it"));
        }
    }
    out + rest
}

/// What is all there is before 17 is called so.
fn without_maintain(line: &str) -> String {
    const ALL: &str = "SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE ";
    line.replace(",MAINTAIN", "").replace(ALL, "ALL ON TABLE ")
}

/// `a int CONSTRAINT x NOT NULL` -> `a int NOT NULL`.
fn nameless_not_null(line: &str) -> String {
    const WORD: &str = " CONSTRAINT ";
    let Some((before, rest)) = line.split_once(WORD) else { return line.to_owned() };
    let name = if rest.starts_with('"') { quoted_length(rest, '"') } else { rest.find(' ').unwrap_or(rest.len()) };
    let after = &rest[name..];
    if after.starts_with(" NOT NULL") { format!("{before}{after}") } else { line.to_owned() }
}

/// Without the `name.` in front of names, outside of strings.
fn unqualified(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => quoted_length(rest, first),
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        let is_name = first == '"' || first.is_alphabetic() || first == '_';
        match after.strip_prefix('.').filter(|_| is_name) {
            Some(after) => rest = after,
            None => {
                out.push_str(token);
                rest = after;
            }
        }
    }
    out
}

/// How long what is quoted at the start of `text` is; a doubled quote is no end.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    loop {
        let Some(end) = text[at..].find(quote) else { return text.len() };
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
}
