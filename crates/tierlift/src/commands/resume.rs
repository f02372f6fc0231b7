//! `resume` and `rollback`: what to do with a run that exists.

use runbook::{Failure, Store};

use crate::cli::{Global, RunArgs};
use crate::commands::{can_ask, confirm, run};

/// Continues a run where its journal ends.
pub async fn resume(global: &Global, args: &RunArgs) -> Result<u8, Failure> {
    let (id, _lock) = find(global, args, "Resume").await?;
    let end = run::engine(global).resume(&id).await?;
    Ok(run::finish(global, &end))
}

/// Puts back everything a run began.
pub async fn rollback(global: &Global, args: &RunArgs) -> Result<u8, Failure> {
    let (id, _lock) = find(global, args, "Roll back").await?;
    let end = run::engine(global).rollback(&id).await?;
    Ok(run::finish(global, &end))
}

async fn find(
    global: &Global,
    args: &RunArgs,
    verb: &str,
) -> Result<(String, Option<pg_session::AdvisoryLock>), Failure> {
    let record = Store::at(&global.state_dir).open(&args.run)?;
    can_ask(args.yes)?;
    let plan = &record.plan;
    confirm(args.yes, &format!("{verb} {} ({} {} -> {})?", record.id, plan.system, plan.from, plan.to))?;
    let lock = run::lock(plan).await?;
    Ok((record.id, lock))
}
