//! Sessions that an earlier tierlift process left on a server when it was killed.
//!
//! A server notices a dead client only when it next writes to it (or within two seconds, while a statement runs). Until
//! then the dead process' CREATE INDEX or COPY goes on, and would collide with ours.

use std::time::{Duration, Instant};

use pg_session::Session;

use crate::error::Error;

/// Ends those of them that are at work in this database as this role, and waits until they are gone. Sessions of living
/// tierlift processes are idle at this moment: the run lock lets only one work on a target.
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
