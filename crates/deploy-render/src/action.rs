//! The steps the engine sees, one file an action.

mod exec;
mod git;
mod git_commit;
mod kubectl;
mod kubectl_apply;
mod process;
mod program;
mod render_write;
mod run_file;
mod secrets;

use std::time::Duration;

use runbook::{Action, Failure, FailureKind, Finding, Inspect, Severity};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use exec::{EXEC, Exec};
use git_commit::{GIT_COMMIT, GitCommit};
use kubectl_apply::{KUBECTL_APPLY, KubectlApply};
use render_write::{RENDER_WRITE, RenderWrite};

/// The read-only half of an action of this crate; none when the name is not one of ours.
pub fn inspect(name: &str, with: &Value) -> Option<Result<Box<dyn Inspect>, Failure>> {
    action(name, with).map(|action| action.map(|action| action as Box<dyn Inspect>))
}

/// A whole action of this crate; none when the name is not one of ours. Secrets in `with` are still `{"env": "NAME"}`:
/// only `exec` takes any, and it must know which of its variables are.
pub fn action(name: &str, with: &Value) -> Option<Result<Box<dyn Action>, Failure>> {
    Some(match name {
        RENDER_WRITE => RenderWrite::parse(with).map(|action| Box::new(action) as Box<dyn Action>),
        EXEC => Exec::parse(with).map(|action| Box::new(action) as Box<dyn Action>),
        GIT_COMMIT => GitCommit::parse(with).map(|action| Box::new(action) as Box<dyn Action>),
        KUBECTL_APPLY => KubectlApply::parse(with).map(|action| Box::new(action) as Box<dyn Action>),
        _ => return None,
    })
}

/// Arguments that can't be used.
fn unusable(action: &str, what: impl std::fmt::Display, hint: &str) -> Failure {
    let message = format!("its arguments can't be used: {what}");
    Failure::new(FailureKind::InvalidInput, format!("action {action}"), message, hint)
}

/// A limit in seconds; a week is enough for anything.
fn seconds(action: &str, said: u64) -> Result<Duration, Failure> {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    match said {
        1..=WEEK => Ok(Duration::from_secs(said)),
        _ => Err(unusable(action, format!("timeout_seconds is {said}"), "give it 1 to 604800 seconds")),
    }
}

/// What a step must know of the state before it, for the journal.
fn to_before(before: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(before)
        .map_err(|error| Failure::from_error(FailureKind::Internal, "state before the step", &error, ""))
}

/// And back.
fn from_before<T: DeserializeOwned>(before: &Value) -> Result<T, Failure> {
    serde_json::from_value(before.clone()).map_err(|error| {
        Failure::from_error(FailureKind::Internal, "state before the step", &error, "the journal was changed by hand")
    })
}

/// A finding that keeps the run from starting.
fn blocks(object: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { severity: Severity::Blocks, object: object.into(), message: message.into(), remedy: remedy.into() }
}
