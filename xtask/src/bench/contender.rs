//! How each contender is started. The password is in their environment only.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum;
use pg_sandbox::PgServer;

use super::scenario::Scenario;
use super::{Bench, DATABASE, Route};

/// A way to copy a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// `xtask pg copy`, this very program
    Ours,
    /// pgcopydb, if it is installed
    Pgcopydb,
    /// pg_dump -Fd -j, then pg_restore -j
    DumpRestore,
    /// pg_dump | psql
    Pipe,
}

/// Programs that run at once, each reading what the one before writes. A contender is one or several in turn.
pub type Step = Vec<Command>;

impl Contender {
    /// In the order they run in each round.
    pub const ALL: [Self; 4] = [Self::Ours, Self::Pgcopydb, Self::DumpRestore, Self::Pipe];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Pgcopydb => "pgcopydb",
            Self::DumpRestore => "dump-restore",
            Self::Pipe => "pipe",
        }
    }

    /// What it says its version is; an error says why it cannot run.
    pub fn version(self, bench: &Bench) -> anyhow::Result<String> {
        let (program, prefix) = match self {
            Self::Ours => return Ok(format!("xtask {}, {}", env!("CARGO_PKG_VERSION"), profile())),
            Self::Pgcopydb => ("pgcopydb".into(), "pgcopydb version "),
            Self::DumpRestore => (bench.install.program("pg_restore"), "pg_restore (PostgreSQL) "),
            Self::Pipe => (bench.install.program("pg_dump"), "pg_dump (PostgreSQL) "),
        };
        let output = Command::new(&program).arg("--version").output();
        let output = output.with_context(|| format!("{} is not installed", program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(said.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or(said.trim()).to_owned())
    }

    /// The commands for one run. `scratch` is an empty folder of its own.
    pub fn steps(
        self,
        bench: &Bench,
        route: &Route,
        scenario: &Scenario,
        jobs: usize,
        scratch: &Path,
    ) -> anyhow::Result<Vec<Step>> {
        let (source, target) = (address(route.source_port), address(route.target_port));
        let j = jobs.to_string();
        let pg = |program: &str| bench.command(bench.install.program(program));
        Ok(match self {
            Self::Ours => {
                let mut command = bench.command(std::env::current_exe().context("cannot find this program")?);
                command
                    .args(["pg", "copy", "--source", "env:BENCH_SOURCE_URL", "--target", "env:BENCH_TARGET_URL"])
                    .args(["--jobs", &j, "--yes", "--json"])
                    .env("BENCH_SOURCE_URL", with_password(&source, &bench.source))
                    .env("BENCH_TARGET_URL", with_password(&target, &bench.target))
                    .env("TIERLIFT_PG_BIN", bench.install.bin_dir())
                    .env_remove("PGPASSWORD");
                vec![vec![command]]
            }
            Self::Pgcopydb => {
                let mut command = bench.command("pgcopydb");
                command.args(["clone", "--source", &source, "--target", &target]);
                command.args(["--table-jobs", &j, "--index-jobs", &j, "--dir"]).arg(scratch.join("pgcopydb"));
                if scenario.splits {
                    // As many parts as it has jobs, twice over, whatever the scale.
                    let largest = "select coalesce(max(pg_relation_size(oid)), 0) from pg_class where relkind = 'r'";
                    let bytes: u64 = bench.source.psql(DATABASE, largest)?.trim().parse()?;
                    let most = (bytes / (2 * jobs as u64)).max(1024 * 1024);
                    command.args(["--split-tables-larger-than", &most.to_string()]);
                }
                vec![vec![command]]
            }
            Self::DumpRestore => {
                let folder = scratch.join("dump");
                let (mut dump, mut restore) = (pg("pg_dump"), pg("pg_restore"));
                dump.args(["-Fd", "-j", &j, "-d", &source, "-f"]).arg(&folder);
                restore.args(["-j", &j, "-d", &target]).arg(&folder);
                vec![vec![dump], vec![restore]]
            }
            Self::Pipe => {
                let (mut dump, mut psql) = (pg("pg_dump"), pg("psql"));
                dump.args(["-d", &source]);
                psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &target]);
                vec![vec![dump, psql]]
            }
        })
    }
}

impl Bench {
    /// A program with PostgreSQL 18's programs first in its PATH, the superuser's password, and no other PG settings.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        let mut path = OsString::from(self.install.bin_dir());
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path).env("PGPASSWORD", self.source.superuser_password());
        command
    }
}

fn address(port: u16) -> String {
    format!("postgresql://{}@127.0.0.1:{port}/{DATABASE}", PgServer::SUPERUSER)
}

/// For an environment variable, never for a command line.
fn with_password(address: &str, server: &PgServer) -> String {
    address.replacen('@', &format!(":{}@", server.superuser_password()), 1)
}

/// How this program was compiled: the peers are distributed optimised.
pub fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev profile" } else { "release profile" }
}
