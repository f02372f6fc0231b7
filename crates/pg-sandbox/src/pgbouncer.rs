//! A real PgBouncer before a server.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::confined::{free_port, watched_command, watched_folder};
use crate::paths::unprivileged;
use crate::watchdog::Watchdog;
use crate::{PgServer, SandboxError};

const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// When a client gives its server connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// When it disconnects.
    Session,
    /// After each transaction.
    Transaction,
    /// After each statement.
    Statement,
}

/// A running PgBouncer. Dropping it ends it and removes its folder.
pub struct PgBouncer {
    port: u16,
    child: Option<Child>,
    /// Last, so that it is dropped after everything else.
    watchdog: Option<Watchdog>,
}

impl PgBouncer {
    /// Where the program is, if it is installed.
    pub fn find() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/opt/homebrew/bin".into()]);
        folders.map(|dir| dir.join("pgbouncer")).find(|program| program.is_file())
    }

    /// Starts it before all databases of `server`, for its superuser; returns when it listens. `settings` are lines of
    /// its section `[pgbouncer]`.
    pub fn start(
        program: &Path,
        server: &PgServer,
        mode: PoolMode,
        settings: &[(&str, &str)],
    ) -> Result<Self, SandboxError> {
        let (folder, watchdog) = watched_folder("tierlift-pgbouncer-")?;
        let port = free_port()?;
        let users = format!("\"{}\" \"{}\"\n", PgServer::SUPERUSER, server.superuser_password());
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        let users_file = write(&folder, "users.txt", &users)?;
        let mut config = format!(
            "[databases]\n* = host={} port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            server.host(),
            server.port(),
            users_file.display()
        );
        for (name, value) in settings {
            config.push_str(&format!("{name} = {value}\n"));
        }
        let config = write(&folder, "pgbouncer.ini", &config)?;
        let log_path = folder.join("pgbouncer.log");
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = log.map_err(SandboxError::io("open", &log_path))?;
        let mut command = watched_command(program, &folder, Some(&watchdog))?;
        command.arg(&config).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(SandboxError::io("run", program))?;
        let mut bouncer = Self { port, child: Some(child), watchdog: Some(watchdog) };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = match &mut bouncer.child {
                Some(child) => child.try_wait().map_err(SandboxError::io("wait for", program))?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log_path).unwrap_or_else(|e| format!("its log cannot be read: {e}"));
                return Err(SandboxError::Program { program: program.display().to_string(), said });
            }
            sleep(POLL);
        }
        Ok(bouncer)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if self.watchdog.take().is_some()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.wait(); // it has ended, and there is nobody to tell an error to
        }
    }
}

/// A file for the user it runs as alone.
fn write(folder: &Path, name: &str, contents: &str) -> Result<PathBuf, SandboxError> {
    let path = folder.join(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(SandboxError::io("create", &path))?;
    file.write_all(contents.as_bytes()).map_err(SandboxError::io("write", &path))?;
    if let Some(user) = unprivileged() {
        chown(&path, Some(user.uid), Some(user.gid)).map_err(SandboxError::io("change the owner of", &path))?;
    }
    Ok(path)
}
