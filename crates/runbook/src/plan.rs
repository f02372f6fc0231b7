//! A playbook resolved against live state: immutable, identified by the SHA-256 of its canonical JSON.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::Effect;
use crate::canonical::{canonical, sha256_hex};
use crate::dryrun::StepPreview;
use crate::failure::{Failure, FailureKind};
use crate::inputs::Inputs;
use crate::playbook::Playbook;
use crate::store::write_durably;

/// The version of the plan format this code writes and reads.
const FORMAT: u32 = 1;

/// Everything a run obeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format.
    pub format: u32,
    /// The playbook it comes from.
    pub playbook: PlaybookRef,
    /// The version of tierlift that made it.
    pub tool_version: String,
    /// The system it moves.
    pub system: String,
    /// The tier it starts from.
    pub from: String,
    /// The tier it leads to.
    pub to: String,
    /// What one run at a time may change, e.g. `db.example.com:5432/app`; no secrets.
    pub target: String,
    /// What the world looked like: server versions, system identifiers, schema fingerprints, by name.
    pub fingerprint: BTreeMap<String, String>,
    /// Resolved inputs; a secret is `{"env": "NAME"}`.
    pub inputs: BTreeMap<String, Value>,
    /// What will be done, in order.
    pub steps: Vec<PlanStep>,
    /// The sum of the steps' worst cases in milliseconds; a step without an estimate counts as nothing.
    pub worst_case_ms: u64,
    /// What the move does to the bill.
    pub cost: Option<CostChange>,
    /// The first step without a way back, as an index into `steps`.
    pub irreversible_from: Option<usize>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it must not be run any more.
    pub expires_at: Timestamp,
}

/// Which playbook, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybookRef {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: String,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub title: String,
    /// The action it calls.
    pub action: String,
    /// The action's arguments; a secret is `{"env": "NAME"}`.
    pub with: Value,
    /// What the action does to the world.
    pub effect: Effect,
    /// What will change, one line each.
    pub changes: Vec<String>,
    /// How it would be undone; empty for read-only steps.
    pub undo: String,
    /// Rows read or written, if known.
    pub rows: Option<u64>,
    /// Bytes read or written, if known.
    pub bytes: Option<u64>,
    /// Worst-case duration in milliseconds, if known.
    pub worst_case_ms: Option<u64>,
}

/// What a month costs before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostChange {
    /// On the tier it starts from.
    pub before: UsdRange,
    /// On the tier it leads to.
    pub after: UsdRange,
}

/// A range of US dollars a month, in cents, so that a digest never depends on a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsdRange {
    /// At least.
    pub low_cents: u64,
    /// At most.
    pub high_cents: u64,
}

/// What the caller knows and the playbook does not say.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What one run at a time may change, e.g. `db.example.com:5432/app`; no secrets.
    pub target: String,
    /// What the world looks like: server versions, system identifiers, schema fingerprints, by name.
    pub fingerprint: BTreeMap<String, String>,
    /// What the move does to the bill, if known.
    pub cost: Option<CostChange>,
    /// Now.
    pub created_at: Timestamp,
    /// From when on the plan must not be run.
    pub expires_at: Timestamp,
}

/// Decides everything: from a playbook, its inputs and the previews of its steps to a plan.
///
/// # Errors
/// `Internal` when the previews are not those of this playbook's steps; `InvalidInput` when the plan would expire before
/// it was made. Findings that block are the caller's to act on, before this.
pub fn plan(playbook: &Playbook, inputs: &Inputs, previews: &[StepPreview], terms: Terms) -> Result<Plan, Failure> {
    let fits = previews.len() == playbook.steps.len()
        && playbook.steps.iter().zip(previews).all(|(step, preview)| step.id == preview.id);
    if !fits {
        return Err(Failure::new(
            FailureKind::Internal,
            format!("playbook {}", playbook.name),
            "was planned with the previews of another",
            "",
        ));
    }
    if terms.expires_at <= terms.created_at {
        return Err(Failure::new(
            FailureKind::InvalidInput,
            format!("playbook {}", playbook.name),
            "the plan would expire before it was made",
            "let the plan live longer",
        ));
    }
    let steps: Vec<PlanStep> = previews.iter().map(plan_step).collect();
    Ok(Plan {
        format: FORMAT,
        playbook: PlaybookRef { name: playbook.name.clone(), digest: playbook.digest.clone() },
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        system: playbook.system.clone(),
        from: playbook.from.clone(),
        to: playbook.to.clone(),
        target: terms.target,
        fingerprint: terms.fingerprint,
        inputs: inputs.values().clone(),
        worst_case_ms: steps.iter().filter_map(|step| step.worst_case_ms).sum(),
        irreversible_from: steps.iter().position(|step| step.effect == Effect::Irreversible),
        steps,
        cost: terms.cost,
        created_at: terms.created_at,
        expires_at: terms.expires_at,
    })
}

fn plan_step(preview: &StepPreview) -> PlanStep {
    let estimate = preview.preview.estimate;
    PlanStep {
        id: preview.id.clone(),
        title: preview.title.clone(),
        action: preview.action.clone(),
        with: preview.with.clone(),
        effect: preview.effect,
        changes: preview.preview.changes.clone(),
        undo: preview.preview.undo.clone(),
        rows: estimate.rows,
        bytes: estimate.bytes,
        // `as` saturates, which is right for an estimate that is negative or absurd.
        worst_case_ms: estimate.seconds.map(|seconds| (seconds * 1000.0).ceil() as u64),
    }
}

/// A plan as saved: the digest is there for people and to notice a changed file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    digest: String,
    plan: Value,
}

impl Plan {
    /// The plan's id: SHA-256 of its canonical JSON, lowercase hex.
    pub fn digest(&self) -> String {
        sha256_hex(canonical(&self.to_value()).as_bytes())
    }

    /// Writes the plan to a file, replacing it whole or not at all.
    ///
    /// # Errors
    /// `InvalidInput` when the file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        write_durably(path, self.to_file().as_bytes()).map_err(|error| {
            Failure::from_error(
                FailureKind::InvalidInput,
                format!("plan {}", path.display()),
                &error,
                "name a file that can be written",
            )
        })
    }

    /// Reads a plan back.
    ///
    /// # Errors
    /// `InvalidInput` when the file can't be read, is no plan, or was changed since it was saved.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let object = format!("plan {}", path.display());
        let refuse = |message: String, hint: &str| {
            Failure::new(FailureKind::InvalidInput, object.clone(), message, hint.to_owned())
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse(format!("cannot be read: {error}"), "name a file that `--plan-out` wrote"))?;
        let saved: Saved = serde_json::from_str(&text)
            .map_err(|error| refuse(format!("is no plan: {error}"), "name a file that `--plan-out` wrote"))?;
        let digest = sha256_hex(canonical(&saved.plan).as_bytes());
        if digest != saved.digest {
            return Err(refuse(
                format!("was changed after it was saved: it says digest {}, its content has {digest}", saved.digest),
                "make a new plan; a plan is never edited",
            ));
        }
        let format = saved.plan.get("format").and_then(Value::as_u64);
        if format != Some(FORMAT.into()) {
            return Err(refuse(
                format!("has format {}, this version reads format {FORMAT}", format.unwrap_or(0)),
                "make a new plan with this version of tierlift",
            ));
        }
        serde_json::from_value(saved.plan)
            .map_err(|error| refuse(format!("is no plan: {error}"), "make a new plan with this version of tierlift"))
    }

    /// Refuses a plan that the world has left behind: expired, made by another version of tierlift, or made when the
    /// live state was another. `live` is the fingerprint as it is now.
    ///
    /// # Errors
    /// `Stale`, naming everything that moved.
    pub fn check_fresh(&self, now: Timestamp, live: &BTreeMap<String, String>) -> Result<(), Failure> {
        self.check_expiry(now)?;
        if self.tool_version != env!("CARGO_PKG_VERSION") {
            return Err(self.stale(format!(
                "was made by tierlift {}, this is {}",
                self.tool_version,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let moved = self.moved(live);
        if moved.is_empty() {
            return Ok(());
        }
        let mut failure = self.stale("the live state is not the one it was made for".to_owned());
        failure.causes = moved;
        Err(failure)
    }

    /// Refuses a plan whose time is over.
    ///
    /// # Errors
    /// `Stale`.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), Failure> {
        if now >= self.expires_at {
            return Err(self.stale(format!("expired at {}", self.expires_at)));
        }
        Ok(())
    }

    /// One line for each part of the fingerprint that is not as planned.
    pub fn moved(&self, live: &BTreeMap<String, String>) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, planned) in &self.fingerprint {
            match live.get(key) {
                Some(now) if now == planned => {}
                Some(now) => lines.push(format!("{key} was {planned} and is {now}")),
                None => lines.push(format!("{key} was {planned} and is gone")),
            }
        }
        for (key, now) in live.iter().filter(|(key, _)| !self.fingerprint.contains_key(*key)) {
            lines.push(format!("{key} is new: {now}"));
        }
        lines
    }

    /// The file's content: one readable JSON object.
    pub(crate) fn to_file(&self) -> String {
        let saved = Saved { digest: self.digest(), plan: self.to_value() };
        let mut text = serde_json::to_string_pretty(&saved).expect("a JSON value has string keys only");
        text.push('\n');
        text
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plans have string keys and no floats of their own")
    }

    fn stale(&self, message: String) -> Failure {
        let digest = self.digest();
        Failure::new(
            FailureKind::Stale,
            format!("plan {}", &digest[..12]),
            message,
            "make a new plan, read it, and run that",
        )
    }
}
