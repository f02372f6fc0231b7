//! One copy at a time a target, and nothing left over of an attempt that was cut off.
//!
//! A server notices a dead client only when it next reads from it or writes to it (or within two seconds, while a
//! statement runs). Until then the dead process' CREATE INDEX or COPY goes on, and so may a commit that is still on its
//! way through the network. All of that must be over before the state is read, or a part could arrive twice.

use std::time::{Duration, Instant};

use pg_session::{AdvisoryLock, PgUrl, Session};

use crate::error::Error;

/// The second half of the advisory lock's key: "copy". The engine's lock on a whole run has another.
const COPY_LOCK: i32 = 0x636f_7079;

/// How long ended sessions may take to be gone: each rolls back what it had begun.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes the target for this process. A process that has just died holds it for the moment its connections take to
/// break.
pub(crate) async fn lock(target: &PgUrl) -> Result<AdvisoryLock, Error> {
    AdvisoryLock::acquire(target, COPY_LOCK, Duration::from_secs(10))
        .await?
        .map_err(|holder| Error::Locked { target: target.endpoint(), holder })
}

/// Ends the sessions that wrote for an earlier attempt in this database, at work or not, and waits until they are gone.
/// To be called under [`lock`], which makes every other one an earlier one.
///
/// # Errors
/// `Orphans` when some do not end.
pub(crate) async fn end_orphans(session: &Session) -> Result<(), Error> {
    // An idle one counts too: bytes that its client sent before it died may not have arrived yet.
    const SQL: &str = "select pid, pg_terminate_backend(pid) from pg_stat_activity
                        where datname = current_database() and usename = current_user
                          and application_name = 'tierlift copy' and pid <> pg_backend_pid()";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = session.query(SQL, &[]).await.map_err(Error::on(session))?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let pids = left.iter().map(|row| row.get::<_, i32>(0).to_string()).collect();
            return Err(Error::Orphans { target: session.url().endpoint(), pids });
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // poll: a backend's end gives no notice
    }
}
