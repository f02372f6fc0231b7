//! One cluster: made, started, stopped, crashed, restarted, and gone with its owner.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::confined::{free_port, watched_command, watched_folder};
use crate::paths::unprivileged;
use crate::process::{children_of, is_running, random_password, send};
use crate::watchdog::Watchdog;
use crate::{PgInstall, SandboxError};

const HOST: &str = "127.0.0.1";
pub(crate) const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
pub(crate) const POLL: Duration = Duration::from_millis(5);
/// A UTF-8 locale that is there without installing any.
const LOCALE: &str = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
/// Another process may take the port between our choosing it and the server's binding it.
const PORT_ATTEMPTS: usize = 10;

/// A running cluster in a temporary folder. Dropping it ends the server and removes the folder.
pub struct PgServer {
    install: PgInstall,
    /// The temporary folder: the cluster and its log.
    folder: PathBuf,
    password: String,
    port: u16,
    /// `None` while stopped.
    postmaster: Option<Child>,
    /// Last, so that it is dropped after everything else; `None` once detached.
    watchdog: Option<Watchdog>,
}

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are ended, everything is written: a clean shutdown.
    Fast,
    /// Everything is dropped at once: the next start recovers, as after a crash.
    Immediate,
}

/// What is left of a server that outlives its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachedServer {
    /// The postmaster. `kill -INT` on it is a clean shutdown.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The cluster's folder.
    pub data_dir: PathBuf,
    /// What to remove after stopping it: the data, the log.
    pub folder: PathBuf,
}

/// What a server is to be like; see [`PgServer::builder`].
#[derive(Clone, Default)]
pub struct PgServerBuilder {
    install: Option<PgInstall>,
    settings: Vec<(String, String)>,
    password: Option<String>,
    durable: bool,
}

impl PgServerBuilder {
    /// The programs to use; [`PgInstall::find`] chooses them otherwise.
    pub fn install(mut self, install: PgInstall) -> Self {
        self.install = Some(install);
        self
    }

    /// A line of postgresql.conf; the last one of a name counts.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The password of `postgres`; a random one otherwise.
    pub fn superuser_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Whether commits survive a crash of the machine. Off by default: a sandbox's do not need to (they do survive a
    /// crash of the server).
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Makes the cluster, starts it, and returns when it accepts connections.
    pub fn start(self) -> Result<PgServer, SandboxError> {
        let install = match self.install {
            Some(install) => install,
            None => PgInstall::find(None)?,
        };
        let password = match self.password {
            Some(password) => password,
            None => random_password()?,
        };
        let mut server = PgServer::unborn(install, password)?;
        server.init()?;
        server.configure(&configuration(&self.settings, self.durable))?;
        server.launch_on_free_port()?;
        Ok(server)
    }
}

impl PgServer {
    /// A watched folder of its own, without a cluster in it.
    pub(crate) fn unborn(install: PgInstall, password: String) -> Result<Self, SandboxError> {
        let (folder, watchdog) = watched_folder("tierlift-pg-")?;
        Ok(Self { install, folder, password, port: 0, postmaster: None, watchdog: Some(watchdog) })
    }

    /// Appends to postgresql.conf.
    pub(crate) fn configure(&self, text: &str) -> Result<(), SandboxError> {
        let conf = self.data_dir().join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(&conf).map_err(SandboxError::io("open", &conf))?;
        file.write_all(text.as_bytes()).map_err(SandboxError::io("write", &conf))
    }

    /// Writes (or replaces) a file in the cluster's folder, as the server's own and for it alone: `pg_hba.conf`, a
    /// certificate, a key. [`PgServer::restart`] makes it count.
    pub fn write_file(&self, name: &str, contents: &str) -> Result<(), SandboxError> {
        let path = self.data_dir().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(SandboxError::io("create", &path))?;
        file.write_all(contents.as_bytes()).map_err(SandboxError::io("write", &path))?;
        if let Some(user) = unprivileged() {
            chown(&path, Some(user.uid), Some(user.gid)).map_err(SandboxError::io("change the owner of", &path))?;
        }
        Ok(())
    }

    /// The superuser's name.
    pub const SUPERUSER: &str = "postgres";

    /// A server with `wal_level = logical`, passwords (scram-sha-256) for everybody, and no other settings.
    pub fn builder() -> PgServerBuilder {
        PgServerBuilder::default()
    }

    /// The address it listens on.
    pub fn host(&self) -> &str {
        HOST
    }

    /// The port it listens on; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id; `None` while stopped.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// The programs it was started with.
    pub fn install(&self) -> &PgInstall {
        &self.install
    }

    /// The superuser's password.
    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    /// The cluster's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// What the server has logged so far.
    pub fn log_text(&self) -> Result<String, SandboxError> {
        let path = self.log_path();
        let bytes = fs::read(&path).map_err(SandboxError::io("read", &path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stops it; the folder stays, and [`PgServer::restart`] brings it back. Nothing happens if it is stopped.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), SandboxError> {
        let Some(mut child) = self.postmaster.take() else { return Ok(()) };
        let signal = match mode {
            StopMode::Fast => libc::SIGINT,
            StopMode::Immediate => libc::SIGQUIT,
        };
        send(signal, child.id());
        let deadline = Instant::now() + STOP_LIMIT;
        while child.try_wait().map_err(SandboxError::io("wait for the server in", &self.folder))?.is_none() {
            if Instant::now() > deadline {
                self.postmaster = Some(child);
                return self.kill_hard();
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Kills every process of it with SIGKILL, as the kernel would when memory is short. [`PgServer::restart`]
    /// recovers it.
    pub fn kill_hard(&mut self) -> Result<(), SandboxError> {
        let Some(mut child) = self.postmaster.take() else { return Ok(()) };
        let processes = children_of(child.id())?;
        send(libc::SIGKILL, child.id());
        for pid in &processes {
            send(libc::SIGKILL, *pid);
        }
        child.wait().map_err(SandboxError::io("wait for the server in", &self.folder))?;
        // They are no children of ours, so all that can be waited for is that their ids are free.
        let deadline = Instant::now() + STOP_LIMIT;
        while processes.iter().any(|pid| is_running(*pid)) && Instant::now() < deadline {
            sleep(POLL);
        }
        Ok(())
    }

    /// Starts it again on the same port, after a clean stop if it runs.
    pub fn restart(&mut self) -> Result<(), SandboxError> {
        self.stop(StopMode::Fast)?;
        self.launch(self.port)
    }

    /// Lets it outlive its owner. Whoever stops it removes its folder.
    pub fn detach(mut self) -> Result<DetachedServer, SandboxError> {
        let Some(child) = self.postmaster.take() else {
            return Err(SandboxError::Io {
                doing: format!("detach the server in {}", self.folder.display()),
                source: io::Error::other("it is stopped"),
            });
        };
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.let_go().map_err(SandboxError::io("detach the server in", &self.folder))?;
        }
        Ok(DetachedServer { pid: child.id(), port: self.port, data_dir: self.data_dir(), folder: self.folder.clone() })
    }

    /// `initdb`. Takes 0.3 s, so no cluster is kept to be copied: copies would
    /// share one system identifier, by which a migration tells its two ends apart.
    fn init(&self) -> Result<(), SandboxError> {
        let passwords = self.folder.join("password");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&passwords)
            .map_err(SandboxError::io("create", &passwords))?;
        writeln!(file, "{}", self.password).map_err(SandboxError::io("write", &passwords))?;
        if let Some(user) = unprivileged() {
            chown(&passwords, Some(user.uid), Some(user.gid))
                .map_err(SandboxError::io("change the owner of", &passwords))?;
        }
        let mut command = self.command("initdb")?;
        command
            .args(["-U", Self::SUPERUSER, "-A", "scram-sha-256", "--no-sync", "--no-instructions"])
            .args(["--encoding=UTF8", "--lc-messages=C", "--locale", LOCALE, "--pwfile"])
            .arg(&passwords)
            .arg("-D")
            .arg(self.data_dir());
        let output = command.output().map_err(SandboxError::io("run", &self.install.program("initdb")))?;
        fs::remove_file(&passwords).map_err(SandboxError::io("remove", &passwords))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SandboxError::Program { program: "initdb".to_owned(), said });
        }
        Ok(())
    }

    pub(crate) fn launch_on_free_port(&mut self) -> Result<(), SandboxError> {
        let mut attempt = 1;
        loop {
            match self.launch(free_port()?) {
                Err(SandboxError::Start { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("could not create any TCP/IP sockets") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Starts the cluster on `port` and waits until it accepts connections.
    fn launch(&mut self, port: u16) -> Result<(), SandboxError> {
        let log_path = self.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = log.map_err(SandboxError::io("open", &log_path))?;
        let logged_before = log.metadata().map_err(SandboxError::io("read", &log_path))?.len();
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.data_dir()).args(["-p", &port.to_string()]).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().map_err(SandboxError::io("run", &self.install.program("postgres")))?;
        let deadline = Instant::now() + START_LIMIT;
        let reason = loop {
            if is_ready(&self.data_dir(), child.id()) {
                self.port = port;
                self.postmaster = Some(child);
                return Ok(());
            }
            if let Some(status) = child.try_wait().map_err(SandboxError::io("wait for the server in", &self.folder))? {
                break status.to_string();
            }
            if Instant::now() > deadline {
                // The watchdog would end it too, but the caller may want to try again.
                self.postmaster = Some(child);
                self.kill_hard()?;
                break format!("not ready after {} s", START_LIMIT.as_secs());
            }
            sleep(POLL);
        };
        let text = self.log_text()?;
        let tail = text.get(usize::try_from(logged_before).unwrap_or(0)..).unwrap_or(&text);
        let lines: Vec<&str> = tail.lines().collect();
        let log = lines[lines.len().saturating_sub(6)..].join("; ");
        Err(SandboxError::Start { data_dir: self.data_dir(), reason, log })
    }

    /// A program that ends with the owner, run as the unprivileged user where that is needed.
    pub(crate) fn command(&self, program: &str) -> Result<Command, SandboxError> {
        watched_command(&self.install.program(program), &self.folder, self.watchdog.as_ref())
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        // Its watchdog ends the server and removes the folder; only the process table is left to us.
        if self.watchdog.take().is_some()
            && let Some(mut child) = self.postmaster.take()
        {
            let _ = child.wait(); // it has ended, and there is nobody to tell an error to
        }
    }
}

/// Without the password.
impl fmt::Debug for PgServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgServer")
            .field("version", &self.install.version())
            .field("port", &self.port)
            .field("pid", &self.pid())
            .field("data_dir", &self.data_dir())
            .finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for PgServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgServerBuilder")
            .field("install", &self.install)
            .field("settings", &self.settings)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

/// The lines to append to postgresql.conf; of several with one name the server takes the last.
fn configuration(settings: &[(String, String)], durable: bool) -> String {
    let mut lines = vec![
        ("listen_addresses", HOST),
        ("unix_socket_directories", ""),
        ("wal_level", "logical"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("max_wal_size", "4GB"),
        // The container default of 64 MB for /dev/shm is too little for a parallel vector index build.
        ("dynamic_shared_memory_type", if cfg!(target_os = "linux") { "mmap" } else { "posix" }),
    ];
    if !durable {
        lines.extend([("fsync", "off"), ("full_page_writes", "off")]);
    }
    let chosen = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    configuration_lines(lines.into_iter().chain(chosen))
}

/// Settings as lines of postgresql.conf.
pub(crate) fn configuration_lines<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let line = |(name, value): (&str, &str)| format!("{name} = '{}'\n", value.replace('\'', "''"));
    std::iter::once("\n".to_owned()).chain(settings.map(line)).collect()
}

/// The postmaster writes its state as the eighth line of its pid file (a standby that answers questions says so); the
/// first tells whether the file is its own.
fn is_ready(data_dir: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data_dir.join("postmaster.pid")) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && matches!(lines.get(7), Some(&"ready" | &"standby"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_win_and_are_quoted() {
        let settings = vec![("wal_level".to_owned(), "replica".to_owned()), ("x.y".to_owned(), "it's".to_owned())];
        let text = configuration(&settings, false);
        assert!(text.find("wal_level = 'logical'") < text.find("wal_level = 'replica'"));
        assert!(text.contains("fsync = 'off'") && text.ends_with("x.y = 'it''s'\n"), "{text}");
        assert!(!configuration(&[], true).contains("fsync"));
    }
}
