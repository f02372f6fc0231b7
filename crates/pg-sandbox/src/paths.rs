//! Where things go: the build's `target/sandbox`, and folders an unprivileged server can reach.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::SandboxError;

/// The user a server runs as when its owner is root; PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unprivileged {
    pub uid: u32,
    pub gid: u32,
}

/// `nobody` when this process is root, else nothing to change.
pub(crate) fn unprivileged() -> Option<Unprivileged> {
    if effective_uid() != 0 {
        return None;
    }
    // SAFETY: getpwnam returns null or a record in static storage; two plain numbers are copied out of it at once.
    let found = unsafe {
        let record = libc::getpwnam(c"nobody".as_ptr());
        record.as_ref().map(|record| Unprivileged { uid: record.pw_uid, gid: record.pw_gid })
    };
    // A minimal image may have no user database; servers need no entry in it, only a number that isn't root's.
    Some(found.unwrap_or(Unprivileged { uid: 65534, gid: 65534 }))
}

/// The folder everything fetched is unpacked in, created, and reachable for the user servers run as.
pub(crate) fn sandbox_dir() -> Result<PathBuf, SandboxError> {
    let dir = target_dir().map(|target| target.join("sandbox"));
    if let Some(dir) = dir
        && make_public_dir(&dir).is_ok()
        && reachable(&dir)
    {
        return Ok(dir);
    }
    // The build folder lies below a private one (/root), or is read-only: programs must be executable for `nobody`.
    let dir = reachable_temp_dir().join(format!("tierlift-sandbox-{}", effective_uid()));
    make_public_dir(&dir).map_err(SandboxError::io("create the folder", &dir))?;
    let owner = fs::symlink_metadata(&dir).map_err(SandboxError::io("read the folder", &dir))?;
    if !owner.is_dir() || owner.uid() != effective_uid() {
        let source = io::Error::other("it belongs to another user");
        return Err(SandboxError::Io { doing: format!("use the folder {}", dir.display()), source });
    }
    Ok(dir)
}

/// A temporary folder's parent that the user servers run as can reach.
pub(crate) fn reachable_temp_dir() -> PathBuf {
    let standard = std::env::temp_dir();
    [standard.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]
        .into_iter()
        .find(|dir| dir.is_dir() && reachable(dir))
        .unwrap_or(standard)
}

/// Creates `dir` with its parents; everybody may look into it, whatever the umask.
pub(crate) fn make_public_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & 0o755 == 0o755 { Ok(()) } else { fs::set_permissions(dir, fs::Permissions::from_mode(0o755)) }
}

/// Whether the user servers run as can enter `dir`: every folder above it must let others pass.
fn reachable(dir: &Path) -> bool {
    let Some(user) = unprivileged() else { return true };
    let Ok(dir) = dir.canonicalize() else { return false };
    dir.ancestors().all(|ancestor| {
        fs::metadata(ancestor).is_ok_and(|meta| passable(meta.mode(), meta.uid() == user.uid, meta.gid() == user.gid))
    })
}

/// The execute bit of the class that applies: the owner's, the group's, or everybody's.
fn passable(mode: u32, owner: bool, group: bool) -> bool {
    let bit = if owner {
        0o100
    } else if group {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// The workspace's build folder: `CARGO_TARGET_DIR`, else `target` beside the lock file this crate was built with.
fn target_dir() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|dir| dir.join("Cargo.lock").is_file());
    match (std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()), workspace) {
        // Cargo reads a relative path against the folder it was called in, which for us is the workspace's.
        (Some(dir), Some(workspace)) => Some(workspace.join(dir)),
        (Some(dir), None) => Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute()),
        (None, workspace) => workspace.map(|dir| dir.join("target")),
    }
}

fn effective_uid() -> u32 {
    // SAFETY: geteuid reads a number and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_by_the_class_that_applies() {
        for (mode, owner, group, expect) in [
            (0o755, false, false, true),
            (0o700, false, false, false),
            (0o700, true, false, true),
            (0o710, false, true, true),
            (0o701, false, true, false),
            (0o077, true, true, false),
        ] {
            assert_eq!(passable(mode, owner, group), expect, "{mode:o} owner {owner} group {group}");
        }
    }

    #[test]
    fn sandbox_folder_is_reachable() {
        let dir = sandbox_dir().unwrap();
        assert!(reachable(&dir), "{}", dir.display());
    }
}
