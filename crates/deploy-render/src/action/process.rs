//! Processes that may outlive tierlift: their record in the run's folder, and the end of a whole process group.
//!
//! While a step's program runs, `processes/STEP.json` names its process and when that process started. A step whose
//! record names a process that is alive is not started a second time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use runbook::{Context, Failure, FailureKind};
use serde::{Deserialize, Serialize};

use super::run_file;

/// How long a process group may take to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What the record holds. The process itself writes its number before it becomes the program, so that there is no moment
/// in which it runs without a record; tierlift adds the rest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Record {
    Whole { pid: u32, started: String, program: String },
    Pid(u32),
}

/// Where a step's record is; none outside of a run.
pub(super) fn record_path(cx: &Context) -> Option<PathBuf> {
    run_file::path(cx, "processes", ".json").ok()
}

/// Refuses a step whose earlier attempt left a process that still runs.
///
/// # Errors
/// `Locked`, naming the process.
pub(super) fn refuse_outlived(cx: &Context) -> Result<(), Failure> {
    let Some(path) = record_path(cx) else { return Ok(()) };
    let Some(bytes) = run_file::read(&path)? else { return Ok(()) };
    let (pid, started, program) = match serde_json::from_slice(&bytes) {
        Ok(Record::Whole { pid, started, program }) => (pid, Some(started), program),
        Ok(Record::Pid(pid)) => (pid, None, "its program".to_owned()),
        // An empty record: tierlift died before there was a process.
        Err(_) => return run_file::remove(&path),
    };
    if !is_alive(pid, started.as_deref()) {
        return run_file::remove(&path);
    }
    Err(Failure::new(
        FailureKind::Locked,
        format!("process {pid}"),
        format!("an earlier attempt of step {} started {program}, and it is still running", cx.step()),
        format!("wait until it has ended, or end it with all it started (kill -- -{pid}), then try again"),
    ))
}

/// Opens the record for the process to write its number into.
pub(super) fn open_record(path: &Path) -> Result<File, Failure> {
    run_file::make_folder(path)?;
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.map_err(|error| run_file::refused(path, &error))
}

/// Writes the number of the calling process into an open record. Called between fork and exec, where only system calls are
/// allowed: nothing in it allocates or locks.
pub(super) fn note_own_pid(record: RawFd) -> io::Result<()> {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    let mut rest = std::process::id();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let text = &digits[at..];
    // SAFETY: the pointer and the length are of the same live buffer.
    let written = unsafe { libc::write(record, text.as_ptr().cast(), text.len()) };
    if written == text.len() as isize { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Completes the record of a process just started.
pub(super) fn complete_record(path: &Path, pid: u32, program: &str) -> Result<(), Failure> {
    // Gone already: nothing that could outlive us.
    let Some(started) = start_time(pid) else { return Ok(()) };
    let record = Record::Whole { pid, started, program: program.to_owned() };
    let text = serde_json::to_vec(&record)
        .map_err(|error| Failure::from_error(FailureKind::Internal, format!("process {pid}"), &error, ""))?;
    run_file::write(path, &text)
}

/// Ends a process that leads its group, and its whole group: asked first, killed when it takes too long. The process must
/// not have been waited for, so that its number is still its own.
pub(super) fn end_group(pid: u32) {
    signal_group(pid, libc::SIGTERM);
    wait_for_end(pid, GRACE);
    signal_group(pid, libc::SIGKILL);
}

/// Whether the process that was started then, or anything of its group, is there.
fn is_alive(pid: u32, started: Option<&str>) -> bool {
    match (start_time(pid), started) {
        (Some(now), Some(started)) => now == started,
        (Some(_), None) => true,
        // Its leader is gone; a number is not used again while a group of that number exists.
        (None, _) => signal_group(pid, 0) && !is_zombie(pid),
    }
}

/// Sends a signal to a group; whether there was anyone to get it.
fn signal_group(pid: u32, signal: libc::c_int) -> bool {
    // SAFETY: plain system call. The number is of a group that a child of ours leads, or is only asked about.
    unsafe { libc::kill(-(pid as libc::pid_t), signal) == 0 }
}

/// When a process started, in words that no other process of the same number shares; none when it is gone.
pub(super) fn start_time(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| "this boot".to_owned());
        let stat = stat_of(pid)?;
        // Counted after the name: the state is the first field, the start the twentieth.
        let mut fields = stat.split_whitespace();
        return match fields.next() {
            Some("Z" | "X") | None => None,
            Some(_) => fields.nth(18).map(|ticks| format!("{} {ticks}", boot.trim())),
        };
    }
    let output = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn is_zombie(pid: u32) -> bool {
    stat_of(pid).is_some_and(|stat| stat.starts_with('Z'))
}

/// What `/proc/PID/stat` says after the process's name, which may hold anything but ends with the last `)`.
fn stat_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.trim_start().to_owned())
}

/// Waits until a process has ended, without taking its end from whoever waits for it properly.
#[cfg(target_os = "linux")]
pub(super) fn wait_for_end(pid: u32, at_most: Duration) {
    use std::os::fd::{FromRawFd, OwnedFd};

    // SAFETY: plain system call; a negative result is no descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) } as RawFd;
    if descriptor < 0 {
        return;
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live structure, and its number is one. An interrupted wait only ends the grace early.
    unsafe { libc::poll(&raw mut poll, 1, at_most.as_millis() as libc::c_int) };
}

/// There is no way to wait for a process for a limited time there: it is killed right after it was asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn wait_for_end(_pid: u32, _at_most: Duration) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = std::process::id();
        let started = start_time(me).unwrap();
        assert_eq!(start_time(me).as_deref(), Some(started.as_str()));
        assert!(is_alive(me, Some(&started)) && is_alive(me, None));
        assert!(!is_alive(me, Some("another boot 1")));

        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(start_time(child.id()), None);
        assert!(!is_alive(child.id(), None));
    }

    #[test]
    fn a_process_writes_its_own_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/record");
        note_own_pid(open_record(&path).unwrap().as_raw_fd()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), std::process::id().to_string());
    }
}
