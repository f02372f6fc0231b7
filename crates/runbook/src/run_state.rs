//! A whole run's state: the journal folded through the state machine of its steps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::action::Effect;
use crate::entry::Entry;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::state::{IllegalTransition, StepStatus};

/// Where a run is.
#[derive(Debug, Clone, PartialEq)]
pub enum RunStatus {
    /// Going forward.
    Running,
    /// Every step is in place.
    Completed,
    /// Going back.
    Unwinding,
    /// Every step this run began was put back.
    Unwound,
    /// A step could not be put back.
    Stuck {
        /// Which.
        step: String,
    },
    /// Stopped half-way, by the operator or by a crash; `resume` and `rollback` continue it.
    Interrupted {
        /// Whether it was going back.
        unwinding: bool,
    },
    /// It went back as far as it could: to a step without a way back. `resume` goes forward again.
    PastNoReturn {
        /// That step.
        step: String,
    },
}

impl RunStatus {
    /// Whether the run has an end, so that another may start on its target.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Completed | Self::Unwound)
    }

    /// The status in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Unwinding => "unwinding",
            Self::Unwound => "unwound",
            Self::Stuck { .. } => "stuck",
            Self::Interrupted { .. } => "interrupted",
            Self::PastNoReturn { .. } => "past_no_return",
        }
    }
}

/// What the journal says of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// Every step's status, in the plan's order.
    pub steps: Vec<StepStatus>,
    /// Where the run is.
    pub status: RunStatus,
    /// The failure that started the unwind, with its step; none when the operator asked for it.
    pub failure: Option<(String, Failure)>,
    ids: Vec<String>,
    effects: Vec<Effect>,
}

/// Why a journal does not tell the story of its plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It names a step that the plan does not have.
    #[error("step {0} is not in the plan")]
    UnknownStep(String),
    /// It says that something happened to a step that can't happen there.
    #[error("step {step}: {source}")]
    Illegal {
        /// The step.
        step: String,
        /// What can't be.
        source: IllegalTransition,
    },
}

impl RunState {
    /// Before the first event.
    pub fn new(plan: &Plan) -> Self {
        Self {
            steps: vec![StepStatus::Pending; plan.steps.len()],
            status: RunStatus::Running,
            failure: None,
            ids: plan.steps.iter().map(|step| step.id.clone()).collect(),
            effects: plan.steps.iter().map(|step| step.effect).collect(),
        }
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// When it can't have happened.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), FoldError> {
        if let Some((step, event)) = entry.step_event() {
            let index =
                self.ids.iter().position(|id| id == step).ok_or_else(|| FoldError::UnknownStep(step.to_owned()))?;
            let next = self.steps[index].clone().next(&event);
            self.steps[index] = next.map_err(|source| FoldError::Illegal { step: step.to_owned(), source })?;
        }
        match entry {
            Entry::StepFailed { step, failure } => self.failure = Some((step.clone(), failure.clone())),
            Entry::UndoFailed { step, .. } => self.status = RunStatus::Stuck { step: step.clone() },
            Entry::UndoIntent { .. } => self.status = RunStatus::Unwinding,
            Entry::UnwindStarted { .. } => self.status = RunStatus::Unwinding,
            Entry::UnwindStopped { step } => self.status = RunStatus::PastNoReturn { step: step.clone() },
            Entry::RunCompleted {} => self.status = RunStatus::Completed,
            Entry::RunUnwound {} => self.status = RunStatus::Unwound,
            Entry::Interrupted { .. } => self.status = RunStatus::Interrupted { unwinding: false },
            Entry::Resumed { unwinding: true, .. } => self.status = RunStatus::Unwinding,
            Entry::Resumed { unwinding: false, .. } => {
                if let RunStatus::PastNoReturn { .. } = self.status {
                    self.forget_looks_after_line();
                }
                self.status = RunStatus::Running;
                self.failure = None;
            }
            Entry::RunStarted { .. } | Entry::StepIntent { .. } | Entry::StepDone { .. } | Entry::UndoDone { .. } => {}
        }
        Ok(())
    }

    /// Whether what is left to do is to go back.
    pub fn must_unwind(&self) -> bool {
        match self.status {
            RunStatus::Unwinding | RunStatus::Stuck { .. } | RunStatus::Interrupted { unwinding: true } => true,
            // A crash between a step's failure and the start of the unwind.
            RunStatus::Running | RunStatus::Interrupted { .. } => self.failure.is_some(),
            RunStatus::Completed | RunStatus::Unwound | RunStatus::PastNoReturn { .. } => false,
        }
    }

    /// The next step to go forward with.
    pub fn next_step(&self) -> Option<usize> {
        self.steps.iter().position(|step| !step.is_in_place())
    }

    /// The next step to put back: the last one begun and not put back. Read-only steps have nothing to put back.
    pub fn next_undo(&self) -> Option<usize> {
        (0..self.steps.len()).rev().find(|&i| self.has_undo(i))
    }

    /// Whether a step has something to put back.
    pub fn has_undo(&self, index: usize) -> bool {
        self.effects[index] != Effect::ReadOnly && self.steps[index].to_undo().is_some()
    }

    /// The last step without a way back that this run began: there is no unwind past it.
    pub fn line(&self) -> Option<usize> {
        (0..self.steps.len())
            .rev()
            .find(|&i| self.effects[i] == Effect::Irreversible && self.steps[i].to_undo().is_some())
    }

    /// Going forward again from the line, what was only looked at behind it may have been put back since: look again.
    fn forget_looks_after_line(&mut self) {
        for i in self.line().map_or(0, |line| line + 1)..self.steps.len() {
            if !self.has_undo(i) {
                self.steps[i] = StepStatus::Pending;
            }
        }
    }

    /// What the steps in place returned, by step id; steps that returned nothing are left out.
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        self.ids
            .iter()
            .zip(&self.steps)
            .filter_map(|(id, step)| match step {
                StepStatus::Done { output, .. } if !output.is_null() => Some((id.clone(), output.clone())),
                _ => None,
            })
            .collect()
    }
}
