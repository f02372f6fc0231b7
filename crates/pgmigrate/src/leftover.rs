//! One copy at a time a target, and nothing left over of one that was killed.
//!
//! A server notices a dead client only when it next writes to it (or within two seconds, while a statement runs). Until
//! then the dead process' CREATE INDEX or COPY goes on, and would collide with ours.

use std::time::{Duration, Instant};

use pg_session::{AdvisoryLock, PgUrl, Session};

use crate::error::Error;

/// The second half of the advisory lock's key: "copy". The engine's lock on a whole run has another.
const COPY_LOCK: i32 = 0x636f_7079;

/// Takes the target for this process. A process that has just died holds it for the moment its connections take to
/// break.
pub(crate) async fn lock(target: &PgUrl) -> Result<AdvisoryLock, Error> {
    AdvisoryLock::acquire(target, COPY_LOCK, Duration::from_secs(10))
        .await?
        .map_err(|holder| Error::Locked { target: target.endpoint(), holder })
}

/// Ends the sessions that a dead process left at work in this database as this role, and waits until they are gone. To
/// be called under [`lock`]: living processes' sessions are idle then.
pub(crate) async fn end_orphans(session: &Session) -> Result<(), Error> {
    const SQL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                        where datname = current_database() and usename = current_user and application_name = 'tierlift'
                          and pid <> pg_backend_pid() and backend_type = 'client backend' and state <> 'idle'";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ended: i64 = session.query_one(SQL, &[]).await.map_err(Error::on(session))?.get(0);
        if ended == 0 || Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // poll: a backend's end gives no notice
    }
}
