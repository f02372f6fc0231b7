//! The state machine of one step: one pure function, folded over the journal by a run and a resume alike.

use serde_json::Value;

use crate::failure::Failure;

/// Where a step is. Every state but `Pending` was put there by a journaled event.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStatus {
    /// Nothing happened to it yet; where every step starts.
    Pending,
    /// It was found in place before this run touched it: `check` said done and there was no intent. Never undone.
    Found,
    /// An intent was journaled and no end: being applied, or cut off by a crash.
    Running {
        /// How many times it was begun.
        attempt: u32,
        /// The state before the first attempt.
        before: Value,
    },
    /// Applied and verified by this run.
    Done {
        /// The state before the first attempt.
        before: Value,
        /// What `apply` returned; null when a crash swallowed it and a resume found the work in place.
        output: Value,
        /// How long the attempt that ended it took.
        seconds: f64,
    },
    /// Could not be applied or verified.
    Failed {
        /// How many times it was begun; 0 when it failed before it changed anything.
        attempt: u32,
        /// The state before the first attempt; none when it failed before it changed anything.
        before: Option<Value>,
        /// Why.
        failure: Failure,
    },
    /// Its undo was begun and has no end: being undone, or cut off by a crash.
    Undoing {
        /// How many times the undo was begun.
        attempt: u32,
        /// The state to put back.
        before: Value,
    },
    /// Put back. May be started afresh when the run can only go forward.
    Undone,
    /// Its undo failed; the run waits here until it is continued.
    Stuck {
        /// How many times the undo was begun.
        attempt: u32,
        /// The state to put back.
        before: Value,
        /// Why.
        failure: Failure,
    },
}

/// What can happen to a step. Each is one line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum StepEvent {
    /// It is about to be applied.
    Intent {
        /// Which attempt, from 1.
        attempt: u32,
        /// The state before the first attempt.
        before: Value,
    },
    /// It is in place.
    Done {
        /// What `apply` returned.
        output: Value,
        /// How long it took.
        seconds: f64,
    },
    /// It could not be applied or verified.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Its undo is about to begin.
    UndoIntent {
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// It was put back.
    UndoDone,
    /// It could not be put back.
    UndoFailed {
        /// Why.
        failure: Failure,
    },
}

/// An event that can't happen to a step where it is: a journal that says so was not written by this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {status} can't take a {event}")]
pub struct IllegalTransition {
    /// Where the step was.
    pub status: &'static str,
    /// What was to happen to it.
    pub event: &'static str,
}

impl StepStatus {
    /// Where the event takes the step. The whole state machine.
    ///
    /// # Errors
    /// When the event can't happen there.
    pub fn next(self, event: &StepEvent) -> Result<Self, IllegalTransition> {
        use StepEvent as E;
        use StepStatus as S;
        let illegal = IllegalTransition { status: self.word(), event: event.word() };
        Ok(match (self, event) {
            (S::Pending | S::Undone | S::Failed { before: None, .. }, E::Intent { attempt: 1, before }) => {
                S::Running { attempt: 1, before: before.clone() }
            }
            (S::Pending | S::Undone | S::Failed { before: None, .. }, E::Done { .. }) => S::Found,
            (S::Pending | S::Undone | S::Failed { before: None, .. }, E::Failed { failure }) => {
                S::Failed { attempt: 0, before: None, failure: failure.clone() }
            }
            // The `before` of the first intent is the one to go back to; a later attempt sees a half-done world.
            (
                S::Running { attempt, before } | S::Failed { attempt, before: Some(before), .. },
                E::Intent { attempt: now, .. },
            ) if *now == attempt + 1 => S::Running { attempt: *now, before },
            (S::Running { before, .. } | S::Failed { before: Some(before), .. }, E::Done { output, seconds }) => {
                S::Done { before, output: output.clone(), seconds: *seconds }
            }
            (
                S::Running { attempt, before } | S::Failed { attempt, before: Some(before), .. },
                E::Failed { failure },
            ) => S::Failed { attempt, before: Some(before), failure: failure.clone() },
            (
                S::Running { before, .. } | S::Done { before, .. } | S::Failed { before: Some(before), .. },
                E::UndoIntent { attempt: 1 },
            ) => S::Undoing { attempt: 1, before },
            (S::Undoing { attempt, before } | S::Stuck { attempt, before, .. }, E::UndoIntent { attempt: now })
                if *now == attempt + 1 =>
            {
                S::Undoing { attempt: *now, before }
            }
            (S::Undoing { .. }, E::UndoDone) => S::Undone,
            (S::Undoing { attempt, before }, E::UndoFailed { failure }) => {
                S::Stuck { attempt, before, failure: failure.clone() }
            }
            _ => return Err(illegal),
        })
    }

    /// The status in one word, for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Found => "found",
            Self::Running { .. } => "running",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Undoing { .. } => "undoing",
            Self::Undone => "undone",
            Self::Stuck { .. } => "stuck",
        }
    }

    /// Whether the step needs nothing more to go forward.
    pub fn is_in_place(&self) -> bool {
        matches!(self, Self::Found | Self::Done { .. })
    }

    /// The state to put back, if this run may have changed anything and it was not put back yet.
    pub fn to_undo(&self) -> Option<&Value> {
        match self {
            Self::Running { before, .. }
            | Self::Done { before, .. }
            | Self::Failed { before: Some(before), .. }
            | Self::Undoing { before, .. }
            | Self::Stuck { before, .. } => Some(before),
            Self::Pending | Self::Found | Self::Failed { before: None, .. } | Self::Undone => None,
        }
    }

    /// The number of the next attempt to apply it.
    pub fn next_attempt(&self) -> u32 {
        match self {
            Self::Running { attempt, .. } | Self::Failed { attempt, .. } => attempt + 1,
            _ => 1,
        }
    }

    /// The number of the next attempt to undo it.
    pub fn next_undo_attempt(&self) -> u32 {
        match self {
            Self::Undoing { attempt, .. } | Self::Stuck { attempt, .. } => attempt + 1,
            _ => 1,
        }
    }
}

impl StepEvent {
    /// The event in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Intent { .. } => "intent",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::UndoIntent { .. } => "undo intent",
            Self::UndoDone => "undo done",
            Self::UndoFailed { .. } => "undo failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::FailureKind;

    fn failure() -> Failure {
        Failure::new(FailureKind::Failed, "x", "broke", "mend it")
    }

    /// Each status, by a name for the table.
    fn status(name: &str) -> StepStatus {
        let before = json!("first");
        match name {
            "pending" => StepStatus::Pending,
            "found" => StepStatus::Found,
            "running 1" => StepStatus::Running { attempt: 1, before },
            "running 2" => StepStatus::Running { attempt: 2, before },
            "done" => StepStatus::Done { before, output: json!(7), seconds: 1.5 },
            "failed 0" => StepStatus::Failed { attempt: 0, before: None, failure: failure() },
            "failed 1" => StepStatus::Failed { attempt: 1, before: Some(before), failure: failure() },
            "undoing 1" => StepStatus::Undoing { attempt: 1, before },
            "undoing 2" => StepStatus::Undoing { attempt: 2, before },
            "undone" => StepStatus::Undone,
            "stuck 1" => StepStatus::Stuck { attempt: 1, before, failure: failure() },
            _ => panic!("no status {name}"),
        }
    }

    fn event(name: &str) -> StepEvent {
        match name {
            "intent 1" => StepEvent::Intent { attempt: 1, before: json!("first") },
            "intent 2" => StepEvent::Intent { attempt: 2, before: json!("half done") },
            "intent 3" => StepEvent::Intent { attempt: 3, before: json!("half done") },
            "done" => StepEvent::Done { output: json!(7), seconds: 1.5 },
            "failed" => StepEvent::Failed { failure: failure() },
            "undo 1" => StepEvent::UndoIntent { attempt: 1 },
            "undo 2" => StepEvent::UndoIntent { attempt: 2 },
            "undo done" => StepEvent::UndoDone,
            "undo failed" => StepEvent::UndoFailed { failure: failure() },
            _ => panic!("no event {name}"),
        }
    }

    #[test]
    fn every_status_takes_every_event() {
        let events =
            ["intent 1", "intent 2", "intent 3", "done", "failed", "undo 1", "undo 2", "undo done", "undo failed"];
        // Rows: status; columns: the events above; `-` is an illegal transition.
        let table = [
            ("pending", ["running 1", "-", "-", "found", "failed 0", "-", "-", "-", "-"]),
            ("found", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
            ("running 1", ["-", "running 2", "-", "done", "failed 1", "undoing 1", "-", "-", "-"]),
            ("running 2", ["-", "-", "running 3", "done", "failed 2", "undoing 1", "-", "-", "-"]),
            ("done", ["-", "-", "-", "-", "-", "undoing 1", "-", "-", "-"]),
            ("failed 0", ["running 1", "-", "-", "found", "failed 0", "-", "-", "-", "-"]),
            ("failed 1", ["-", "running 2", "-", "done", "failed 1", "undoing 1", "-", "-", "-"]),
            ("undoing 1", ["-", "-", "-", "-", "-", "-", "undoing 2", "undone", "stuck 1"]),
            ("undoing 2", ["-", "-", "-", "-", "-", "-", "-", "undone", "stuck 2"]),
            ("undone", ["running 1", "-", "-", "found", "failed 0", "-", "-", "-", "-"]),
            ("stuck 1", ["-", "-", "-", "-", "-", "-", "undoing 2", "-", "-"]),
        ];
        for (from, row) in table {
            for (name, expect) in events.iter().zip(row) {
                let next = status(from).next(&event(name));
                let expect = match expect {
                    "-" => Err(IllegalTransition { status: status(from).word(), event: event(name).word() }),
                    "running 3" => Ok(StepStatus::Running { attempt: 3, before: json!("first") }),
                    "failed 2" => {
                        Ok(StepStatus::Failed { attempt: 2, before: Some(json!("first")), failure: failure() })
                    }
                    "stuck 2" => Ok(StepStatus::Stuck { attempt: 2, before: json!("first"), failure: failure() }),
                    to => Ok(status(to)),
                };
                assert_eq!(next, expect, "{from} + {name}");
            }
        }
    }

    #[test]
    fn the_next_attempt_is_always_legal() {
        for name in ["pending", "running 1", "running 2", "failed 0", "failed 1", "undone"] {
            let attempt = status(name).next_attempt();
            status(name).next(&StepEvent::Intent { attempt, before: Value::Null }).expect(name);
        }
        for name in ["running 1", "done", "failed 1", "undoing 1", "undoing 2", "stuck 1"] {
            assert!(status(name).to_undo().is_some());
            let attempt = status(name).next_undo_attempt();
            status(name).next(&StepEvent::UndoIntent { attempt }).expect(name);
        }
    }
}
