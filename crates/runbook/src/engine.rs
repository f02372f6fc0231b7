//! Runs a plan, takes a run up again, or puts it back. It obeys the plan and makes no choice of its own.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::action::{Action, Registry};
use crate::dryrun::of_step;
use crate::entry::Entry;
use crate::event::{Event, Reporter};
use crate::failure::{Failure, FailureKind};
use crate::journal::Journal;
use crate::lock::host_name;
use crate::outcome::{RunEnd, RunOutcome};
use crate::plan::{Plan, PlanStep};
use crate::run_state::{RunState, RunStatus};
use crate::running::Running;
use crate::store::{RunRecord, Store};

/// Why a run is unwound when nothing failed.
const ASKED: &str = "the operator asked for it";

/// Runs plans.
pub struct Engine {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) store: Store,
    pub(crate) stop: watch::Receiver<bool>,
    accept_irreversible: bool,
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
        self.check_actions(plan, |_| true)?;
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
        self.store.refuse_unfinished(&plan.target, None)?;
        let journal = self.store.create_run(&id, plan)?;
        self.reporter.report(Event::RunStarted { run: id.clone(), plan: digest, resumed: false });
        let mut run = Running::new(self, id, plan.clone(), journal, RunState::new(plan));
        let outcome = run.go_forward().await?;
        Ok(run.end(outcome))
    }

    /// Takes a run up where it was cut off: goes forward, or back if it was going back.
    ///
    /// # Errors
    /// When it can't be taken up, and then nothing has changed; later when the journal can't be written, or `Locked` when
    /// what the interrupted step had started is still at it: the run stays interrupted.
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
            let cause = run.state.failure.clone();
            run.unwind(&reason, cause).await?
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
        // Whatever failed before, this unwind is what the operator wants: it has no other cause.
        let outcome = run.unwind(ASKED, None).await?;
        Ok(run.end(outcome))
    }

    fn take_up(&self, run: &str) -> Result<(String, crate::TargetLock, Journal, RunRecord), Failure> {
        let id = self.store.full_id(run)?;
        let target = self.store.open(&id)?.plan.target;
        let lock = self.store.lock_target(&target, &id)?;
        let (journal, record) = self.store.take_up(&id)?;
        if record.torn_bytes > 0 {
            let text = format!("cut off a last line that a crash left half written ({} bytes)", record.torn_bytes);
            self.reporter.report(Event::Note { step: "journal".to_owned(), text });
        }
        self.store.refuse_unfinished(&target, Some(&id))?;
        Ok((id, lock, journal, record))
    }

    fn resumed(
        &self,
        id: String,
        journal: Journal,
        record: RunRecord,
        unwinding: bool,
    ) -> Result<Running<'_>, Failure> {
        // An unwind needs no step that it does not undo: what is wrong with another must not stand in its way.
        let RunRecord { plan, state, .. } = record;
        self.check_actions(&plan, |i| if unwinding { state.has_undo(i) } else { !state.steps[i].is_in_place() })?;
        self.reporter.report(Event::RunStarted { run: id.clone(), plan: plan.digest(), resumed: true });
        let was_unwinding = matches!(state.status, RunStatus::Unwinding | RunStatus::Stuck { .. });
        let mut run = Running::new(self, id, plan, journal, state);
        run.announced_unwind = was_unwinding;
        run.record(Entry::Resumed { host: host_name(), pid: std::process::id(), unwinding })?;
        Ok(run)
    }

    /// Arguments that can't be used any more, a secret's variable that is not set: said before anything is journaled.
    fn check_actions(&self, plan: &Plan, needed: impl Fn(usize) -> bool) -> Result<(), Failure> {
        plan.steps.iter().enumerate().filter(|(i, _)| needed(*i)).try_for_each(|(_, step)| self.action(step).map(drop))
    }

    pub(crate) fn action(&self, step: &PlanStep) -> Result<Box<dyn Action>, Failure> {
        let action = self.registry.action(&step.action, &step.with).map_err(|failure| of_step(&step.id, failure))?;
        if action.effect() != step.effect {
            return Err(Failure::new(
                FailureKind::Stale,
                format!("step {}", step.id),
                format!("was planned as {:?} and is {:?}", step.effect, action.effect()),
                "use the version of tierlift that made the plan, or make a new plan",
            ));
        }
        Ok(action)
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
