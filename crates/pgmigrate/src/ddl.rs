//! Sends schema entries to the target: many a round trip, each batch a transaction with its record.

use std::collections::{BTreeMap, BTreeSet};

use pg_session::{DbError, Session};

use crate::error::Error;
use crate::retry;
use crate::state;
use crate::toc::Entry;

/// Entries a transaction. Each holds a few locks until its end, and a server has about 6,400 of them.
pub(crate) const BATCH: usize = 200;

/// Settings under which a dump's statements mean what they meant: bodies may name what comes later. The name is how
/// [`crate::leftover`] knows the sessions that write for a copy.
pub(crate) const SESSION_SETTINGS: &str =
    "set check_function_bodies = off; set lock_timeout = '60s'; set application_name = 'tierlift copy';";

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
    match send_batches(target, entries, done).await {
        Ok(sent) => Ok(sent),
        Err((refused, error)) => Err(name_refused(target, &refused, error).await),
    }
}

async fn send_batches<'a>(
    target: &Session,
    entries: &[&'a Entry],
    done: &BTreeSet<String>,
) -> Result<u64, (Vec<&'a Entry>, DbError)> {
    let todo = todo(entries, done);
    for batch in todo.chunks(BATCH) {
        let sql = with_record(batch);
        if let Err(error) = state::in_one_transaction(target, &sql).await {
            return Err((batch.iter().map(|(entry, _)| *entry).collect(), error));
        }
    }
    Ok(todo.len() as u64)
}

/// Sends entries that come before the data: types, functions and the like in order, then tables and what belongs to
/// them over several connections, since thousands of `create table` take one server process seconds. What depends on
/// one another (by the dump's own word) stays on one connection, in order. Returns how many were sent, or `None` where a
/// connection was refused something, which may only mean that it should have waited for another.
pub(crate) async fn send_side_by_side(
    sessions: &[&Session],
    entries: &[&Entry],
    done: &BTreeSet<String>,
) -> Result<Option<u64>, Error> {
    let [first, ..] = sessions else { return Err(Error::Internal("no session to send the schema over".into())) };
    let tables = entries.iter().position(|e| PARALLEL_FROM.contains(&e.kind.as_str())).unwrap_or(entries.len());
    let (head, tail) = entries.split_at(tables);
    let sent = match send_batches(first, head, done).await {
        Ok(sent) => sent,
        Err(refused) => return passing_or_none(refused),
    };
    let shares = shares(tail, if tail.len() < BATCH { 1 } else { sessions.len() });
    let at_once = sessions.iter().zip(&shares).map(|(session, share)| send_batches(session, share, done));
    let results = futures_util::future::join_all(at_once).await;
    match results.into_iter().collect::<Result<Vec<u64>, _>>() {
        Ok(counts) => Ok(Some(sent + counts.iter().sum::<u64>())),
        Err(refused) => passing_or_none(refused),
    }
}

/// A session that broke is no refusal: its last commit may still be under way, no good moment to ask what is in place.
fn passing_or_none((batch, source): (Vec<&Entry>, DbError)) -> Result<Option<u64>, Error> {
    let labels: Vec<String> = batch.iter().map(|entry| entry.label()).collect();
    let error = Error::Entry { object: format!("one of {}", crate::extension::list(&labels)), source };
    if retry::may_pass(&error, true) { Err(error) } else { Ok(None) }
}

/// From the first of these on, entries are tables and what hangs on tables.
const PARALLEL_FROM: &[&str] = &["TABLE", "SEQUENCE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"];

/// Divides entries into at most `count` shares of about equal number, dependants with what they depend on.
fn shares<'a>(entries: &[&'a Entry], count: usize) -> Vec<Vec<&'a Entry>> {
    let by_id: BTreeMap<u32, usize> = entries.iter().enumerate().map(|(at, e)| (e.id, at)).collect();
    // Each entry points at an earlier one of its group, at last at the group's first.
    let mut leader: Vec<usize> = (0..entries.len()).collect();
    fn find(leader: &mut [usize], mut at: usize) -> usize {
        while leader[at] != at {
            leader[at] = leader[leader[at]];
            at = leader[at];
        }
        at
    }
    for (at, entry) in entries.iter().enumerate() {
        for other in entry.dependencies.iter().filter_map(|id| by_id.get(id)) {
            let (a, b) = (find(&mut leader, at), find(&mut leader, *other));
            leader[a.max(b)] = a.min(b);
        }
    }
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for at in 0..entries.len() {
        *sizes.entry(find(&mut leader, at)).or_default() += 1;
    }
    let mut groups: Vec<(usize, usize)> = sizes.into_iter().collect();
    groups.sort_by_key(|(leader, size)| (std::cmp::Reverse(*size), *leader));
    let mut filled = vec![0; count.max(1)];
    let mut share_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (leader, size) in groups {
        let emptiest = (0..filled.len()).min_by_key(|share| filled[*share]).unwrap_or(0);
        filled[emptiest] += size;
        share_of.insert(leader, emptiest);
    }
    let mut shares = vec![Vec::new(); filled.len()];
    for (at, entry) in entries.iter().enumerate() {
        shares[share_of[&find(&mut leader, at)]].push(*entry);
    }
    shares
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u32, dependencies: &[u32]) -> Entry {
        Entry {
            id,
            class: 1259,
            oid: id,
            dependencies: dependencies.to_vec(),
            name: format!("t{id}"),
            kind: "TABLE".into(),
            schema: "public".into(),
            sql: format!("create table t{id} ();"),
        }
    }

    #[test]
    fn what_depends_on_one_another_shares_a_connection_in_order() {
        let check = |entries: &[(u32, &[u32])], count: usize, expect: &[&[u32]]| {
            let entries: Vec<Entry> = entries.iter().map(|(id, needs)| entry(*id, needs)).collect();
            let shares = shares(&entries.iter().collect::<Vec<_>>(), count);
            let ids: Vec<Vec<u32>> = shares.iter().map(|share| share.iter().map(|e| e.id).collect()).collect();
            assert_eq!(ids, expect, "{entries:?}");
        };
        check(&[], 2, &[&[], &[]]);
        check(&[(1, &[]), (2, &[]), (3, &[]), (4, &[])], 2, &[&[1, 3], &[2, 4]]);
        check(&[(1, &[]), (2, &[1]), (3, &[]), (4, &[3])], 2, &[&[1, 2], &[3, 4]]);
        check(&[(1, &[]), (2, &[]), (3, &[1, 2]), (4, &[99])], 2, &[&[1, 2, 3], &[4]]);
        check(&[(5, &[]), (2, &[5]), (9, &[2])], 1, &[&[5, 2, 9]]);
    }
}
