//! One scenario: its data made once, then every contender in every round, into an empty database each time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use pg_sandbox::PgServer;

use super::activity::{Sampler, hundredths};
use super::child;
use super::contender::Contender;
use super::equal::{self, Contents};
use super::report::{ContenderReport, Run, ScenarioReport};
use super::scenario::Scenario;
use super::{Bench, CopyArgs, DATABASE, Route};

impl Bench {
    /// Measures one scenario. A contender that fails or is not there is reported, and the others go on.
    pub fn run_scenario(&self, scenario: &Scenario, args: &CopyArgs) -> anyhow::Result<ScenarioReport> {
        recreate(&self.source)?;
        let began = Instant::now();
        self.source.psql(DATABASE, &(scenario.sql)(args.scale)).context("cannot make the data")?;
        // Read once before anybody is timed, so that the first contender finds the source as warm as the last.
        let contents = equal::contents(&self.source)?;
        let (bytes, tables) = size(&self.source)?;
        println!(
            "{tables} tables, {:.0} MB with indexes, made and read in {:.0} s",
            bytes as f64 / 1e6,
            began.elapsed().as_secs_f64()
        );
        let route = self.route(scenario.delay)?;
        let mut contenders: Vec<ContenderReport> = Contender::ALL
            .into_iter()
            .filter(|contender| args.only.is_empty() || args.only.contains(contender))
            .map(|contender| ContenderReport::new(contender, contender.version(self)))
            .collect();
        for skipped in contenders.iter().filter(|c| c.failure.is_some()) {
            println!("SKIPPED {}: {}", skipped.name, skipped.failure.as_deref().unwrap_or_default());
        }
        let mut verifications = Vec::new();
        for round in 0..args.rounds {
            for entry in contenders.iter_mut().filter(|c| c.failure.is_none()) {
                match self.turn(entry, round, scenario, &route, args, &contents) {
                    Ok(run) => {
                        println!("round {} {:<13} {:>8.2} s", round + 1, entry.name, run.seconds);
                        entry.runs.push(run);
                    }
                    Err(error) => {
                        println!("FAILED  {}: {error:#}", entry.name);
                        entry.failure = Some(format!("{error:#}"));
                    }
                }
                if entry.contender == Contender::Ours && entry.failure.is_none() {
                    verifications.push(self.verify(&route, args.jobs)?);
                }
            }
        }
        empty(&self.dir.join("scratch"))?; // a dump may be large
        for server in [&self.source, &self.target] {
            drop_database(server)?;
        }
        Ok(ScenarioReport::new(scenario, bytes, tables, contenders, verifications))
    }

    /// One run, timed from the start of its first program to the end of its last.
    fn turn(
        &self,
        entry: &mut ContenderReport,
        round: u32,
        scenario: &Scenario,
        route: &Route,
        args: &CopyArgs,
        contents: &Contents,
    ) -> anyhow::Result<Run> {
        recreate(&self.target)?;
        let scratch = self.dir.join("scratch");
        empty(&scratch)?;
        let log = self.dir.join("log").join(format!("{}-{}-{}.log", scenario.name, entry.name, round + 1));
        std::fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let steps = entry.contender.steps(self, route, scenario, args.jobs, &scratch)?;
        entry.command = steps.iter().map(|step| shown(step)).collect::<Vec<_>>().join(" && ");
        // In the first round only: looking costs a little, the same for everybody.
        let sampler = if round == 0 { Some(Sampler::start(self)?) } else { None };
        let load = load_average();
        let began = Instant::now();
        let ended: anyhow::Result<Vec<(f64, child::Usage)>> = steps
            .into_iter()
            .map(|step| {
                let began = Instant::now();
                child::run(step, &log).map(|usage| (hundredths(began.elapsed().as_secs_f64()), usage))
            })
            .collect();
        let seconds = began.elapsed().as_secs_f64();
        if let Some(sampler) = sampler {
            entry.activity = Some(sampler.stop()?);
        }
        let ended = ended?;
        if round == 0 {
            let copied = equal::contents(&self.target)?;
            equal::compare(contents, &copied).context("the copy is not equal")?;
            entry.equal = true;
        }
        let most = |of: fn(&child::Usage) -> u64| ended.iter().map(|(_, usage)| of(usage)).max().unwrap_or(0);
        Ok(Run {
            seconds: (seconds * 1000.0).round() / 1000.0,
            step_seconds: ended.iter().map(|(seconds, _)| *seconds).collect(),
            cpu_seconds: hundredths(ended.iter().map(|(_, usage)| usage.cpu_seconds).sum()),
            peak_memory_bytes: most(|usage| usage.peak_memory_bytes),
            largest_rss_bytes: most(|usage| usage.largest_rss_bytes),
            load_average_before: load,
        })
    }

    /// How long our verification of the copy that is there takes, in seconds.
    fn verify(&self, route: &Route, jobs: usize) -> anyhow::Result<f64> {
        let url = |port| {
            let (user, password) = (PgServer::SUPERUSER, self.source.superuser_password());
            format!("postgresql://{user}:{password}@127.0.0.1:{port}/{DATABASE}")
        };
        let began = Instant::now();
        let output = Command::new(std::env::current_exe().context("cannot find this program")?)
            .args(["pg", "verify", "--source", "env:BENCH_SOURCE_URL", "--target", "env:BENCH_TARGET_URL", "--json"])
            .args(["--jobs", &jobs.to_string()])
            .env("BENCH_SOURCE_URL", url(route.source_port))
            .env("BENCH_TARGET_URL", url(route.target_port))
            .env("TIERLIFT_PG_BIN", self.install.bin_dir())
            .output()
            .context("cannot run pg verify")?;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(output.status.success(), "pg verify ended with {}", output.status);
        Ok(seconds)
    }
}

/// A fresh empty database; what was written before is on disk, so that nobody pays for another's pages.
fn recreate(server: &PgServer) -> anyhow::Result<()> {
    drop_database(server)?;
    server.create_database(DATABASE).context("cannot create the database")?;
    server.psql("postgres", "checkpoint").context("cannot checkpoint")?;
    Ok(())
}

fn drop_database(server: &PgServer) -> anyhow::Result<()> {
    let sql = format!("drop database if exists {DATABASE} with (force)");
    server.psql("postgres", &sql).map(drop).context("cannot drop the database")
}

/// Bytes of all relations, and how many tables.
fn size(server: &PgServer) -> anyhow::Result<(u64, u64)> {
    let sql = "select pg_database_size(current_database())
                      - (select pg_database_size('template1')), (select count(*) from pg_stat_user_tables)";
    let answer = server.psql(DATABASE, sql)?;
    let (bytes, tables) = answer.trim().split_once('|').context("the server gave no size")?;
    Ok((bytes.parse()?, tables.parse()?))
}

fn empty(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", dir.display()))
        }
        _ => std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display())),
    }
}

/// As one would type it, programs without their folders, long paths and ports as they were.
fn shown(step: &[Command]) -> String {
    let one = |command: &Command| {
        let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
        let words = std::iter::once(program).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    };
    step.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// Processes that wanted to run in the last minute; above the number of cores, others were in the way.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
