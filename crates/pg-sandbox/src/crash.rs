//! Crashes that a server recovers from by itself: one of its processes is lost.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::process::{children_of, is_running, send};
use crate::server::{POLL, START_LIMIT};
use crate::{PgServer, SandboxError};

/// Between a process' end and the server's line about it.
const NOTICE: Duration = Duration::from_millis(500);

impl PgServer {
    /// Kills one of its processes with SIGKILL, by its pid. The server ends every session then and recovers by itself, as
    /// after a crash; returns when it has. False when there is no such process (any more).
    pub fn kill_backend(&self, pid: u32) -> Result<bool, SandboxError> {
        let Some(postmaster) = self.pid() else { return Ok(false) };
        if !children_of(postmaster)?.contains(&pid) {
            return Ok(false);
        }
        let logged_before = self.log_text()?.len();
        send(libc::SIGKILL, pid);
        let (killed, deadline) = (format!("(PID {pid}) was terminated by signal 9"), Instant::now() + START_LIMIT);
        let mut gone_since = None;
        loop {
            let text = self.log_text()?;
            let news = text.get(logged_before..).unwrap_or(&text);
            if let Some(at) = news.find(&killed) {
                if news[at..].contains("database system is ready to accept connections") {
                    return Ok(true);
                }
            } else if !is_running(pid) && *gone_since.get_or_insert_with(Instant::now) + NOTICE < Instant::now() {
                return Ok(false); // it was on its way out already
            }
            if Instant::now() > deadline {
                let reason = format!("it did not recover from the loss of process {pid}");
                return Err(SandboxError::Start { data_dir: self.data_dir(), reason, log: news.to_owned() });
            }
            sleep(POLL);
        }
    }

    /// Loses a process and recovers from it: every session ends, unlogged tables and counters are emptied.
    pub fn crash(&self) -> Result<(), SandboxError> {
        let victim = self.psql("postgres", "select pid from pg_stat_activity where backend_type = 'walwriter'")?;
        let pid = victim.trim().parse().map_err(|_| SandboxError::Io {
            doing: format!("find the WAL writer of the server in {}", self.data_dir().display()),
            source: io::Error::other("it has none"),
        })?;
        self.kill_backend(pid).map(drop)
    }
}
