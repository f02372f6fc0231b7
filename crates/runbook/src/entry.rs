//! What a journal's lines say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::state::StepEvent;

/// One thing that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// The run began. Always the first line.
    RunStarted {
        /// The run's id.
        run: String,
        /// The digest of its plan.
        plan_digest: String,
        /// The plan, beside the journal.
        plan_file: String,
    },
    /// A step is about to be applied.
    StepIntent {
        /// Step id.
        step: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// The state before the first attempt.
        before: Value,
    },
    /// A step is in place.
    StepDone {
        /// Step id.
        step: String,
        /// What it returned.
        output: Value,
        /// How long it took.
        seconds: f64,
        /// True when it was found in place.
        already: bool,
    },
    /// A step could not be applied or verified.
    StepFailed {
        /// Step id.
        step: String,
        /// Why.
        failure: Failure,
    },
    /// The run turned round.
    UnwindStarted {
        /// Why.
        reason: String,
    },
    /// A step is about to be put back.
    UndoIntent {
        /// Step id.
        step: String,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A step was put back.
    UndoDone {
        /// Step id.
        step: String,
        /// How long it took.
        seconds: f64,
    },
    /// A step could not be put back.
    UndoFailed {
        /// Step id.
        step: String,
        /// Why.
        failure: Failure,
    },
    /// The unwind ended at a step without a way back.
    UnwindStopped {
        /// That step.
        step: String,
    },
    /// Every step is in place.
    RunCompleted {},
    /// Every step was put back.
    RunUnwound {},
    /// Another process took the run up.
    Resumed {
        /// Its host.
        host: String,
        /// Its process id.
        pid: u32,
        /// Whether it goes back.
        unwinding: bool,
    },
    /// The operator stopped the run.
    Interrupted {
        /// The step that was cut off, if one was under way.
        step: Option<String>,
    },
}

impl Entry {
    /// What the event means to a step's state machine, for the events that are of a step.
    pub fn step_event(&self) -> Option<(&str, StepEvent)> {
        Some(match self {
            Self::StepIntent { step, attempt, before } => {
                (step, StepEvent::Intent { attempt: *attempt, before: before.clone() })
            }
            Self::StepDone { step, output, seconds, .. } => {
                (step, StepEvent::Done { output: output.clone(), seconds: *seconds })
            }
            Self::StepFailed { step, failure } => (step, StepEvent::Failed { failure: failure.clone() }),
            Self::UndoIntent { step, attempt } => (step, StepEvent::UndoIntent { attempt: *attempt }),
            Self::UndoDone { step, .. } => (step, StepEvent::UndoDone),
            Self::UndoFailed { step, failure } => (step, StepEvent::UndoFailed { failure: failure.clone() }),
            Self::RunStarted { .. }
            | Self::UnwindStarted { .. }
            | Self::UnwindStopped { .. }
            | Self::RunCompleted {}
            | Self::RunUnwound {}
            | Self::Resumed { .. }
            | Self::Interrupted { .. } => return None,
        })
    }
}
