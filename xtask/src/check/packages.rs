//! Debian's packages that the checks use.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

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
    Package { name: "pgbouncer", is_there: || has_program("pgbouncer"), is_needed: false },
    // What the rendered files are for reads them.
    Package { name: "prometheus", is_there: || has_program("promtool"), is_needed: false },
    Package { name: "prometheus-alertmanager", is_there: || has_program("amtool"), is_needed: false },
    Package { name: "nginx-light", is_there: || has_program("nginx"), is_needed: false },
    Package { name: "redis-server", is_there: || has_program("redis-server"), is_needed: false },
    Package { name: "kubernetes-client", is_there: || has_program("kubectl"), is_needed: false },
    Package { name: "npm", is_there: || has_program("npm"), is_needed: false },
];

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|dir| dir.join(name).is_file())
}

fn has_pip() -> bool {
    Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn has_postgresql_15() -> bool {
    Path::new("/usr/lib/postgresql/15/bin/postgres").is_file()
}

/// Whether everything can be had: where we are root on a Debian without systemd, as in CI. With systemd, installing a
/// server also starts it: that is for the machine's owner to decide.
pub fn all_can_be_had() -> bool {
    may_install() && !starts_services()
}

fn may_install() -> bool {
    // SAFETY: geteuid reads a number and cannot fail.
    (unsafe { libc::geteuid() }) == 0 && Path::new("/usr/bin/apt-get").is_file()
}

fn starts_services() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Installs what is missing, where that may be; elsewhere says what would be good to have.
pub fn install() -> anyhow::Result<()> {
    let mut is_updated = false;
    for package in PACKAGES.iter().filter(|package| !(package.is_there)()) {
        if !may_install() || (starts_services() && !package.is_needed) {
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
    // In runlevel 1, where Debian's scripts believe to be, no service is started.
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let status = command.status().context("cannot run apt-get")?;
    if !status.success() {
        bail!("apt-get {} exited with {status}", args[0]);
    }
    Ok(())
}
