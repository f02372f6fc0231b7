//! Programs that read rendered files, run as their users run them.
#![allow(clippy::print_stderr)] // a skipped test says so
#![allow(dead_code, reason = "every test file uses its own part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program's command, from what `cargo xtask test` installed or from the system.
pub fn program(name: &str) -> Option<Command> {
    let python = tools().join("python");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [python.join("bin")].into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into()]);
    let found = folders.map(|dir| dir.join(name)).find(|program| program.is_file());
    let Some(found) = found else { return missing(name) };
    let mut command = Command::new(found);
    command.env("PYTHONPATH", python).stdin(Stdio::null());
    Some(command)
}

pub fn missing<T>(name: &str) -> Option<T> {
    assert!(
        std::env::var("TIERLIFT_VALIDATORS").as_deref() != Ok("required"),
        "{name} is not there, and every validator is required here"
    );
    eprintln!("skipped: {name} is not there; `cargo xtask test` installs it");
    None
}

pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools")
}

/// What a command says of a file it takes.
#[track_caller]
pub fn accepts(command: &mut Command) -> String {
    let (ok, said) = run(command);
    assert!(ok, "{command:?}:\n{said}");
    said
}

#[track_caller]
pub fn refuses(command: &mut Command, expect: &str) {
    let (ok, said) = run(command);
    assert!(!ok && said.contains(expect), "{command:?} should say `{expect}`:\n{said}");
}

pub fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A folder with one file.
pub fn folder_with(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    (dir, path)
}

pub fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
}

/// Runs a server until it says that it is up (in either of two versions' words), then ends it; it also ends with this test.
#[track_caller]
pub fn starts(mut command: Command, ready: &str, or: &str) {
    let both = || {
        // SAFETY: prctl and dup2 may be called between fork and exec, and touch nothing of the parent's.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 || libc::dup2(1, 2) == -1 } {
            return Err(std::io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: see above.
    unsafe { command.pre_exec(both) };
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut is_up = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        said.push_str(&line);
        said.push('\n');
        if line.contains(ready) || line.contains(or) {
            is_up = true;
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_up, "{command:?} did not start:\n{said}");
}

/// The schemas of platforms without a program of their own; they are not ours to ship.
pub fn schemas() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/schemas");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: the schemas are not there ({})", dir.display());
    None
}
