//! A set of rendered files: relative path -> bytes, with a digest.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// The files of a tier, ordered by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderedSet {
    files: BTreeMap<String, Vec<u8>>,
}

/// A path no set may have: it would leave its folder or hide in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path within a folder")]
pub struct BadPath {
    /// The path.
    pub path: String,
}

impl RenderedSet {
    /// Adds a file, or replaces the one of that path.
    ///
    /// # Errors
    /// When the path is absolute, leaves the folder, or is the name of the set's own record.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Result<(), BadPath> {
        let part_ok = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.contains(['\\', '\0'])
                && part != crate::write::RECORD
        };
        if !path.split('/').all(part_ok) {
            return Err(BadPath { path: path.to_owned() });
        }
        self.files.insert(path.to_owned(), bytes.into());
        Ok(())
    }

    /// The files, ordered by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The bytes of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// All their bytes.
    pub fn total_bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }

    /// SHA-256 over every path and content, in hexadecimal. Lengths go in, so that no two sets share it by moving bytes
    /// from one file to the next.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, bytes) in &self.files {
            for part in [path.as_bytes(), bytes] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hex(&hash.finalize())
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
