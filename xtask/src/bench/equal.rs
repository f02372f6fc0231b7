//! What a database holds, as text that is equal on both servers exactly when the contents are.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use pg_sandbox::PgServer;

use super::DATABASE;

/// Objects and what they hold: rows and an order-independent hash of every table, every sequence's position, every
/// index's and constraint's definition.
pub type Contents = BTreeMap<String, String>;

/// Tables asked for in one query.
const BATCH: usize = 200;

const TABLES: &str = "
select format('select %L, count(*), coalesce(sum(hashtextextended(t::text collate \"C\", 0)), 0) from only %I.%I t',
              n.nspname || '.' || c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname not like 'pg\\_%' and n.nspname not in ('information_schema', 'tierlift')
 order by 1";

const OBJECTS: &str = "
select 'sequence ' || schemaname || '.' || sequencename, coalesce(last_value::text, 'unused')
  from pg_sequences where schemaname <> 'tierlift'
union all
select 'index ' || schemaname || '.' || indexname, indexdef || ' ' || i.indisvalid
  from pg_indexes x join pg_index i on i.indexrelid = format('%I.%I', schemaname, indexname)::regclass
 where schemaname not in ('pg_catalog', 'tierlift')
union all
-- PostgreSQL 18 lists NOT NULL among them, 16 does not
select 'constraint ' || n.nspname || '.' || conrelid::regclass || '.' || conname,
       pg_get_constraintdef(o.oid) || ' ' || convalidated
  from pg_constraint o join pg_namespace n on n.oid = connamespace
 where contype <> 'n' and n.nspname not in ('pg_catalog', 'information_schema', 'tierlift')";

/// Reads all of it.
pub fn contents(server: &PgServer) -> anyhow::Result<Contents> {
    let ask = |sql: &str| server.psql(DATABASE, sql).context("cannot read the contents");
    let tables = ask(TABLES)?;
    let tables: Vec<&str> = tables.lines().collect();
    let mut answers = ask(OBJECTS)?;
    for batch in tables.chunks(BATCH) {
        answers.push_str(&ask(&batch.join(" union all "))?);
    }
    let line = |line: &str| line.split_once('|').map(|(object, holds)| (object.to_owned(), holds.to_owned()));
    Ok(answers.lines().filter_map(line).collect())
}

/// An error names what differs.
pub fn compare(source: &Contents, target: &Contents) -> anyhow::Result<()> {
    let differs = |object: &&String| source.get(*object) != target.get(*object);
    let mut objects: Vec<&String> = source.keys().chain(target.keys()).filter(differs).collect();
    objects.sort();
    objects.dedup();
    let shown: Vec<&str> = objects.iter().take(5).map(|object| object.as_str()).collect();
    ensure!(objects.is_empty(), "{} objects differ: {}", objects.len(), shown.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing_or_other() {
        let contents = |pairs: &[(&str, &str)]| -> Contents {
            pairs.iter().map(|(object, holds)| ((*object).to_owned(), (*holds).to_owned())).collect()
        };
        let source = contents(&[("a", "1|7"), ("b", "2|8")]);
        assert!(compare(&source, &source).is_ok());
        for (target, expect) in [
            (contents(&[("a", "1|7")]), "1 objects differ: b"),
            (contents(&[("a", "1|6"), ("b", "2|8")]), "1 objects differ: a"),
            (contents(&[("a", "1|7"), ("b", "2|8"), ("c", "0|0")]), "1 objects differ: c"),
        ] {
            assert_eq!(compare(&source, &target).unwrap_err().to_string(), expect);
        }
    }
}
