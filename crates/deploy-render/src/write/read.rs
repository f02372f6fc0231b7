//! What is in a folder, and whether we wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::place::set_aside;
use super::{RECORD, WriteError};
use crate::set::{RenderedSet, sha256};

/// What is in a folder's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDisk {
    /// Nothing.
    Nothing,
    /// An empty folder.
    Empty,
    /// A set that we wrote and nobody changed.
    Ours(RenderedSet),
    /// Something that is not ours to replace.
    Foreign(Foreign),
}

/// What makes a folder somebody else's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Files we wrote and somebody changed.
    pub edited: Vec<String>,
    /// Files we wrote and somebody removed.
    pub missing: Vec<String>,
    /// Files we did not write.
    pub unknown: Vec<String>,
}

/// The record in a folder that we wrote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// What this file is for, for whoever finds it.
    about: String,
    /// The set's digest.
    digest: String,
    /// SHA-256 of each file.
    files: BTreeMap<String, String>,
}

/// Looks at a folder. Changes nothing; a swap that was cut short is seen as it will be cleared up.
///
/// # Errors
/// When it can't be read.
pub fn on_disk(out: &Path) -> Result<OnDisk, WriteError> {
    let aside = set_aside(out);
    let out = if !exists(out)? && exists(&aside)? { aside.as_path() } else { out };
    let metadata = match fs::symlink_metadata(out) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(OnDisk::Nothing),
        Err(error) => return Err(WriteError::io("read", out)(error)),
    };
    if metadata.is_symlink() {
        let target = fs::canonicalize(out).map_err(WriteError::io("follow", out))?;
        return on_disk(&target);
    }
    if !metadata.is_dir() {
        let name = out.display().to_string();
        return Ok(OnDisk::Foreign(Foreign { unknown: vec![name], ..Foreign::default() }));
    }
    let mut files = BTreeMap::new();
    let mut foreign = Foreign::default();
    collect(out, "", &mut files, &mut foreign)?;
    if files.is_empty() && foreign.unknown.is_empty() {
        return Ok(OnDisk::Empty);
    }
    let record = files.remove(RECORD).and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    let Some(record) = record else {
        foreign.unknown.extend(files.into_keys());
        if foreign.unknown.is_empty() {
            foreign.edited.push(RECORD.to_owned());
        }
        return Ok(OnDisk::Foreign(foreign));
    };
    compare(record, files, foreign)
}

/// The record's bytes for a set.
pub(super) fn record(set: &RenderedSet) -> Vec<u8> {
    let record = Record {
        about: "Written by tierlift. It replaces this folder as a whole, and refuses to when a file was changed."
            .to_owned(),
        digest: set.digest(),
        files: set.files().map(|(path, bytes)| (path.to_owned(), sha256(bytes))).collect(),
    };
    // Strings and maps of strings always serialise.
    let mut bytes = serde_json::to_vec_pretty(&record).expect("a record is plain text");
    bytes.push(b'\n');
    bytes
}

fn compare(record: Record, files: BTreeMap<String, Vec<u8>>, mut foreign: Foreign) -> Result<OnDisk, WriteError> {
    for path in record.files.keys().filter(|path| !files.contains_key(*path)) {
        foreign.missing.push(path.clone());
    }
    let mut set = RenderedSet::default();
    for (path, bytes) in files {
        match record.files.get(&path) {
            None => foreign.unknown.push(path),
            Some(hash) if *hash != sha256(&bytes) => foreign.edited.push(path),
            // A path read from a folder can't leave it; one that no set can have is not ours.
            Some(_) => {
                if set.insert(&path, bytes).is_err() {
                    foreign.unknown.push(path);
                }
            }
        }
    }
    if foreign != Foreign::default() {
        return Ok(OnDisk::Foreign(foreign));
    }
    if record.digest != set.digest() {
        return Ok(OnDisk::Foreign(Foreign { edited: vec![RECORD.to_owned()], ..Foreign::default() }));
    }
    Ok(OnDisk::Ours(set))
}

/// Every file below a folder; what is no plain file, and folders without any, are not ours.
fn collect(
    dir: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
    foreign: &mut Foreign,
) -> Result<(), WriteError> {
    let mut any = false;
    for entry in fs::read_dir(dir).map_err(WriteError::io("read", dir))? {
        any = true;
        let entry = entry.map_err(WriteError::io("read", dir))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(WriteError::io("read", &path))?;
        let Some(name) = entry.file_name().to_str().map(|name| format!("{prefix}{name}")) else {
            foreign.unknown.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
            continue;
        };
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files, foreign)?;
        } else if kind.is_file() {
            files.insert(name, fs::read(&path).map_err(WriteError::io("read", &path))?);
        } else {
            foreign.unknown.push(name);
        }
    }
    if !any && !prefix.is_empty() {
        foreign.unknown.push(prefix.to_owned());
    }
    Ok(())
}

/// Whether something is there, a dangling link included.
pub(super) fn exists(path: &Path) -> Result<bool, WriteError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(WriteError::io("read", path)(error)),
    }
}
