//! What the engine and the actions tell whoever watches. Libraries emit; one reporter draws.

use serde::{Deserialize, Serialize};

use crate::action::Preview;
use crate::failure::Failure;

/// How far a step's data has come. `item` names the bar; a step may have several at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is moving, e.g. `copy` or `copy public.messages`.
    pub item: String,
    /// Rows done so far.
    pub rows: u64,
    /// Rows in all, if known.
    pub rows_total: Option<u64>,
    /// Bytes done so far.
    pub bytes: u64,
    /// Bytes in all, if known.
    pub bytes_total: Option<u64>,
    /// True when this item is complete and its bar can go.
    pub finished: bool,
}

/// One thing that happened. Serialised one a line by `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A plan's step was looked at (dry run and planning).
    StepPreviewed {
        /// Step id.
        step: String,
        /// Action name.
        action: String,
        /// What it would do.
        preview: Preview,
        /// Whether it is already done.
        done: bool,
    },
    /// A run started or was taken up again.
    RunStarted {
        /// Run id.
        run: String,
        /// The plan's digest.
        plan: String,
        /// True for a resume.
        resumed: bool,
    },
    /// A step is about to change (or read) things.
    StepStarted {
        /// Step id.
        step: String,
        /// Its place, from 1.
        index: usize,
        /// Steps in the plan.
        of: usize,
        /// What it is for.
        title: String,
    },
    /// A step's data moved on.
    Progress {
        /// Step id.
        step: String,
        /// How far.
        progress: Progress,
    },
    /// A line worth reading.
    Note {
        /// Step id.
        step: String,
        /// The line.
        text: String,
    },
    /// A step is done.
    StepDone {
        /// Step id.
        step: String,
        /// How long it took, in seconds.
        seconds: f64,
        /// True when it was found already done.
        already: bool,
        /// What it returned.
        output: serde_json::Value,
    },
    /// A step failed; an unwind follows.
    StepFailed {
        /// Step id.
        step: String,
        /// Why.
        failure: Failure,
    },
    /// The unwind started.
    UnwindStarted {
        /// Why: the failed step, or that the operator asked.
        reason: String,
    },
    /// A step was put back.
    StepUndone {
        /// Step id.
        step: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A step could not be put back; the run is stuck there until it is continued.
    StepStuck {
        /// Step id.
        step: String,
        /// Why.
        failure: Failure,
    },
    /// The run ended.
    RunEnded {
        /// Run id.
        run: String,
        /// `completed`, `unwound`, `stuck`, `paused` or `past_no_return`.
        status: String,
        /// Seconds since it (or its resume) started.
        seconds: f64,
    },
}

/// Whoever watches. Called from many tasks at once; must not block for long.
pub trait Reporter: Send + Sync {
    /// One event happened.
    fn report(&self, event: Event);
}

/// Nobody watches.
pub struct Quiet;

impl Reporter for Quiet {
    fn report(&self, _event: Event) {}
}
