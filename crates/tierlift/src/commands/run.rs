//! What `migrate`, `resume` and `rollback` share: locks, Ctrl-C, and how an end becomes an exit code.

use std::sync::Arc;

use pg_session::{AdvisoryLock, PgUrl};
use runbook::{Engine, Failure, FailureKind, Plan, RunEnd, RunOutcome, Store, resolve_secrets};
use tokio::sync::watch;

use crate::cli::Global;
use crate::output::{data, program, talk};
use crate::registry::{Actions, environment};
use crate::{exit, screen, target_lock};

/// Starts a run of a plan.
pub async fn begin(global: &Global, plan: &Plan, accept_irreversible: bool) -> Result<u8, Failure> {
    let _lock = lock(plan).await?;
    let end = engine(global).accept_irreversible(accept_irreversible).run(plan).await?;
    Ok(finish(global, &end))
}

/// An engine that stops at the first Ctrl-C; the second ends the process, which the journal survives.
pub fn engine(global: &Global) -> Engine {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            talk(format_args!("stopping; press Ctrl-C again to stop at once (the journal survives either)"));
            // Nobody listens any more when the run has just ended.
            stop.send(true).ok();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(exit::PAUSED));
        }
    });
    Engine::new(Arc::new(Actions), screen(global), Store::at(&global.state_dir), stopped)
}

/// The advisory lock in the target database, when the plan has one. Refuses when a variable no longer names the
/// database that the plan was made for: a run must be finished, or undone, where it was begun.
pub async fn lock(plan: &Plan) -> Result<Option<AdvisoryLock>, Failure> {
    let mut target = None;
    for name in ["source", "target"] {
        let (Some(value), Some(planned)) = (plan.inputs.get(name), plan.fingerprint.get(&format!("{name} endpoint")))
        else {
            continue;
        };
        let text = resolve_secrets(value, &environment)?;
        let parsed = text.as_str().unwrap_or_default().parse::<PgUrl>();
        let url = parsed
            .map_err(|e| Failure::from_error(FailureKind::InvalidInput, format!("input {name}"), &e, e.hint()))?;
        if url.endpoint() != *planned {
            return Err(Failure::new(
                FailureKind::InvalidInput,
                format!("input {name}"),
                format!("names {}, but the plan was made for {planned}", url.endpoint()),
                "set its variable to the database it named then; the run must end where it began",
            ));
        }
        if name == "target" {
            target = Some(url);
        }
    }
    match target {
        Some(url) => target_lock::take(&url).await.map(Some),
        None => Ok(None),
    }
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
            exit::STUCK
        }
        RunOutcome::Interrupted { .. } => {
            say(format!("stopped. `{program} resume {run}` goes on, `{program} rollback {run}` puts everything back"));
            exit::PAUSED
        }
        RunOutcome::PastNoReturn { step, .. } => {
            say(format!("step {step} cannot be undone; `{program} resume {run}` goes forward again"));
            exit::NO_RETURN
        }
    }
}

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
