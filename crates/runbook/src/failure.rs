//! Why something could not be done, in the form every crate hands to the engine and the engine to the edge.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The operator's input can't be used: a file, a URL, credentials, an argument. Exit 3.
    InvalidInput,
    /// A gate or an assess finding forbids it. Exit 4 when nothing has changed yet.
    Blocked,
    /// It was tried and did not work. Exit 5 or 6 within a run.
    Failed,
    /// Another run holds the target. Exit 7.
    Locked,
    /// The plan no longer fits the live state, or was used already. Exit 10.
    Stale,
    /// There is no way back from here. Exit 12.
    PastPointOfNoReturn,
    /// A fault of tierlift itself. Exit 1.
    Internal,
}

/// What happened, to which object, and what to do next. Carries no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What it happened to, e.g. `table public.messages` or `target db.example.com:5432/app`; may be empty.
    pub object: String,
    /// What happened: a lower-case fragment without a period.
    pub message: String,
    /// Its causes, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next; may be empty only for `Internal`.
    pub hint: String,
}

impl Failure {
    /// A failure without causes.
    pub fn new(
        kind: FailureKind,
        object: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { kind, object: object.into(), message: message.into(), causes: Vec::new(), hint: hint.into() }
    }

    /// A failure whose message and causes are an error and its chain of sources.
    pub fn from_error(
        kind: FailureKind,
        object: impl Into<String>,
        error: &(dyn Error + 'static),
        hint: impl Into<String>,
    ) -> Self {
        let mut failure = Self::new(kind, object, error.to_string(), hint);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        f.write_str(&self.message)
    }
}

impl Error for Failure {}
