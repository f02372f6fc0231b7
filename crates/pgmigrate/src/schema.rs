//! What of the source's schema is sent to the target: entries filtered and rewritten one by one.

use std::collections::{BTreeMap, BTreeSet};

use pg_session::{Ident, Relation};

use crate::error::Error;
use crate::extension::list;
use crate::place::{self, Place, Places};
use crate::survey::Survey;
use crate::toc::{self, Entry};

/// A schema ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// Before the data, in order.
    pub before_data: Vec<Entry>,
    /// What follows the rows of a table, by its oid on the source.
    pub of_table: BTreeMap<u32, OfTable>,
    /// Foreign keys between tables with rows.
    pub foreign_keys: Vec<ForeignKey>,
    /// Everything else after the data, in order.
    pub after_data: Vec<Entry>,
    /// pg_dump's numbers of the source's extensions, which what leans on them refers to.
    pub extensions: BTreeMap<String, u32>,
    /// What was left out or changed, a line each.
    pub notes: Vec<String>,
}

/// What follows the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct OfTable {
    /// Built side by side; those of keys are promoted afterwards.
    pub indexes: Vec<Entry>,
    /// Keys and exclusion constraints.
    pub keys: Vec<Entry>,
}

/// A foreign key in two steps.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    /// The referencing table's oid on the source.
    pub from: u32,
    /// The referenced table's.
    pub to: u32,
    /// Adds it without looking at the rows.
    pub add: Entry,
    /// Looks at them.
    pub validate: Entry,
}

/// Reads a dump and decides over each of its entries.
pub(crate) fn plan(survey: &Survey, places: &Places, dump: &str, owns_public: bool) -> Result<Schema, Error> {
    let entries = toc::entries(dump).map_err(|reason| Error::PgDump { stderr: reason })?;
    let tables: BTreeMap<u32, &Relation> = survey.tables.iter().map(|t| (t.oid, &t.relation)).collect();
    let mut filter = Filter { survey, owns_public, skipped: BTreeSet::new(), notes: Vec::new() };
    let mut schema = Schema::default();
    let mut past_data = false;
    for entry in entries {
        past_data |= entry.is_post_data();
        let (id, place) = (entry.id, places.get(&(entry.class, entry.oid)));
        if entry.kind == "EXTENSION" {
            schema.extensions.insert(entry.name.clone(), id);
        }
        let Some(entry) = filter.decide(entry) else {
            filter.skipped.insert(id);
            continue;
        };
        match place {
            _ if !past_data => schema.before_data.push(entry),
            Some(Place::Index { table }) if tables.contains_key(table) => {
                schema.of_table.entry(*table).or_default().indexes.push(entry);
            }
            Some(Place::Key { table, promotion }) if tables.contains_key(table) => {
                let of_table = schema.of_table.entry(*table).or_default();
                match promotion.as_ref().and_then(|p| place::promote(&entry, p)) {
                    Some((index, key)) => {
                        of_table.indexes.push(index);
                        of_table.keys.push(key);
                    }
                    None => of_table.keys.push(entry),
                }
            }
            Some(Place::Foreign { from, to, name }) if tables.contains_key(to) => {
                match tables.get(from).and_then(|table| place::defer_validation(&entry, table, name)) {
                    Some((add, validate)) => {
                        schema.foreign_keys.push(ForeignKey { from: *from, to: *to, add, validate });
                    }
                    None => schema.after_data.push(entry),
                }
            }
            _ => schema.after_data.push(entry),
        }
    }
    schema.notes = filter.notes;
    Ok(schema)
}

struct Filter<'a> {
    survey: &'a Survey,
    owns_public: bool,
    /// pg_dump's numbers of entries left out.
    skipped: BTreeSet<u32>,
    notes: Vec<String>,
}

impl Filter<'_> {
    /// The entry as it is sent, or `None`.
    fn decide(&mut self, mut entry: Entry) -> Option<Entry> {
        // Entries without a catalogue of their own are about another: a comment, row security, a sequence's owner.
        let attached = entry.class == 0 || matches!(entry.kind.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL");
        if attached && entry.dependencies.iter().any(|id| self.skipped.contains(id)) {
            return None;
        }
        if self.survey.managed.skipped.contains(&(entry.class, entry.oid)) {
            return None; // assess has said so
        }
        let ties = matches!(entry.kind.as_str(), "SEQUENCE OWNED BY" | "TABLE ATTACH" | "INDEX ATTACH");
        if ties && self.survey.choice.loose.contains(&Relation::new(&entry.schema, &entry.name)) {
            return None;
        }
        match entry.kind.as_str() {
            // Extensions are made beforehand, as assess decided; the others hold credentials, as assess has said.
            "EXTENSION" | "SUBSCRIPTION" | "SUBSCRIPTION TABLE" | "USER MAPPING" => return None,
            "COMMENT" | "ACL" if !self.owns_public && entry.name == "SCHEMA \"public\"" => {
                self.notes.push(format!("{} left out: the target role does not own schema public", entry.label()));
                return None;
            }
            "SCHEMA" => entry.sql = entry.sql.replacen("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1),
            "ACL" => entry.sql = self.privileges(&entry),
            "DEFAULT ACL" => entry.sql = self.default_privileges(&entry),
            "TABLE" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "VIEW" | "INDEX" => {
                entry.sql = self.without_attver(entry.sql, &entry.name);
            }
            _ => {}
        }
        (!entry.sql.is_empty()).then_some(entry)
    }

    /// Grants, made by the role we are rather than by the source's grantor, to roles that the target has.
    fn privileges(&mut self, entry: &Entry) -> String {
        let mut kept = Vec::new();
        for statement in toc::statements(&entry.sql) {
            if ["SET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION"].iter().any(|s| statement.starts_with(s)) {
                continue;
            }
            let statement = self.with_known_grantee(statement);
            kept.extend(self.with_known_privilege(&statement, &entry.name));
        }
        kept.join("\n")
    }

    /// MAINTAIN is as old as PostgreSQL 17; before, it is the owner's alone.
    fn with_known_privilege(&mut self, statement: &str, name: &str) -> Option<String> {
        const WORD: &str = "MAINTAIN";
        if self.survey.target.version_num >= 170_000 || toc::find_unquoted(statement, WORD).is_empty() {
            return Some(statement.to_owned());
        }
        let on = *toc::find_unquoted(statement, " ON ").first()?;
        let verb = ["GRANT ", "REVOKE "].iter().find_map(|verb| Some(statement[..on].rfind(verb)? + verb.len()))?;
        let privileges: Vec<&str> = statement[verb..on].split(',').filter(|p| *p != WORD).collect();
        let note = format!("privilege MAINTAIN left out of {name}: the target is older than PostgreSQL 17");
        if statement[verb..on].split(',').any(|p| p == WORD) && !self.notes.contains(&note) {
            self.notes.push(note);
        }
        (!privileges.is_empty()).then(|| format!("{}{}{}", &statement[..verb], privileges.join(","), &statement[on..]))
    }

    fn default_privileges(&mut self, entry: &Entry) -> String {
        let mut kept = Vec::new();
        for statement in toc::statements(&entry.sql) {
            const LEAD: &str = "ALTER DEFAULT PRIVILEGES FOR ROLE ";
            let Some(rest) = statement.strip_prefix(LEAD) else {
                kept.push(statement.to_owned());
                continue;
            };
            let end = identifier_length(rest);
            let role = toc::unquote(&rest[..end]);
            if self.survey.source.provider.manages_role(&role) {
                let note = format!("default privileges for role {role} left out: it is the provider's own");
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
                continue;
            }
            let mapped = format!("{LEAD}{}{}", Ident(&self.survey.roles.target_user), &rest[end..]);
            let mapped = self.with_known_grantee(&mapped);
            kept.extend(self.with_known_privilege(&mapped, &entry.name));
        }
        kept.join("\n")
    }

    /// A grantee unknown to the target can only be the source's owner (all others are made): the owner there is us.
    fn with_known_grantee(&self, statement: &str) -> String {
        let after = |word: &str| toc::find_unquoted(statement, word).last().map(|at| at + word.len());
        let Some(at) = after(" TO ").max(after(" FROM ")) else { return statement.to_owned() };
        let end = at + identifier_length(&statement[at..]);
        let role = toc::unquote(&statement[at..end]);
        let known = self.survey.roles.known(&role);
        if role == "PUBLIC" || known == role {
            return statement.to_owned();
        }
        format!("{}{}{}", &statement[..at], Ident(known), &statement[end..])
    }

    /// Newer minor releases keep `pg_attver` among a column's options; servers without it refuse the statement.
    fn without_attver(&mut self, sql: String, name: &str) -> String {
        if !sql.contains("pg_attver") {
            return sql;
        }
        // By statements, not lines: a column's name may hold anything.
        let statements = toc::statements(&sql);
        let stripped: Vec<String> = statements.iter().map(|s| strip_attver(s)).filter(|s| !s.is_empty()).collect();
        if stripped == statements {
            return sql;
        }
        self.notes.push(format!("pg_attver left out of {name}"));
        stripped.join("\n")
    }
}

/// `ALTER TABLE ... ALTER COLUMN ... SET (a=1, pg_attver=2);` without that option, or nothing when it was the only one.
fn strip_attver(statement: &str) -> String {
    let is_option = |o: &str| o.trim().trim_start_matches('"').starts_with("pg_attver");
    let column_options = statement.starts_with("ALTER ") && !toc::find_unquoted(statement, " ALTER COLUMN ").is_empty();
    let Some(open) = toc::find_unquoted(statement, " SET (").last().copied().filter(|_| column_options) else {
        return statement.to_owned();
    };
    let options = &statement[open + " SET (".len()..];
    let Some(options) = options.strip_suffix(");") else { return statement.to_owned() };
    if !options.split(',').any(is_option) {
        return statement.to_owned();
    }
    let kept: Vec<&str> = options.split(',').map(str::trim).filter(|o| !is_option(o)).collect();
    if kept.is_empty() { String::new() } else { format!("{} SET ({});", &statement[..open], kept.join(", ")) }
}

/// How many bytes of `text` the identifier at its start takes.
fn identifier_length(text: &str) -> usize {
    if !text.starts_with('"') {
        return text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    }
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// One line that says what a schema holds, for a preview or a note.
pub(crate) fn summary(schema: &Schema) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let of_tables = schema.of_table.values().flat_map(|of| of.indexes.iter().chain(&of.keys));
    let foreign = schema.foreign_keys.iter().map(|key| &key.add);
    let all = schema.before_data.iter().chain(of_tables).chain(foreign).chain(&schema.after_data);
    for entry in all {
        *counts.entry(entry.kind.as_str()).or_default() += 1;
    }
    let parts: Vec<String> = counts.into_iter().map(|(kind, n)| format!("{n} {}", kind.to_lowercase())).collect();
    list(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_only_the_internal_option() {
        let check = |line: &str, expect: &str| assert_eq!(strip_attver(line), expect);
        check(r#"ALTER TABLE ONLY "public"."t" ALTER COLUMN "c" SET (pg_attver=2);"#, "");
        check(
            r#"ALTER TABLE ONLY "public"."t" ALTER COLUMN "c" SET (n_distinct=5, "pg_attver"='2');"#,
            r#"ALTER TABLE ONLY "public"."t" ALTER COLUMN "c" SET (n_distinct=5);"#,
        );
        let comment = r#"COMMENT ON TABLE "t" IS 'ALTER COLUMN c SET (pg_attver=2);';"#;
        check(comment, comment);
        check("ALTER TABLE ONLY \"t\" ALTER COLUMN \"new\nline\" SET (pg_attver=2);", "");
        let other = r#"ALTER TABLE ONLY "t" ALTER COLUMN "pg_attver" SET (n_distinct=5);"#;
        check(other, other);
    }

    #[test]
    fn measures_identifiers() {
        let check = |text: &str, expect: usize| assert_eq!(identifier_length(text), expect, "{text}");
        check("anon;", 4);
        check(r#""a ""b"" c" WITH GRANT OPTION;"#, 11);
        check("PUBLIC", 6);
    }
}
