//! A copy outlives its connections: when a server or a session breaks off, it is tried again from what is recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pg_session::{DbError, Session, SessionError};
use runbook::Context;

use crate::copy::{self, CopyOptions, CopyReport};
use crate::dump;
use crate::error::Error;
use crate::load::Tally;

/// What the attempts of one call share.
#[derive(Default)]
pub(crate) struct Call {
    /// Work done by all of them.
    pub done: Arc<Tally>,
    /// The target holds this copy's state: from here on a failure leaves something behind, and it is recorded.
    pub begun: AtomicBool,
    /// Whether the first attempt found the work of an earlier call.
    pub resumed: OnceLock<bool>,
    /// A session on either end broke, whatever else the attempt may have died of.
    cut_off: AtomicBool,
}

impl Call {
    fn steps_done(&self) -> u64 {
        self.done.parts.load(Ordering::Relaxed) + self.done.entries.load(Ordering::Relaxed)
    }

    /// Asks both servers over the sessions that were open all along. What depends on a broken one fails with errors of
    /// its own (an unknown snapshot, a failed pg_dump), so the sessions themselves are asked.
    pub async fn note_broken(&self, sessions: [&Session; 2]) {
        const LIMIT: Duration = Duration::from_secs(5);
        for session in sessions {
            let answer = tokio::time::timeout(LIMIT, session.batch_execute("rollback")).await;
            // No answer in time: it is at work on something, so it lives.
            let broken = answer.is_ok_and(|result| result.is_err_and(|e| is_passing(&DbError::from(e))));
            self.cut_off.fetch_or(broken, Ordering::Relaxed);
        }
    }
}

/// Copies, or finishes a copy that was interrupted. A broken connection or a restarting server is waited for, as long as
/// [`CopyOptions::retry_for`] says.
///
/// # Errors
/// `Blocked` when assess finds a reason not to start; otherwise whatever stopped it, with the object's name. What is
/// done stays done, and calling again continues.
pub async fn copy(options: &CopyOptions, cx: &Context) -> Result<CopyReport, Error> {
    let began = Instant::now();
    let call = Call::default();
    let mut attempts = 0;
    // Since when it fails without getting anything done in between.
    let mut trouble: Option<(Instant, u64)> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        attempts += 1;
        call.cut_off.store(false, Ordering::Relaxed);
        let error = match copy::attempt(options, cx, &call).await {
            Ok(report) => return Ok(CopyReport { seconds: began.elapsed().as_secs_f64(), ..report }),
            Err(error) => error,
        };
        let begun = call.begun.load(Ordering::Relaxed);
        if !(may_pass(&error, begun) || call.cut_off.load(Ordering::Relaxed)) {
            return Err(error);
        }
        let steps = call.steps_done();
        let since = match trouble {
            Some((since, before)) if before == steps => since,
            _ => {
                pause = FIRST_PAUSE;
                Instant::now()
            }
        };
        trouble = Some((since, steps));
        if since.elapsed() + pause > options.retry_for {
            let tried = since.elapsed();
            return Err(if begun { Error::CutOff { attempts, tried, cause: Box::new(error) } } else { error });
        }
        cx.note(format!("{}; trying again, what is finished is kept", error.with_object()));
        tokio::time::sleep(pause).await; // backoff between attempts
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether another attempt may not meet this again. An address where nobody answers is one to correct, unless somebody
/// answered there before.
pub(crate) fn may_pass(error: &Error, begun: bool) -> bool {
    match error {
        Error::Session(SessionError::Unreachable { .. }) => begun,
        Error::Session(SessionError::Unavailable { .. }) => true,
        // By our own last attempt, until the server notices that the network has swallowed it.
        Error::Locked { .. } => begun,
        Error::Session(SessionError::Statement { source, .. })
        | Error::Table { source, .. }
        | Error::Entry { source, .. } => is_passing(source),
        Error::PgDump { stderr } => dump::lost_its_connection(stderr),
        _ => false,
    }
}

/// A broken connection (no code, 08), a server that stops, crashed or starts (57P01-57P03), one without free
/// connections (53300), a deadlock with whoever else is at work there (40P01), and the state's refusal of a part that
/// came twice (40001).
fn is_passing(error: &DbError) -> bool {
    error.code.as_deref().is_none_or(|code| {
        code.starts_with("08") || ["57P01", "57P02", "57P03", "53300", "40P01", "40001"].contains(&code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_may_pass_from_what_must_be_settled() {
        let said = |code: Option<&str>| DbError {
            code: code.map(str::to_owned),
            message: "said".into(),
            detail: None,
            position: None,
        };
        let table = |code| Error::Table { table: "public.t".into(), side: "target", source: said(code) };
        let check = |error: Error, begun: bool, expect: bool| assert_eq!(may_pass(&error, begun), expect, "{error:?}");
        for (code, expect) in [
            (None, true),
            (Some("57P01"), true),
            (Some("57P02"), true),
            (Some("57P03"), true),
            (Some("08006"), true),
            (Some("53300"), true),
            (Some("40001"), true),
            (Some("40P01"), true),
            (Some("57014"), false), // cancelled: somebody wants it to stop
            (Some("53100"), false), // disk full
            (Some("23505"), false),
            (Some("42501"), false),
        ] {
            check(table(code), true, expect);
            check(Error::Entry { object: "index public.i".into(), source: said(code) }, false, expect);
        }
        let nobody = || {
            Error::Session(SessionError::Unreachable {
                endpoint: "h:1/d".into(),
                reason: "refused".into(),
                advice: String::new(),
            })
        };
        check(nobody(), false, false);
        check(nobody(), true, true);
        check(Error::PgDump { stderr: "server closed the connection unexpectedly".into() }, true, true);
        check(Error::PgDump { stderr: "permission denied for table t".into() }, true, false);
        check(Error::Locked { target: "h:1/d".into(), holder: None }, false, false);
        check(Error::Locked { target: "h:1/d".into(), holder: None }, true, true);
        check(Error::Internal("x".into()), true, false);
    }
}
