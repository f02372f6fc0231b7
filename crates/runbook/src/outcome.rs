//! How a run ended, for now or for good.

use crate::failure::Failure;
use crate::run_state::RunStatus;

/// How a run ended, for now or for good.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// The run's id.
    pub run: String,
    /// How it ended.
    pub outcome: RunOutcome,
}

/// The ways a run can end.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    /// Every step is in place.
    Completed,
    /// The run was at its end already.
    NothingToDo {
        /// Which end.
        status: RunStatus,
    },
    /// Every step this run began was put back.
    Unwound {
        /// The step that failed and why; none when the operator asked for the unwind.
        cause: Option<(String, Failure)>,
    },
    /// A step could not be put back; `resume` and `rollback` both try again.
    Stuck {
        /// Which.
        step: String,
        /// Why.
        failure: Failure,
        /// The step that failed before and why; none when the operator asked for the unwind.
        cause: Option<(String, Failure)>,
    },
    /// The operator stopped it; `resume` goes on, `rollback` goes back.
    Interrupted {
        /// The step that was cut off; none between two steps.
        step: Option<String>,
    },
    /// It went back as far as it could; `resume` goes forward again.
    PastNoReturn {
        /// The step without a way back.
        step: String,
        /// The step that failed and why; none when the operator asked for the unwind.
        cause: Option<(String, Failure)>,
    },
}

impl RunOutcome {
    /// The word for it in [`Event::RunEnded`](crate::Event::RunEnded).
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NothingToDo { status } => status.word(),
            Self::Unwound { .. } => "unwound",
            Self::Stuck { .. } => "stuck",
            Self::Interrupted { .. } => "paused",
            Self::PastNoReturn { .. } => "past_no_return",
        }
    }
}
