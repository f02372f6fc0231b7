//! Runs a plan, takes a run up again, or puts it back. It obeys the plan and makes no choice of its own.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::action::{Action, Check, Context, Registry};
use crate::dryrun::of_step;
use crate::event::{Event, Reporter};
use crate::failure::{Failure, FailureKind};
use crate::journal::{Entry, Journal};
use crate::lock::host_name;
use crate::plan::{Plan, PlanStep};
use crate::run_state::{RunState, RunStatus};
use crate::store::{RunRecord, Store};

/// Why a run is unwound when nothing failed.
const ASKED: &str = "the operator asked for it";

/// Runs plans.
pub struct Engine {
    registry: Arc<dyn Registry>,
    reporter: Arc<dyn Reporter>,
    store: Store,
    stop: watch::Receiver<bool>,
    accept_irreversible: bool,
}

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
    fn word(&self) -> &'static str {
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

impl Engine {
    /// An engine. Once `stop` turns true, the step under way is dropped at its next await and the run is left
    /// interrupted; an unwind is not stopped by it. Without a sender it never stops.
    pub fn new(
        registry: Arc<dyn Registry>,
        reporter: Arc<dyn Reporter>,
        store: Store,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { registry, reporter, store, stop, accept_irreversible: false }
    }

    /// Whether the operator accepts that there is no way back: needed to run a plan with an irreversible step, and to
    /// roll a run back only as far as such a step.
    pub fn accept_irreversible(mut self, accept: bool) -> Self {
        self.accept_irreversible = accept;
        self
    }

    /// Runs a plan from its start. The caller compares the live fingerprint before ([`Plan::check_fresh`]).
    ///
    /// # Errors
    /// When the run must not start, and then nothing has changed: `Stale` (expired, used already), `Locked` (another
    /// run holds the target or left it unfinished), `PastPointOfNoReturn` (an irreversible step was not accepted),
    /// `InvalidInput`. Later only when the journal can't be written: the run can be resumed then.
    pub async fn run(&self, plan: &Plan) -> Result<RunEnd, Failure> {
        let now = Timestamp::now();
        plan.check_expiry(now)?;
        if let Some(step) = plan.irreversible_from.map(|i| &plan.steps[i])
            && !self.accept_irreversible
        {
            return Err(Failure::new(
                FailureKind::PastPointOfNoReturn,
                format!("step {}", step.id),
                "has no way back",
                "read the plan, and add --accept-irreversible if you mean it",
            ));
        }
        self.check_actions(plan)?;
        let digest = plan.digest();
        let id = self.store.new_id(&digest, now);
        let _lock = self.store.lock_target(&plan.target, &id)?;
        if let Some(run) = self.store.is_consumed(&digest)? {
            return Err(Failure::new(
                FailureKind::Stale,
                format!("plan {}", &digest[..12]),
                format!("was used already, by run {run}"),
                "make a new plan, read it, and run that",
            ));
        }
        self.refuse_unfinished(&plan.target, None)?;
        let journal = self.store.create_run(&id, plan)?;
        self.reporter.report(Event::RunStarted { run: id.clone(), plan: digest, resumed: false });
        let mut run = Running::new(self, id, plan.clone(), journal, RunState::new(plan));
        let outcome = run.go_forward().await?;
        Ok(run.end(outcome))
    }

    /// Takes a run up where it was cut off: goes forward, or back if it was going back.
    ///
    /// # Errors
    /// When it can't be taken up, and then nothing has changed; later only when the journal can't be written.
    pub async fn resume(&self, run: &str) -> Result<RunEnd, Failure> {
        let (id, _lock, journal, record) = self.take_up(run)?;
        if record.state.status.is_finished() {
            return Ok(RunEnd { run: id, outcome: RunOutcome::NothingToDo { status: record.state.status } });
        }
        let unwinding = record.state.must_unwind();
        let mut run = self.resumed(id, journal, record, unwinding)?;
        let outcome = if unwinding {
            let reason = match &run.state.failure {
                Some((step, _)) => format!("step {step} failed"),
                None => ASKED.to_owned(),
            };
            run.unwind(&reason).await?
        } else {
            run.go_forward().await?
        };
        Ok(run.end(outcome))
    }

    /// Puts back every step that a run began, a completed run's too.
    ///
    /// # Errors
    /// `PastPointOfNoReturn` when a step without a way back was begun and that was not accepted; `Blocked` when a later
    /// run on the same target must be rolled back first; as for [`Engine::resume`].
    pub async fn rollback(&self, run: &str) -> Result<RunEnd, Failure> {
        let (id, _lock, journal, record) = self.take_up(run)?;
        if record.state.status == RunStatus::Unwound {
            return Ok(RunEnd { run: id, outcome: RunOutcome::NothingToDo { status: RunStatus::Unwound } });
        }
        self.refuse_later(&record)?;
        if let Some(line) = record.state.line()
            && (!self.accept_irreversible || record.state.next_undo() == Some(line))
        {
            let step = &record.plan.steps[line].id;
            let (message, hint) = if record.state.next_undo() == Some(line) {
                (
                    "has no way back, and everything after it is undone".to_owned(),
                    format!("go forward: tierlift resume {id}"),
                )
            } else {
                ("has no way back".to_owned(), "add --accept-irreversible to undo only the steps after it".to_owned())
            };
            return Err(Failure::new(
                FailureKind::PastPointOfNoReturn,
                format!("step {step} of run {id}"),
                message,
                hint,
            ));
        }
        let mut run = self.resumed(id, journal, record, true)?;
        let outcome = run.unwind(ASKED).await?;
        Ok(run.end(outcome))
    }

    fn take_up(&self, run: &str) -> Result<(String, crate::TargetLock, Journal, RunRecord), Failure> {
        let id = self.store.full_id(run)?;
        let target = self.store.open(&id)?.plan.target;
        let lock = self.store.lock_target(&target, &id)?;
        let (journal, record) = self.store.take_up(&id)?;
        self.refuse_unfinished(&target, Some(&id))?;
        Ok((id, lock, journal, record))
    }

    fn resumed(
        &self,
        id: String,
        journal: Journal,
        record: RunRecord,
        unwinding: bool,
    ) -> Result<Running<'_>, Failure> {
        self.check_actions(&record.plan)?;
        self.reporter.report(Event::RunStarted { run: id.clone(), plan: record.plan.digest(), resumed: true });
        let was_unwinding = matches!(record.state.status, RunStatus::Unwinding | RunStatus::Stuck { .. });
        let mut run = Running::new(self, id, record.plan, journal, record.state);
        run.announced_unwind = was_unwinding;
        run.record(Entry::Resumed { host: host_name(), pid: std::process::id(), unwinding })?;
        Ok(run)
    }

    /// Arguments that can't be used any more, a secret's variable that is not set: said before anything is journaled.
    fn check_actions(&self, plan: &Plan) -> Result<(), Failure> {
        plan.steps.iter().try_for_each(|step| self.action(step).map(drop))
    }

    fn action(&self, step: &PlanStep) -> Result<Box<dyn Action>, Failure> {
        let action = self.registry.action(&step.action, &step.with).map_err(|failure| of_step(&step.id, failure))?;
        if action.effect() != step.effect {
            return Err(Failure::new(
                FailureKind::Stale,
                format!("step {}", step.id),
                format!("was planned as {:?} and is {:?}", step.effect, action.effect()),
                "make a new plan with this version of tierlift",
            ));
        }
        Ok(action)
    }

    fn refuse_unfinished(&self, target: &str, but: Option<&str>) -> Result<(), Failure> {
        let unfinished = |run: &RunRecord| Some(run.id.as_str()) != but && !run.status().is_finished();
        match self.store.runs_on(target)?.into_iter().rev().find(unfinished) {
            Some(run) => Err(Failure::new(
                FailureKind::Locked,
                format!("target {target}"),
                format!("run {} on it is {} and has no end", run.id, run.status().word()),
                format!("`tierlift resume {0}` or `tierlift rollback {0}` first", run.id),
            )),
            None => Ok(()),
        }
    }

    /// Runs on one target are put back like the steps of a run: the last one first.
    fn refuse_later(&self, record: &RunRecord) -> Result<(), Failure> {
        let later = self.store.runs_on(&record.plan.target)?.into_iter().rev().find(|other| {
            other.id != record.id
                && other.status() == RunStatus::Completed
                && other.records[0].at > record.records[0].at
        });
        match later {
            Some(later) => Err(Failure::new(
                FailureKind::Blocked,
                format!("run {}", record.id),
                format!("run {} came after it on the same target", later.id),
                format!("`tierlift rollback {}` first", later.id),
            )),
            None => Ok(()),
        }
    }
}

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
    fn new(engine: &'e Engine, id: String, plan: Plan, journal: Journal, state: RunState) -> Self {
        Self { engine, plan, state, announced_unwind: false, id, journal, started: Instant::now() }
    }

    async fn go_forward(&mut self) -> Result<RunOutcome, Failure> {
        while let Some(index) = self.state.next_step() {
            if *self.engine.stop.borrow() {
                self.record(Entry::Interrupted { step: None })?;
                return Ok(RunOutcome::Interrupted { step: None });
            }
            match self.do_step(index).await? {
                StepEnd::InPlace => {}
                StepEnd::Failed => {
                    let reason = format!("step {} failed", self.plan.steps[index].id);
                    return self.unwind(&reason).await;
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
    /// output and whether it was found in place. The outer error is of the journal.
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

    pub(crate) fn action(&self, step: &PlanStep) -> Result<Box<dyn Action>, Failure> {
        self.engine.action(step)
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

    fn end(&self, outcome: RunOutcome) -> RunEnd {
        self.report(Event::RunEnded {
            run: self.id.clone(),
            status: outcome.word().to_owned(),
            seconds: self.started.elapsed().as_secs_f64(),
        });
        RunEnd { run: self.id.clone(), outcome }
    }
}
