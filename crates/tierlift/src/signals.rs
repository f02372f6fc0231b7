//! What asks a run to stop: Ctrl-C, and the SIGTERM that systemd and container runtimes send.

#[cfg(unix)]
use std::io;

use runbook::Failure;
#[cfg(unix)]
use runbook::FailureKind;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears from the moment it exists, so that none is lost between a run's start and the first wait.
pub struct StopSignals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Starts to listen; from here on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// `Internal` when the system refuses a handler.
    pub fn listen() -> Result<Self, Failure> {
        let refused = |e: io::Error| Failure::from_error(FailureKind::Internal, "signal handlers", &e, "report this");
        // SIGHUP is left as it is: whoever used nohup wants it ignored, and a handler of ours would undo that.
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(refused)?,
            terminate: signal(SignalKind::terminate()).map_err(refused)?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl StopSignals {
    /// Starts to listen.
    ///
    /// # Errors
    /// Never here.
    pub fn listen() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
