//! The way back: undo in reverse order of start, each journaled like a step of its own.

use std::time::Instant;

use crate::dryrun::of_step;
use crate::entry::Entry;
use crate::event::Event;
use crate::failure::Failure;
use crate::outcome::RunOutcome;
use crate::running::Running;

impl Running<'_> {
    /// Puts back everything this run began, down to its start or to a step without a way back. `cause` is the failure
    /// that made it necessary; none when the operator asked for it.
    pub(crate) async fn unwind(
        &mut self,
        reason: &str,
        cause: Option<(String, Failure)>,
    ) -> Result<RunOutcome, Failure> {
        if !self.announced_unwind {
            self.record(Entry::UnwindStarted { reason: reason.to_owned() })?;
        }
        self.report(Event::UnwindStarted { reason: reason.to_owned() });
        while let Some(index) = self.state.next_undo() {
            if self.state.line() == Some(index) {
                let step = self.plan.steps[index].id.clone();
                self.record(Entry::UnwindStopped { step: step.clone() })?;
                return Ok(RunOutcome::PastNoReturn { step, cause });
            }
            if let Err(failure) = self.undo_step(index).await? {
                return Ok(RunOutcome::Stuck { step: self.plan.steps[index].id.clone(), failure, cause });
            }
        }
        self.record(Entry::RunUnwound {})?;
        Ok(RunOutcome::Unwound { cause })
    }

    /// The outer error is of the journal, the inner one of the undo.
    async fn undo_step(&mut self, index: usize) -> Result<Result<(), Failure>, Failure> {
        let step = self.plan.steps[index].clone();
        let status = &self.state.steps[index];
        let attempt = status.next_undo_attempt();
        // `next_undo` only names steps that have something to put back.
        let before = status.to_undo().cloned().unwrap_or_default();
        let cx = self.context(&step);
        self.record(Entry::UndoIntent { step: step.id.clone(), attempt })?;
        let started = Instant::now();
        let undone = match self.engine.action(&step) {
            Ok(action) => action.undo(&cx, &before).await,
            Err(failure) => Err(failure),
        };
        match undone {
            Ok(()) => {
                let seconds = started.elapsed().as_secs_f64();
                self.record(Entry::UndoDone { step: step.id.clone(), seconds })?;
                self.report(Event::StepUndone { step: step.id, seconds });
                Ok(Ok(()))
            }
            Err(failure) => {
                let failure = of_step(&step.id, failure);
                self.record(Entry::UndoFailed { step: step.id.clone(), failure: failure.clone() })?;
                self.report(Event::StepStuck { step: step.id, failure: failure.clone() });
                Ok(Err(failure))
            }
        }
    }
}
