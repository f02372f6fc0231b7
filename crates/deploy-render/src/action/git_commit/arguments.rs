//! The arguments of `git.commit`, read strictly: files are named, never "everything".

use std::path::{Component, Path};

use runbook::Failure;
use serde::Deserialize;
use serde_json::Value;

use super::super::unusable;
use super::{GIT_COMMIT, GitCommit, TRAILER};

const HINT: &str = "give it repository, files: [path, ...] and message; see docs/actions.md";

impl GitCommit {
    pub(in super::super) fn parse(with: &Value) -> Result<Self, Failure> {
        let said = Self::deserialize(with).map_err(|error| unusable(GIT_COMMIT, error, HINT))?;
        if said.repository.as_os_str().is_empty() {
            return Err(unusable(GIT_COMMIT, "repository is empty", HINT));
        }
        if said.files.is_empty() {
            return Err(unusable(GIT_COMMIT, "files is empty", "name each file, or a folder"));
        }
        for file in &said.files {
            if let Err(what) = check_file(file, &said.repository) {
                return Err(unusable(GIT_COMMIT, format!("`{file}` of files {what}"), "name each file, or a folder"));
            }
        }
        if said.message.trim().is_empty() {
            return Err(unusable(GIT_COMMIT, "message is empty", "say what the commit is for"));
        }
        if said.message.contains('\0') {
            return Err(unusable(GIT_COMMIT, "message holds a zero byte", HINT));
        }
        if said.message.contains(&format!("{TRAILER}:")) {
            return Err(unusable(GIT_COMMIT, format!("message holds {TRAILER}"), "leave that line to tierlift"));
        }
        Ok(said)
    }
}

fn check_file(file: &str, repository: &Path) -> Result<(), &'static str> {
    let path = Path::new(file);
    if file.contains('\0') {
        return Err("holds a zero byte");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("goes up with `..`");
    }
    let below = match (path.is_absolute(), std::path::absolute(repository)) {
        (true, Ok(repository)) => path.strip_prefix(repository).map_err(|_| "is not in the repository's folder")?,
        _ => path,
    };
    let mut parts = below.components().filter(|part| *part != Component::CurDir).peekable();
    match parts.peek() {
        None => Err("is the whole repository"),
        Some(first) if first.as_os_str() == ".git" => Err("is git's own"),
        Some(_) => Ok(()),
    }
}
