//! What both servers were doing while a contender ran: `pg_stat_activity`, looked at twenty times a second.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, ensure};
use pg_sandbox::PgServer;
use serde::Serialize;

use super::{Bench, DATABASE};

const INTERVAL: Duration = Duration::from_millis(50);

/// One row a session: when (ms of the clock), its state, what it waits for, and the first words of what it runs.
fn question() -> String {
    format!(
        "select (extract(epoch from clock_timestamp()) * 1000)::int8, coalesce(state, '-'), \
                coalesce(wait_event_type || ':' || wait_event, 'on cpu'), \
                coalesce(substring(regexp_replace(lower(left(query, 400)), '^(begin[^;]*;|set [^;]*;|--[^\n]*\n|\\s)*', '') \
                                   from '^\\w+(?: \\w+)?'), '-') \
           from pg_stat_activity \
          where datname = '{DATABASE}' and backend_type in ('client backend', 'parallel worker');\n"
    )
}

/// How often sessions of one server were seen in one condition.
#[derive(Debug, Serialize)]
pub struct Waits {
    pub side: &'static str,
    pub state: String,
    pub wait: String,
    /// The first words of the statement that runs, or ran last.
    pub statement: String,
    /// Sessions seen so, summed over all looks.
    pub seen: u64,
    /// How many such sessions there were at a time, on average over the run.
    pub sessions: f64,
}

/// When statements of a kind ran.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub side: &'static str,
    pub statement: String,
    /// Since the run began.
    pub first_seconds: f64,
    pub last_seconds: f64,
    /// Looks at which at least one ran.
    pub seen: u64,
}

/// A run, as its servers saw it.
#[derive(Debug, Serialize)]
pub struct Activity {
    pub looks: u64,
    pub interval_ms: u64,
    pub waits: Vec<Waits>,
    pub phases: Vec<Phase>,
}

/// Looks until it is told to stop.
pub struct Sampler {
    began_ms: i64,
    watchers: Vec<Watcher>,
}

/// Looks at one server.
struct Watcher {
    side: &'static str,
    /// Dropping it ends the looking.
    stop: Sender<()>,
    /// How often it looked, and all the rows.
    thread: JoinHandle<anyhow::Result<(u64, String)>>,
}

impl Sampler {
    /// Starts looking at both servers, around proxies.
    pub fn start(bench: &Bench) -> anyhow::Result<Self> {
        let mut watchers = Vec::new();
        for (side, server) in [("source", &bench.source), ("target", &bench.target)] {
            let child = session(bench, server)?;
            let (stop, stopped) = channel();
            let thread = thread::spawn(move || {
                let mut child = child;
                let mut input = child.stdin.take().context("psql has no input")?;
                let output = thread::spawn(move || child.wait_with_output());
                let question = question();
                let mut looks = 0;
                loop {
                    input.write_all(question.as_bytes()).context("psql went away")?;
                    looks += 1;
                    if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                drop(input); // psql ends with its input
                let output = output.join().map_err(|_| anyhow::anyhow!("the reader of psql ended abnormally"))??;
                ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
                Ok((looks, String::from_utf8_lossy(&output.stdout).into_owned()))
            });
            watchers.push(Watcher { side, stop, thread });
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Self { began_ms: i64::try_from(since.as_millis())?, watchers })
    }

    /// Stops looking and counts.
    pub fn stop(self) -> anyhow::Result<Activity> {
        let mut activity =
            Activity { looks: 0, interval_ms: INTERVAL.as_millis() as u64, waits: Vec::new(), phases: Vec::new() };
        for Watcher { side, stop, thread } in self.watchers {
            drop(stop);
            let (looks, text) = thread.join().map_err(|_| anyhow::anyhow!("a sampler ended abnormally"))??;
            activity.looks = activity.looks.max(looks);
            activity.count(side, &text, looks, self.began_ms);
        }
        Ok(activity)
    }
}

impl Activity {
    fn count(&mut self, side: &'static str, text: &str, looks: u64, began_ms: i64) {
        let mut waits: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        let mut phases: BTreeMap<&str, (i64, i64, u64)> = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let [at, state, wait, statement] = fields[..] else { continue };
            let Ok(at) = at.parse::<i64>() else { continue };
            *waits.entry((state, wait, statement)).or_default() += 1;
            if state == "active" {
                let (_, last, seen) = phases.entry(statement).or_insert((at, i64::MIN, 0));
                *seen += u64::from(at > *last + 5); // two sessions at one look count once
                *last = at;
            }
        }
        self.waits.extend(waits.into_iter().map(|((state, wait, statement), seen)| Waits {
            side,
            state: state.into(),
            wait: wait.into(),
            statement: statement.into(),
            seen,
            sessions: hundredths(seen as f64 / looks.max(1) as f64),
        }));
        self.waits.sort_by(|a, b| (a.side, b.seen).cmp(&(b.side, a.seen)));
        let seconds = |at: i64| hundredths((at - began_ms) as f64 / 1000.0);
        self.phases.extend(phases.into_iter().map(|(statement, (first, last, seen))| Phase {
            side,
            statement: statement.into(),
            first_seconds: seconds(first),
            last_seconds: seconds(last),
            seen,
        }));
        self.phases.sort_by(|a, b| (a.side, a.first_seconds).partial_cmp(&(b.side, b.first_seconds)).expect("no NaN"));
    }
}

/// `pg_stat_activity` is read in the database `postgres`: a session in the benched one would be in the way.
fn session(bench: &Bench, server: &PgServer) -> anyhow::Result<Child> {
    bench
        .command(bench.install.program("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", server.host(), "-U", PgServer::SUPERUSER])
        .args(["-p", &server.port().to_string(), "-d", "postgres"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run psql")
}

pub fn hundredths(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sessions_and_finds_phases() {
        let text = "10000|active|on cpu|copy\n10000|active|IO:DataFileWrite|copy\n10050|active|on cpu|copy\n\
                    10100|active|on cpu|create index\n10100|idle|Client:ClientRead|commit\nnonsense\n";
        let mut activity = Activity { looks: 0, interval_ms: 50, waits: Vec::new(), phases: Vec::new() };
        activity.count("target", text, 4, 9_900);
        let waits: Vec<_> = activity.waits.iter().map(|w| (w.statement.as_str(), w.seen, w.sessions)).collect();
        assert_eq!(waits[0], ("copy", 2, 0.5));
        assert_eq!(waits.len(), 4);
        let phases: Vec<_> =
            activity.phases.iter().map(|p| (p.statement.as_str(), p.first_seconds, p.last_seconds, p.seen)).collect();
        assert_eq!(phases, [("copy", 0.1, 0.15, 2), ("create index", 0.2, 0.2, 1)]);
    }
}
