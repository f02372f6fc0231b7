//! The dry run, which is also planning's look at the world: inspect, preview and check each step, change nothing.

use std::sync::Arc;

use serde_json::Value;

use crate::action::{Check, Context, Effect, Finding, Inspect, Preview, Registry, Severity};
use crate::event::{Event, Reporter};
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::playbook::Playbook;

/// What one step would do.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPreview {
    /// Step id.
    pub id: String,
    /// What it is for.
    pub title: String,
    /// The action it calls.
    pub action: String,
    /// Its arguments; secrets are still references.
    pub with: Value,
    /// What the action does to the world.
    pub effect: Effect,
    /// What it would change.
    pub preview: Preview,
    /// Whether that is in place already.
    pub done: bool,
}

impl StepPreview {
    /// The findings that forbid the run: with any of them, nothing may start (exit 4).
    pub fn blocking(&self) -> impl Iterator<Item = &Finding> {
        self.preview.findings.iter().filter(|finding| finding.severity == Severity::Blocks)
    }
}

/// Looks at every step in order and reports each as [`Event::StepPreviewed`]. Only [`Inspect`] is in reach here.
///
/// # Errors
/// As the registry and the actions fail, naming the step when they name no object.
pub async fn preview_steps(
    playbook: &Playbook,
    inputs: &Inputs,
    registry: &dyn Registry,
    reporter: Arc<dyn Reporter>,
) -> Result<Vec<StepPreview>, Failure> {
    // Arguments that can't be used are said before the first, possibly long, look at the world.
    let mut steps: Vec<(_, Value, Box<dyn Inspect>)> = Vec::new();
    for step in &playbook.steps {
        let with = inputs.arguments(step);
        let inspect = registry.inspect(&step.action, &with).map_err(|failure| of_step(&step.id, failure))?;
        steps.push((step, with, inspect));
    }
    let mut previews = Vec::new();
    for (step, with, inspect) in steps {
        let cx = Context::detached(&step.id, reporter.clone());
        let preview = inspect.preview(&cx).await.map_err(|failure| of_step(&step.id, failure))?;
        let check = inspect.check(&cx).await.map_err(|failure| of_step(&step.id, failure))?;
        let done = check == Check::Done;
        reporter.report(Event::StepPreviewed {
            step: step.id.clone(),
            action: step.action.clone(),
            preview: preview.clone(),
            done,
        });
        previews.push(StepPreview {
            id: step.id.clone(),
            title: step.title.clone(),
            action: step.action.clone(),
            with,
            effect: inspect.effect(),
            preview,
            done,
        });
    }
    Ok(previews)
}

/// A failure that names no object is at least known to be of this step.
pub fn of_step(step: &str, mut failure: Failure) -> Failure {
    if failure.object.is_empty() {
        failure.object = format!("step {step}");
    }
    failure
}
