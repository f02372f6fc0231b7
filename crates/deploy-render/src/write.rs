//! A folder's set of files, replaced as a whole, with the one before kept for the way back.
//!
//! A folder that we wrote has a record, `.tierlift-set.json`, with the SHA-256 of each file. A folder without it, or
//! with a file that is not as recorded, belongs to somebody else and is left alone. The new set is written beside the
//! folder, synced, and exchanged with it in one rename; whenever the process is killed, the folder holds either the old
//! set or the new one, and the next call clears up what is left beside it.

mod place;
mod read;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use read::{Foreign, OnDisk, on_disk, there};

use crate::set::RenderedSet;

/// Name of the record in a folder that we wrote.
pub(crate) const RECORD: &str = ".tierlift-set.json";

/// What a folder was before a step first touched it: all that the way back needs, besides the kept set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What was there.
    pub state: State,
    /// Digest of the set that was there, if it was one.
    pub digest: Option<String>,
    /// The topmost folder above it that was not there either.
    pub missing_parent: Option<PathBuf>,
}

/// What was in a folder's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    Nothing,
    /// An empty folder.
    Empty,
    /// A set.
    Set,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Whether anything changed; not so when the same set was there.
    pub changed: bool,
    /// How many files the set has.
    pub files: usize,
    /// All their bytes.
    pub bytes: u64,
    /// The set's digest.
    pub digest: String,
}

/// Why a folder can't be written or put back.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It holds what we did not write.
    #[error("{} holds what tierlift did not write: {foreign}", out.display())]
    Foreign {
        /// The folder.
        out: PathBuf,
        /// What it holds.
        foreign: Foreign,
    },
    /// It is no longer what it was when the step began.
    #[error("{} changed since the step began", out.display())]
    Moved {
        /// The folder.
        out: PathBuf,
    },
    /// Another process is writing there.
    #[error("another process is writing in {}", parent.display())]
    Locked {
        /// The folder above.
        parent: PathBuf,
    },
    /// The kept set is not there or not whole.
    #[error("the set kept in {} is not the one that was there before", keep.display())]
    Kept {
        /// Where it should be.
        keep: PathBuf,
    },
    /// What is kept would be replaced with the folder.
    #[error("{} is in {}, which is replaced as a whole", keep.display(), out.display())]
    KeptInside {
        /// Where it would be kept.
        keep: PathBuf,
        /// The folder.
        out: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl WriteError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl Before {
    /// What is there now.
    ///
    /// # Errors
    /// When it can't be read, or is not ours to replace.
    pub fn of(out: &Path) -> Result<Self, WriteError> {
        let out = resolve(out)?;
        let (state, digest) = match on_disk(&out)? {
            OnDisk::Nothing => (State::Nothing, None),
            OnDisk::Empty => (State::Empty, None),
            OnDisk::Ours(set) => (State::Set, Some(set.digest())),
            OnDisk::Foreign(foreign) => return Err(WriteError::Foreign { out, foreign }),
        };
        Ok(Self { state, digest, missing_parent: missing_parent(&out) })
    }

    fn is(&self, now: &OnDisk) -> bool {
        match now {
            OnDisk::Nothing => self.state == State::Nothing,
            OnDisk::Empty => self.state == State::Empty,
            OnDisk::Ours(set) => self.state == State::Set && self.digest.as_deref() == Some(&set.digest()),
            OnDisk::Foreign(_) => false,
        }
    }
}

/// Replaces what is in `out` by the set. `before` is what [`Before::of`] said when the step began; the set that was there
/// is kept in the folder `keep` first. Doing it again, also after a crash, ends the same.
///
/// # Errors
/// When the folder is not ours, changed meanwhile, or the file system refuses. The folder is then as it was.
pub fn write(set: &RenderedSet, out: &Path, keep: &Path, before: &Before) -> Result<Written, WriteError> {
    let out = resolve(out)?;
    let keep = &resolve(keep)?;
    if keep.starts_with(&out) {
        return Err(WriteError::KeptInside { keep: keep.clone(), out });
    }
    let parent = parent_of(&out);
    fs::create_dir_all(parent).map_err(WriteError::io("create", parent))?;
    let _lock = lock(parent)?;
    place::recover(&out)?;
    let digest = set.digest();
    let written = |changed| Written { changed, files: set.len(), bytes: set.total_bytes(), digest: digest.clone() };
    let now = on_disk(&out)?;
    match &now {
        OnDisk::Ours(there) if there.digest() == digest => return Ok(written(false)),
        OnDisk::Foreign(foreign) => return Err(WriteError::Foreign { out, foreign: foreign.clone() }),
        now if !before.is(now) => return Err(WriteError::Moved { out }),
        OnDisk::Ours(there) => keep_set(there, keep)?,
        OnDisk::Nothing | OnDisk::Empty => {}
    }
    place::replace(&out, Some(set), &now)?;
    Ok(written(true))
}

/// Puts back what was in `out` before [`write()`]: the kept set, an empty folder, or nothing. Doing it again ends the same.
///
/// # Errors
/// When the folder holds what we did not write, the kept set is gone, or the file system refuses.
pub fn restore(out: &Path, keep: &Path, before: &Before) -> Result<(), WriteError> {
    let out = resolve(out)?;
    // Without the folder above there is nothing to take away, only something to put back.
    if before.state != State::Nothing || parent_of(&out).exists() {
        put_back(&out, keep, before)?;
    }
    match &before.missing_parent {
        Some(top) => place::remove_empty_parents(&out, top),
        None => Ok(()),
    }
}

fn put_back(out: &Path, keep: &Path, before: &Before) -> Result<(), WriteError> {
    let parent = parent_of(out);
    fs::create_dir_all(parent).map_err(WriteError::io("create", parent))?;
    let _lock = lock(parent)?;
    place::recover(out)?;
    let now = on_disk(out)?;
    if let OnDisk::Foreign(foreign) = now {
        return Err(WriteError::Foreign { out: out.to_owned(), foreign });
    }
    if before.is(&now) {
        return Ok(());
    }
    match before.state {
        State::Nothing => place::remove(out),
        State::Empty => place::replace(out, None, &now),
        State::Set => place::replace(out, Some(&kept_set(keep, before)?), &now),
    }
}

/// Keeps a set in a folder of its own, unless it is there already.
fn keep_set(set: &RenderedSet, keep: &Path) -> Result<(), WriteError> {
    let keep = resolve(keep)?;
    let parent = parent_of(&keep);
    fs::create_dir_all(parent).map_err(WriteError::io("create", parent))?;
    place::recover(&keep)?;
    match on_disk(&keep)? {
        OnDisk::Ours(kept) if kept.digest() == set.digest() => Ok(()),
        now @ OnDisk::Nothing => place::replace(&keep, Some(set), &now),
        // Somebody else's previous set: overwriting it would take away another step's way back.
        _ => Err(WriteError::Kept { keep }),
    }
}

fn kept_set(keep: &Path, before: &Before) -> Result<RenderedSet, WriteError> {
    match on_disk(keep)? {
        OnDisk::Ours(set) if before.digest.as_deref() == Some(&set.digest()) => Ok(set),
        _ => Err(WriteError::Kept { keep: keep.to_owned() }),
    }
}

/// An exclusive lock on the folder above, held while it lives; the system releases it with the process.
fn lock(parent: &Path) -> Result<File, WriteError> {
    let file = File::open(parent).map_err(WriteError::io("open", parent))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WriteError::Locked { parent: parent.to_owned() }),
        // A file system without locks (some network ones): the run's own lock has to do.
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(WriteError::io("lock", parent)(error)),
    }
}

/// The absolute path without links, as far as it is there: a rename does not replace a link in the folder's own place,
/// and of two paths it can be told whether one is in the other.
fn resolve(path: &Path) -> Result<PathBuf, WriteError> {
    let absolute = std::path::absolute(path).map_err(WriteError::io("find", path))?;
    for there in absolute.ancestors() {
        if let Ok(real) = fs::canonicalize(there) {
            // Of what is not there, nothing is a link. A path joined to nothing would end with a slash.
            let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
            return Ok(rest.components().fold(real, |path, part| path.join(part)));
        }
    }
    Ok(absolute)
}

/// The folder above; the root stands for itself and is refused by what follows.
fn parent_of(out: &Path) -> &Path {
    out.parent().unwrap_or(out)
}

fn missing_parent(out: &Path) -> Option<PathBuf> {
    out.ancestors().skip(1).take_while(|path| !path.exists()).last().map(Path::to_owned)
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let kinds = [("edited", &self.edited), ("missing", &self.missing), ("unknown", &self.unknown)];
        let mut first = true;
        for (kind, files) in kinds.into_iter().filter(|(_, files)| !files.is_empty()) {
            let shown = files.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if files.len() > SHOWN { format!(" and {} more", files.len() - SHOWN) } else { String::new() };
            write!(f, "{}{kind} {shown}{more}", if first { "" } else { "; " })?;
            first = false;
        }
        Ok(())
    }
}
