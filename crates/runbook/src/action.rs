//! What a step calls: the contract between the engine and the crates that do the work.
//!
//! It is two traits so that a dry run cannot mutate: planning only ever holds a [`dyn Inspect`](Inspect), which
//! has no way to change anything; only a run asks the [`Registry`] for a [`dyn Action`](Action).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Event, Progress, Reporter};
use crate::failure::Failure;

/// What an action does to the world, declared once per action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing; its undo does nothing.
    ReadOnly,
    /// Changes something and can put it back.
    Reversible,
    /// Changes something for good: there is no unwind past it.
    Irreversible,
}

/// How serious a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record; nothing to do.
    Note,
    /// Something will differ on the target, and the finding says how.
    Changes,
    /// The run must not start.
    Blocks,
}

/// One thing a read-only look turned up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// What it is about, e.g. `table public.messages`.
    pub object: String,
    /// What was found, one sentence.
    pub message: String,
    /// What tierlift will do about it, or what the operator must do first.
    pub remedy: String,
}

/// What an action expects to move; every figure is an estimate and may be unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows read or written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// Bytes read or written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Wall-clock seconds, worst case.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
}

/// What applying an action would do, found without changing anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// One line for each thing that would change, in the order it would happen.
    pub changes: Vec<String>,
    /// One line saying how it would be undone; empty for read-only actions.
    #[serde(default)]
    pub undo: String,
    /// How much and how long.
    #[serde(default)]
    pub estimate: Estimate,
    /// What stands in the way or will differ.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// Whether an action's work is already in place.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// It is; applying would change nothing.
    Done,
    /// It is not. `before` is what undo must know of the state before the action first touched it; it is
    /// journaled with the step's first intent and handed back to `apply` and `undo` unchanged, also after a crash.
    Pending {
        /// State to restore, as the action itself defines it. Never holds a secret.
        before: Value,
    },
}

/// The read-only half of an action: all that planning and dry runs can reach.
///
/// Implementations open read-only sessions and construct no writers.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// What applying does to the world.
    fn effect(&self) -> Effect;

    /// What would change, how long it would take, how many bytes. Called before any step of the plan has run, so
    /// what earlier steps will create does not exist yet.
    ///
    /// # Errors
    /// When the state cannot be read (`InvalidInput` for wrong credentials, unreachable hosts, impossible arguments).
    async fn preview(&self, cx: &Context) -> Result<Preview, Failure>;

    /// Is it already done? Called right before `apply`, and on resume for an intent without an end.
    ///
    /// # Errors
    /// When the state cannot be read.
    async fn check(&self, cx: &Context) -> Result<Check, Failure>;
}

/// A whole action. Applying twice, or undoing twice, ends the same as once.
#[async_trait]
pub trait Action: Inspect {
    /// Does the work, or finishes it after a crash. Returns what the journal should keep of it (counts, seconds,
    /// paths; never secrets), which later steps read with [`Context::output`].
    ///
    /// # Errors
    /// When it could not be completed; the engine then unwinds, this step's `undo` included.
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure>;

    /// Looks at the world again and fails when the work is not in place.
    ///
    /// # Errors
    /// When what `apply` claims to have done is not there.
    async fn verify(&self, cx: &Context) -> Result<(), Failure>;

    /// Puts back what `apply` changed, wholly or half done, given the `before` of the first intent.
    ///
    /// # Errors
    /// When something could not be put back: the step is then stuck, and undo will be called again.
    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure>;
}

/// Finds the action a step names. `with` are the step's resolved arguments; a secret is still
/// `{"env": "NAME"}` and is looked up by the registry, so that it never passes through a plan or a journal.
pub trait Registry: Send + Sync {
    /// The read-only half, for planning.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown action or unusable arguments.
    fn inspect(&self, action: &str, with: &Value) -> Result<Box<dyn Inspect>, Failure>;

    /// The whole action, for a run.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown action or unusable arguments.
    fn action(&self, action: &str, with: &Value) -> Result<Box<dyn Action>, Failure>;
}

/// What an action is told about the step that calls it.
#[derive(Clone)]
pub struct Context {
    step: String,
    run: Option<(String, PathBuf)>,
    outputs: Arc<BTreeMap<String, Value>>,
    reporter: Arc<dyn Reporter>,
}

impl Context {
    /// For planning and for commands that use one action without a playbook: no run, no earlier outputs.
    pub fn detached(step: &str, reporter: Arc<dyn Reporter>) -> Self {
        Self { step: step.to_owned(), run: None, outputs: Arc::default(), reporter }
    }

    /// For a step of a run; `run_dir` is the run's own folder, `outputs` what the steps before returned, by step id.
    pub fn of_run(
        step: &str,
        run_id: &str,
        run_dir: &Path,
        outputs: BTreeMap<String, Value>,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        Self {
            step: step.to_owned(),
            run: Some((run_id.to_owned(), run_dir.to_owned())),
            outputs: Arc::new(outputs),
            reporter,
        }
    }

    /// The id of the step.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The id of the run, if this is one.
    pub fn run_id(&self) -> Option<&str> {
        self.run.as_ref().map(|(id, _)| id.as_str())
    }

    /// The run's own folder, where a step may keep files its undo needs.
    pub fn run_dir(&self) -> Option<&Path> {
        self.run.as_ref().map(|(_, dir)| dir.as_path())
    }

    /// What an earlier step's `apply` returned.
    pub fn output(&self, step: &str) -> Option<&Value> {
        self.outputs.get(step)
    }

    /// Tells whoever watches how far the data has come.
    pub fn progress(&self, progress: Progress) {
        self.reporter.report(Event::Progress { step: self.step.clone(), progress });
    }

    /// Tells whoever watches something worth a line. Never a secret.
    pub fn note(&self, text: impl Into<String>) {
        self.reporter.report(Event::Note { step: self.step.clone(), text: text.into() });
    }
}
