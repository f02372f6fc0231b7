//! Joins the crates that do the work: the only place where an action's name meets its implementation.

use runbook::{Action, Failure, FailureKind, Inspect, Registry, resolve_secrets};
use serde_json::Value;

/// Every action tierlift knows. Those of rendering look secrets up themselves: `exec` must know which of its variables are
/// secret, and no other takes any.
pub struct Actions;

impl Registry for Actions {
    fn inspect(&self, action: &str, raw: &Value) -> Result<Box<dyn Inspect>, Failure> {
        let with = resolve_secrets(raw, &environment)?;
        pgmigrate::action::inspect(action, &with)
            .or_else(|| vector_backfill::action::inspect(action, &with))
            .or_else(|| deploy_render::inspect(action, raw))
            .unwrap_or_else(|| Err(unknown(action)))
    }

    fn action(&self, action: &str, raw: &Value) -> Result<Box<dyn Action>, Failure> {
        let with = resolve_secrets(raw, &environment)?;
        pgmigrate::action::action(action, &with)
            .or_else(|| vector_backfill::action::action(action, &with))
            .or_else(|| deploy_render::action(action, raw))
            .unwrap_or_else(|| Err(unknown(action)))
    }
}

/// Reads a variable; an empty one counts as unset.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn unknown(action: &str) -> Failure {
    Failure::new(
        FailureKind::InvalidInput,
        format!("action {action}"),
        "no such action",
        "use one of pg.assess, pg.fence, pg.copy, pg.verify, pg.fence_held, vector.enable, vector.backfill, \
         vector.index, vector.recall, render.write, exec, git.commit, kubectl.apply",
    )
}
