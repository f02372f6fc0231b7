//! Runs a contender's programs to their end, and what that took.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::contender::Step;

/// A peer that takes this long has hung, or has lost; it is ended.
const LIMIT: Duration = Duration::from_secs(1200);

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What programs took, wall clock aside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all its processes.
    pub cpu_seconds: f64,
    /// Resident bytes of the largest of its processes, as the kernel counted.
    pub largest_rss_bytes: u64,
    /// Memory of all its processes at once, shared pages divided among those that share them; looked at ten times a
    /// second. 0 where the system does not tell.
    pub peak_memory_bytes: u64,
}

/// Runs one step. Its programs' output goes to `log`; an error quotes the end of it.
pub fn run(step: Step, log: &Path) -> anyhow::Result<Usage> {
    let output = File::options().append(true).create(true).open(log);
    let output = output.with_context(|| format!("cannot open {}", log.display()))?;
    let last = step.len() - 1;
    let mut pids = Vec::new();
    let mut names = Vec::new();
    let mut input = None;
    for (at, mut command) in step.into_iter().enumerate() {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(input.take().map_or_else(Stdio::null, Stdio::from)).stderr(output.try_clone()?);
        if at == last {
            command.stdout(output.try_clone()?);
        } else {
            command.stdout(Stdio::piped());
        }
        // SAFETY: setsid is async-signal-safe. A session of its own, because pgcopydb kills its process group when it
        // fails, and because it tells which processes to count.
        unsafe { command.pre_exec(|| if libc::setsid() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }) };
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        input = child.stdout.take();
        pids.push(child.id() as libc::pid_t); // waited for below, with its resource usage
        names.push(name);
    }
    let leash = Leash::hold(&pids).context("cannot watch over the programs")?;
    let (over, ended) = channel::<()>();
    let watch = thread::spawn({
        let sessions = pids.clone();
        move || {
            let deadline = Instant::now() + LIMIT;
            let mut peak = 0;
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                peak = peak.max(memory_of(&sessions));
                if Instant::now() > deadline {
                    for session in &sessions {
                        // SAFETY: plain system call; the session's leader is our child, not waited for yet.
                        unsafe { libc::kill(-session, libc::SIGKILL) };
                    }
                }
            }
            peak
        }
    });
    let began = Instant::now();
    let mut usage = Usage::default();
    let mut failed = Vec::new();
    for (pid, name) in pids.into_iter().zip(names) {
        let (status, used) = wait(pid).with_context(|| format!("cannot wait for {name}"))?;
        usage.cpu_seconds += used.cpu_seconds;
        usage.largest_rss_bytes = usage.largest_rss_bytes.max(used.largest_rss_bytes);
        if status != 0 {
            failed.push(name);
        }
    }
    leash.let_go().context("cannot end the watch over the programs")?;
    drop(over);
    usage.peak_memory_bytes = watch.join().map_err(|_| anyhow::anyhow!("the memory watch ended abnormally"))?;
    if !failed.is_empty() {
        let why = if began.elapsed() >= LIMIT { "took too long and was ended" } else { "failed" };
        let said = fs::read(log).unwrap_or_default(); // only to quote it
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        bail!("{} {why}: {}", failed.join(" and "), lines[lines.len().saturating_sub(5)..].join("; "));
    }
    Ok(usage)
}

/// Ends programs whose bench is gone, however that came: in sessions of their own, nothing else would.
struct Leash(Child);

impl Leash {
    /// A shell waits for a line from us; the end of its input without one means that we are no more.
    fn hold(groups: &[libc::pid_t]) -> io::Result<Self> {
        let script = "read line && exit 0; for group; do kill -s KILL -- \"-$group\"; done";
        let groups = groups.iter().map(libc::pid_t::to_string);
        let shell = Command::new("sh")
            .args(["-c", script, "leash"])
            .args(groups)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // not ours: an interrupt from the terminal must not reach it
            .spawn()?;
        Ok(Self(shell))
    }

    fn let_go(mut self) -> io::Result<()> {
        if let Some(mut input) = self.0.stdin.take() {
            input.write_all(b"done\n")?;
        }
        self.0.wait().map(drop)
    }
}

/// Waits for a child: its raw status, and what it and those it waited for have used.
fn wait(pid: libc::pid_t) -> io::Result<(libc::c_int, Usage)> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is valid.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call.
    while unsafe { libc::wait4(pid, &mut status, 0, &mut used) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Ok((
        status,
        Usage {
            cpu_seconds: seconds(used.ru_utime) + seconds(used.ru_stime),
            largest_rss_bytes: u64::try_from(used.ru_maxrss).unwrap_or(0) * unit,
            peak_memory_bytes: 0,
        },
    ))
}

/// Bytes held by every process of these sessions.
fn memory_of(sessions: &[libc::pid_t]) -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<libc::pid_t>().ok());
    // A process that has just ended counts as nothing.
    pids.filter(|pid| session_of(*pid).is_some_and(|s| sessions.contains(&s))).filter_map(proportional_bytes).sum()
}

/// The sixth field of `/proc/PID/stat`, counted after the name, which may hold anything but ends with the last `)`.
fn session_of(pid: libc::pid_t) -> Option<libc::pid_t> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

fn proportional_bytes(pid: libc::pid_t) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn joins_programs_and_names_the_one_that_failed() {
        let log = std::env::temp_dir().join(format!("tierlift-bench-{}", std::process::id()));
        let usage = run(vec![shell("echo through"), shell("cat; echo end")], &log).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "through\nend\n");
        assert!(usage.largest_rss_bytes > 100_000, "{usage:?}");
        let said = run(vec![shell("echo no such thing >&2; exit 3")], &log).unwrap_err().to_string();
        assert!(said.starts_with("sh failed") && said.contains("no such thing"), "{said}");
        fs::remove_file(log).unwrap();
    }
}
