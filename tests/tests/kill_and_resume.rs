//! SIGKILL after every step in turn, and in the middle of copy and backfill: `resume` finishes, nothing is done twice.

use std::collections::BTreeMap;

use acceptance::{Site, Watched};
use serde_json::Value;

fn step_is_done(step: &str) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["event"] == "step_done" && event["step"] == step
}

/// How often each step was applied to its end, from the journal.
fn times_done(site: &Site) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in site.journal() {
        if line["event"]["type"] == "step_done" {
            *times.entry(line["event"]["step"].as_str().expect("a step id").to_owned()).or_insert(0) += 1;
        }
    }
    times
}

#[test]
fn resumes_after_kill_behind_every_step() {
    let site = Site::new(1_500);
    let steps = acceptance::steps();
    let mut command = site.tierlift(&["migrate", "--to", "tier2", "--yes"]);
    for (i, step) in steps.iter().enumerate() {
        let mut run = Watched::start(command);
        let reached = run.wait_for(step_is_done(step));
        assert!(reached.is_some(), "{step} was not reached");
        run.kill();
        let id = site.run_id();
        if i + 1 == steps.len() {
            // The last kill may have come before or after the run was marked complete: both must resume to the same.
            site.run(&["resume", &id, "--yes"]).expect_code(0);
        }
        command = site.tierlift(&["resume", &id, "--yes"]);
    }
    site.assert_migrated();
    let times = times_done(&site);
    for step in &steps {
        assert_eq!(times.get(step), Some(&1), "{step} in {times:?}");
    }
}

#[test]
fn resumes_after_kill_within_copy_and_within_backfill() {
    let site = Site::new(30_000);
    let moving = |step: &'static str| {
        move |event: &Value| {
            event["event"] == "progress" && event["step"] == step && event["progress"]["rows"].as_u64() > Some(0)
        }
    };
    let mut run = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
    assert!(run.wait_for(moving("copy")).is_some(), "the copy reported no progress");
    run.kill();
    let id = site.run_id();

    let mut run = Watched::start(site.tierlift(&["resume", &id, "--yes"]));
    assert!(run.wait_for(moving("backfill")).is_some(), "the backfill reported no progress");
    run.kill();
    let embedded_before: u64 =
        site.on_target("select count(*) from public.messages where embedding is not null").parse().expect("a count");

    let mut run = Watched::start(site.tierlift(&["resume", &id, "--yes"]));
    let done = run.wait_for(step_is_done("backfill")).expect("the backfill ends");
    assert_eq!(run.finish(), 0);
    let rows = done["output"]["rows"].as_u64().expect("the backfill says how many rows it embedded");
    assert!(embedded_before > 0, "the kill came before the first chunk was committed");
    // Equal, not `<=`: a chunk committed before the kill is not embedded again.
    assert_eq!(embedded_before + rows, 30_000);
    site.assert_migrated();
}

#[test]
fn rollback_of_a_killed_run_puts_everything_back() {
    let site = Site::new(500);
    let before = site.both_ends();
    for step in ["fence", "copy", "backfill", "switch"] {
        let mut run = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
        assert!(run.wait_for(step_is_done(step)).is_some(), "{step} was not reached");
        run.kill();
        let id = site.run_id();
        site.run(&["rollback", &id, "--yes"]).expect_code(0);
        before.assert_same(&site.both_ends(), &format!("after a kill behind {step} and a rollback"));
        std::fs::remove_dir_all(site.state_dir()).expect("the state folder can be removed");
    }
}
