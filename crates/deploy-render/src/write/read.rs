//! What is in a folder, and whether we wrote it.

use std::collections::{BTreeMap, BTreeSet};
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
    // What was there a moment ago and is not: somebody else is writing, and nobody can say what it will be.
    look(out).map_err(|error| match error {
        WriteError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            WriteError::Moved { out: out.to_owned() }
        }
        other => other,
    })
}

/// Looks into a folder that is there.
fn look(out: &Path) -> Result<OnDisk, WriteError> {
    let Some(record) = record_in(out)? else { return without_record(out) };
    let mut foreign = Foreign::default();
    let mut names = BTreeSet::new();
    collect(out, "", &mut names, &mut foreign)?;
    compare(out, &record, &names, foreign)
}

/// What is there of the files that a set would replace: all of a set of ours; of somebody else's folder, the files of
/// the set's names and those that we once wrote. Never what we would not touch, which may be all of a disk.
///
/// # Errors
/// When it can't be read.
pub fn there(out: &Path, wanted: &RenderedSet) -> Result<RenderedSet, WriteError> {
    match on_disk(out)? {
        OnDisk::Ours(set) => return Ok(set),
        OnDisk::Nothing | OnDisk::Empty => return Ok(RenderedSet::default()),
        OnDisk::Foreign(_) => {}
    }
    let recorded = record_in(out)?.map(|record| record.files).unwrap_or_default();
    let mut set = RenderedSet::default();
    for path in wanted.files().map(|(path, _)| path).chain(recorded.keys().map(String::as_str)) {
        let file = out.join(path);
        if fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            let bytes = fs::read(&file).map_err(WriteError::io("read", &file))?;
            // A record that somebody edited may name paths that no set has.
            let _ = set.insert(path, bytes);
        }
    }
    Ok(set)
}

/// The record of a folder; none when it has none that can be read as one.
fn record_in(out: &Path) -> Result<Option<Record>, WriteError> {
    let path = out.join(RECORD);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(WriteError::io("read", &path)(error)),
    }
}

/// A folder that we did not write. Only its own entries are looked at: it may be a whole disk.
fn without_record(out: &Path) -> Result<OnDisk, WriteError> {
    let mut foreign = Foreign::default();
    for entry in fs::read_dir(out).map_err(WriteError::io("read", out))? {
        let entry = entry.map_err(WriteError::io("read", out))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => foreign.unknown.push(format!("{name}/")),
            _ if name == RECORD => foreign.edited.push(name),
            _ => foreign.unknown.push(name),
        }
    }
    foreign.unknown.sort();
    Ok(if foreign == Foreign::default() { OnDisk::Empty } else { OnDisk::Foreign(foreign) })
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

fn compare(out: &Path, record: &Record, names: &BTreeSet<String>, mut foreign: Foreign) -> Result<OnDisk, WriteError> {
    for path in record.files.keys().filter(|path| !names.contains(*path)) {
        foreign.missing.push(path.clone());
    }
    let mut set = RenderedSet::default();
    for path in names {
        let Some(hash) = record.files.get(path) else {
            foreign.unknown.push(path.clone());
            continue;
        };
        let file = out.join(path);
        let bytes = fs::read(&file).map_err(WriteError::io("read", &file))?;
        if *hash != sha256(&bytes) {
            foreign.edited.push(path.clone());
        // A path read from a folder can't leave it; one that no set can have is not ours.
        } else if set.insert(path, bytes).is_err() {
            foreign.unknown.push(path.clone());
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

/// The name of every file below a folder but its record; what is no plain file, and folders without any, are not ours.
fn collect(dir: &Path, prefix: &str, names: &mut BTreeSet<String>, foreign: &mut Foreign) -> Result<(), WriteError> {
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
            collect(&path, &format!("{name}/"), names, foreign)?;
        } else if kind.is_file() {
            if name != RECORD {
                names.insert(name);
            }
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
