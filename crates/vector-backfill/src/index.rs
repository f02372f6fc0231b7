//! The ivfflat index: built after the data, its memory computed beforehand.
//!
//! `create index` fails when `maintenance_work_mem` is too small for the lists, so how much it takes is worked out from
//! what the build allocates (see [`build_memory_bytes`]) and set for the session. Vectors lie in TOAST, so the table looks
//! small and the planner gives the build no workers: `parallel_workers` of the table is set for the build, and put back in
//! the same transaction.

use std::time::{Duration, Instant};

use pg_session::{Access, Ident, PgUrl, Relation, Session};
use runbook::{Context, Progress};
use serde::{Deserialize, Serialize};

use crate::enable::Pgvector;
use crate::error::Error;
use crate::sizing::{LISTS_MAX, build_memory_bytes, index_name, lists_for};
use crate::table::{Table, blocks, count, settle};

/// The only operator class so far; texts are compared by angle.
pub const COSINE: &str = "vector_cosine_ops";

/// How often to ask the server how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The lock a build holds that no other build gets beside it.
const BUILDING: &str = "share update exclusive";

/// What to build.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// The database.
    pub target: PgUrl,
    /// The table.
    pub table: Relation,
    /// The vector column.
    pub column: String,
    /// Lists; [`lists_for`] the number of rows unless given.
    pub lists: Option<u32>,
    /// Operator class, e.g. [`COSINE`].
    pub opclass: String,
    /// Without blocking writes; takes about twice as long.
    pub concurrently: bool,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexBefore {
    /// The index, by the name we would give it.
    pub index: bool,
    /// The table's `parallel_workers`, if somebody set it.
    pub parallel_workers: Option<String>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexReport {
    /// The index, as a person would write it.
    pub index: String,
    /// Its lists.
    pub lists: u32,
    /// Seconds the build took; 0 when it was there.
    pub seconds: f64,
    /// Its size.
    pub bytes: u64,
    /// What the build was given, at least what it needs.
    pub memory_bytes: u64,
    /// Rows that have an embedding.
    pub rows: u64,
}

/// An index as the catalogue has it.
pub(crate) struct Found {
    ours: bool,
    what: String,
    pub valid: bool,
    lists: Option<u32>,
    bytes: u64,
}

impl IndexOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.opclass != COSINE {
            let message = format!("only {COSINE} is known: texts are compared by angle");
            return Err(Error::Argument { object: format!("opclass {}", self.opclass), message });
        }
        match self.lists {
            Some(lists) if !(1..=LISTS_MAX).contains(&lists) => {
                let message = format!("it is not from 1 to {LISTS_MAX}");
                Err(Error::Argument { object: format!("lists {lists}"), message })
            }
            _ => Ok(()),
        }
    }

    fn relation(&self) -> Relation {
        Relation::new(&self.table.schema, index_name(&self.table, &self.column))
    }

    fn object(&self) -> String {
        format!("index {}", self.relation().label())
    }

    async fn find(&self, session: &Session, table: &Table) -> Result<Option<Found>, Error> {
        let relation = self.relation();
        let row = session
            .query_opt(include_str!("sql/index.sql"), &[&relation.schema, &relation.name, &table.oid])
            .await
            .map_err(Error::on(session))?;
        let Some(row) = row else { return Ok(None) };
        let (method, column, opclass): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
        let options: Option<Vec<String>> = row.get(5);
        let lists = options.iter().flatten().find_map(|option| option.strip_prefix("lists=")?.parse().ok());
        Ok(Some(Found {
            ours: row.get::<_, bool>(0) && method == "ivfflat" && column == self.column && opclass == self.opclass,
            what: format!("{method} ({column} {opclass})"),
            valid: row.get(4),
            lists,
            bytes: u64::try_from(row.get::<_, i64>(6)).expect("a size is not negative"),
        }))
    }

    fn fits(&self, found: &Found) -> bool {
        found.ours && (self.lists.is_none() || self.lists == found.lists)
    }

    /// The index if it is in place; an error when something else has its name, or it has other lists than asked for.
    pub(crate) async fn is_there(&self, session: &Session, table: &Table) -> Result<Option<Found>, Error> {
        let Some(found) = self.find(session, table).await? else { return Ok(None) };
        let blocked = |message| {
            let remedy = "drop or rename that index, then start again";
            Err(Error::Blocked(vec![blocks(self.object(), message, remedy)]))
        };
        if !found.ours {
            return blocked(format!("an index of that name is there and is {}", found.what));
        }
        if found.valid && !self.fits(&found) {
            let lists = found.lists.map_or_else(|| "pgvector's default".to_owned(), |lists| lists.to_string());
            return blocked(format!("it is there with {lists} lists"));
        }
        Ok(Some(found))
    }
}

/// Whether the index is in place already, and what undo must know. Read-only.
///
/// # Errors
/// When the state can't be read.
pub async fn index_before(options: &IndexOptions) -> Result<(bool, IndexBefore), Error> {
    let session = Session::connect(&options.target, Access::ReadOnly).await?;
    let Some(table) = Table::read(&session, &options.table).await? else {
        return Ok((false, IndexBefore { index: false, parallel_workers: None }));
    };
    let found = options.find(&session, &table).await?.filter(|found| options.fits(found));
    let row = session
        .query_one("select reloptions from pg_catalog.pg_class where oid = $1", &[&table.oid])
        .await
        .map_err(Error::on(&session))?;
    let reloptions: Option<Vec<String>> = row.get(0);
    let parallel_workers =
        reloptions.iter().flatten().find_map(|option| option.strip_prefix("parallel_workers=").map(str::to_owned));
    // An unusable index that has our name and shape is a build of ours that was cut off.
    let before = IndexBefore { index: found.as_ref().is_some_and(|found| found.valid), parallel_workers };
    Ok((before.index, before))
}

/// Builds the index, unless it is there. A build that was cut off is begun again.
///
/// # Errors
/// [`Error::Blocked`] when the column holds no embedding (an index trained on nothing finds nothing), and when the server
/// refuses.
pub async fn build_index(options: &IndexOptions, before: &IndexBefore, cx: &Context) -> Result<IndexReport, Error> {
    options.check()?;
    let session = Session::connect(&options.target, Access::ReadWrite).await?;
    settle(&session, &options.table, BUILDING).await?;
    let schema = Pgvector::require_schema(&session).await?;
    let table = Table::require(&session, &options.table).await?;
    let dimensions = vector_dimensions(&table, &options.column)?;
    let column = Ident(&options.column);
    let rows = count(&session, &format!("select count({column}) from {}", options.table)).await?;
    let lists = options.lists.unwrap_or_else(|| lists_for(rows));
    let memory_bytes = build_memory_bytes(lists, dimensions);
    let mut report =
        IndexReport { index: options.relation().label(), lists, seconds: 0.0, bytes: 0, memory_bytes, rows };
    match options.is_there(&session, &table).await? {
        Some(found) if found.valid => {
            report.bytes = found.bytes;
            report.lists = found.lists.unwrap_or(lists);
            return Ok(report);
        }
        Some(_) => {
            cx.note(format!("{} is there and unusable: dropped, and built again", options.object()));
            drop_index(&session, options).await?;
        }
        None => {}
    }
    if rows == 0 {
        return Err(Error::Blocked(vec![blocks(
            format!("column {}.{}", options.table.label(), options.column),
            "it holds no embedding yet",
            "backfill it first: lists trained on nothing find nothing",
        )]));
    }
    report.memory_bytes = set_memory(&session, memory_bytes).await?;
    let create = format!(
        "create index {}{} on {} using ivfflat ({column} {}.{}) with (lists = {lists})",
        if options.concurrently { "concurrently " } else { "" },
        Ident(&options.relation().name),
        options.table,
        Ident(&schema),
        Ident(&options.opclass),
    );
    let started = Instant::now();
    let watcher = Session::connect(&options.target, Access::ReadOnly).await?;
    let pid: i32 = session.query_one("select pg_backend_pid()", &[]).await.map_err(Error::on(&session))?.get(0);
    let build = build(&session, options, before, &create);
    tokio::select! {
        done = build => done?,
        never = follow(&watcher, pid, options, rows, cx) => match never? {},
    }
    report.seconds = started.elapsed().as_secs_f64();
    cx.progress(Progress {
        item: options.object(),
        rows,
        rows_total: Some(rows),
        finished: true,
        ..Progress::default()
    });
    let refused = Error::statement(table.object(), "cannot analyze it");
    session.batch_execute(&format!("analyze {}", options.table)).await.map_err(refused)?;
    report.bytes = options.find(&session, &table).await?.map_or(0, |found| found.bytes);
    Ok(report)
}

/// Drops the index, unless it was there before; also one that a build left unusable.
///
/// # Errors
/// When the server refuses.
pub async fn undo_index(options: &IndexOptions, before: &IndexBefore) -> Result<(), Error> {
    let session = Session::connect(&options.target, Access::ReadWrite).await?;
    settle(&session, &options.table, BUILDING).await?;
    let Some(table) = Table::read(&session, &options.table).await? else { return Ok(()) };
    if options.concurrently {
        // The only kind of build whose setting is not in one transaction with it.
        let refused = Error::statement(table.object(), "cannot put parallel_workers back");
        session.batch_execute(&put_back(options, before)).await.map_err(refused)?;
    }
    match options.find(&session, &table).await? {
        Some(found) if found.ours && !before.index => drop_index(&session, options).await,
        _ => Ok(()),
    }
}

/// Fails when the index is not there or not usable.
///
/// # Errors
/// [`Error::NotInPlace`].
pub async fn verify_index(options: &IndexOptions) -> Result<(), Error> {
    if index_before(options).await?.0 {
        return Ok(());
    }
    Err(Error::NotInPlace {
        object: options.object(),
        message: "it is not there, or not valid".into(),
        hint: "look who dropped it, then start again".into(),
    })
}

async fn build(session: &Session, options: &IndexOptions, before: &IndexBefore, create: &str) -> Result<(), Error> {
    let table = &options.table;
    let row = session
        .query_one("select current_setting('max_parallel_maintenance_workers')::int4", &[])
        .await
        .map_err(Error::on(session))?;
    let set = format!("alter table {table} set (parallel_workers = {})", row.get::<_, i32>(0));
    let back = put_back(options, before);
    let sql = if options.concurrently {
        vec![set, create.to_owned(), back]
    } else {
        vec![format!("begin; {set}; {create}; {back}; commit")]
    };
    for statement in sql {
        let done = session.batch_execute(&statement).await;
        if done.is_err() {
            // Best effort: a broken connection rolls back by itself, and undo puts the setting back.
            drop(session.batch_execute("rollback").await);
        }
        done.map_err(Error::statement(options.object(), "cannot build it"))?;
    }
    Ok(())
}

fn put_back(options: &IndexOptions, before: &IndexBefore) -> String {
    match &before.parallel_workers {
        // A number, as the catalogue printed it; quoted, in case the journal was tampered with.
        Some(workers) => {
            format!("alter table {} set (parallel_workers = {})", options.table, pg_session::literal(workers))
        }
        None => format!("alter table {} reset (parallel_workers)", options.table),
    }
}

async fn drop_index(session: &Session, options: &IndexOptions) -> Result<(), Error> {
    let concurrently = if options.concurrently { "concurrently " } else { "" };
    let sql = format!("drop index {concurrently}if exists {}", options.relation());
    session.batch_execute(&sql).await.map_err(Error::statement(options.object(), "cannot drop it"))
}

/// Gives this session what the build needs, and a tenth for what the figures don't cover; never less than the server's
/// own setting. Returns the bytes set.
async fn set_memory(session: &Session, needed_bytes: u64) -> Result<u64, Error> {
    let on = Error::on(session);
    let sql = "select pg_size_bytes(current_setting('maintenance_work_mem'))";
    let has: i64 = session.query_one(sql, &[]).await.map_err(&on)?.get(0);
    let has = u64::try_from(has).expect("a setting in bytes is not negative");
    let wanted_mb = (needed_bytes + needed_bytes / 10).div_ceil(1 << 20);
    if has >= wanted_mb << 20 {
        return Ok(has);
    }
    session.batch_execute(&format!("set maintenance_work_mem = '{wanted_mb}MB'")).await.map_err(&on)?;
    Ok(wanted_mb << 20)
}

/// Reports how far the build is, for as long as it is asked to.
async fn follow(
    watcher: &Session,
    pid: i32,
    options: &IndexOptions,
    rows: u64,
    cx: &Context,
) -> Result<std::convert::Infallible, Error> {
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut phase = String::new();
    loop {
        every.tick().await;
        let row = watcher
            .query_opt(
                "select phase, tuples_done, tuples_total from pg_catalog.pg_stat_progress_create_index where pid = $1",
                &[&pid],
            )
            .await
            .map_err(Error::on(watcher))?;
        let Some(row) = row else { continue };
        let now: String = row.get(0);
        if now != phase {
            phase = now;
            cx.note(format!("{}: {phase}", options.object()));
        }
        let done = u64::try_from(row.get::<_, i64>(1)).unwrap_or(0);
        cx.progress(Progress {
            item: options.object(),
            rows: done.min(rows),
            rows_total: Some(rows),
            ..Progress::default()
        });
    }
}

/// How long the column's vectors are.
pub(crate) fn vector_dimensions(table: &Table, column: &str) -> Result<usize, Error> {
    let found = table.column(column).filter(|column| column.type_base == "vector");
    found.and_then(|column| usize::try_from(column.type_modifier).ok()).ok_or_else(|| {
        Error::Blocked(vec![blocks(
            table.object(),
            format!("it has no column {column} that is a vector with fixed dimensions"),
            "add it first: step vector.enable, or `tierlift vector enable`",
        )])
    })
}
