//! A run under way: one step after the other, each journaled before and after.

use std::future::{Future, pending};
use std::time::Instant;

use serde_json::Value;

use crate::action::{Check, Context};
use crate::dryrun::of_step;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::journal::Journal;
use crate::outcome::{RunEnd, RunOutcome};
use crate::plan::{Plan, PlanStep};
use crate::run_state::RunState;

/// A run that this process is at.
pub(crate) struct Running<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) plan: Plan,
    pub(crate) state: RunState,
    /// Whether the journal says already that the run turned round.
    pub(crate) announced_unwind: bool,
    id: String,
    journal: Journal,
    started: Instant,
}

/// How one step went forward.
enum StepEnd {
    InPlace,
    Failed,
    Stopped,
}

impl<'e> Running<'e> {
    pub(crate) fn new(engine: &'e Engine, id: String, plan: Plan, journal: Journal, state: RunState) -> Self {
        Self { engine, plan, state, announced_unwind: false, id, journal, started: Instant::now() }
    }

    /// Does what is left to do.
    pub(crate) async fn go_forward(&mut self) -> Result<RunOutcome, Failure> {
        while let Some(index) = self.state.next_step() {
            if *self.engine.stop.borrow() {
                self.record(Entry::Interrupted { step: None })?;
                return Ok(RunOutcome::Interrupted { step: None });
            }
            match self.do_step(index).await? {
                StepEnd::InPlace => {}
                StepEnd::Failed => {
                    let reason = format!("step {} failed", self.plan.steps[index].id);
                    let cause = self.state.failure.clone();
                    return self.unwind(&reason, cause).await;
                }
                StepEnd::Stopped => {
                    let step = Some(self.plan.steps[index].id.clone());
                    self.record(Entry::Interrupted { step: step.clone() })?;
                    return Ok(RunOutcome::Interrupted { step });
                }
            }
        }
        self.record(Entry::RunCompleted {})?;
        Ok(RunOutcome::Completed)
    }

    async fn do_step(&mut self, index: usize) -> Result<StepEnd, Failure> {
        let step = self.plan.steps[index].clone();
        self.engine.reporter.report(Event::StepStarted {
            step: step.id.clone(),
            index: index + 1,
            of: self.plan.steps.len(),
            title: step.title.clone(),
        });
        let started = Instant::now();
        match self.attempt(index, &step).await? {
            Some(Ok((output, already))) => {
                let seconds = started.elapsed().as_secs_f64();
                self.record(Entry::StepDone { step: step.id.clone(), output: output.clone(), seconds, already })?;
                self.engine.reporter.report(Event::StepDone { step: step.id, seconds, already, output });
                Ok(StepEnd::InPlace)
            }
            Some(Err(failure)) => {
                let failure = of_step(&step.id, failure);
                self.record(Entry::StepFailed { step: step.id.clone(), failure: failure.clone() })?;
                self.engine.reporter.report(Event::StepFailed { step: step.id, failure });
                Ok(StepEnd::Failed)
            }
            None => Ok(StepEnd::Stopped),
        }
    }

    /// Checks, and applies and verifies if need be. None when the operator stopped it; otherwise how it went, with the
    /// output and whether it was found in place. The outer error is of the journal, or that the step's earlier attempt is
    /// still at work.
    async fn attempt(
        &mut self,
        index: usize,
        step: &PlanStep,
    ) -> Result<Option<Result<(Value, bool), Failure>>, Failure> {
        let cx = self.context(step);
        let action = match self.engine.action(step) {
            Ok(action) => action,
            Err(failure) => return Ok(Some(Err(failure))),
        };
        let begun = self.state.steps[index].to_undo().cloned();
        let before = match self.unless_stopped(action.check(&cx)).await {
            None => return Ok(None),
            // What the earlier attempt started is still at it: neither on nor back before that has ended.
            Some(Err(failure)) if begun.is_some() && failure.kind == FailureKind::Locked => {
                return Err(of_step(&step.id, failure));
            }
            Some(Err(failure)) => return Ok(Some(Err(failure))),
            // Found in place by its own earlier attempt: the crash came between the work and the journal.
            Some(Ok(Check::Done)) if begun.is_some() => {
                let verified = self.unless_stopped(action.verify(&cx)).await;
                return Ok(verified.map(|result| result.map(|()| (Value::Null, true))));
            }
            Some(Ok(Check::Done)) => return Ok(Some(Ok((Value::Null, true)))),
            Some(Ok(Check::Pending { before })) => begun.unwrap_or(before),
        };
        let attempt = self.state.steps[index].next_attempt();
        self.record(Entry::StepIntent { step: step.id.clone(), attempt, before: before.clone() })?;
        let work = async {
            let output = action.apply(&cx, &before).await?;
            action.verify(&cx).await?;
            Ok((output, false))
        };
        Ok(self.unless_stopped(work).await)
    }

    /// What the journal says happens next: checked first, written second, believed third.
    pub(crate) fn record(&mut self, entry: Entry) -> Result<(), Failure> {
        let mut next = self.state.clone();
        next.apply(&entry).map_err(|error| {
            Failure::from_error(FailureKind::Internal, format!("run {}", self.id), &error, "report this")
        })?;
        self.journal.append(&entry).map_err(|error| {
            let mut failure = Failure::from(error);
            failure.object = format!("run {}", self.id);
            failure
        })?;
        self.state = next;
        Ok(())
    }

    pub(crate) fn context(&self, step: &PlanStep) -> Context {
        Context::of_run(
            &step.id,
            &self.id,
            &self.engine.store.dir(&self.id),
            self.state.outputs(),
            self.engine.reporter.clone(),
        )
    }

    pub(crate) fn report(&self, event: Event) {
        self.engine.reporter.report(event);
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stop = self.engine.stop.clone();
        let stopped = async move {
            // No sender, nobody who could stop it.
            if stop.wait_for(|stop| *stop).await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = stopped => None,
        }
    }

    pub(crate) fn end(&self, outcome: RunOutcome) -> RunEnd {
        self.report(Event::RunEnded {
            run: self.id.clone(),
            status: outcome.word().to_owned(),
            seconds: self.started.elapsed().as_secs_f64(),
        });
        RunEnd { run: self.id.clone(), outcome }
    }
}
