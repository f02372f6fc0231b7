//! `--max-source-sessions`: while the source's application is busy, no further reader starts.
//!
//! One reader always goes on: a copy behind a busy source is slow, not stuck.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pg_session::{Access, PgUrl, Session};
use runbook::Context;
use tokio::sync::Mutex;

use crate::error::Error;

/// How often a waiting reader looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What every reader passes before each part.
pub(crate) struct Gate {
    source: PgUrl,
    limit: Option<u32>,
    cx: Context,
    reading: AtomicUsize,
    waiting: AtomicBool,
    /// One at a time looks, on a session of its own.
    look: Mutex<Option<Session>>,
}

/// The right to read a part; ends when dropped.
pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    /// Without a limit everyone passes at once.
    pub fn new(source: &PgUrl, limit: Option<u32>, cx: &Context) -> Self {
        Self {
            source: source.clone(),
            limit,
            cx: cx.clone(),
            reading: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            look: Mutex::new(None),
        }
    }

    /// Waits until the source has at most `limit` active sessions beside ours, or nobody else of us is reading.
    pub async fn enter(&self) -> Result<Turn<'_>, Error> {
        let Some(limit) = self.limit else {
            self.reading.fetch_add(1, Ordering::AcqRel);
            return Ok(Turn(self));
        };
        loop {
            // Those who wait their turn to look also start one by one.
            let mut look = self.look.lock().await;
            if self.reading.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Ok(Turn(self));
            }
            let session = match look.take() {
                Some(session) => session,
                None => Session::connect(&self.source, Access::ReadOnly).await?,
            };
            let active = active_sessions(&session).await?;
            *look = Some(session);
            if active <= i64::from(limit) {
                self.reading.fetch_add(1, Ordering::AcqRel);
                if self.waiting.swap(false, Ordering::AcqRel) {
                    self.cx.note(format!("source: {active} active session(s), readers start again"));
                }
                return Ok(Turn(self));
            }
            if !self.waiting.swap(true, Ordering::AcqRel) {
                self.cx.note(format!(
                    "source: {active} active sessions, more than the {limit} allowed; no further reader starts, one goes on"
                ));
            }
            drop(look);
            tokio::time::sleep(LOOK_AGAIN).await; // poll: the end of a stranger's session gives no notice
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sessions at work in the whole cluster, ours and the server's own aside. A role that may not see what others do sees
/// whether they hold a snapshot, which whoever runs a query does.
pub(crate) async fn active_sessions(session: &Session) -> Result<i64, Error> {
    let row = session
        .query_one(
            "select count(*) from pg_stat_activity
              where application_name <> 'tierlift' and pid <> pg_backend_pid() and datid is not null
                and case when state is null then backend_type is null and backend_xmin is not null
                         else backend_type = 'client backend' and state in ('active', 'fastpath function call') end",
            &[],
        )
        .await
        .map_err(Error::on(session))?;
    Ok(row.get(0))
}
