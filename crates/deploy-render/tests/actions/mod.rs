//! What the tests of actions share: a run's folder, and steps called as the engine calls them.
#![allow(dead_code, reason = "every test file uses its own part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use deploy_render::action;
use runbook::{Action, Check, Context, Event, Failure, FailureKind, Finding, Quiet, Reporter, Severity};
use serde_json::Value;

/// A folder for a run and for what it works on.
pub struct Run {
    pub dir: tempfile::TempDir,
    notes: Arc<Notes>,
}

/// Every line that a step found worth reading.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Reporter for Notes {
    fn report(&self, event: Event) {
        if let Event::Note { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

impl Run {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), notes: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder of the run itself.
    pub fn run_dir(&self) -> PathBuf {
        self.path("state/runs/r1")
    }

    /// Of a step of the run.
    pub fn context(&self, step: &str) -> Context {
        Context::of_run(step, "r1", &self.run_dir(), BTreeMap::new(), self.notes.clone())
    }

    /// Of a dry run.
    pub fn dry(&self) -> Context {
        Context::detached("step", Arc::new(Quiet))
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.0.lock().unwrap().clone()
    }
}

pub fn step(name: &str, with: &Value) -> Box<dyn Action> {
    action(name, with).unwrap().unwrap_or_else(|failure| panic!("{failure}"))
}

/// The state before the step, which must not be done.
pub async fn pending(step: &dyn Action, cx: &Context) -> Value {
    match step.check(cx).await.unwrap_or_else(|failure| panic!("{failure:?}")) {
        Check::Pending { before } => before,
        Check::Done => panic!("it is not done"),
    }
}

pub async fn is_done(step: &dyn Action, cx: &Context) -> bool {
    step.check(cx).await.unwrap_or_else(|failure| panic!("{failure:?}")) == Check::Done
}

/// Arguments that must be refused, with the words that say why. `change` turns usable ones into them.
pub fn refuses(name: &str, usable: &Value, change: &dyn Fn(&mut Value), words: &str) {
    let mut with = usable.clone();
    change(&mut with);
    let Err(failure) = action(name, &with).unwrap() else { panic!("{with} should be refused: {words}") };
    assert_eq!(failure.kind, FailureKind::InvalidInput, "{failure}");
    assert!(failure.message.contains(words), "`{failure}` does not say `{words}`");
    assert!(!failure.hint.is_empty(), "{failure}");
}

/// What keeps a run from starting, as `object: message`.
pub fn blocking(findings: &[Finding]) -> Vec<String> {
    let blocking = findings.iter().filter(|finding| finding.severity == Severity::Blocks);
    blocking.map(|finding| format!("{}: {}", finding.object, finding.message)).collect()
}

/// Everything that a failure would write down.
pub fn all_of(failure: &Failure) -> String {
    serde_json::to_string(failure).unwrap()
}

/// A folder's files with their bytes, by relative path; git's own left out.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    if !dir.exists() {
        return files;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if name == Path::new(".git") {
            continue;
        }
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}
