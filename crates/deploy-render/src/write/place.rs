//! The renames. Three names beside a folder `x`, all hidden:
//!
//! * `.x.tierlift-new`: a set being written, or the old one just exchanged. Never needed: cleared up.
//! * `.x.tierlift-old`: the old set, for the moment between two renames where the system can't exchange. Put back when
//!   there is nothing in the folder's place.
//! * `.x.tierlift-gone`: being removed. Cleared up.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::read::{exists, on_disk, record};
use super::{OnDisk, RECORD, WriteError, parent_of};
use crate::set::RenderedSet;

fn beside(out: &Path, suffix: &str) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    parent_of(out).join(format!(".{name}.tierlift-{suffix}"))
}

/// Where the old set is between two renames.
pub(super) fn set_aside(out: &Path) -> PathBuf {
    beside(out, "old")
}

/// Clears up what a killed process left.
pub(super) fn recover(out: &Path) -> Result<(), WriteError> {
    let old = set_aside(out);
    if exists(&old)? {
        if exists(out)? {
            discard(out, &old)?;
        } else {
            rename(&old, out)?;
        }
        sync_dir(parent_of(out))?;
    }
    for leftover in [beside(out, "new"), beside(out, "gone")] {
        remove_tree(&leftover)?;
    }
    Ok(())
}

/// Puts a set (or an empty folder) in the folder's place, where there is `now` and must still be.
pub(super) fn replace(out: &Path, set: Option<&RenderedSet>, now: &OnDisk) -> Result<(), WriteError> {
    let new = beside(out, "new");
    fs::create_dir(&new).map_err(WriteError::io("create", &new))?;
    if let Some(set) = set {
        write_files(set, &new)?;
    }
    sync_dir(&new)?;
    if *now == OnDisk::Nothing {
        rename(&new, out)?;
        return sync_dir(parent_of(out));
    }
    let old = if exchange(&new, out)? { new } else { rename_twice(&new, out)? };
    // Somebody may have edited a file after we looked: what was exchanged must be what we saw.
    if on_disk(&old)? != *now {
        return put_back(out, &old);
    }
    sync_dir(parent_of(out))?;
    discard(out, &old)
}

/// Takes a set away for good.
pub(super) fn remove(out: &Path) -> Result<(), WriteError> {
    discard(out, out)?;
    sync_dir(parent_of(out))
}

/// Removes the folders above `out` that were made for it, as long as nothing else is in them.
pub(super) fn remove_empty_parents(out: &Path, top: &Path) -> Result<(), WriteError> {
    if exists(out)? {
        return Ok(());
    }
    for dir in out.ancestors().skip(1).take_while(|dir| dir.starts_with(top)) {
        match fs::remove_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(error) => return Err(WriteError::io("remove", dir)(error)),
        }
    }
    Ok(())
}

fn write_files(set: &RenderedSet, dir: &Path) -> Result<(), WriteError> {
    let record = record(set);
    for (path, bytes) in set.files().chain([(RECORD, record.as_slice())]) {
        let path = dir.join(path);
        let parent = parent_of(&path);
        fs::create_dir_all(parent).map_err(WriteError::io("create", parent))?;
        let mut file = File::create_new(&path).map_err(WriteError::io("create", &path))?;
        file.write_all(bytes).map_err(WriteError::io("write", &path))?;
        file.sync_all().map_err(WriteError::io("sync", &path))?;
    }
    let mut dirs: Vec<PathBuf> =
        set.files().filter_map(|(path, _)| Path::new(path).parent().map(Path::to_owned)).collect();
    dirs.sort();
    dirs.dedup();
    dirs.iter().try_for_each(|path| sync_dir(&dir.join(path)))
}

/// For systems that can't exchange: a kill between the two renames leaves nothing in the folder's place, and
/// [`recover`] puts the old set back. Returns where the old set is.
fn rename_twice(new: &Path, out: &Path) -> Result<PathBuf, WriteError> {
    let old = set_aside(out);
    rename(out, &old)?;
    rename(new, out)?;
    Ok(old)
}

fn put_back(out: &Path, old: &Path) -> Result<(), WriteError> {
    let unwanted = beside(out, "gone");
    remove_tree(&unwanted)?;
    rename(out, &unwanted)?;
    rename(old, out)?;
    sync_dir(parent_of(out))?;
    remove_tree(&unwanted)?;
    Err(WriteError::Moved { out: out.to_owned() })
}

/// Removes a folder under a name that says so, because a removal cut short leaves half of it.
fn discard(out: &Path, what: &Path) -> Result<(), WriteError> {
    let gone = beside(out, "gone");
    remove_tree(&gone)?;
    rename(what, &gone)?;
    remove_tree(&gone)
}

fn remove_tree(path: &Path) -> Result<(), WriteError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(WriteError::io("remove", path)(error)),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), WriteError> {
    fs::rename(from, to).map_err(WriteError::io("rename", from))
}

/// Makes renames in a folder survive a power cut.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> Result<(), WriteError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(WriteError::io("sync", dir))
}

/// Folders can't be synced there; the file system journals renames itself.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> Result<(), WriteError> {
    Ok(())
}

/// Exchanges two folders in one step; false where the system or the file system can't.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> Result<bool, WriteError> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let c_path = |path: &Path| {
        CString::new(path.as_os_str().as_bytes()).map_err(|error| WriteError::io("exchange", path)(error.into()))
    };
    let (c_a, c_b) = (c_path(a)?, c_path(b)?);
    // SAFETY: both pointers are to NUL-terminated strings that live until after the call, which keeps neither.
    let result =
        unsafe { libc::renameat2(libc::AT_FDCWD, c_a.as_ptr(), libc::AT_FDCWD, c_b.as_ptr(), libc::RENAME_EXCHANGE) };
    if result == 0 {
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL | libc::ENOTSUP) => Ok(false),
        _ => Err(WriteError::io("exchange", b)(error)),
    }
}

/// Exchanges two folders in one step; false where the system or the file system can't.
#[cfg(not(target_os = "linux"))]
fn exchange(_a: &Path, _b: &Path) -> Result<bool, WriteError> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> RenderedSet {
        let mut set = RenderedSet::default();
        set.insert("a/b.txt", text).expect("a path within a folder");
        set
    }

    #[test]
    fn an_edit_made_at_the_last_moment_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        replace(&out, Some(&set("old")), &OnDisk::Nothing).unwrap();
        fs::write(out.join("a/b.txt"), "mine").unwrap();
        let error = replace(&out, Some(&set("new")), &OnDisk::Ours(set("old"))).unwrap_err();
        assert!(matches!(error, WriteError::Moved { .. }), "{error}");
        assert_eq!(fs::read_to_string(out.join("a/b.txt")).unwrap(), "mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_renames_do_what_an_exchange_does() {
        let dir = tempfile::tempdir().unwrap();
        let (out, new) = (dir.path().join("out"), dir.path().join("new"));
        replace(&out, Some(&set("old")), &OnDisk::Nothing).unwrap();
        replace(&new, Some(&set("new")), &OnDisk::Nothing).unwrap();
        let old = rename_twice(&new, &out).unwrap();
        assert_eq!(on_disk(&out).unwrap(), OnDisk::Ours(set("new")));
        assert_eq!(on_disk(&old).unwrap(), OnDisk::Ours(set("old")));
        recover(&out).unwrap();
        assert_eq!(on_disk(&out).unwrap(), OnDisk::Ours(set("new")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
