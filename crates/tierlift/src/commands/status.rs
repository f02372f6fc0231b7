//! `status`: what ran, and what is in force.

use jiff::Timestamp;
use runbook::{Entry, Failure, Record, RunRecord, RunStatus, StepStatus, Store};
use serde_json::{Value, json};

use crate::cli::{Global, StatusArgs};
use crate::exit;
use crate::output::{data, program};
use crate::style::seconds;

/// The action whose step blocks writes on the source.
const FENCE: &str = "pg.fence";

/// Prints every run, or one step by step.
pub fn run(global: &Global, args: &StatusArgs) -> Result<u8, Failure> {
    let store = Store::at(&global.state_dir);
    match &args.run {
        Some(id) => show(global, &store.open(id)?),
        None => list(global, &store)?,
    }
    Ok(exit::DONE)
}

fn list(global: &Global, store: &Store) -> Result<(), Failure> {
    let runs = store.list_runs()?;
    if runs.is_empty() && !global.json {
        data(format_args!("no runs in {}", global.state_dir.display()));
    }
    for (id, run) in runs.iter().rev() {
        match run {
            Ok(run) if global.json => data(format_args!("{}", summary(run))),
            Ok(run) => {
                let plan = &run.plan;
                let word = run.status().word();
                data(format_args!("{id}  {word:<12} {} {} -> {}  on {}", plan.system, plan.from, plan.to, plan.target));
            }
            Err(failure) if global.json => data(format_args!("{}", json!({"run": id, "failure": failure}))),
            Err(failure) => data(format_args!("{id}  unreadable   {failure}")),
        }
    }
    Ok(())
}

fn show(global: &Global, run: &RunRecord) {
    if global.json {
        data(format_args!("{}", summary(run)));
        return;
    }
    let plan = &run.plan;
    data(format_args!(
        "run {}  {}  ({} {} -> {} on {})",
        run.id,
        run.status().word(),
        plan.system,
        plan.from,
        plan.to,
        plan.target
    ));
    data(format_args!("plan {}", plan.digest()));
    for (step, status) in plan.steps.iter().zip(&run.state.steps) {
        let detail = match status {
            StepStatus::Done { seconds: s, .. } => seconds(*s),
            StepStatus::Failed { failure, .. } | StepStatus::Stuck { failure, .. } => failure.to_string(),
            _ => String::new(),
        };
        data(format_args!("  {:<22} {:<10} {detail}", step.id, status.word()));
    }
    let status = run.status();
    if let Some(downtime) = downtime_seconds(run) {
        if fence_is_up(run) && status != RunStatus::Completed {
            data(format_args!("writes on the source have stood still for {} so far", seconds(downtime)));
        } else {
            data(format_args!("writes on the source stood still for {}", seconds(downtime)));
        }
    }
    data(what_next(&run.id, &status));
}

/// Whether the run raised a fence and has not taken it down.
pub fn fence_is_up(run: &RunRecord) -> bool {
    run.plan.steps.iter().zip(&run.state.steps).any(|(step, status)| step.action == FENCE && status.to_undo().is_some())
}

/// What `resume` and `rollback` are for, with a run where it is; one line.
fn what_next(run: &str, status: &RunStatus) -> String {
    let program = program();
    match status {
        RunStatus::Completed => format!("in force; `{program} rollback {run}` undoes it"),
        RunStatus::Unwound => "both ends are as they were before it".to_owned(),
        RunStatus::Running | RunStatus::Unwinding => "a process is at it right now".to_owned(),
        RunStatus::Stuck { .. } => format!("mend what is named above, then `{program} rollback {run}`"),
        RunStatus::Interrupted { unwinding: true } => {
            format!("it was going back: `{program} rollback {run}` goes on with that")
        }
        RunStatus::Interrupted { unwinding: false } => {
            format!("`{program} resume {run}` goes on, `{program} rollback {run}` puts everything back")
        }
        RunStatus::PastNoReturn { .. } => format!("`{program} resume {run}` goes forward again"),
    }
}

/// One run as `--json` gives it.
fn summary(run: &RunRecord) -> Value {
    let plan = &run.plan;
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .zip(&run.state.steps)
        .map(|(step, status)| {
            let (output, seconds) = match status {
                StepStatus::Done { output, seconds, .. } => (Some(output), Some(seconds)),
                _ => (None, None),
            };
            json!({
                "id": step.id, "title": step.title, "action": step.action,
                "status": status.word(), "seconds": seconds, "output": output,
            })
        })
        .collect();
    json!({
        "run": run.id, "status": run.status().word(), "plan_digest": plan.digest(), "playbook": plan.playbook.name,
        "system": plan.system, "from": plan.from, "to": plan.to, "target": plan.target,
        "started_at": run.records.first().map(|r| r.at), "updated_at": run.records.last().map(|r| r.at),
        "downtime_seconds": downtime_seconds(run), "steps": steps,
    })
}

/// How long writes on the source stood still: from the fence's first intent until the run was complete (from then on
/// the application can write to the target) or the fence was lifted. Until now, while neither has happened.
fn downtime_seconds(run: &RunRecord) -> Option<f64> {
    let fence = &run.plan.steps.iter().find(|step| step.action == FENCE)?.id;
    let at = |fits: &dyn Fn(&Entry) -> bool| run.records.iter().find(|r: &&Record| fits(&r.event)).map(|r| r.at);
    let start = at(&|event| matches!(event, Entry::StepIntent { step, .. } if step == fence))?;
    let end = at(&|event| match event {
        Entry::RunCompleted {} => true,
        Entry::UndoDone { step, .. } => step == fence,
        _ => false,
    });
    Some(end.unwrap_or_else(Timestamp::now).duration_since(start).as_secs_f64())
}
