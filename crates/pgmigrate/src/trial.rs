//! Finds what the target refuses before any row is copied.
//!
//! What comes before the data is made for good: many entries a transaction, and where one of those fails it is halved
//! until the entries at fault are found. What comes after the data is tried on the empty tables and rolled back, save
//! what can fail only because of rows: plain indexes, keys and foreign keys, which are most of it. So a schema that is
//! accepted costs a few round trips more.

use std::collections::{BTreeMap, BTreeSet};

use pg_session::{DbError, Session};

use crate::ddl;
use crate::error::Error;
use crate::refused::Decisions;
use crate::schema::Schema;
use crate::state;
use crate::toc::{self, Entry};

/// Makes what is not `done` yet of the entries before the data, over several connections where that goes well. What is
/// refused, and what needs it, goes into `decisions`. Returns how many were made.
///
/// # Errors
/// When something else than a refusal stops it: a broken connection, a full disk.
pub(crate) async fn create(
    sessions: &[&Session],
    entries: &[Entry],
    done: &BTreeSet<String>,
    decisions: &mut Decisions,
) -> Result<u64, Error> {
    let [first, ..] = sessions else { return Err(Error::Internal("no session to send the schema over".into())) };
    let wanted: Vec<&Entry> = entries.iter().filter(|entry| !decisions.excludes(entry)).collect();
    if let Some(sent) = ddl::send_side_by_side(sessions, &wanted, done).await? {
        return Ok(sent);
    }
    let in_place = state::done_entries(first).await?;
    let already = in_place.len().saturating_sub(done.len()) as u64;
    let todo: Vec<&Entry> = wanted.into_iter().filter(|entry| !in_place.contains(&entry.key())).collect();
    let mut sent = 0;
    for batch in todo.chunks(ddl::BATCH) {
        run(first, "begin").await?;
        let made = attempt(first, batch, decisions).await?;
        let keys: Vec<String> = made.iter().map(|entry| entry.key()).collect();
        if !keys.is_empty() {
            run(first, &state::record_entries_sql(keys.iter().map(String::as_str))).await?;
        }
        run(first, "commit").await?;
        sent += made.len() as u64;
    }
    Ok(already + sent)
}

/// Tries what comes after the data, on tables without rows, and rolls it back.
///
/// # Errors
/// As [`create`].
pub(crate) async fn rehearse(
    target: &Session,
    schema: &Schema,
    source_major: u32,
    decisions: &mut Decisions,
) -> Result<(), Error> {
    let of_tables = schema.of_table.values();
    let mut after: Vec<&Entry> = of_tables.flat_map(|of| of.indexes.iter().chain(&of.keys)).collect();
    after.extend(schema.foreign_keys.iter().flat_map(|key| [&key.add, &key.validate]));
    after.extend(&schema.after_data);
    after.retain(|entry| !decisions.excludes(entry));
    for batch in batches(&after, |entry| is_plain(entry, target.major() >= source_major)) {
        let sql: String = batch.iter().flat_map(|entry| [entry.sql.as_str(), "\n"]).collect();
        drop(target.take_warnings());
        let tried = target.batch_execute(&format!("begin;\n{sql}rollback;")).await;
        if let Err(error) = tried.map_err(DbError::from).and_then(|()| granted(target)) {
            refusal(&batch, error)?;
            run(target, "rollback; begin").await?;
            attempt(target, &batch, decisions).await?;
            run(target, "rollback").await?;
        }
    }
    decisions.settle(&after);
    drop_hollow_views(target, schema, decisions).await?;
    after.extend(&schema.before_data);
    decisions.settle(&after);
    Ok(())
}

/// Sends entries in the open transaction, halving what is refused; those that went in stay in it.
async fn attempt<'a>(
    target: &Session,
    entries: &[&'a Entry],
    decisions: &mut Decisions,
) -> Result<Vec<&'a Entry>, Error> {
    let mut made = Vec::new();
    let mut ranges = vec![entries.to_vec()];
    while let Some(mut range) = ranges.pop() {
        range.retain(|entry| !decisions.excludes(entry));
        if range.is_empty() {
            continue;
        }
        let sql: String = range.iter().flat_map(|entry| [entry.sql.as_str(), "\n"]).collect();
        match guarded(target, &sql).await? {
            Ok(()) => made.append(&mut range),
            Err(error) => {
                let error = refusal(&range, error)?;
                run(target, "rollback to savepoint trial; release savepoint trial").await?;
                match range.as_slice() {
                    [only] => refuse(target, only, &error, decisions).await?,
                    _ => {
                        let later = range.split_off(range.len() / 2);
                        ranges.extend([later, range]);
                    }
                }
            }
        }
    }
    Ok(made)
}

/// Of an entry of several grants only those that are refused stay behind.
async fn refuse(target: &Session, entry: &Entry, error: &DbError, decisions: &mut Decisions) -> Result<(), Error> {
    let statements = toc::statements(&entry.sql);
    if !matches!(entry.kind.as_str(), "ACL" | "DEFAULT ACL") || statements.len() < 2 {
        decisions.refuse(entry, error);
        return Ok(());
    }
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for statement in statements {
        match guarded(target, statement).await? {
            Ok(()) => kept.push(statement),
            Err(error) => {
                refused.push((statement, refusal(&[entry], error)?));
                run(target, "rollback to savepoint trial; release savepoint trial").await?;
            }
        }
    }
    let kept = kept.join("\n");
    for (statement, error) in refused {
        decisions.refuse_statement(entry, statement, &error, &kept);
    }
    Ok(())
}

/// Sends statements behind a savepoint of the open transaction, in one round trip but two messages: a message that does
/// not even parse leaves no savepoint behind.
async fn guarded(target: &Session, sql: &str) -> Result<Result<(), DbError>, Error> {
    drop(target.take_warnings());
    let (guard, sent) = tokio::join!(target.batch_execute("savepoint trial"), target.batch_execute(sql));
    guard.map_err(Error::on(target))?;
    let sent = sent.map_err(DbError::from).and_then(|()| granted(target));
    if sent.is_ok() {
        run(target, "release savepoint trial").await?;
    }
    Ok(sent)
}

/// A privilege on what belongs to another role (a language, a function of an extension) is refused with no more than a
/// warning where the grantor has any right on it.
fn granted(target: &Session) -> Result<(), DbError> {
    const NOT_REVOKED: &str = "01006";
    const NOT_GRANTED: &str = "01007";
    let refuses = |w: &DbError| w.code.as_deref().is_some_and(|code| [NOT_REVOKED, NOT_GRANTED].contains(&code));
    target.take_warnings().into_iter().find(refuses).map_or(Ok(()), Err)
}

/// The server's word against one of `entries`, unless the error is of another kind than a refusal.
fn refusal(entries: &[&Entry], error: DbError) -> Result<DbError, Error> {
    if is_refusal(&error) {
        return Ok(error);
    }
    let labels: Vec<String> = entries.iter().map(|entry| entry.label()).collect();
    Err(Error::Entry { object: format!("one of {}", crate::extension::list(&labels)), source: error })
}

/// True where the server understood and said no; false where it could not have done anything just then.
pub(crate) fn is_refusal(error: &DbError) -> bool {
    let Some(code) = error.code.as_deref() else { return false };
    let passing = ["08", "25", "40", "53", "57"].contains(&&code[..code.len().min(2)]); // each is five ASCII letters
    !passing && !["55P03", "55006", "58000", "58030"].contains(&code)
}

async fn run(target: &Session, sql: &str) -> Result<(), Error> {
    target.batch_execute(sql).await.map_err(Error::on(target))
}

/// What is not plain, with all of the same list that it needs; a batch holds no more than one transaction should.
fn batches<'a>(entries: &[&'a Entry], is_plain: impl Fn(&Entry) -> bool) -> Vec<Vec<&'a Entry>> {
    let mut by_id: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        by_id.entry(entry.id).or_default().push(at);
    }
    let mut batches = Vec::new();
    let mut batch: BTreeSet<usize> = BTreeSet::new();
    for (at, _) in entries.iter().enumerate().filter(|(_, entry)| !is_plain(entry)) {
        let mut open = vec![at];
        while let Some(next) = open.pop() {
            if batch.insert(next) {
                let needs = entries[next].dependencies.iter().chain([&entries[next].id]);
                open.extend(needs.filter_map(|id| by_id.get(id)).flatten().filter(|other| **other <= next));
            }
        }
        if batch.len() >= ddl::BATCH {
            batches.push(std::mem::take(&mut batch));
        }
    }
    batches.push(batch);
    batches.retain(|batch| !batch.is_empty());
    batches.iter().map(|batch| batch.iter().map(|at| entries[*at]).collect()).collect()
}

/// True for an entry that an empty table cannot refuse once what it needs is there.
fn is_plain(entry: &Entry, target_is_as_new: bool) -> bool {
    match entry.kind.as_str() {
        "COMMENT" | "INDEX ATTACH" | "ROW SECURITY" => true,
        "FK CONSTRAINT" => target_is_as_new,
        "CONSTRAINT" | "INDEX" if !target_is_as_new || toc::statements(&entry.sql).len() > 1 => false,
        "CONSTRAINT" => {
            const ODD: &[&str] = &[" EXCLUDE ", " WITHOUT OVERLAPS", " WITH (", " CHECK "];
            ODD.iter().all(|word| toc::find_unquoted(&entry.sql, word).is_empty())
        }
        "INDEX" => is_plain_index(&entry.sql),
        _ => false,
    }
}

/// True for a B-tree over columns, in their types' own order: no expression, operator class, collation or condition.
fn is_plain_index(sql: &str) -> bool {
    const WORDS: &[&str] = &[
        "CREATE", "UNIQUE", "INDEX", "ON", "ONLY", "USING", "btree", "ASC", "DESC", "NULLS", "FIRST", "LAST",
        "INCLUDE", "NOT", "DISTINCT",
    ];
    let Some((head, columns)) = sql.split_once(" USING ") else { return false };
    let columns = columns.replacen("\"btree\"", "btree", 1);
    let words = |text: &str| -> Option<usize> {
        // Identifiers are all quoted in a dump; two in a row are a column and its operator class.
        let (mut outside, mut quoted, mut names) = (String::new(), false, 0);
        for part in text.split('"') {
            if quoted {
                names += 1;
                outside.push('_');
            } else {
                outside.push_str(part);
            }
            quoted = !quoted;
        }
        if outside.contains("_ _") || outside.contains("_._ _") || outside.contains("((") || outside.contains("_(") {
            return None;
        }
        let known = |word: &str| word.chars().all(|c| c == '_') || WORDS.contains(&word);
        let mut found = outside.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty());
        found.all(known).then_some(names)
    };
    columns.starts_with("btree (") && words(head).is_some() && words(&columns).is_some_and(|columns| columns > 0)
}

/// A view that needs a key of a table comes in two steps: a hollow one before the data and its query after it. Where the
/// query is refused the hollow one must not stay, nor what was made upon it.
async fn drop_hollow_views(target: &Session, schema: &Schema, decisions: &mut Decisions) -> Result<(), Error> {
    let hollow: Vec<&Entry> = schema
        .after_data
        .iter()
        .filter(|e| e.kind == "RULE" && e.name.ends_with(" _RETURN"))
        .filter(|e| decisions.made.iter().any(|d| d.entry == e.key()))
        .filter_map(|rule| schema.before_data.iter().find(|v| v.kind == "VIEW" && rule.dependencies.contains(&v.id)))
        .collect();
    for view in hollow {
        let rule = decisions.made.iter().find(|d| d.left_out.object.contains(&format!("{} _RETURN", view.name)));
        let error = rule.map_or_else(|| "its query is refused".to_owned(), |d| d.left_out.error.clone());
        decisions.refuse_named(view.label(), &view.key(), (view.class, view.oid), Some(view.id), &error);
        run(target, &format!("drop view if exists {} cascade", pg_session::Relation::new(&view.schema, &view.name)))
            .await?;
    }
    Ok(())
}
