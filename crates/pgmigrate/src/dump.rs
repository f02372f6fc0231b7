//! Finds and runs `pg_dump`.
//!
//! The dump is an archive that goes straight into `pg_restore --verbose`, which prints it as SQL: each entry of the table
//! of contents comes under a header with its kind, name, catalogue oid and what it depends on. (Plain `pg_dump --verbose`
//! prints the same, in the same time, but knows what depends on what only for comments and privileges.)

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pg_session::{Ident, PgUrl, Relation};
use tokio::process::Command;

use crate::error::Error;

/// A usable `pg_dump`.
#[derive(Debug, Clone)]
pub(crate) struct PgDump {
    pub program: PathBuf,
    pub major: u32,
}

/// The newest `pg_dump` of at least `needed`: the given bin folder or `TIERLIFT_PG_BIN` when it suffices, else the best
/// of PATH and the places distributions install to.
///
/// With `tls` only one that can use it counts: what our own sessions send encrypted, another program must not send in
/// the clear.
pub(crate) async fn find(bin: Option<&Path>, needed: u32, tls: bool) -> Result<PgDump, Error> {
    let chosen = bin.map(Path::to_owned).or_else(|| std::env::var_os("TIERLIFT_PG_BIN").map(PathBuf::from));
    let mut seen = Vec::new();
    if let Some(found) = probe(chosen.into_iter().collect(), tls, &mut seen).await.filter(|d| d.major >= needed) {
        return Ok(found);
    }
    let path = std::env::var_os("PATH");
    let mut folders: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
    folders.extend(versioned("/usr/lib/postgresql", "bin"));
    folders.extend(versioned("/usr", "bin").into_iter().filter(|p| p.to_string_lossy().contains("pgsql-")));
    folders.extend(
        versioned("/opt/homebrew/opt", "bin").into_iter().filter(|p| p.to_string_lossy().contains("postgresql")),
    );
    match probe(folders, tls, &mut seen).await {
        Some(found) if found.major >= needed => Ok(found),
        _ => {
            let found = if seen.is_empty() { "none at all".to_owned() } else { seen.join(", ") };
            Err(Error::NoPgDump { needed, tls, found })
        }
    }
}

/// Runs it for the schema as `snapshot` sees it. The password travels in a file only we can read.
pub(crate) async fn schema(
    dump: &PgDump,
    source: &PgUrl,
    snapshot: &str,
    excluded_schemas: &[String],
    excluded_tables: &[Relation],
) -> Result<String, Error> {
    let mut command = Command::new(&dump.program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name); // PGHOSTADDR, PGSSLMODE, PGOPTIONS and the like would change where it goes, and how
    }
    command
        .args(["--format=custom", "--schema-only", "--verbose"])
        .args(["--no-owner", "--no-tablespaces", "--no-subscriptions"])
        .args(["--no-password", "--encoding=UTF8", "--quote-all-identifiers"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--dbname={}", source.libpq_conninfo()))
        .arg("--exclude-schema=\"tierlift\"")
        .env("PGAPPNAME", "tierlift")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for schema in excluded_schemas {
        command.arg(format!("--exclude-schema={}", Ident(schema)));
    }
    for table in excluded_tables {
        command.arg(format!("--exclude-table={table}"));
    }
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| Error::Io { what, source }
    };
    // Dropped, and with it deleted, only after the child has ended.
    let mut passfile = tempfile::Builder::new().prefix("tierlift-").tempfile().map_err(io("temporary file"))?;
    if let Some(line) = source.passfile_line() {
        passfile.write_all(line.as_bytes()).map_err(io("temporary file"))?;
        passfile.flush().map_err(io("temporary file"))?;
    }
    command.env("PGPASSFILE", passfile.path());
    let mut dumping = command.spawn().map_err(io("starting pg_dump"))?;
    let archive = dumping.stdout.take().ok_or_else(|| Error::Internal("pg_dump has no output".into()))?;
    let mut printing = Command::new(dump.program.with_file_name("pg_restore"));
    printing
        .args(["--verbose", "--no-owner", "--no-tablespaces", "--file=-"])
        .env("LC_ALL", "C")
        .stdin(Stdio::from(archive.into_owned_fd().map_err(io("pg_dump's output"))?))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let printing = printing.spawn().map_err(io("starting pg_restore, which comes with pg_dump"))?;
    let (dumped, printed) =
        tokio::try_join!(async { dumping.wait_with_output().await.map_err(io("pg_dump")) }, async {
            printing.wait_with_output().await.map_err(io("pg_restore"))
        },)?;
    drop(passfile);
    for (output, program) in [(&dumped, "pg_dump"), (&printed, "pg_restore")] {
        if !output.status.success() {
            return Err(Error::PgDump { stderr: complaint(program, &output.stderr) });
        }
    }
    String::from_utf8(printed.stdout).map_err(|_| Error::PgDump { stderr: "its output is not UTF-8".into() })
}

/// --verbose talks all the time; errors are the lines that say so.
fn complaint(program: &str, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let is_error =
        |line: &&str| ["error:", "detail:", "hint:", "fatal:"].iter().any(|w| line.to_lowercase().contains(w));
    let errors: Vec<&str> = stderr.lines().filter(is_error).collect();
    let said = if errors.is_empty() { stderr.lines().rev().take(3).collect() } else { errors };
    if said.is_empty() { format!("{program} said nothing") } else { said.join("; ") }
}

/// Whether it failed because its session on the source broke, in libpq's own words, which our LC_ALL=C keeps English.
pub(crate) fn lost_its_connection(stderr: &str) -> bool {
    ["server closed the connection", "connection to server", "terminating connection"]
        .iter()
        .any(|w| stderr.contains(w))
}

fn versioned(root: &str, leaf: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path().join(leaf)).filter(|path| path.is_dir()).collect()
}

async fn probe(folders: Vec<PathBuf>, tls: bool, seen: &mut Vec<String>) -> Option<PgDump> {
    let mut best: Option<PgDump> = None;
    for folder in folders {
        let program = folder.join("pg_dump");
        if !program.is_file() {
            continue;
        }
        let Ok(output) = Command::new(&program).arg("--version").stdin(Stdio::null()).output().await else { continue };
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let Some(major) = major_of(&text) else { continue };
        if tls && !can_use_tls(&program).await {
            seen.push(format!("{major} in {}, built without TLS", folder.display()));
            continue;
        }
        seen.push(format!("{major} in {}", folder.display()));
        if best.as_ref().is_none_or(|b| major > b.major) {
            best = Some(PgDump { program, major });
        }
    }
    best
}

/// libpq looks at `sslmode` before it connects anywhere, and a socket that does not exist is refused at once.
async fn can_use_tls(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(["--no-password", "--dbname=host=/nonexistent sslmode=require"]).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("SSL support is not compiled in"))
}

/// `pg_dump (PostgreSQL) 18.4 (Debian ...)` -> 18.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_is_needed_when_none_is_new_enough() {
        let check = async |tls, words: &str| {
            let Err(error) = find(None, 99, tls).await else { panic!("there is no PostgreSQL 99") };
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().contains("TIERLIFT_PG_BIN"), "{}", error.hint());
        };
        check(false, "version 99 or newer was found").await;
        check(true, "version 99 or newer that can use TLS was found").await;
    }

    #[test]
    fn reads_the_major_version() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(major_of(text), expect, "{text}");
        check("pg_dump (PostgreSQL) 18.4", Some(18));
        check("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15));
        check("pg_dump (PostgreSQL) 19beta1", Some(19));
        check("pg_dump: error", None);
    }
}
