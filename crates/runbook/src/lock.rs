//! One run a target on this machine: a lock that dies with its process, and a note of who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often the holder says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The lock of one target; released when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct TargetLock {
    heart: Option<(Sender<()>, JoinHandle<()>)>,
    // Closing the file is what releases the lock, so it lives as long as this does.
    _file: File,
}

/// Who holds a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The target.
    pub target: String,
    /// The user.
    pub owner: String,
    /// The host.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The run it is for.
    pub run: String,
    /// Since when.
    pub since: Timestamp,
    /// When the holder last said that it was alive.
    pub heartbeat: Timestamp,
}

impl Holder {
    /// This process.
    pub fn this_process(target: &str, run: &str) -> Self {
        let now = Timestamp::now();
        Self {
            target: target.to_owned(),
            owner: std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned()),
            host: host_name(),
            pid: std::process::id(),
            run: run.to_owned(),
            since: now,
            heartbeat: now,
        }
    }
}

/// Takes the lock, or says who has it (nobody known, if they have not said so yet).
pub(crate) fn try_lock(path: &Path, holder: Holder) -> io::Result<Result<TargetLock, Option<Holder>>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Ok(Err(std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok())));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    write_holder(&file, &holder)?;
    let writer = file.try_clone()?;
    let (stop, stopped) = channel::<()>();
    // A thread and not a task: it must beat also while the runtime is busy, and is wanted without one in tests.
    let thread = std::thread::Builder::new().name("target-lock".to_owned()).spawn(move || {
        let mut holder = holder;
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            holder.heartbeat = Timestamp::now();
            // The note is for people; the lock itself does not depend on it.
            drop(write_holder(&writer, &holder));
        }
    })?;
    Ok(Ok(TargetLock { heart: Some((stop, thread)), _file: file }))
}

impl Drop for TargetLock {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.heart.take() {
            drop(stop);
            // The thread's own handle to the file keeps the lock, so it must be gone before this returns.
            drop(thread.join());
        }
    }
}

/// Replaces the note in place: the lock is on this very file, so it can't be a new one.
fn write_holder(mut file: &File, holder: &Holder) -> io::Result<()> {
    use std::io::Seek;
    let mut text = serde_json::to_string(holder).map_err(io::Error::other)?;
    text.push('\n');
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    {
        let mut buffer = [0u8; 256];
        // SAFETY: the pointer and the length are of the same live buffer, and one byte is left for a terminating zero.
        let code = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
        let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
        if code == 0 && end > 0 {
            return String::from_utf8_lossy(&buffer[..end]).into_owned();
        }
    }
    std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "this host".to_owned())
}
