//! What every server program of the sandbox runs in: a folder that is watched over, a port that is free, a user without
//! rights.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::SandboxError;
use crate::paths::{reachable_temp_dir, unprivileged};
use crate::watchdog::Watchdog;

/// A folder that the user servers run as can enter, and its watchdog, who removes it.
pub(crate) fn watched_folder(prefix: &str) -> Result<(PathBuf, Watchdog), SandboxError> {
    let parent = reachable_temp_dir();
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&parent)
        .map_err(SandboxError::io("create a folder in", &parent))?;
    let watchdog = Watchdog::start(folder.path()).map_err(SandboxError::io("watch over", folder.path()))?;
    if let Some(user) = unprivileged() {
        chown(folder.path(), Some(user.uid), Some(user.gid))
            .map_err(SandboxError::io("change the owner of", folder.path()))?;
    }
    Ok((folder.keep(), watchdog))
}

/// A port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> Result<u16, SandboxError> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(address.map_err(SandboxError::io("choose a port on", Path::new("127.0.0.1")))?.port())
}

/// A program that ends with its watchdog, run in `folder` as the unprivileged user where that is needed.
pub(crate) fn watched_command(
    program: &Path,
    folder: &Path,
    watchdog: Option<&Watchdog>,
) -> Result<Command, SandboxError> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name); // PGDATA, PGPORT, PGTZ and the like
    }
    // The folder the owner is in may be closed to the unprivileged user.
    command.current_dir(folder).env("LC_ALL", "C").env_remove("TZ");
    if let Some(watchdog) = watchdog {
        let stdin = watchdog.stdin().map_err(SandboxError::io("watch over", folder))?;
        command.stdin(stdin).process_group(watchdog.process_group());
    }
    if let Some(user) = unprivileged() {
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}
