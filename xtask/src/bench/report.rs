//! What was measured, as `copy.json` and as a table.

use anyhow::Context;
use serde::Serialize;

use super::activity::{Activity, hundredths};
use super::contender::{Contender, profile};
use super::measure::load_average;
use super::scenario::Scenario;
use super::{Bench, CopyArgs};

/// Everything of one call.
#[derive(Debug, Serialize)]
pub struct Report {
    pub scale: f64,
    pub rounds: u32,
    pub jobs: usize,
    pub machine: Machine,
    pub notes: Vec<String>,
    pub scenarios: Vec<ScenarioReport>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub load_average_before: Option<f64>,
    pub our_build: &'static str,
    pub source: String,
    pub target: String,
    /// Settings of the source and the target, `name = value`.
    pub source_settings: Vec<String>,
    pub target_settings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ScenarioReport {
    pub name: &'static str,
    pub about: &'static str,
    pub round_trip_ms: u64,
    /// Indexes included.
    pub source_bytes: u64,
    pub tables: u64,
    pub contenders: Vec<ContenderReport>,
    pub ratios: Vec<Ratio>,
    pub verify: Option<Verify>,
}

#[derive(Debug, Serialize)]
pub struct ContenderReport {
    #[serde(skip)]
    pub contender: Contender,
    pub name: &'static str,
    pub version: Option<String>,
    pub command: String,
    /// Why there are no (more) runs.
    pub failure: Option<String>,
    /// Rows, sequences, indexes and constraints were compared with the source's after the first run.
    pub equal: bool,
    pub median_seconds: Option<f64>,
    pub runs: Vec<Run>,
    /// Of the first run.
    pub activity: Option<Activity>,
}

#[derive(Debug, Serialize)]
pub struct Run {
    pub seconds: f64,
    /// Of its steps in turn, such as dump and restore.
    pub step_seconds: Vec<f64>,
    /// Of the client's processes, not the servers'.
    pub cpu_seconds: f64,
    /// All its processes together, shared pages counted once.
    pub peak_memory_bytes: u64,
    /// Its largest process alone.
    pub largest_rss_bytes: u64,
    pub load_average_before: Option<f64>,
}

/// Our median as a share of a peer's.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub peer: &'static str,
    pub ours_of_peer: f64,
    /// `None` where nothing was promised.
    pub goal: Option<f64>,
    pub reached: Option<bool>,
}

/// Our verification after our copy, once a round.
#[derive(Debug, Serialize)]
pub struct Verify {
    pub seconds: Vec<f64>,
    pub median_seconds: f64,
    /// The median as a share of the copy's.
    pub of_copy: f64,
    /// Promised for bulk.
    pub goal: f64,
}

const SETTINGS: &str = "
select name || ' = ' || current_setting(name) from pg_settings
 where name in ('shared_buffers', 'max_wal_size', 'fsync', 'full_page_writes', 'wal_level', 'synchronous_commit',
                'maintenance_work_mem', 'work_mem', 'max_parallel_maintenance_workers', 'checkpoint_timeout',
                'autovacuum', 'max_locks_per_transaction', 'wal_compression', 'io_method')
 order by 1";

impl Report {
    /// Before anything is measured.
    pub fn begin(bench: &Bench, args: &CopyArgs) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = load_average();
        let mut notes = vec![
            "Seconds are wall clock, from the start of a contender's first program to the end of its last.".to_owned(),
            "peak_memory_bytes is the sum over a contender's processes at one moment (shared pages once), sampled ten \
             times a second; largest_rss_bytes is the kernel's maximum for its largest process. Of several steps, the \
             largest."
                .to_owned(),
            "The servers have PostgreSQL's own defaults, durable as a real one (fsync, full_page_writes), save \
             max_locks_per_transaction 1024, without which pgcopydb cannot restore 5,000 tables. The target wrote 2 GB of \
             log beforehand, so that nobody's run pays for making the log's files."
                .to_owned(),
            "Ours takes over the source's statistics or analyses what it copied, pgcopydb vacuums and analyses it; the others \
             leave that to autovacuum."
                .to_owned(),
            "activity: both servers' pg_stat_activity during the first run; `sessions` is an average over the run."
                .to_owned(),
        ];
        if load.is_some_and(|load| load > 0.5) {
            notes.push("DISTURBED: the machine was not idle when the bench began, see the load averages.".to_owned());
        }
        if cfg!(debug_assertions) {
            notes.push(
                "Ours is a dev build; `cargo run --release -p xtask -- bench copy` measures what is shipped."
                    .to_owned(),
            );
        }
        if (args.scale - 1.0).abs() > f64::EPSILON {
            notes.push(format!("Scale {}: the goals hold for scale 1.", args.scale));
        }
        let settings = |server: &pg_sandbox::PgServer| -> anyhow::Result<Vec<String>> {
            let answer = server.psql("postgres", SETTINGS).context("cannot read the settings")?;
            Ok(answer.lines().map(str::to_owned).collect())
        };
        for note in &notes {
            println!("{note}");
        }
        Ok(Self {
            scale: args.scale,
            rounds: args.rounds,
            jobs: args.jobs,
            machine: Machine {
                cores,
                load_average_before: load,
                our_build: profile(),
                source: format!("PostgreSQL {}", bench.source.install().version()),
                target: format!("PostgreSQL {}", bench.target.install().version()),
                source_settings: settings(&bench.source)?,
                target_settings: settings(&bench.target)?,
            },
            notes,
            scenarios: Vec::new(),
        })
    }

    /// One scenario's table.
    pub fn print(&self, scenario: &ScenarioReport) {
        println!("\n{:<13} {:>9} {:>9} {:>9} {:>9}  ours / it", "", "median s", "client s", "memory MB", "largest");
        for contender in &scenario.contenders {
            let Some(median) = contender.median_seconds else {
                println!("{:<13} {}", contender.name, contender.failure.as_deref().unwrap_or("did not run"));
                continue;
            };
            let most = |of: fn(&Run) -> u64| contender.runs.iter().map(of).max().unwrap_or(0) as f64 / 1e6;
            let cpu = median_of(contender.runs.iter().map(|run| run.cpu_seconds).collect()).unwrap_or(0.0);
            let ratio = scenario.ratios.iter().find(|ratio| ratio.peer == contender.name).map(Ratio::words);
            println!(
                "{:<13} {median:>9.2} {cpu:>9.2} {:>9.0} {:>9.0}  {}",
                contender.name,
                most(|run| run.peak_memory_bytes),
                most(|run| run.largest_rss_bytes),
                ratio.unwrap_or_default()
            );
        }
        if let Some(verify) = &scenario.verify {
            println!("pg verify     {:>9.2}  {:.2} of the copy", verify.median_seconds, verify.of_copy);
        }
    }
}

impl ContenderReport {
    /// Before it ran; without a version it will not.
    pub fn new(contender: Contender, version: anyhow::Result<String>) -> Self {
        let (version, failure) = match version {
            Ok(version) => (Some(version), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            contender,
            name: contender.name(),
            version,
            command: String::new(),
            failure,
            equal: false,
            median_seconds: None,
            runs: Vec::new(),
            activity: None,
        }
    }
}

impl ScenarioReport {
    /// With medians and ratios.
    pub fn new(
        scenario: &Scenario,
        source_bytes: u64,
        tables: u64,
        mut contenders: Vec<ContenderReport>,
        verifications: Vec<f64>,
    ) -> Self {
        for contender in &mut contenders {
            contender.median_seconds = median_of(contender.runs.iter().map(|run| run.seconds).collect());
        }
        let ours = contenders.iter().find(|c| c.contender == Contender::Ours).and_then(|c| c.median_seconds);
        let ratios = contenders
            .iter()
            .filter(|c| c.contender != Contender::Ours)
            .filter_map(|peer| {
                let ours_of_peer = ours? / peer.median_seconds?;
                let goal = scenario.goals.iter().find(|(of, _)| *of == peer.contender).map(|(_, goal)| *goal);
                let reached = goal.map(|goal| ours_of_peer <= goal);
                Some(Ratio { peer: peer.name, ours_of_peer: hundredths(ours_of_peer), goal, reached })
            })
            .collect();
        let verify = median_of(verifications.clone()).zip(ours).map(|(median, ours)| Verify {
            seconds: verifications.into_iter().map(hundredths).collect(),
            median_seconds: hundredths(median),
            of_copy: hundredths(median / ours),
            goal: 0.35,
        });
        Self {
            name: scenario.name,
            about: scenario.about,
            round_trip_ms: u64::try_from(2 * scenario.delay.as_millis()).unwrap_or(u64::MAX),
            source_bytes,
            tables,
            contenders,
            ratios,
            verify,
        }
    }
}

impl Ratio {
    /// For people.
    pub fn words(&self) -> String {
        match (self.goal, self.reached) {
            (Some(goal), Some(true)) => format!("{:.2} (goal {goal:.2}: reached)", self.ours_of_peer),
            (Some(goal), _) => format!("{:.2} (goal {goal:.2}: missed)", self.ours_of_peer),
            (None, _) => format!("{:.2}", self.ours_of_peer),
        }
    }
}

/// The middle one; of an even number the mean of the two in the middle.
fn median_of(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_middle() {
        for (values, expect) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![9.0, 1.0, 2.0], Some(2.0)), (vec![4.0, 1.0], Some(2.5))]
        {
            assert_eq!(median_of(values.clone()), expect, "{values:?}");
        }
    }
}
