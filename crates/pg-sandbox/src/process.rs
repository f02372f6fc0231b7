//! Small questions to the operating system: processes and randomness.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use crate::SandboxError;

pub(crate) fn send(signal: libc::c_int, pid: u32) {
    // SAFETY: plain system call. The ids are a child we have not waited for, and its children; a failure means that it
    // is gone already.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

pub(crate) fn is_running(pid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    let asked = unsafe { libc::kill(pid as libc::pid_t, 0) };
    asked == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// The server's processes: each is a direct child of the postmaster.
pub(crate) fn children_of(parent: u32) -> Result<Vec<u32>, SandboxError> {
    let proc_dir = Path::new("/proc/self/stat");
    if proc_dir.exists() {
        let entries = fs::read_dir("/proc").map_err(SandboxError::io("read", Path::new("/proc")))?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        return Ok(pids.filter(|pid| parent_of(*pid) == Some(parent)).collect());
    }
    let output = Command::new("pgrep").args(["-P", &parent.to_string()]).output();
    let output = output.map_err(|source| SandboxError::Io { doing: "run pgrep".to_owned(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// The fourth field of `/proc/PID/stat`, counted after the name, which may hold anything but ends with the last `)`.
fn parent_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// 128 bits from the system, hexadecimal: nothing in it needs quoting anywhere.
pub(crate) fn random_password() -> Result<String, SandboxError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0u8; 16];
    let mut file = File::open(path).map_err(SandboxError::io("open", path))?;
    file.read_exact(&mut bytes).map_err(SandboxError::io("read", path))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_parent() {
        if Path::new("/proc/self/stat").exists() {
            assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
        }
    }
}
