//! Connecting to one of our servers: its URLs, and PostgreSQL's own client programs pointed at it.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::{PgServer, SandboxError};

impl PgServer {
    /// The superuser's connection URL for a database.
    pub fn url(&self, database: &str) -> String {
        self.url_as(Self::SUPERUSER, self.superuser_password(), database)
    }

    /// The connection URL of another role.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        let [user, password, database] = [user, password, database].map(percent_encoded);
        format!("postgresql://{user}:{password}@{}:{}/{database}", self.host(), self.port())
    }

    /// Runs SQL (any number of statements) as the superuser and returns the rows, a line each, columns split by `|`.
    ///
    /// Stops at the first error; its message is in [`SandboxError::Program`].
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, SandboxError> {
        let args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database];
        self.client("psql", &args, sql.as_bytes())
    }

    /// `pg_dump` of one database as the superuser, with further arguments; what it writes to stdout.
    pub fn pg_dump(&self, database: &str, args: &[&str]) -> Result<String, SandboxError> {
        self.client("pg_dump", &[&["-d", database], args].concat(), b"")
    }

    /// The roles and their settings, as `pg_dumpall --globals-only` writes them (with password verifiers).
    pub fn pg_dumpall_globals(&self) -> Result<String, SandboxError> {
        self.client("pg_dumpall", &["--globals-only"], b"")
    }

    /// Creates an empty database.
    pub fn create_database(&self, name: &str) -> Result<(), SandboxError> {
        self.psql("postgres", &format!("create database {}", quoted(name))).map(drop)
    }

    /// Runs a client program of this server's version as the superuser; the password is in its environment only.
    fn client(&self, program: &str, args: &[&str], stdin: &[u8]) -> Result<String, SandboxError> {
        let mut command = Command::new(self.install().program(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name); // PGOPTIONS, PGSERVICE and the like would change what the caller asked for
        }
        command
            .args(["-h", self.host(), "-p", &self.port().to_string(), "-U", Self::SUPERUSER])
            .args(args)
            .env("PGPASSWORD", self.superuser_password())
            .env("PGAPPNAME", "pg-sandbox")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |source| SandboxError::Io { doing: format!("run {program}"), source };
        let mut child = command.spawn().map_err(failed)?;
        let mut pipe = child.stdin.take();
        // Written by a second thread: a long script's answers may fill the other pipe before it is all sent.
        let output = std::thread::scope(|scope| {
            let writer = scope.spawn(move || match &mut pipe {
                Some(pipe) => pipe.write_all(stdin),
                None => Ok(()),
            });
            let output = child.wait_with_output();
            match writer.join() {
                // psql has stopped reading at an error, which its exit code tells better.
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                _ => output,
            }
        });
        let output = output.map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SandboxError::Program { program: program.to_owned(), said });
        }
        String::from_utf8(output.stdout).map_err(|error| SandboxError::Io {
            doing: format!("read what {program} wrote"),
            source: io::Error::other(error),
        })
    }
}

/// A name as a quoted SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_url_cannot_hold() {
        for (text, expect) in [("plain_1.~-", "plain_1.~-"), ("p@ss/w:rd", "p%40ss%2Fw%3Ard"), ("é", "%C3%A9")] {
            assert_eq!(percent_encoded(text), expect);
        }
    }
}
