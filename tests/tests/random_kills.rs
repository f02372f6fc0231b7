//! SIGKILL at 50 random moments each of our process, a source backend, a target backend, the target server: the copy
//! that is left is continued to the end, holds what the source holds, and repeats nothing that was finished.
//!
//! The moments come from a seed that is printed; `TIERLIFT_KILL_SEED=N` repeats them.

#![allow(clippy::print_stderr)] // the seed must be known to whoever repeats a failure

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::Watched;
use pg_sandbox::{PgInstall, PgServer};
use pgmigrate::VerifyOptions;
use runbook::{Context, Quiet};
use serde_json::Value;

const MOMENTS: u32 = 50;
const SOURCE: &str = "shop";
const TARGET: &str = "shop_copy";
/// No copy of this size takes so long, however often it is tried.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    OurProcess,
    SourceBackend,
    TargetBackend,
    TargetServer,
}

#[test]
fn our_process() {
    kill_at_random_moments(Victim::OurProcess);
}

#[test]
fn a_source_backend() {
    kill_at_random_moments(Victim::SourceBackend);
}

#[test]
fn a_target_backend() {
    kill_at_random_moments(Victim::TargetBackend);
}

#[test]
fn the_target_server() {
    kill_at_random_moments(Victim::TargetServer);
}

fn kill_at_random_moments(victim: Victim) {
    let seed = std::env::var("TIERLIFT_KILL_SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs(),
        |text| text.parse().expect("TIERLIFT_KILL_SEED is a number"),
    );
    eprintln!("{victim:?}: TIERLIFT_KILL_SEED={seed}");
    let mut random = Random(seed.wrapping_add(victim as u64));
    let mut site = Site::new();
    let whole = site.undisturbed();
    let mut tally: BTreeMap<&str, u32> = BTreeMap::new();
    for moment in 0..MOMENTS {
        let what = format!("{victim:?}, moment {moment} of seed {seed}");
        site.fresh_target();
        let outcome = site.struck_copy(victim, &whole, &mut random, moment, &what);
        *tally.entry(outcome).or_default() += 1;
        site.check_contents(&what);
    }
    eprintln!("{victim:?}: {tally:?}");
    let struck: u32 = tally.iter().filter(|(name, _)| **name != MISSED).map(|(_, n)| n).sum();
    assert!(struck >= MOMENTS / 2, "{victim:?}, seed {seed}: too few moments hit a copy: {tally:?}");
}

const MISSED: &str = "nothing was hit";

/// A small generator (SplitMix64) whose numbers a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// What a copy is like when nobody disturbs it.
struct Whole {
    time: Duration,
    events: u64,
    rows: u64,
    parts: usize,
    entries: usize,
}

/// What the target has recorded: by part and by entry, when it was done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorded {
    parts: BTreeMap<String, (String, u64)>,
    parts_in_all: usize,
    entries: BTreeMap<String, String>,
    durable: bool,
}

struct Site {
    source: PgServer,
    target: PgServer,
    /// The source's contents as a newer pg_dump sees them.
    contents: Vec<String>,
}

impl Site {
    fn new() -> Self {
        // In four times the delay a crash can lose commits nobody waited for, and a copy that young begins anew.
        let builder = |major| {
            let install = PgInstall::find(Some(major)).expect("PostgreSQL can be obtained");
            PgServer::builder().install(install).setting("wal_writer_delay", "1ms").setting("autovacuum", "off")
        };
        let source = builder(16).start().expect("the source starts");
        let target = builder(18).start().expect("the target starts");
        source.psql("postgres", "create role reader").expect("the role is made");
        source.create_database(SOURCE).expect("the database is made");
        source.psql(SOURCE, include_str!("fixtures/small_with_all_phases.sql")).expect("the source is filled");
        let mut site = Self { source, target, contents: Vec::new() };
        site.contents = site.dump(&site.source, SOURCE);
        site
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(acceptance::program());
        command
            .args(["pg", "copy", "--yes", "--jobs", "2", "--split-mb", "1"])
            .args(args)
            .stdin(Stdio::null())
            .env("TIERLIFT_PG_BIN", self.target.install().bin_dir())
            .env("TIERLIFT_SOURCE_URL", self.source.url(SOURCE))
            .env("TIERLIFT_TARGET_URL", self.target.url(TARGET));
        command
    }

    fn fresh_target(&self) {
        let sql = format!("drop database if exists {TARGET} with (force)");
        self.target.psql("postgres", &sql).expect("the old database goes");
        self.target.create_database(TARGET).expect("the new database is made");
    }

    fn undisturbed(&self) -> Whole {
        let mut times = Vec::new();
        loop {
            self.fresh_target();
            let began = Instant::now();
            let (code, events) = Watched::start(self.program(&[])).finish_within(LIMIT).expect("it ends");
            times.push(began.elapsed());
            assert_eq!(code, 0, "{events:#?}");
            if times.len() < 3 {
                continue; // the first one warms up
            }
            let recorded = self.recorded();
            let report = &events.last().expect("a report")["report"];
            assert!(recorded.parts.len() as u64 > report["tables"].as_u64().expect("a number"), "tables are cut");
            self.check_contents("undisturbed");
            return Whole {
                time: *times.iter().skip(1).min().expect("several were measured"),
                events: events.len() as u64,
                rows: report["rows"].as_u64().expect("a number"),
                parts: recorded.parts.len(),
                entries: recorded.entries.len(),
            };
        }
    }

    /// A copy that is struck once, and continued if it did not survive. Says how it went.
    fn struck_copy(
        &mut self,
        victim: Victim,
        whole: &Whole,
        random: &mut Random,
        moment: u32,
        what: &str,
    ) -> &'static str {
        // Half of them wait for the servers to come back, the others give up at once and are continued by us.
        let patient = random.below(2) == 0;
        let mut copy = Watched::start(self.program(&["--retry", if patient { "60" } else { "0" }]));
        let mut seen = Vec::new();
        let after = if random.below(2) == 0 {
            Duration::from_nanos(random.below(u64::try_from(whole.time.as_nanos()).expect("seconds")))
        } else {
            let mut left = random.below(whole.events);
            copy.wait_for(|event| {
                seen.push(event.clone());
                left = left.saturating_sub(1);
                left == 0
            });
            Duration::from_micros(random.below(30_000))
        };
        std::thread::sleep(after); // the moment itself
        let hit = match victim {
            Victim::OurProcess => {
                copy.signal("KILL");
                true
            }
            Victim::SourceBackend => strike(&self.source, SOURCE, random),
            Victim::TargetBackend => strike(&self.target, TARGET, random),
            Victim::TargetServer => {
                self.target.kill_hard().expect("the server can be killed");
                self.target.restart().expect("the server recovers");
                true
            }
        };
        let (code, rest) = copy.finish_within(LIMIT).unwrap_or_else(|| panic!("{what}: it hangs"));
        let events = [seen, rest].concat();
        if code == 0 {
            let again = events.iter().any(|e| e["event"] == "note" && e["text"].as_str().is_some_and(is_retry));
            let report = &events.last().expect("a report")["report"];
            assert_eq!(report["rows"], whole.rows, "{what}");
            self.check_all_recorded(whole, what);
            return if again { "tried again by itself" } else { MISSED };
        }
        assert!(hit, "{what}: it failed by itself: {events:#?}");
        if victim != Victim::OurProcess {
            check_failure(code, &events, what);
        }
        // Every other time what the dead one left at work is awaited, so that what it finished is known exactly.
        let settled = moment.is_multiple_of(2);
        if settled {
            const LEFT: &str = "select count(*) from pg_stat_activity where application_name = 'tierlift copy'";
            let deadline = Instant::now() + LIMIT;
            while self.target.psql(TARGET, LEFT).expect("the target answers").trim() != "0" {
                assert!(Instant::now() < deadline, "{what}: its backends do not end");
            }
        }
        let before = self.recorded();
        let (code, events) = Watched::start(self.program(&[]))
            .finish_within(LIMIT)
            .unwrap_or_else(|| panic!("{what}: the resume hangs"));
        assert_eq!(code, 0, "{what}: the resume fails: {events:#?}");
        let anew = events.iter().any(|e| e["text"].as_str().is_some_and(|t| t.contains("begins anew")));
        if anew {
            assert!(victim == Victim::SourceBackend && !before.durable, "{what}: it begins anew: {events:#?}");
            return "continued, too young to be proved";
        }
        let after = self.check_all_recorded(whole, what);
        for (part, done) in &before.parts {
            assert_eq!(after.parts.get(part), Some(done), "{what}: part {part} was repeated");
        }
        for (entry, done_at) in &before.entries {
            assert_eq!(after.entries.get(entry), Some(done_at), "{what}: {entry} was repeated");
        }
        let report = &events.last().expect("a report")["report"];
        let number = |name: &str| report[name].as_u64().expect("a number");
        let rows_before: u64 = before.parts.values().map(|(_, rows)| rows).sum();
        // Parts of tables without a block are done from the start.
        let filled = |recorded: &Recorded| recorded.parts.values().filter(|(_, rows)| *rows > 0).count() as u64;
        let (parts_left, rows_left) = (filled(&after) - filled(&before), whole.rows - rows_before);
        let entries_left = (whole.entries - before.entries.len()) as u64;
        for (name, left) in [("parts_now", parts_left), ("rows_now", rows_left), ("entries_now", entries_left)] {
            // Without waiting the dead one's backends may have finished something after we looked.
            let fits = if settled { number(name) == left } else { number(name) <= left };
            assert!(fits, "{what}: {name} {} where {left} were left; {before:#?}", number(name));
        }
        match (before.parts_in_all, before.parts.len()) {
            (0, _) => "continued, before the first row",
            (all, done) if done < all => "continued, between rows",
            _ => "continued, after the rows",
        }
    }

    fn check_all_recorded(&self, whole: &Whole, what: &str) -> Recorded {
        let recorded = self.recorded();
        assert_eq!((recorded.parts.len(), recorded.parts_in_all), (whole.parts, whole.parts), "{what}");
        assert_eq!(recorded.entries.len(), whole.entries, "{what}");
        recorded
    }

    /// What the target says of its copy; nothing at all before it was begun.
    fn recorded(&self) -> Recorded {
        let ask = |sql: &str| self.target.psql(TARGET, sql).expect("the target answers");
        if ask("select to_regclass('tierlift.copy') is null").trim() == "t" {
            return Recorded::default();
        }
        let text = ask("select 'p', relation || ' ' || part, rows, done_at from tierlift.copy_part
                        union all select 'e', entry, null, done_at from tierlift.copy_entry
                        union all select 'd', null, null, now() from tierlift.copy where (writes ->> 'durable')::bool");
        let mut recorded = Recorded::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once('|').expect("four columns");
            let (rest, done_at) = rest.rsplit_once('|').expect("four columns");
            let (name, rows) = rest.rsplit_once('|').expect("four columns");
            match kind {
                "p" => {
                    recorded.parts_in_all += 1;
                    if !done_at.is_empty() {
                        let rows = rows.parse().expect("a finished part has a number of rows");
                        recorded.parts.insert(name.to_owned(), (done_at.to_owned(), rows));
                    }
                }
                "e" => drop(recorded.entries.insert(name.to_owned(), done_at.to_owned())),
                _ => recorded.durable = true,
            }
        }
        recorded
    }

    /// Equal by our own verification, and as pg_dump sees both ends.
    fn check_contents(&self, what: &str) {
        let url = |server: &PgServer, database: &str| server.url(database).parse().expect("a good URL");
        let options = VerifyOptions::new(url(&self.source, SOURCE), url(&self.target, TARGET));
        let cx = Context::detached("verify", std::sync::Arc::new(Quiet));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let seen = runtime.block_on(pgmigrate::verify(&options, &cx)).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(seen.is_equal(), "{what}: {:#?}", seen.mismatches);
        let copied = self.dump(&self.target, TARGET);
        for (a, b) in self.contents.iter().zip(&copied) {
            assert_eq!(a, b, "{what}");
        }
        assert_eq!(self.contents.len(), copied.len(), "{what}");
    }

    /// Everything in a database as the newer server's pg_dump writes it, a line each: definitions in its order, then
    /// rows sorted, since parts arrive in any order.
    fn dump(&self, server: &PgServer, database: &str) -> Vec<String> {
        let dump = |section: &str| -> Vec<String> {
            let output = Command::new(self.target.install().program("pg_dump"))
                .args(["--no-owner", "--exclude-schema=tierlift", section, "--dbname"])
                .arg(server.url(database))
                .output()
                .expect("pg_dump runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).expect("pg_dump writes UTF-8");
            let differs = |line: &str| ["\\restrict", "\\unrestrict", "-- Dumped"].iter().any(|w| line.starts_with(w));
            text.lines().filter(|line| !differs(line)).map(str::to_owned).collect()
        };
        let (definitions, mut rows) = (dump("--schema-only"), dump("--data-only"));
        rows.sort();
        [definitions, rows].concat()
    }
}

/// Ends one of our sessions, mostly with SIGKILL and now and then as an administrator would. False when there is none.
fn strike(server: &PgServer, database: &str, random: &mut Random) -> bool {
    let softly = random.below(5) == 0;
    let sql = format!(
        "select pid from pg_stat_activity where datname = '{database}' and application_name like 'tierlift%' order by pid"
    );
    // It may be busy recovering already, or the database not be there yet.
    let pids = server.psql("postgres", &sql).unwrap_or_else(|e| panic!("the server answers: {e}"));
    let pids: Vec<u32> = pids.lines().map(|pid| pid.trim().parse().expect("a number")).collect();
    if pids.is_empty() {
        return false;
    }
    let pid = pids[usize::try_from(random.below(pids.len() as u64)).expect("few")];
    if softly {
        server.psql("postgres", &format!("select pg_terminate_backend({pid})")).expect("the server answers").trim()
            == "t"
    } else {
        server.kill_backend(pid).expect("the server's processes can be listed")
    }
}

fn is_retry(note: &str) -> bool {
    note.contains("trying again")
}

/// It says what broke and what to do.
fn check_failure(code: i32, events: &[Value], what: &str) {
    let failure =
        events.iter().find(|e| e["event"] == "error").unwrap_or_else(|| panic!("{what}: exit {code} without a word"));
    let text = |name: &str| failure["failure"][name].as_str().unwrap_or("").to_owned();
    let (object, message, hint) = (text("object"), text("message"), text("hint"));
    assert!(!object.is_empty() || message.contains("127.0.0.1:"), "{what}: no object is named: {failure}");
    match code {
        3 => assert!(!hint.is_empty(), "{what}: {failure}"), // nothing had begun
        6 => assert!(hint.contains("again"), "{what}: {failure}"),
        _ => panic!("{what}: exit {code}: {failure}"),
    }
}
