//! Files that a step keeps in its run's folder: for the owner alone, whole or not there, on disk when written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use runbook::{Context, Failure, FailureKind};

/// Where a step keeps a file of one kind.
///
/// # Errors
/// `Internal` outside of a run.
pub(super) fn path(cx: &Context, kind: &str, suffix: &str) -> Result<PathBuf, Failure> {
    let run = cx.run_dir().ok_or_else(|| {
        let message = "it was called outside of a run, where nothing can be kept for its undo";
        Failure::new(FailureKind::Internal, format!("step {}", cx.step()), message, "")
    })?;
    Ok(run.join(kind).join(format!("{}{suffix}", cx.step())))
}

/// Makes the folder of a file, for nobody else's eyes.
///
/// # Errors
/// When the file system refuses.
pub(super) fn make_folder(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| refused(folder, &error))
}

/// Writes a file, mode 0600, replacing it whole or not at all.
///
/// # Errors
/// When the file system refuses.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    make_folder(path)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let put = || -> io::Result<()> {
        remove_if_there(&new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    put().map_err(|error| refused(path, &error))
}

/// Reads a file; none when it is not there.
///
/// # Errors
/// When the file system refuses.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(path, &error)),
    }
}

/// Removes a file that may not be there.
///
/// # Errors
/// When the file system refuses.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    remove_if_there(path).map_err(|error| refused(path, &error))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file system said no.
pub(super) fn refused(path: &Path, error: &io::Error) -> Failure {
    let object = format!("file {}", path.display());
    Failure::from_error(FailureKind::Failed, object, error, "make the folder of the run writable and try again")
}
