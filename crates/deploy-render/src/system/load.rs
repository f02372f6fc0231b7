//! Reading a `system.yaml`.

use std::path::{Path, PathBuf};

use super::{SystemSpec, Tier};
use crate::validate::{SpecProblem, validate};

/// Why a `system.yaml` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML, or has keys or values that don't belong there.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1; 0 when unknown.
        line: u64,
        /// From 1; 0 when unknown.
        column: u64,
        /// What is wrong.
        message: String,
    },
    /// Its values contradict each other.
    #[error("{} has {} value(s) that can't be used: {}", path.display(), problems.len(), list(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<SpecProblem>,
    },
}

fn list(problems: &[SpecProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl SystemSpec {
    /// Reads and validates a `system.yaml`.
    ///
    /// # Errors
    /// When it can't be read, is no YAML of this shape, or its values contradict each other.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads and validates the text of a `system.yaml`; `path` is only named in errors.
    ///
    /// # Errors
    /// When it is no YAML of this shape, or its values contradict each other.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SpecError> {
        let system: Self = serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location();
            SpecError::Parse {
                path: path.to_owned(),
                line: location.map_or(0, |l| l.line()),
                column: location.map_or(0, |l| l.column()),
                message: crate::yaml::error_text(&error),
            }
        })?;
        let problems = validate(&system);
        if problems.is_empty() { Ok(system) } else { Err(SpecError::Invalid { path: path.to_owned(), problems }) }
    }

    /// Its short name as platforms take it that refuse underscores.
    pub(crate) fn slug(&self) -> String {
        self.system.replace('_', "-")
    }

    /// The names of the tiers, the smallest first.
    pub fn tier_names(&self) -> impl Iterator<Item = &str> {
        self.tier_order.iter().map(String::as_str)
    }

    /// The tiers with their names, the smallest first.
    pub fn tiers_in_order(&self) -> impl Iterator<Item = (&str, &Tier)> {
        self.tier_order.iter().filter_map(|name| Some((name.as_str(), self.tiers.get(name)?)))
    }
}
