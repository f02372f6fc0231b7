//! One run a target: a session-level advisory lock on a connection with no open transaction, so that it neither
//! holds back vacuum nor outlives its process.

use std::time::{Duration, Instant};

use crate::error::SessionError;
use crate::session::{Access, Session};
use crate::url::PgUrl;

/// `hashtext('tierlift')` by hand: the first half of the two-key lock, so that other users of advisory locks in the
/// database do not meet ours.
const CLASS: i32 = 0x7465_726c;

/// Held as long as it lives.
pub struct AdvisoryLock {
    _session: Session,
}

/// Who holds a lock, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Backend process id on the server.
    pub pid: i32,
    /// When that session started, as text with time zone.
    pub since: String,
    /// Its client address, if any.
    pub client: Option<String>,
}

impl AdvisoryLock {
    /// Takes the lock `key` in the database of `url`. A dead owner's backend may need a moment to notice, so the lock
    /// is tried for `patience` before its holder is named.
    ///
    /// # Errors
    /// As [`Session::connect`]; `Ok(Err(holder))` when somebody else has it.
    pub async fn acquire(
        url: &PgUrl,
        key: i32,
        patience: Duration,
    ) -> Result<Result<Self, Option<Holder>>, SessionError> {
        let session = Session::connect(url, Access::ReadOnly).await?;
        let deadline = Instant::now() + patience;
        loop {
            let row = session
                .query_one("select pg_try_advisory_lock($1, $2)", &[&CLASS, &key])
                .await
                .map_err(|e| session.error(&e))?;
            if row.get::<_, bool>(0) {
                return Ok(Ok(Self { _session: session }));
            }
            if Instant::now() >= deadline {
                return Ok(Err(holder(&session, key).await?));
            }
            tokio::time::sleep(Duration::from_millis(100)).await; // poll: an advisory lock gives no notice to a try
        }
    }
}

async fn holder(session: &Session, key: i32) -> Result<Option<Holder>, SessionError> {
    // `classid`/`objid` are oids: the same 32 bits, unsigned.
    let row = session
        .query_opt(
            "select a.pid, a.backend_start::text, host(a.client_addr)
             from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a using (pid)
             where l.locktype = 'advisory' and l.granted and l.objsubid = 2
               and l.classid::int8 = $1::int8 & 4294967295 and l.objid::int8 = $2::int8 & 4294967295",
            &[&i64::from(CLASS), &i64::from(key)],
        )
        .await
        .map_err(|e| session.error(&e))?;
    Ok(row.map(|row| Holder { pid: row.get(0), since: row.get(1), client: row.get(2) }))
}
