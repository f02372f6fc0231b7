//! Work for several workers, largest first, where finishing one piece may bring forth others.

use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Pieces of work with weights.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    heap: BinaryHeap<Weighted<T>>,
    /// Taken and not finished: more may come of them.
    in_flight: usize,
    next_number: u64,
}

struct Weighted<T> {
    weight: u64,
    /// First come, first served among equals.
    number: u64,
    work: T,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        let state = State { heap: BinaryHeap::new(), in_flight: 0, next_number: 0 };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub fn push(&self, weight: u64, work: T) {
        let mut state = self.lock();
        let number = state.next_number;
        state.next_number += 1;
        state.heap.push(Weighted { weight, number, work });
        drop(state);
        self.changed.notify_waiters();
    }

    /// Pieces that nobody has taken yet.
    pub fn len(&self) -> usize {
        self.lock().heap.len()
    }

    /// The heaviest piece, waiting while workers may still bring more; `None` when all is done. The taker must call
    /// [`Queue::finish`] after pushing what follows from it.
    pub async fn take(&self) -> Option<T> {
        loop {
            let mut changed = Box::pin(self.changed.notified());
            changed.as_mut().enable(); // before looking, so that no push is missed
            {
                let mut state = self.lock();
                if let Some(next) = state.heap.pop() {
                    state.in_flight += 1;
                    return Some(next.work);
                }
                if state.in_flight == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Pieces taken and not finished, and pieces nobody has taken.
    pub fn busy(&self) -> usize {
        let state = self.lock();
        state.in_flight + state.heap.len()
    }

    pub fn finish(&self) {
        self.lock().in_flight -= 1;
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing between lock and unlock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Ord for Weighted<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.weight.cmp(&other.weight).then(other.number.cmp(&self.number))
    }
}

impl<T> PartialOrd for Weighted<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Weighted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Weighted<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heaviest_first_and_what_follows_before_the_end() {
        let queue = Queue::new();
        for (weight, name) in [(1, "c"), (9, "a"), (1, "d")] {
            queue.push(weight, name);
        }
        let mut seen = Vec::new();
        while let Some(work) = queue.take().await {
            if work == "a" {
                queue.push(5, "b");
            }
            seen.push(work);
            queue.finish();
        }
        assert_eq!(seen, ["a", "b", "c", "d"]);
    }
}
