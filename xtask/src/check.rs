//! `cargo xtask test`: the whole check, on a fresh clone too.

mod packages;
mod validators;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// Runs every check in turn and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    timed("obtain Python, PostgreSQL, PgBouncer, validators and the model", obtain)?;
    timed("format", || cargo(&["fmt", "--all", "--check"], "run `cargo fmt --all`"))?;
    timed("tidy", super::tidy::run)?;
    timed("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], "mend the warnings above")
    })?;
    timed("tests", test)?;
    println!("all checks passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn timed(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let started = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    println!("== {name}: ok in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(args: &[&str], advice: &str) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(args);
    run_cargo(command, advice)
}

fn run_cargo(mut command: Command, advice: &str) -> anyhow::Result<()> {
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{command:?} exited with {status}; {advice}");
    }
    Ok(())
}

fn test() -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--workspace", "--no-fail-fast", "--quiet"]);
    // Where every validator can be had, a missing one is a failure; elsewhere its test says that it is skipped.
    if packages::all_can_be_had() {
        command.env("TIERLIFT_VALIDATORS", "required");
    }
    run_cargo(command, "read the failures above")
}

/// Writes the golden files of every rendered set, for review as a difference.
pub fn write_golden() -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "-p", "deploy-render", "--test", "golden"]).env("UPDATE_GOLDEN", "1");
    run_cargo(command, "read the failures above")?;
    // Files that git does not know yet show too.
    let mut git = Command::new("git");
    git.args(["status", "--short", "--untracked-files=all", "--", "crates/deploy-render/tests/golden"]);
    let status = git.status().context("cannot run git")?;
    if !status.success() {
        bail!("{git:?} exited with {status}");
    }
    println!("read `git diff -- crates/deploy-render/tests/golden` before committing it");
    Ok(())
}

/// Fetches the servers and the model once, up front, so that a missing piece is one clear error and not a hundred
/// failed tests.
fn obtain() -> anyhow::Result<()> {
    packages::install()?;
    validators::install(packages::all_can_be_had())?;
    for major in [16, 18] {
        let install = pg_sandbox::PgInstall::find(Some(major))?;
        println!("PostgreSQL {major}: {}", install.bin_dir().display());
    }
    println!("model: {}", pg_sandbox::model_dir()?.display());
    Ok(())
}
