//! A child process: an argument vector and never a shell, its output bounded, its time limited, its secrets masked, and
//! its whole process group ended when it takes too long or nobody waits for it any more.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use runbook::{Failure, FailureKind};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::process;
use super::run_file;
use super::secrets::Secrets;

/// How much of what a program says is kept: the end of it.
const TAIL_BYTES: usize = 64 << 10;

/// How much a program may say whose whole output is needed.
const WHOLE_BYTES: usize = 64 << 20;

/// Lines kept for people are cut here.
const LINE_CHARS: usize = 500;

/// How many last lines a failure shows.
const SHOWN_LINES: usize = 10;

/// A program with its arguments, ready to run as often as wanted.
#[derive(Clone)]
pub(super) struct Program {
    argv: Vec<String>,
    dir: Option<PathBuf>,
    variables: Vec<(String, Option<String>)>,
    secrets: Secrets,
    timeout: Duration,
    keep_bytes: usize,
}

/// How a program ended.
pub(super) struct Ended {
    status: ExitStatus,
    stdout: Tail,
    stderr: Tail,
    secrets: Secrets,
    title: String,
}

/// The end of what a program said.
struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Program {
    /// A program by its name or path, and its arguments; `argv` has at least the program.
    pub(super) fn new(argv: Vec<String>, timeout: Duration) -> Self {
        let (variables, secrets) = (Vec::new(), Secrets::default());
        Self { argv, dir: None, variables, secrets, timeout, keep_bytes: TAIL_BYTES }
    }

    /// Runs in this folder instead of tierlift's own; a program named by a relative path is looked for there.
    pub(super) fn in_dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Sets a variable, or takes it out.
    pub(super) fn variable(mut self, name: &str, value: Option<&str>) -> Self {
        self.variables.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    /// Sets a variable whose value nobody may see.
    pub(super) fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.add(value);
        self.variable(name, Some(value))
    }

    /// Keeps all the output, for [`Ended::output`].
    pub(super) fn whole_output(mut self) -> Self {
        self.keep_bytes = WHOLE_BYTES;
        self
    }

    /// The secrets it is given.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The program as it was named.
    pub(super) fn name(&self) -> &str {
        &self.argv[0]
    }

    /// The argument vector as people read it.
    pub(super) fn title(&self) -> String {
        format!("{:?}", self.argv)
    }

    /// The file that would be run; none when there is no such program.
    pub(super) fn find(&self) -> Option<PathBuf> {
        let name = &self.argv[0];
        if name.contains('/') {
            let path = self.dir.as_deref().unwrap_or(Path::new("")).join(name);
            // The child is in another folder by the time a relative path is looked up.
            return std::path::absolute(path).ok().filter(|path| is_program(path));
        }
        let own = self.variables.iter().rev().find(|(name, _)| name == "PATH");
        let folders = match own {
            Some((_, value)) => value.as_deref().map(OsString::from),
            None => env::var_os("PATH"),
        };
        env::split_paths(&folders?).map(|folder| folder.join(name)).find(|path| is_program(path))
    }

    /// That there is no such program.
    pub(super) fn missing(&self) -> Failure {
        Failure::new(FailureKind::Blocked, format!("program {}", self.name()), NOT_FOUND, NOT_FOUND_REMEDY)
    }

    /// Runs it to its end. With a `record`, the file names the process while it runs.
    ///
    /// # Errors
    /// When it can't be started, or takes longer than it may: then its process group was ended. How it ended by itself,
    /// well or not, is in what is returned.
    pub(super) async fn run(&self, record: Option<&Path>) -> Result<Ended, Failure> {
        let file = self.find().ok_or_else(|| self.missing())?;
        let mut command = Command::new(file);
        command.args(&self.argv[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut group = self.start(command, record)?;
        let pipes = (group.child.stdout.take(), group.child.stderr.take());
        let (Some(stdout), Some(stderr)) = pipes else {
            return Err(self.broken(&io::Error::other("it has no pipes")));
        };
        let keep = self.keep_bytes;
        // Waited for last: until then its number, and so its group's, can't belong to anyone else.
        let end = async {
            let (stdout, stderr) = tokio::try_join!(read_tail(stdout, keep), read_tail(stderr, keep))?;
            Ok((stdout, stderr, group.child.wait().await?))
        };
        let ended = tokio::time::timeout(self.timeout, end).await;
        match ended {
            Ok(Ok((stdout, stderr, status))) => {
                group.over = true;
                if let Some(record) = record {
                    run_file::remove(record)?;
                }
                let (secrets, title) = (self.secrets.clone(), self.title());
                Ok(Ended { status, stdout, stderr, secrets, title })
            }
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(Failure::new(
                FailureKind::Failed,
                format!("program {}", self.name()),
                format!(
                    "{} did not end within {} s, or left processes behind that hold its output; all were ended",
                    self.title(),
                    self.timeout.as_secs()
                ),
                "find out what it waits for, or give it more time (timeout_seconds)",
            )),
        }
    }

    fn start(&self, mut command: Command, record: Option<&Path>) -> Result<Group, Failure> {
        let note = record.map(process::open_record).transpose()?;
        if let Some(note) = &note {
            let descriptor = note.as_raw_fd();
            // SAFETY: what runs between fork and exec only asks for the process's number and writes to a file that is open,
            // `note` living until after the spawn.
            unsafe { command.pre_exec(move || process::note_own_pid(descriptor)) };
        }
        let child = command.spawn().map_err(|error| self.broken(&error))?;
        let group = Group { child, over: false, record: record.map(Path::to_owned) };
        if let (Some(record), Some(pid)) = (record, group.child.id()) {
            process::complete_record(record, pid, &self.title())?;
        }
        Ok(group)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let hint = match &self.dir {
            Some(dir) => format!("try it by hand in {}", dir.display()),
            None => "try it by hand".to_owned(),
        };
        let mut failure =
            Failure::new(FailureKind::Failed, format!("program {}", self.name()), "it could not be run", hint);
        failure.causes.push(error.to_string());
        failure
    }
}

/// What a preview says of a program that is not there.
pub(super) const NOT_FOUND: &str = "there is no such program, or it may not be run";

/// What to do then.
pub(super) const NOT_FOUND_REMEDY: &str = "install it, or name it by its path";

impl Ended {
    /// Whether it ended well.
    pub(super) fn is_success(&self) -> bool {
        self.status.success()
    }

    /// Its exit code; none when a signal ended it.
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its whole standard output as it is, secrets and all: for reading, not for showing.
    ///
    /// # Errors
    /// When there was more than anybody keeps.
    pub(super) fn output(&self) -> Result<&[u8], Failure> {
        if self.stdout.cut {
            let message = format!("{} said more than {} MiB", self.title, WHOLE_BYTES >> 20);
            return Err(Failure::new(FailureKind::Failed, "program", message, "report this"));
        }
        Ok(&self.stdout.bytes)
    }

    /// The last lines of its standard output and of its standard error, masked.
    pub(super) fn last_lines(&self) -> [Vec<String>; 2] {
        [&self.stdout, &self.stderr].map(|tail| tail.last_lines(&self.secrets))
    }

    /// Itself when it ended well.
    ///
    /// # Errors
    /// As [`Ended::failure`].
    pub(super) fn success(self, hint: &str) -> Result<Self, Failure> {
        if self.is_success() { Ok(self) } else { Err(self.failure(hint)) }
    }

    /// That it did not end well, with the last it said.
    pub(super) fn failure(&self, hint: &str) -> Failure {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        let mut failure = Failure::new(FailureKind::Failed, "", format!("{} {how}", self.title), hint);
        let [stdout, stderr] = self.last_lines();
        failure.causes = if stderr.is_empty() { stdout } else { stderr };
        failure
    }
}

impl Tail {
    fn last_lines(&self, secrets: &Secrets) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        // Cut anywhere, it may begin in the middle of a secret.
        let text = if self.cut { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        let masked = secrets.mask(text);
        let lines: Vec<&str> = masked.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        last.iter().map(|line| line.chars().filter(|c| !c.is_control()).take(LINE_CHARS).collect()).collect()
    }
}

/// A child that leads a process group, which is ended with it unless it ended by itself.
struct Group {
    child: Child,
    over: bool,
    record: Option<PathBuf>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(pid) = self.child.id() {
            process::end_group(pid);
        }
        if let Some(record) = &self.record {
            // Left behind, it would name a process that is gone, which is seen when it is read.
            drop(run_file::remove(record));
        }
    }
}

async fn read_tail(mut pipe: impl AsyncRead + Unpin, keep: usize) -> io::Result<Tail> {
    let mut tail = Tail { bytes: Vec::new(), cut: false };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = pipe.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        tail.bytes.extend_from_slice(&buffer[..read]);
        if tail.bytes.len() > keep * 2 {
            tail.shorten(keep);
        }
    }
    tail.shorten(keep);
    Ok(tail)
}

impl Tail {
    fn shorten(&mut self, keep: usize) {
        if self.bytes.len() > keep {
            self.bytes.drain(..self.bytes.len() - keep);
            self.cut = true;
        }
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(argv: &[&str], timeout: Duration) -> Program {
        Program::new(argv.iter().map(|arg| (*arg).to_owned()).collect(), timeout)
    }

    #[tokio::test]
    async fn keeps_the_end_of_what_is_said_at_a_line() {
        let bytes: Vec<u8> = (0..1000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
        let tail = read_tail(bytes.as_slice(), 25).await.unwrap();
        assert_eq!(tail.bytes.len(), 25);
        assert_eq!(tail.last_lines(&Secrets::default()), ["line 998", "line 999"]);
        let tail = read_tail(&b"one\n\ntwo\x1b[0m  \n"[..], 25).await.unwrap();
        assert!(!tail.cut);
        assert_eq!(tail.last_lines(&Secrets::default()), ["one", "two[0m"]);
        assert!(read_tail(&[b'x'; 100][..], 25).await.unwrap().last_lines(&Secrets::default()).is_empty());
    }

    #[tokio::test]
    async fn the_whole_group_ends_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("record");
        let script = dir.path().join("parent");
        // The grandchild ignores the request to end; the child waits for it for ever.
        std::fs::write(&script, "(trap '' TERM; exec sleep 600) &\necho $! >pid\nwait\n").unwrap();
        let parent = program(&["sh", "parent"], Duration::from_millis(300)).in_dir(dir.path());
        let Err(failure) = parent.run(Some(&record)).await else { panic!("it should not have ended") };
        assert!(failure.message.contains("did not end within"), "{failure}");
        let grandchild = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
        process::wait_for_end(grandchild, Duration::from_secs(10));
        assert_eq!(process::start_time(grandchild), None);
        assert!(!record.exists());
    }
}
