//! The engine's view of this crate: `pg.assess`, `pg.fence`, `pg.copy`, `pg.verify`, `pg.fence_held`.

use std::path::PathBuf;

use async_trait::async_trait;
use pg_session::PgUrl;
use runbook::{Action, Check, Context, Effect, Failure, FailureKind, Inspect, Preview, Severity};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::assess::{AssessOptions, Required, assess, assess_for};
use crate::copy::{self, CopyOptions};
use crate::dump;
use crate::error::Error;
use crate::extension::list;
use crate::fence::{self, FenceBefore, FenceReport};
use crate::refused::OnRefused;
use crate::retry;
use crate::selection::Selection;
use crate::throttle::Rate;
use crate::undo::copy_undo;
use crate::verify::{VerifyOptions, verify};

/// The read-only half of an action of this crate; `None` when the name is not one of ours.
pub fn inspect(name: &str, with: &Value) -> Option<Result<Box<dyn Inspect>, Failure>> {
    Some(match name {
        "pg.assess" => arguments::<Assess>(name, with).map(|a| Box::new(a) as _),
        "pg.fence" => arguments::<Fence>(name, with).map(|a| Box::new(a) as _),
        "pg.copy" => arguments::<Copy>(name, with).map(|a| Box::new(a) as _),
        "pg.verify" => arguments::<Verify>(name, with).map(|a| Box::new(a) as _),
        "pg.fence_held" => arguments::<FenceHeld>(name, with).map(|a| Box::new(a) as _),
        _ => return None,
    })
}

/// The whole action; `None` when the name is not one of ours.
pub fn action(name: &str, with: &Value) -> Option<Result<Box<dyn Action>, Failure>> {
    Some(match name {
        "pg.assess" => arguments::<Assess>(name, with).map(|a| Box::new(a) as _),
        "pg.fence" => arguments::<Fence>(name, with).map(|a| Box::new(a) as _),
        "pg.copy" => arguments::<Copy>(name, with).map(|a| Box::new(a) as _),
        "pg.verify" => arguments::<Verify>(name, with).map(|a| Box::new(a) as _),
        "pg.fence_held" => arguments::<FenceHeld>(name, with).map(|a| Box::new(a) as _),
        _ => return None,
    })
}

fn arguments<T: DeserializeOwned>(name: &str, with: &Value) -> Result<T, Failure> {
    T::deserialize(with).map_err(|error| {
        Failure::new(
            FailureKind::InvalidInput,
            format!("action {name}"),
            format!("its arguments can't be used: {error}"),
            "correct the step's `with` in the playbook, or the environment variables it names",
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assess {
    source: PgUrl,
    target: PgUrl,
    #[serde(default)]
    requires: Vec<Required>,
    /// What of the source comes; the same words as on the command line.
    #[serde(default)]
    select: Selection,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    source: PgUrl,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Copy {
    source: PgUrl,
    target: PgUrl,
    jobs: Option<usize>,
    /// Tables larger than this many megabytes are cut into parts.
    split_mb: Option<u64>,
    /// Folder of `pg_dump`.
    pg_bin: Option<PathBuf>,
    #[serde(default)]
    select: Selection,
    /// e.g. `20MB/s`, all readers together.
    max_rate: Option<Rate>,
    /// Active sessions on the source above which no further reader starts.
    max_source_sessions: Option<u32>,
    /// What to do when the target refuses an object.
    #[serde(default)]
    on_refused: OnRefused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    source: PgUrl,
    target: PgUrl,
    jobs: Option<usize>,
    /// By default what the copy on the target was made with.
    select: Option<Selection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FenceHeld {
    source: PgUrl,
    /// Id of the `pg.fence` step.
    fence: String,
}

/// Read-only steps have nothing to restore and are done anew on every run.
const LOOK_AGAIN: Check = Check::Pending { before: Value::Null };

/// A plan is made before its run has an id; whatever copy is on the target then is another's.
fn run_or_new(cx: &Context) -> &str {
    cx.run_id().unwrap_or("a run that is yet to start")
}

#[async_trait]
impl Inspect for Assess {
    fn effect(&self) -> Effect {
        Effect::ReadOnly
    }

    async fn preview(&self, cx: &Context) -> Result<Preview, Failure> {
        let seen = assess_for(&self.options(), Some(run_or_new(cx))).await?;
        Ok(Preview {
            changes: vec![format!(
                "nothing; reads the catalogues of {} and {}",
                seen.source.endpoint, seen.target.endpoint
            )],
            findings: seen.findings,
            ..Preview::default()
        })
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        Ok(LOOK_AGAIN)
    }
}

#[async_trait]
impl Action for Assess {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        let seen = assess(&self.options(), cx).await?;
        if seen.is_blocked() {
            return Err(Error::Blocked(seen.findings).into());
        }
        Ok(json!({
            "source": seen.source, "target": seen.target, "tables": seen.tables.len(), "forecast": seen.forecast,
            "schema_fingerprint": seen.schema_fingerprint, "findings": seen.findings.len(),
        }))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        Ok(())
    }

    async fn undo(&self, _cx: &Context, _before: &Value) -> Result<(), Failure> {
        Ok(())
    }
}

impl Assess {
    fn options(&self) -> AssessOptions {
        AssessOptions {
            requires: self.requires.clone(),
            selection: self.select.clone(),
            ..AssessOptions::new(self.source.clone(), self.target.clone())
        }
    }
}

#[async_trait]
impl Inspect for Fence {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let database = self.source.dbname();
        Ok(Preview {
            changes: vec![
                format!("database {database}: default_transaction_read_only becomes on"),
                format!("database {database}: sessions of applications are ended, new ones can only read"),
            ],
            undo: format!(
                "database {database}: default_transaction_read_only as it was, sessions that began fenced are ended"
            ),
            findings: fence::fence_findings(&self.source).await?,
            ..Preview::default()
        })
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        // Even where the setting is on already, older sessions must still be ended and counters read.
        let before = fence::fence_before(&self.source).await?;
        Ok(Check::Pending { before: json!(before) })
    }
}

#[async_trait]
impl Action for Fence {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        Ok(json!(fence::fence(&self.source, cx).await?))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        if fence::is_fenced(&self.source).await? {
            return Ok(());
        }
        Err(Error::Fence {
            object: format!("database {}", self.source.dbname()),
            message: "the fence is not up".into(),
            hint: "somebody reset default_transaction_read_only; find out who, then start again".into(),
        }
        .into())
    }

    async fn undo(&self, _cx: &Context, before: &Value) -> Result<(), Failure> {
        let before = FenceBefore::deserialize(before)
            .map_err(|e| Error::Internal(format!("the journaled state of the fence cannot be read: {e}")))?;
        Ok(fence::unfence(&self.source, &before).await?)
    }
}

#[async_trait]
impl Inspect for Copy {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, cx: &Context) -> Result<Preview, Failure> {
        let mut options = AssessOptions::new(self.source.clone(), self.target.clone());
        options.selection = self.select.clone();
        let seen = assess_for(&options, Some(run_or_new(cx))).await?;
        // Found now, not behind the fence.
        dump::find(self.pg_bin.as_deref(), seen.source.version_num / 10_000, seen.source.tls).await?;
        const SHOWN: usize = 12;
        let mut changes = vec!["schema of the source, as pg_dump sees it, created on the target".to_owned()];
        for table in seen.tables.iter().take(SHOWN) {
            changes.push(format!(
                "table {}: about {} rows, {} kB",
                table.table,
                table.rows,
                table.bytes.div_ceil(1024)
            ));
        }
        if let Some(rest) = seen.tables.get(SHOWN..).filter(|rest| !rest.is_empty()) {
            let names: Vec<String> = rest.iter().map(|t| t.table.clone()).collect();
            changes.push(format!("tables {}", list(&names)));
        }
        changes.push(
            "indexes, keys, sequences, triggers, policies, privileges, materialised views, statistics".to_owned(),
        );
        if self.on_refused == OnRefused::Skip {
            changes.push(
                "what the target refuses is left out, with all that needs it; the run then ends as incomplete".into(),
            );
        }
        Ok(Preview {
            changes,
            undo: "everything the copy made is dropped; the target is as empty as before".into(),
            estimate: seen.estimate,
            // What merely differs is assess' to say; what forbids the copy must be said here too.
            findings: seen.findings.into_iter().filter(|f| f.severity == Severity::Blocks).collect(),
        })
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        if copy::is_complete(&self.source, &self.target, cx.run_id()).await? {
            return Ok(Check::Done);
        }
        // What undo needs is kept on the target itself, written in the copy's first transaction.
        Ok(Check::Pending { before: Value::Null })
    }
}

#[async_trait]
impl Action for Copy {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        let mut options = CopyOptions::new(self.source.clone(), self.target.clone());
        options.jobs = self.jobs;
        options.on_refused = self.on_refused;
        options.pg_bin.clone_from(&self.pg_bin);
        options.selection = self.select.clone();
        options.max_rate = self.max_rate;
        options.max_source_sessions = self.max_source_sessions;
        if let Some(megabytes) = self.split_mb {
            options.split_bytes = Some(megabytes.saturating_mul(1024 * 1024));
        }
        let report = retry::copy(&options, cx).await?;
        if let Some(accuracy) = &report.accuracy {
            cx.note(accuracy.to_string());
        }
        Ok(json!(report))
    }

    async fn verify(&self, cx: &Context) -> Result<(), Failure> {
        if copy::is_complete(&self.source, &self.target, cx.run_id()).await? {
            return Ok(());
        }
        let object = format!("target {}", self.target.endpoint());
        Err(Failure::new(FailureKind::Failed, object, "the finished copy is not there", "resume the run"))
    }

    async fn undo(&self, cx: &Context, _before: &Value) -> Result<(), Failure> {
        Ok(copy_undo(&self.target, cx).await?)
    }
}

#[async_trait]
impl Inspect for Verify {
    fn effect(&self) -> Effect {
        Effect::ReadOnly
    }

    async fn preview(&self, cx: &Context) -> Result<Preview, Failure> {
        // The target is still empty when a plan is made: what the source has is what will be compared.
        let mut options = AssessOptions::new(self.source.clone(), self.target.clone());
        options.selection = self.select.clone().unwrap_or_default();
        let seen = assess_for(&options, Some(run_or_new(cx))).await?;
        Ok(Preview {
            changes: vec![format!(
                "nothing; both servers hash every row of {} tables, and differing rows are named",
                seen.tables.len()
            )],
            estimate: seen.estimate,
            ..Preview::default()
        })
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        Ok(LOOK_AGAIN)
    }
}

#[async_trait]
impl Action for Verify {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        let mut options = VerifyOptions::new(self.source.clone(), self.target.clone());
        options.jobs = self.jobs;
        options.selection.clone_from(&self.select);
        let seen = verify(&options, cx).await?;
        let Some(first) = seen.mismatches.first() else {
            return Ok(json!({
                "tables": seen.tables, "rows": seen.rows, "mismatches": 0, "left_out": seen.left_out, "seconds": seen.seconds
            }));
        };
        let mut shown: Vec<String> = seen.mismatches.iter().map(ToString::to_string).collect();
        let more = if seen.truncated { ", and more" } else { "" };
        let mut failure: Failure =
            Error::Differs { object: first.to_string(), message: format!("{} difference(s){more}", shown.len()) }
                .into();
        shown.extend(seen.differing.iter().map(ToString::to_string));
        failure.causes = shown;
        Err(failure)
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        Ok(())
    }

    async fn undo(&self, _cx: &Context, _before: &Value) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Inspect for FenceHeld {
    fn effect(&self) -> Effect {
        Effect::ReadOnly
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        // There is no fence yet when a plan is made.
        let changes = vec!["nothing; compares the source's write counters and schema with those at the fence".into()];
        Ok(Preview { changes, ..Preview::default() })
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        Ok(LOOK_AGAIN)
    }
}

#[async_trait]
impl Action for FenceHeld {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        let report = cx.output(&self.fence).ok_or_else(|| {
            Error::Arguments(format!("there is no step {} before {} that raised a fence", self.fence, cx.step()))
        })?;
        let report = FenceReport::deserialize(report)
            .map_err(|e| Error::Arguments(format!("step {} is no pg.fence: {e}", self.fence)))?;
        fence::fence_held(&self.source, &report).await?;
        Ok(json!({ "held_since": report.fenced_at }))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        Ok(())
    }

    async fn undo(&self, _cx: &Context, _before: &Value) -> Result<(), Failure> {
        Ok(())
    }
}
