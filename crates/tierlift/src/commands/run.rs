//! What `migrate`, `resume` and `rollback` share: locks, Ctrl-C, and how an end becomes an exit code.

use std::collections::BTreeMap;
use std::sync::Arc;

use pg_session::{AdvisoryLock, PgUrl};
use pgmigrate::LeftOut;
use runbook::{Engine, Failure, FailureKind, Plan, RunEnd, RunOutcome, Store, resolve_secrets};
use serde_json::Value;
use tokio::sync::watch;

use crate::cli::Global;
use crate::commands::status::fence_is_up;
use crate::output::{data, program, talk};
use crate::registry::{Actions, environment};
use crate::signals::StopSignals;
use crate::{exit, screen, target_lock};

/// An engine that stops at the first Ctrl-C or SIGTERM; the second ends the process, which the journal survives.
///
/// # Errors
/// When the system refuses the signal handlers.
pub fn engine(global: &Global) -> Result<Engine, Failure> {
    let mut signals = StopSignals::listen()?;
    let (stop, stopped) = watch::channel(false);
    let screen = screen(global);
    let shown = screen.clone();
    tokio::spawn(async move {
        signals.next().await;
        let going_back = shown.is_going_back();
        shown.say(match going_back {
            false => "stopping; press Ctrl-C again to stop at once (the journal survives either)",
            true => "going back is not left half-way; press Ctrl-C again to stop at once (the journal survives it)",
        });
        // Nobody listens any more when the run has just ended.
        stop.send(true).ok();
        signals.next().await;
        let program = program();
        shown.say_last(&match shown.run() {
            Some(run) if going_back => format!("stopped at once. `{program} rollback {run}` goes on"),
            Some(run) => format!(
                "stopped at once. `{program} resume {run}` goes on, `{program} rollback {run}` puts everything back"
            ),
            None => "stopped at once, before the run began".to_owned(),
        });
        std::process::exit(i32::from(exit::PAUSED));
    });
    Ok(Engine::new(Arc::new(Actions), screen, Store::at(&global.state_dir), stopped))
}

/// The database an input names: by convention `source` and `target`. None when the playbook has no such input.
///
/// # Errors
/// `InvalidInput` when its variable is not set or holds no URL.
pub fn database(inputs: &BTreeMap<String, Value>, name: &str) -> Result<Option<PgUrl>, Failure> {
    let Some(value) = inputs.get(name) else { return Ok(None) };
    let text = resolve_secrets(value, &environment)?;
    let parsed = text.as_str().unwrap_or_default().parse();
    parsed.map(Some).map_err(|e: pg_session::SessionError| {
        Failure::from_error(FailureKind::InvalidInput, format!("input {name}"), &e, e.hint())
    })
}

/// The advisory lock in the target database, if there is one.
///
/// # Errors
/// `Locked`, naming the holder, or as connecting fails.
pub async fn lock(global: &Global, target: Option<&PgUrl>) -> Result<Option<AdvisoryLock>, Failure> {
    let Some(url) = target else { return Ok(None) };
    match target_lock::take(url).await {
        // A holder on this machine with the same state folder has said more of itself than the server knows.
        Err(failure) if failure.kind == FailureKind::Locked => {
            match Store::at(&global.state_dir).lock_target(&url.endpoint(), "none") {
                Err(known) if known.kind == FailureKind::Locked => Err(known),
                _ => Err(failure),
            }
        }
        taken => taken.map(Some),
    }
}

/// The databases of a plan, source and target. Refuses when a variable no longer names the one that the plan was made
/// for: a run must be finished, or undone, where it was begun.
///
/// # Errors
/// `InvalidInput`.
pub fn planned_databases(plan: &Plan) -> Result<[Option<PgUrl>; 2], Failure> {
    let planned = |name: &str| {
        let url = database(&plan.inputs, name)?;
        match (&url, plan.fingerprint.get(&format!("{name} endpoint"))) {
            (Some(url), Some(planned)) if url.endpoint() != *planned => Err(Failure::new(
                FailureKind::InvalidInput,
                format!("input {name}"),
                format!("names {}, but the plan was made for {planned}", url.endpoint()),
                "set its variable to the database it named then; the run must end where it began",
            )),
            _ => Ok(url),
        }
    };
    Ok([planned("source")?, planned("target")?])
}

/// Says how it ended and what can be done next.
pub fn finish(global: &Global, end: &RunEnd) -> u8 {
    let run = &end.run;
    let program = program();
    let say = |text: String| {
        if !global.json {
            data(text);
        }
    };
    match &end.outcome {
        RunOutcome::Completed => {
            let left_out = left_out(global, run);
            if !left_out.is_empty() {
                left_out.iter().for_each(|line| say(line.clone()));
                say(format!(
                    "done, but incomplete: {} object(s) of the source are not on the target, by on_refused: skip. \
                     `{program} status {run}` shows it, `{program} rollback {run}` undoes it",
                    left_out.len()
                ));
                return exit::BLOCKED;
            }
            say(format!("done. `{program} status {run}` shows it, `{program} rollback {run}` undoes it"));
            exit::DONE
        }
        RunOutcome::NothingToDo { status } => {
            say(format!("nothing to do: run {run} is {} already", status.word()));
            exit::DONE
        }
        // Without a failure it was the operator who wanted it.
        RunOutcome::Unwound { cause: None } => {
            say("rolled back: both ends are as they were".to_owned());
            exit::DONE
        }
        RunOutcome::Unwound { cause: Some((step, failure)) } => {
            print_end(global, &format!("step {step} failed and everything was put back"), failure);
            exit::UNWOUND
        }
        RunOutcome::Stuck { step, failure, .. } => {
            let what = format!("step {step} could not be put back; mend it, then `{program} rollback {run}`");
            print_end(global, &what, failure);
            warn_of_fence(global, run);
            exit::STUCK
        }
        RunOutcome::Interrupted { .. } => {
            warn_of_fence(global, run);
            say(format!("stopped. `{program} resume {run}` goes on, `{program} rollback {run}` puts everything back"));
            exit::PAUSED
        }
        RunOutcome::PastNoReturn { step, .. } => {
            say(format!("step {step} cannot be undone; `{program} resume {run}` goes forward again"));
            exit::NO_RETURN
        }
    }
}

/// What the run's copy left out, a line each.
fn left_out(global: &Global, run: &str) -> Vec<String> {
    let run = match Store::at(&global.state_dir).open(run) {
        Ok(run) => run,
        Err(failure) => return vec![format!("what was left out cannot be told: {failure}")],
    };
    let copies = run.plan.steps.iter().filter(|step| step.action == "pg.copy");
    let outputs = run.state.outputs();
    let lists = copies.filter_map(|step| outputs.get(&step.id)?.get("left_out")?.as_array().cloned());
    let read = |line: Value| serde_json::from_value::<LeftOut>(line).map_or_else(|e| e.to_string(), |l| l.to_string());
    lists.flatten().map(read).collect()
}

/// Nobody should leave for lunch without knowing that the application is down.
fn warn_of_fence(global: &Global, run: &str) {
    if global.json {
        return;
    }
    if Store::at(&global.state_dir).open(run).is_ok_and(|run| fence_is_up(&run)) {
        talk(FENCED);
    }
}

/// What an operator must know of a run that stopped half-way.
const FENCED: &str = "the source still refuses writes: the fence stays up until the run is completed or rolled back";

fn print_end(global: &Global, what: &str, failure: &Failure) {
    if global.json {
        return; // the events have said it
    }
    talk(format_args!("error: {what}"));
    talk(format_args!("  because: {failure}"));
    for cause in &failure.causes {
        talk(format_args!("  because: {cause}"));
    }
    talk(format_args!("  what to do: {}", failure.hint));
}
