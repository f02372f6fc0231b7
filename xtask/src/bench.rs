//! `cargo xtask bench copy`: ours and its peers, side by side, on the same servers with the same settings.
//!
//! Everything is measured in one go, because only ratios of runs on the same machine in the same hour mean anything.
//! What the figures mean is said in the report itself, `target/bench/copy.json`; people look at `target/bench/copy.svg`.

mod activity;
mod child;
mod contender;
mod equal;
mod measure;
mod plot;
mod report;
mod scenario;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use pg_sandbox::{DelayProxy, PgInstall, PgServer};

use contender::Contender;
use report::Report;
use scenario::Scenario;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Copy whole databases with ours, pgcopydb, parallel dump and restore, and a plain pipe
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Only these scenarios (bulk, narrow, small-30ms, many, wide, from-15)
    #[arg(long, value_name = "NAME", value_parser = scenario::find)]
    scenario: Vec<&'static Scenario>,
    /// Only these contenders
    #[arg(long, value_name = "NAME", value_enum)]
    only: Vec<Contender>,
    /// How often each contender runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Row counts are multiplied by it; the targets hold for 1
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    scale: f64,
    /// What every contender is given as its number of jobs
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
}

/// The database's name on both servers.
const DATABASE: &str = "bench";

/// Every scenario's source but one's.
const SOURCE_MAJOR: u16 = 16;

/// PostgreSQL's own defaults, as the peers' users have them, instead of the sandbox's (which needs no durability and
/// keeps a logical log); and the locks that pgcopydb needs, which restores a whole schema in one transaction.
const SETTINGS: &[(&str, &str)] =
    &[("wal_level", "replica"), ("max_wal_size", "1GB"), ("max_locks_per_transaction", "1024")];

/// A server that has been at work writes its log into files that are there; on a new one whoever comes first would pay
/// for filling them with zeroes.
const WRITE_WAL: &str = "do $$ begin
       for i in 1 .. 128 loop perform pg_logical_emit_message(false, 'bench', 'x'), pg_switch_wal(); end loop;
     end $$;
     checkpoint";

/// Both servers, and where the bench keeps its files.
struct Bench {
    source: PgServer,
    target: PgServer,
    /// PostgreSQL 18's programs, which every contender uses.
    install: PgInstall,
    dir: PathBuf,
}

/// The ports a contender connects to: the servers' own, or their proxies'.
struct Route {
    source_port: u16,
    target_port: u16,
    /// Held so that they live as long as the route.
    _proxies: Vec<DelayProxy>,
}

/// Runs a benchmark.
pub fn run(command: &BenchCommand) -> anyhow::Result<()> {
    let BenchCommand::Copy(args) = command;
    ensure!(args.scale > 0.0 && args.scale.is_finite(), "--scale must be positive");
    ensure!(args.jobs > 0, "--jobs must be at least 1");
    let mut bench = Bench::set_up(SOURCE_MAJOR)?;
    let mut report = Report::begin(&bench, args)?;
    let chosen: Vec<&Scenario> =
        if args.scenario.is_empty() { scenario::ALL.iter().collect() } else { args.scenario.clone() };
    for scenario in chosen {
        println!("\n=== {}: {}", scenario.name, scenario.about);
        if bench.source.install().major() != scenario.source_major {
            bench = match Bench::set_up(scenario.source_major) {
                Ok(bench) => bench,
                Err(error) => {
                    println!("SKIPPED {}: {error:#}", scenario.name);
                    continue;
                }
            };
        }
        let measured = bench.run_scenario(scenario, args)?;
        report.print(&measured);
        report.scenarios.push(measured);
        // After each one, so that an hour's work is not lost to what comes later.
        write(&bench.dir.join("copy.json"), &format!("{}\n", serde_json::to_string_pretty(&report)?))?;
        write(&bench.dir.join("copy.svg"), &plot::svg(&report))?;
    }
    println!("\nreport  {}", bench.dir.join("copy.json").display());
    println!("plot    {}", bench.dir.join("copy.svg").display());
    Ok(())
}

impl Bench {
    fn set_up(source_major: u16) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
        let dir = root.join("target").join("bench");
        std::fs::create_dir_all(dir.join("log")).with_context(|| format!("cannot create {}", dir.display()))?;
        let install = |major| PgInstall::find(Some(major)).with_context(|| format!("cannot obtain PostgreSQL {major}"));
        let server = |major| {
            let server = PgServer::builder().install(install(major)?).durable(true);
            Ok::<_, anyhow::Error>(SETTINGS.iter().fold(server, |server, (name, value)| server.setting(name, value)))
        };
        let source = server(source_major)?.start().context("cannot start the source")?;
        // One password for both ends: libpq's PGPASSWORD knows only one.
        let target = server(18)?.superuser_password(source.superuser_password());
        let target = target.start().context("cannot start the target")?;
        target.psql("postgres", WRITE_WAL).context("cannot fill the target's log")?;
        Ok(Self { source, target, install: install(18)?, dir })
    }

    fn route(&self, delay: Duration) -> anyhow::Result<Route> {
        let (source_port, target_port) = (self.source.port(), self.target.port());
        if delay.is_zero() {
            return Ok(Route { source_port, target_port, _proxies: Vec::new() });
        }
        let source = DelayProxy::start(source_port, delay)?;
        let target = DelayProxy::start(target_port, delay)?;
        Ok(Route { source_port: source.port(), target_port: target.port(), _proxies: vec![source, target] })
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
