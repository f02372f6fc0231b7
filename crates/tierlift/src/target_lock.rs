//! One run a target, seen from every machine: an advisory lock in the target database for as long as a run lasts.

use std::time::Duration;

use pg_session::{AdvisoryLock, PgUrl};
use runbook::{Failure, FailureKind};

/// The advisory lock's key: a database holds at most one run.
const RUN: i32 = 1;

/// How long a dead owner's backend may need to notice that its client is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes the lock in the database of `url`.
///
/// # Errors
/// `Locked` naming the holder, or as connecting fails.
pub async fn take(url: &PgUrl) -> Result<AdvisoryLock, Failure> {
    let object = format!("target {}", url.endpoint());
    match AdvisoryLock::acquire(url, RUN, PATIENCE).await {
        Ok(Ok(lock)) => Ok(lock),
        Ok(Err(holder)) => {
            let who = match holder {
                Some(holder) => format!(
                    "another run holds it: server process {} since {}{}",
                    holder.pid,
                    holder.since,
                    holder.client.map(|c| format!(", from {c}")).unwrap_or_default()
                ),
                None => "another run held it until just now".to_owned(),
            };
            Err(Failure::new(
                FailureKind::Locked,
                object,
                who,
                "wait until that run ends, or stop it where it was started",
            ))
        }
        Err(error) => Err(Failure::from_error(FailureKind::InvalidInput, object, &error, error.hint())),
    }
}
