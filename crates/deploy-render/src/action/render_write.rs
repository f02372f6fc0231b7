//! `render.write` renders a tier into a folder, and its undo puts the folder back.

use std::path::PathBuf;

use async_trait::async_trait;
use runbook::{Action, Check, Context, Effect, Estimate, Failure, FailureKind, Finding, Inspect, Preview, Severity};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::check::check;
use crate::diff::{Change, diff};
use crate::one_way::one_way;
use crate::render::{DatabaseTarget, RenderError, RenderOptions, render};
use crate::set::RenderedSet;
use crate::system::{SpecError, SystemSpec};
use crate::write::{self, Before, OnDisk, WriteError, on_disk};

/// Name of the action.
pub(super) const RENDER_WRITE: &str = "render.write";

/// Arguments of `render.write`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenderWrite {
    /// The system's `system.yaml`.
    system_file: PathBuf,
    /// Which tier.
    tier: String,
    /// The folder the files go to.
    out: PathBuf,
    /// Which database they refer to.
    database: DatabaseTarget,
    /// A folder with templates that replace built-in ones.
    #[serde(default)]
    templates: Option<PathBuf>,
    /// A folder with partial files that change rendered ones.
    #[serde(default)]
    overlays: Option<PathBuf>,
    /// Whether changes may happen that a platform refuses or never takes back.
    #[serde(default)]
    accept_irreversible: bool,
}

impl RenderWrite {
    pub(super) fn parse(with: &Value) -> Result<Self, Failure> {
        serde_json::from_value(with.clone()).map_err(|error| {
            Failure::new(
                FailureKind::InvalidInput,
                format!("action {RENDER_WRITE}"),
                format!("its arguments can't be used: {error}"),
                "give it system_file, tier, out and database: source or target",
            )
        })
    }

    fn render(&self, database: DatabaseTarget) -> Result<RenderedSet, Failure> {
        let system = SystemSpec::load(&self.system_file)?;
        let options =
            RenderOptions { database, templates_dir: self.templates.clone(), overlays_dir: self.overlays.clone() };
        render(&system, &self.tier, &options).map_err(Failure::from)
    }

    /// What the files are compared with: what is there, or, for a switch whose rendering step has not run yet, what that
    /// step will write.
    fn baseline(&self, there: &OnDisk) -> Result<(RenderedSet, String), Failure> {
        let out = self.out.display();
        match there {
            OnDisk::Ours(set) => Ok((set.clone(), format!("in {out}"))),
            OnDisk::Nothing | OnDisk::Empty if self.database == DatabaseTarget::Target => {
                let set = self.render(DatabaseTarget::Source)?;
                Ok((set, format!("in {out}, once rendered for the database moved from")))
            }
            _ => Ok((RenderedSet::default(), format!("in {out}"))),
        }
    }

    /// Where the set from before the step is kept.
    fn keep_dir(cx: &Context) -> Result<PathBuf, Failure> {
        let run = cx.run_dir().ok_or_else(|| {
            Failure::new(
                FailureKind::Internal,
                format!("action {RENDER_WRITE}"),
                "it was called outside of a run, where nothing can be kept for its undo",
                "",
            )
        })?;
        Ok(run.join("previous-sets").join(cx.step()))
    }
}

#[async_trait]
impl Inspect for RenderWrite {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let set = self.render(self.database)?;
        let there = on_disk(&self.out)?;
        let mut findings: Vec<Finding> = check(&set).into_iter().map(finding).collect();
        if let OnDisk::Foreign(foreign) = &there {
            let out = self.out.clone();
            findings.push(foreign_finding(&WriteError::Foreign { out, foreign: foreign.clone() }));
        }
        let (baseline, place) = self.baseline(&there)?;
        let severity = if self.accept_irreversible { Severity::Changes } else { Severity::Blocks };
        findings.extend(one_way(&baseline, &set).into_iter().map(|problem| Finding { severity, ..finding(problem) }));
        let (changes, bytes) = changes(&baseline, &set, &place);
        let undo = match &there {
            OnDisk::Nothing if self.database == DatabaseTarget::Source => format!("remove {}", self.out.display()),
            _ => format!("put the files that were in {} back, byte for byte", self.out.display()),
        };
        let estimate = Estimate { rows: None, bytes: Some(bytes), seconds: Some(1.0) };
        Ok(Preview { changes, undo, estimate, findings })
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        let set = self.render(self.database)?;
        if let OnDisk::Ours(there) = on_disk(&self.out)?
            && there == set
        {
            return Ok(Check::Done);
        }
        Ok(Check::Pending { before: to_value(&Before::of(&self.out)?)? })
    }
}

#[async_trait]
impl Action for RenderWrite {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        let before = from_value(before)?;
        let set = self.render(self.database)?;
        if let Some(problem) = check(&set).into_iter().next() {
            return Err(blocked(problem));
        }
        if let OnDisk::Ours(there) = on_disk(&self.out)?
            && !self.accept_irreversible
            && let Some(problem) = one_way(&there, &set).into_iter().next()
        {
            return Err(blocked(problem));
        }
        let written = write::write(&set, &self.out, &Self::keep_dir(cx)?, &before)?;
        Ok(json!({
            "out": self.out,
            "rendered_files": written.files,
            "bytes": written.bytes,
            "digest": written.digest,
            "previous_digest": before.digest,
        }))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        let wanted = self.render(self.database)?.digest();
        let found = match on_disk(&self.out)? {
            OnDisk::Ours(set) => set.digest(),
            OnDisk::Nothing | OnDisk::Empty => "nothing".to_owned(),
            OnDisk::Foreign(foreign) => foreign.to_string(),
        };
        if wanted == found {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Failed,
            format!("folder {}", self.out.display()),
            format!("it should hold the set {wanted} and holds {found}"),
            "find out who else writes there, then resume the run",
        ))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        Ok(write::restore(&self.out, &Self::keep_dir(cx)?, &from_value(before)?)?)
    }
}

/// One line a file that changes, one for all that don't; and how many bytes would be written.
fn changes(before: &RenderedSet, after: &RenderedSet, place: &str) -> (Vec<String>, u64) {
    let diffs = diff(before, after);
    let mut lines = Vec::new();
    let mut bytes = 0;
    for file in &diffs {
        let path = &file.path;
        match file.change {
            Change::Created => lines.push(format!("create {path} ({} bytes)", file.bytes_after)),
            Change::Changed => {
                let (minus, plus) = changed_lines(&file.unified);
                lines.push(format!("change {path} ({} bytes, +{plus} -{minus} lines)", file.bytes_after));
            }
            Change::Removed => lines.push(format!("remove {path} ({} bytes)", file.bytes_before)),
            Change::Unchanged => continue,
        }
        bytes += file.bytes_after;
    }
    let unchanged = diffs.len() - lines.len();
    if unchanged > 0 {
        lines.push(format!("leave {unchanged} file(s) {place} unchanged"));
    }
    (lines, bytes)
}

fn changed_lines(unified: &str) -> (usize, usize) {
    // The first two lines are the names.
    let count = |mark: char| unified.lines().skip(2).filter(|line| line.starts_with(mark)).count();
    (count('-'), count('+'))
}

fn blocked(problem: crate::check::Problem) -> Failure {
    let finding = finding(problem);
    Failure::new(FailureKind::Blocked, finding.object, finding.message, finding.remedy)
}

fn finding(problem: crate::check::Problem) -> Finding {
    let object = if problem.path.is_empty() { problem.file } else { format!("{}: {}", problem.file, problem.path) };
    Finding { severity: Severity::Blocks, object, message: problem.message, remedy: problem.remedy }
}

fn foreign_finding(error: &WriteError) -> Finding {
    Finding {
        severity: Severity::Blocks,
        object: "folder of the rendered files".to_owned(),
        message: error.to_string(),
        remedy: FOREIGN_HINT.to_owned(),
    }
}

fn to_value(before: &Before) -> Result<Value, Failure> {
    serde_json::to_value(before)
        .map_err(|error| Failure::from_error(FailureKind::Internal, "state before the step", &error, ""))
}

fn from_value(before: &Value) -> Result<Before, Failure> {
    serde_json::from_value(before.clone()).map_err(|error| {
        Failure::from_error(FailureKind::Internal, "state before the step", &error, "the journal was changed by hand")
    })
}

const FOREIGN_HINT: &str = "move those files elsewhere, or render into another folder";

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        let hint = match &error {
            SpecError::Read { .. } => "name a system.yaml that can be read",
            SpecError::Parse { .. } => "correct it at that line",
            SpecError::Invalid { .. } => "correct these values",
        };
        Self::from_error(FailureKind::InvalidInput, "", &error, hint)
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let kind = match &error {
            RenderError::Yaml(_) | RenderError::Object(_) => FailureKind::Internal,
            _ => FailureKind::InvalidInput,
        };
        Self::from_error(kind, "", &error, error.hint())
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let (kind, hint) = match &error {
            WriteError::Foreign { .. } => (FailureKind::Blocked, FOREIGN_HINT),
            WriteError::Moved { .. } => (FailureKind::Blocked, "look at the folder, then run the command again"),
            WriteError::Locked { .. } => (FailureKind::Locked, "wait until it is done"),
            WriteError::Kept { .. } => (FailureKind::Failed, "render the previous tier into the folder by hand"),
            WriteError::KeptInside { .. } => {
                (FailureKind::InvalidInput, "run it from elsewhere, or say with --state-dir where things are kept")
            }
            WriteError::Io { .. } => (FailureKind::Failed, "see that it can be read and written, and try again"),
        };
        Self::from_error(kind, "", &error, hint)
    }
}
