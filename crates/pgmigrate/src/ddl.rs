//! Sends schema entries to the target: many a round trip, each batch a transaction with its record.

use std::collections::BTreeSet;

use pg_session::{DbError, Session};

use crate::error::Error;
use crate::state;
use crate::toc::Entry;

/// Entries a transaction. Each holds a few locks until its end, and a server has about 6,400 of them.
const BATCH: usize = 200;

/// Settings under which a dump's statements mean what they meant: bodies may name what comes later.
pub(crate) const SESSION_SETTINGS: &str = "set check_function_bodies = off; set lock_timeout = '60s';";

/// Those of `entries` that are not in `done` yet with their record, for a transaction that holds more than them; and
/// how many they are.
pub(crate) fn statements(entries: &[&Entry], done: &BTreeSet<String>) -> (String, u64) {
    let todo = todo(entries, done);
    if todo.is_empty() { (String::new(), 0) } else { (with_record(&todo), todo.len() as u64) }
}

fn todo<'a>(entries: &[&'a Entry], done: &BTreeSet<String>) -> Vec<(&'a Entry, String)> {
    entries.iter().map(|e| (*e, e.key())).filter(|(_, key)| !done.contains(key)).collect()
}

fn with_record(entries: &[(&Entry, String)]) -> String {
    let mut sql: String = entries.iter().flat_map(|(entry, _)| [entry.sql.as_str(), "\n"]).collect();
    sql.push_str(&state::record_entries_sql(entries.iter().map(|(_, key)| key.as_str())));
    sql
}

/// Sends those of `entries` that are not in `done` yet. Returns how many were sent.
pub(crate) async fn send(target: &Session, entries: &[&Entry], done: &BTreeSet<String>) -> Result<u64, Error> {
    let todo = todo(entries, done);
    for batch in todo.chunks(BATCH) {
        let sql = with_record(batch);
        if let Err(error) = state::in_one_transaction(target, &sql).await {
            let refused: Vec<&Entry> = batch.iter().map(|(entry, _)| *entry).collect();
            return Err(name_refused(target, &refused, error).await);
        }
    }
    Ok(todo.len() as u64)
}

/// Sends a batch again, an entry at a time in a transaction that is rolled back, to name the one the target refuses.
async fn name_refused(target: &Session, batch: &[&Entry], first: DbError) -> Error {
    if let [only] = batch {
        return Error::Entry { object: only.label(), source: first };
    }
    let labels = || batch.iter().map(|e| e.label()).collect::<Vec<_>>();
    let several = |source| Error::Entry { object: format!("one of {}", crate::extension::list(&labels())), source };
    if let Err(error) = target.batch_execute("begin").await {
        return several(DbError::from(error));
    }
    let mut refused = None;
    for entry in batch {
        if let Err(error) = target.batch_execute(&entry.sql).await {
            refused = Some(Error::Entry { object: entry.label(), source: DbError::from(error) });
            break;
        }
    }
    // Best effort: a broken connection has rolled back by itself, and the refusal is what matters.
    drop(target.batch_execute("rollback").await);
    refused.unwrap_or_else(|| several(first))
}
