//! `resume` and `rollback`: what to do with a run that exists.

use pg_session::{Access, AdvisoryLock, PgUrl, Session, SessionError};
use runbook::{Failure, FailureKind, RunRecord, RunStatus, Store};

use crate::cli::{Global, RunArgs};
use crate::commands::{can_ask, confirm, run};
use crate::output::talk;

/// Continues a run where its journal ends.
pub async fn resume(global: &Global, args: &RunArgs) -> Result<u8, Failure> {
    let record = Store::at(&global.state_dir).open(&args.run)?;
    // Of a run at its end the engine says so; nobody need be asked, nor a server be up, for that.
    let _lock = match record.status().is_finished() {
        true => None,
        false => {
            let (source, lock) = prepare(global, args, &record, "Resume").await?;
            if let Some(source) = &source {
                try_source(source, &|_| true).await?;
            }
            lock
        }
    };
    let end = run::engine(global)?.resume(&record.id).await?;
    Ok(run::finish(global, &end))
}

/// Puts back everything a run began.
pub async fn rollback(global: &Global, args: &RunArgs) -> Result<u8, Failure> {
    let record = Store::at(&global.state_dir).open(&args.run)?;
    let _lock = match record.status() == RunStatus::Unwound {
        true => None,
        false => {
            if let (RunStatus::Completed, Some(last)) = (record.status(), record.records.last()) {
                talk(format_args!(
                    "run {} was completed {}; whatever the target took in since then goes with it",
                    record.id,
                    last.at.strftime("%F %T UTC")
                ));
            }
            let (source, lock) = prepare(global, args, &record, "Roll back").await?;
            if let Some(source) = &source {
                // A source that is down does not keep the target from being put back.
                let down =
                    |e: &SessionError| matches!(e, SessionError::Unreachable { .. } | SessionError::Unavailable { .. });
                try_source(source, &|e| !down(e)).await?;
            }
            lock
        }
    };
    let end = run::engine(global)?.rollback(&record.id).await?;
    Ok(run::finish(global, &end))
}

/// Asks, checks that both ends are the planned ones, and takes the target.
async fn prepare(
    global: &Global,
    args: &RunArgs,
    record: &RunRecord,
    verb: &str,
) -> Result<(Option<PgUrl>, Option<AdvisoryLock>), Failure> {
    can_ask(args.yes)?;
    let plan = &record.plan;
    let [source, target] = run::planned_databases(plan)?;
    confirm(args.yes, &format!("{verb} {} ({} {} -> {})?", record.id, plan.system, plan.from, plan.to))?;
    let lock = run::lock(global, target.as_ref()).await?;
    Ok((source, lock))
}

/// Connects to the source once, so that a mistyped password is said here: in the middle of a run it would be a failed
/// step, and hours of work would be unwound for it. The target was tried with its lock.
async fn try_source(source: &PgUrl, matters: &(dyn Fn(&SessionError) -> bool + Sync)) -> Result<(), Failure> {
    match Session::connect(source, Access::ReadOnly).await {
        Err(error) if matters(&error) => {
            let object = format!("source {}", source.endpoint());
            Err(Failure::from_error(FailureKind::InvalidInput, object, &error, error.hint()))
        }
        _ => Ok(()),
    }
}
