//! `exec` runs a program: an argument vector, never a shell.

mod arguments;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runbook::{Action, Check, Context, Effect, Estimate, Failure, FailureKind, Finding, Inspect, Preview, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::arguments::Variable;
use super::program::{NOT_FOUND, NOT_FOUND_REMEDY, Program};
use super::{blocks, process, run_file, to_before};

/// Name of the action.
pub(super) const EXEC: &str = "exec";

/// A program that does something, and those that look at it and take it back.
pub(super) struct Exec {
    program: Program,
    undo: Option<Program>,
    check: Option<Program>,
    verify: Option<Program>,
    effect: Effect,
    variables: Vec<(String, Variable)>,
    dir: Option<PathBuf>,
    timeout: Duration,
}

/// How far the step is, in the run's folder: a program without a `check` can't be asked, and a crash may come between
/// its end and the journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    Done { output: Value },
    Undone,
}

impl Exec {
    fn state(cx: &Context) -> Result<Option<State>, Failure> {
        let path = run_file::path(cx, EXEC, ".json")?;
        let Some(bytes) = run_file::read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let object = format!("file {}", path.display());
            Failure::from_error(FailureKind::Internal, object, &error, "it was changed by hand: restore it from a copy")
        })
    }

    fn set_state(cx: &Context, state: &State) -> Result<(), Failure> {
        run_file::write(&run_file::path(cx, EXEC, ".json")?, to_before(state)?.to_string().as_bytes())
    }

    fn programs(&self) -> impl Iterator<Item = &Program> {
        [Some(&self.program), self.check.as_ref(), self.verify.as_ref(), self.undo.as_ref()].into_iter().flatten()
    }

    /// Whether what the programs need is there; an earlier step may have to bring it.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(dir) = self.dir.as_ref().filter(|dir| !dir.is_dir()) {
            findings.push(Finding {
                severity: Severity::Changes,
                object: format!("folder {}", dir.display()),
                message: "is not there yet".to_owned(),
                remedy: "the step fails unless an earlier one makes it".to_owned(),
            });
        }
        let missing = self.programs().filter(|program| program.find().is_none()).map(|program| program.name());
        let mut missing: Vec<&str> = missing.collect();
        missing.sort_unstable();
        missing.dedup();
        findings.extend(missing.iter().map(|name| blocks(format!("program {name}"), NOT_FOUND, NOT_FOUND_REMEDY)));
        findings
    }

    /// Whether `check` says that the work is in place.
    async fn is_done(check: &Program) -> Result<bool, Failure> {
        let ended = check.run(None).await?;
        match ended.code() {
            Some(code) => Ok(code == 0),
            None => Err(ended.failure("find out why the check was ended, then try again")),
        }
    }
}

#[async_trait]
impl Inspect for Exec {
    fn effect(&self) -> Effect {
        self.effect
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let place = self.dir.as_ref().map(|dir| format!(" in {}", dir.display())).unwrap_or_default();
        let seconds = self.timeout.as_secs();
        let mut changes = vec![format!("run {}{place}, for at most {seconds} s", self.program.title())];
        changes.extend(self.variables.iter().map(|(name, variable)| match variable {
            Variable::Plain(value) => format!("with {name}={value}"),
            Variable::Secret { from } => format!("with {name} from the secret in ${from}"),
        }));
        let questions = [("unless this says it is done:", &self.check), ("proved by", &self.verify)];
        changes.extend(
            questions
                .iter()
                .filter_map(|(what, program)| program.as_ref().map(|program| format!("{what} {}", program.title()))),
        );
        let undo = match (&self.undo, self.effect) {
            (Some(undo), _) => format!("run {}{place}", undo.title()),
            (None, Effect::ReadOnly) => String::new(),
            (None, _) => "there is no way back".to_owned(),
        };
        let estimate = Estimate { rows: None, bytes: None, seconds: Some(self.timeout.as_secs_f64()) };
        Ok(Preview { changes, undo, estimate, findings: self.findings() })
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let pending = Ok(Check::Pending { before: Value::Null });
        let in_run = cx.run_dir().is_some();
        process::refuse_outlived(cx)?;
        let done = match &self.check {
            // The preview has said what is missing, and an earlier step may bring it.
            Some(_) if !in_run && !self.findings().is_empty() => return pending,
            Some(check) => Self::is_done(check).await?,
            None => in_run && matches!(Self::state(cx)?, Some(State::Done { .. })),
        };
        if done { Ok(Check::Done) } else { pending }
    }
}

#[async_trait]
impl Action for Exec {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        process::refuse_outlived(cx)?;
        if let (None, Some(State::Done { output })) = (&self.check, Self::state(cx)?) {
            return Ok(output);
        }
        run_file::remove(&run_file::path(cx, EXEC, ".json")?)?;
        let started = Instant::now();
        let ended = self.program.run(process::record_path(cx).as_deref()).await?;
        let ended = ended.success("put right what it complains about, then make a new plan")?;
        let [stdout, stderr] = ended.last_lines();
        let output = json!({
            "exit_code": ended.code(),
            "seconds": started.elapsed().as_secs(),
            "stdout": stdout,
            "stderr": stderr,
        });
        Self::set_state(cx, &State::Done { output: output.clone() })?;
        Ok(output)
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        let Some(program) = self.verify.as_ref().or(self.check.as_ref()) else { return Ok(()) };
        program.run(None).await?.success("the program ended well, but what it should have done is not there").map(drop)
    }

    async fn undo(&self, cx: &Context, _before: &Value) -> Result<(), Failure> {
        let Some(undo) = &self.undo else {
            return match self.effect {
                Effect::ReadOnly => Ok(()),
                _ => Err(Failure::new(
                    FailureKind::PastPointOfNoReturn,
                    format!("program {}", self.program.name()),
                    "what it did has no way back",
                    "resume the run: it can only go forward",
                )),
            };
        };
        process::refuse_outlived(cx)?;
        if matches!(Self::state(cx)?, Some(State::Undone)) {
            return Ok(());
        }
        let ended = undo.run(process::record_path(cx).as_deref()).await?;
        ended.success("put right what it complains about, then roll back again")?;
        Self::set_state(cx, &State::Undone)
    }
}
