//! `cargo xtask test`: the whole check, on a fresh clone too.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// Runs every check in turn and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    timed("obtain Python, PostgreSQL, PgBouncer and the model", obtain)?;
    timed("format", || cargo(&["fmt", "--all", "--check"], "run `cargo fmt --all`"))?;
    timed("tidy", super::tidy::run)?;
    timed("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], "mend the warnings above")
    })?;
    timed("tests", || cargo(&["test", "--workspace", "--no-fail-fast", "--quiet"], "read the failures above"))?;
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
    install_packages()?;
    for major in [16, 18] {
        let install = pg_sandbox::PgInstall::find(Some(major))?;
        println!("PostgreSQL {major}: {}", install.bin_dir().display());
    }
    println!("model: {}", pg_sandbox::model_dir()?.display());
    Ok(())
}

/// A package of Debian's that the checks use.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
    /// Without the others, the tests that need them say so and pass.
    is_needed: bool,
}

const PACKAGES: &[Package] = &[
    // The wheels come through pip; a bare Debian has python3 without it.
    Package { name: "python3-pip", is_there: has_pip, is_needed: true },
    // The only server here that is built with TLS, and the oldest one.
    Package { name: "postgresql-15", is_there: has_postgresql_15, is_needed: false },
    Package { name: "pgbouncer", is_there: has_pgbouncer, is_needed: false },
];

fn has_pip() -> bool {
    Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn has_postgresql_15() -> bool {
    Path::new("/usr/lib/postgresql/15/bin/postgres").is_file()
}

fn has_pgbouncer() -> bool {
    pg_sandbox::PgBouncer::find().is_some()
}

/// Installs what is missing, where we are root on a Debian; elsewhere says what would be good to have.
fn install_packages() -> anyhow::Result<()> {
    // SAFETY: geteuid reads a number and cannot fail.
    let may_install = unsafe { libc::geteuid() } == 0 && Path::new("/usr/bin/apt-get").is_file();
    // With systemd, installing a server also starts it: that is for the machine's owner to decide.
    let starts_services = Path::new("/run/systemd/system").exists();
    let mut is_updated = false;
    for package in PACKAGES.iter().filter(|package| !(package.is_there)()) {
        if !may_install || (starts_services && !package.is_needed) {
            println!("{} is not installed: tests that need it are skipped", package.name);
            continue;
        }
        if !is_updated {
            apt_get(&["update", "-qq"])?;
            is_updated = true;
        }
        println!("installing {}", package.name);
        if package.name.starts_with("postgresql-") {
            keep_from_making_a_cluster()?;
        }
        // Keeps the file of ours that `postgresql-common` would otherwise ask about.
        let installed = apt_get(
            &[
                &["install", "-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"],
                &[package.name][..],
            ]
            .concat(),
        );
        match installed {
            Err(error) if package.is_needed => return Err(error.context(format!("install {} by hand", package.name))),
            Err(error) => println!("{} cannot be had ({error}): tests that need it are skipped", package.name),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Debian's packages make and start a cluster of their own unless they are told not to.
fn keep_from_making_a_cluster() -> anyhow::Result<()> {
    let path = Path::new("/etc/postgresql-common/createcluster.conf");
    if path.exists() {
        return Ok(()); // the machine's owner has decided
    }
    std::fs::create_dir_all("/etc/postgresql-common").context("cannot create /etc/postgresql-common")?;
    std::fs::write(path, "create_main_cluster = false\n").with_context(|| format!("cannot write {}", path.display()))
}

fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    let status = command.args(args).env("DEBIAN_FRONTEND", "noninteractive").status().context("cannot run apt-get")?;
    if !status.success() {
        bail!("apt-get {} exited with {status}", args[0]);
    }
    Ok(())
}
