//! Timeouts that count only the time in which this process ran.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// How much of a stop is counted at most: of a suspended machine, a migrated virtual one, a process held by a debugger.
/// While we were away the server may well have answered, and a silence that was ours proves nothing.
const TICK: Duration = Duration::from_secs(1);

/// The time left for something that may take several steps.
pub(crate) struct Patience {
    left: Duration,
}

impl Patience {
    pub fn new(left: Duration) -> Self {
        Self { left }
    }

    pub fn left(&self) -> Duration {
        self.left
    }

    /// What the future gives, or `None` when patience ends first.
    pub async fn bound<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            let (began, tick) = (Instant::now(), self.left.min(TICK));
            let result = timeout(tick, future.as_mut()).await;
            self.left -= began.elapsed().min(tick);
            match result {
                Ok(output) => return Some(output),
                Err(_) if self.left.is_zero() => return None,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_when_nothing_comes_and_counts_what_was_used() {
        let mut patience = Patience::new(Duration::from_millis(50));
        assert_eq!(patience.bound(async { 7 }).await, Some(7));
        assert!(patience.bound(std::future::pending::<()>()).await.is_none());
        assert_eq!(patience.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_stop_counts_as_one_tick_at_most() {
        let mut patience = Patience::new(TICK * 2);
        // The thread that would notice the timeout is held, as the whole process would be.
        let held = async { std::thread::sleep(TICK * 3) };
        assert!(patience.bound(held).await.is_some());
        assert_eq!(patience.left(), TICK);
    }
}
