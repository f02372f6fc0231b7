//! The fence: nobody writes to the source while it is copied, and it can be proved afterwards.
//!
//! The database's default becomes read-only, sessions that began before are ended, and a moment's SHARE lock on every
//! table shows that no writer is left. A session can still ask for a read-write transaction by name, so the servers'
//! own write counters are recorded: [`fence_held`] compares them later.

use std::time::{Duration, Instant};

use pg_session::{Access, Ident, PgUrl, Relation, Session, literal};
use runbook::{Context, Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::error::Error;
use crate::extension::list;
use crate::findings::finding;
use crate::writes::{self, Writes};

/// What the source was like before the fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBefore {
    /// The database's own `default_transaction_read_only`; `None` when it had none.
    pub setting: Option<String>,
    /// The server's clock before the fence; sessions older than its lifting and younger than this began fenced.
    pub at: String,
}

/// What the fence did, and what [`fence_held`] compares with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceReport {
    /// The fenced database.
    pub database: String,
    /// Since when, as the server's clock says.
    pub fenced_at: String,
    /// Sessions that were ended.
    pub sessions_ended: u64,
    /// Tables shown to have no writer.
    pub tables: u64,
    /// Rows written to the application's tables since the counters began, at the moment of the fence.
    pub rows_written: i64,
    /// Digest of the counters of every table.
    pub counters: String,
    /// Digest of the definitions.
    pub schema_fingerprint: String,
}

/// How long writers may take to leave.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tables locked in one transaction: well below what a server has locks for.
const BATCH: usize = 500;

/// Reads what [`unfence`] must know. Changes nothing.
///
/// # Errors
/// When the source cannot be read.
pub async fn fence_before(source: &PgUrl) -> Result<FenceBefore, Error> {
    let session = Session::connect(source, Access::ReadOnly).await?;
    let row = session.query_one("select clock_timestamp()::text", &[]).await.map_err(Error::on(&session))?;
    Ok(FenceBefore { setting: setting(&session).await?, at: row.get(0) })
}

/// What stands in the way of a fence. Changes nothing.
///
/// # Errors
/// When the source cannot be read.
pub async fn fence_findings(source: &PgUrl) -> Result<Vec<Finding>, Error> {
    let session = Session::connect(source, Access::ReadOnly).await?;
    let object = format!("database {}", source.dbname());
    let mut findings = Vec::new();
    let row = session
        .query_one(
            "select pg_has_role(datdba, 'usage'), pg_get_userbyid(datdba)::text, pg_is_in_recovery(),
                    (select count(*) from pg_prepared_xacts where database = current_database())
               from pg_database where datname = current_database()",
            &[],
        )
        .await
        .map_err(Error::on(&session))?;
    if !row.get::<_, bool>(0) {
        findings.push(finding(
            Severity::Blocks,
            &object,
            format!("only its owner {} may make it read-only, and {} is not", row.get::<_, String>(1), source.user()),
            format!("connect as {}, or be granted that role", row.get::<_, String>(1)),
        ));
    }
    if row.get(2) {
        findings.push(finding(
            Severity::Blocks,
            &object,
            "it is a standby: writes happen on its primary",
            "fence the primary: use its host as the source",
        ));
    }
    if row.get::<_, i64>(3) > 0 {
        findings.push(finding(
            Severity::Blocks,
            &object,
            "prepared transactions are open and may still commit",
            "commit or roll them back first (pg_prepared_xacts lists them)",
        ));
    }
    let exempt = session
        .query(
            "select distinct pg_get_userbyid(setrole)::text from pg_db_role_setting, unnest(setconfig) s
              where setrole <> 0 and s ~* '^default_transaction_read_only=(off|false|no|0)$'
                and setdatabase in (0, (select oid from pg_database where datname = current_database())) order by 1",
            &[],
        )
        .await
        .map_err(Error::on(&session))?;
    for row in exempt {
        let role: String = row.get(0);
        findings.push(finding(
            Severity::Blocks,
            format!("role {role}"),
            "its own default_transaction_read_only = off would carry it past the fence",
            format!("run `alter role {} reset default_transaction_read_only` first", Ident(&role)),
        ));
    }
    Ok(findings)
}

/// Raises the fence and proves that no writer is left. Raising it twice is raising it once.
///
/// # Errors
/// `Blocked` findings as [`fence_findings`]; `Fence` when writers would not leave.
pub async fn fence(source: &PgUrl, cx: &Context) -> Result<FenceReport, Error> {
    let findings = fence_findings(source).await?;
    if findings.iter().any(|f| f.severity == Severity::Blocks) {
        return Err(Error::Blocked(findings));
    }
    let session = Session::connect(source, Access::ReadWrite).await?;
    let database = source.dbname();
    execute(&session, &format!("alter database {} set default_transaction_read_only = on", Ident(database))).await?;
    let row = session.query_one("select clock_timestamp()::text", &[]).await.map_err(Error::on(&session))?;
    let fenced_at: String = row.get(0);
    let sessions_ended = end_sessions(&session, "-infinity", &fenced_at).await?;
    if sessions_ended > 0 {
        cx.note(format!("{sessions_ended} session(s) of the source were ended"));
    }
    refuse_unreachable_writers(&session, database, &fenced_at, cx).await?;
    let tables = prove_no_writer(&session, database, &fenced_at).await?;
    let (writes, schema_fingerprint) = counters(&session).await?;
    Ok(FenceReport {
        database: database.to_owned(),
        fenced_at,
        sessions_ended,
        tables,
        rows_written: writes.rows,
        counters: writes.digest,
        schema_fingerprint,
    })
}

/// Lowers the fence: the setting is as it was, and sessions that began fenced are ended so that their pools reconnect.
///
/// # Errors
/// When the setting could not be put back.
pub async fn unfence(source: &PgUrl, before: &FenceBefore) -> Result<(), Error> {
    let session = Session::connect(source, Access::ReadWrite).await?;
    if setting(&session).await? != before.setting {
        let database = Ident(source.dbname());
        let sql = match &before.setting {
            Some(value) => format!("alter database {database} set default_transaction_read_only = {}", literal(value)),
            None => format!("alter database {database} reset default_transaction_read_only"),
        };
        execute(&session, &sql).await?;
    }
    let row = session.query_one("select clock_timestamp()::text", &[]).await.map_err(Error::on(&session))?;
    end_sessions(&session, &before.at, row.get(0)).await?;
    Ok(())
}

/// Whether the database's default is read-only now.
///
/// # Errors
/// When the source cannot be read.
pub async fn is_fenced(source: &PgUrl) -> Result<bool, Error> {
    let session = Session::connect(source, Access::ReadOnly).await?;
    Ok(setting(&session).await?.as_deref() == Some("on"))
}

/// Proves that the fence still stands and that nothing was written or redefined since it was raised.
///
/// # Errors
/// `Fence` when it was lowered or something was written.
pub async fn fence_held(source: &PgUrl, report: &FenceReport) -> Result<(), Error> {
    let session = Session::connect(source, Access::ReadOnly).await?;
    let failed = |message: String, hint: &str| Error::Fence {
        object: format!("database {}", report.database),
        message,
        hint: hint.to_owned(),
    };
    if setting(&session).await?.as_deref() != Some("on") {
        return Err(failed(
            format!("the fence raised {} is down", report.fenced_at),
            "do not switch over: writes may have been lost; roll back and start again",
        ));
    }
    let (writes, fingerprint) = counters(&session).await?;
    if writes.digest != report.counters {
        let rows = writes.rows - report.rows_written;
        return Err(failed(
            format!("it was written to behind the fence ({rows} row(s) more than {})", report.fenced_at),
            "do not switch over: find the writer (it asked for a read-write transaction), roll back and start again",
        ));
    }
    if fingerprint != report.schema_fingerprint {
        return Err(failed(
            format!("its schema was changed behind the fence of {}", report.fenced_at),
            "do not switch over: roll back and start again",
        ));
    }
    Ok(())
}

async fn counters(session: &Session) -> Result<(Writes, String), Error> {
    let facts = catalog::server_facts(session).await?;
    let (schemas, managed) = catalog::schemas(session, facts.provider).await?;
    // auth.users is copied too where something points at it.
    let watched: Vec<String> = schemas.iter().cloned().chain(managed.into_iter().filter(|s| s == "auth")).collect();
    Ok((writes::read(session, &watched, &[]).await?, catalog::fingerprint(session, &schemas).await?))
}

async fn setting(session: &Session) -> Result<Option<String>, Error> {
    let row = session
        .query_opt(
            "select split_part(s, '=', 2) from pg_db_role_setting, unnest(setconfig) s
              where setrole = 0 and setdatabase = (select oid from pg_database where datname = current_database())
                and s ~ '^default_transaction_read_only='",
            &[],
        )
        .await
        .map_err(Error::on(session))?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends client sessions that began between two moments, ours aside, and waits until they are gone. Those we may not end
/// are left.
async fn end_sessions(session: &Session, after: &str, before: &str) -> Result<u64, Error> {
    const SQL: &str = include_str!("sql/end_sessions.sql");
    let deadline = Instant::now() + PATIENCE;
    let mut most = 0;
    loop {
        let left: i64 = session.query_one(SQL, &[&after, &before]).await.map_err(Error::on(session))?.get(0);
        most = most.max(left);
        if left == 0 {
            return Ok(catalog::unsigned(most));
        }
        if Instant::now() > deadline {
            return Err(Error::Fence {
                object: format!("database {}", session.url().dbname()),
                message: format!("{left} session(s) did not end within {} s", PATIENCE.as_secs()),
                hint: "look at pg_stat_activity, end them by hand, then try again".into(),
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // poll: a backend's end gives no notice
    }
}

/// Sessions that we may not end: one in the middle of a writing transaction forbids the fence; the others are told of,
/// and [`fence_held`] would tell if they wrote.
async fn refuse_unreachable_writers(
    session: &Session,
    database: &str,
    fenced_at: &str,
    cx: &Context,
) -> Result<(), Error> {
    let rows = session
        .query(
            "select format('%s (pid %s, %s)', usename, pid, application_name), backend_xid is not null
               from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
                and application_name <> 'tierlift' and backend_start <= $1::text::timestamptz",
            &[&fenced_at],
        )
        .await
        .map_err(Error::on(session))?;
    let (writing, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get(1));
    let names = |rows: &[&tokio_postgres::Row]| list(&rows.iter().map(|row| row.get(0)).collect::<Vec<String>>());
    if !others.is_empty() {
        cx.note(format!("older sessions that this role may not end stay open: {}", names(&others)));
    }
    if writing.is_empty() {
        return Ok(());
    }
    Err(Error::Fence {
        object: format!("database {database}"),
        message: format!("sessions in the middle of writing cannot be ended: {}", names(&writing)),
        hint: "stop what they belong to, or connect as a role with pg_signal_backend, then try again".into(),
    })
}

/// A SHARE lock is granted only when no transaction that wrote to the table is open. Tables we may not lock are looked up
/// in the server's list of locks instead.
async fn prove_no_writer(session: &Session, database: &str, fenced_at: &str) -> Result<u64, Error> {
    let rows = session
        .query(
            "select n.nspname::text, c.relname::text, has_table_privilege(c.oid, 'update, delete, truncate')
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'r' and c.relpersistence <> 't'
                and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tierlift')
                and has_schema_privilege(n.oid, 'usage')
              order by 1, 2",
            &[],
        )
        .await
        .map_err(Error::on(session))?;
    let lockable: Vec<Relation> = rows
        .iter()
        .filter(|row| row.get(2))
        .map(|row| Relation::new(row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect();
    for batch in lockable.chunks(BATCH) {
        let names: Vec<String> = batch.iter().map(Relation::to_string).collect();
        let sql = format!(
            "begin; set local lock_timeout = '{}s'; lock table {} in share mode; commit",
            PATIENCE.as_secs(),
            names.join(", ")
        );
        if let Err(error) = session.batch_execute(&sql).await {
            // Best effort: when the connection itself broke, the server rolls back without being told.
            drop(session.batch_execute("rollback").await);
            return Err(Error::on(session)(error));
        }
    }
    let writers = session.query(include_str!("sql/writers.sql"), &[&fenced_at]).await.map_err(Error::on(session))?;
    if writers.is_empty() {
        return Ok(rows.len() as u64);
    }
    let who: Vec<String> = writers.iter().map(|row| row.get(0)).collect();
    Err(Error::Fence {
        object: format!("database {database}"),
        message: format!("tables are still being written: {}", list(&who)),
        hint: "stop the writer, then try again".into(),
    })
}

async fn execute(session: &Session, sql: &str) -> Result<(), Error> {
    session.batch_execute(sql).await.map_err(Error::on(session))
}
