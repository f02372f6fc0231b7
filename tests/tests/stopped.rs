//! The operator stops a run: Ctrl-C or SIGTERM, once or twice, going forward or back. What is left can be continued.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use acceptance::{OpenSession, Site, Watched, signal};

#[test]
fn stops_at_a_signal_and_can_be_continued_or_put_back() {
    let site = Site::new(3_000);
    let before = site.both_ends();
    for (name, step) in [("INT", "copy"), ("TERM", "backfill"), ("INT", "index")] {
        let mut run = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
        let started = run.wait_for(|event| event["event"] == "step_started" && event["step"] == step);
        assert!(started.is_some(), "{step} was not reached");
        run.signal(name);
        assert_eq!(run.finish(), 11, "{name} in {step}");

        let id = site.run_id();
        let status = site.run(&["status", &id]).expect_code(0).stdout;
        assert!(status.contains("so far") && status.contains(&format!("resume {id}")), "{name} in {step}: {status}");
        // A new run must not start over it, and must be told of it rather than of what it left on the target.
        let refused = site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(7);
        assert!(refused.stderr.contains(&id) && refused.stderr.contains("rollback"), "{}", refused.stderr);

        if name == "TERM" {
            site.run(&["resume", &id, "--yes"]).expect_code(0);
            site.assert_migrated();
        }
        site.run(&["rollback", &id, "--yes"]).expect_code(0);
        before.assert_same(&site.both_ends(), &format!("after {name} in {step} and a rollback"));
        std::fs::remove_dir_all(site.state_dir()).expect("the state folder can be removed");
    }
}

#[test]
fn says_that_it_is_stopping_and_that_the_source_is_still_fenced() {
    let site = Site::new(3_000);
    let (child, mut said) = start(&site, &["migrate", "--to", "tier2", "--yes"]);
    assert!(said.any(|line| line.contains("] backfill:")), "the backfill was not reached");
    signal(child.id(), "INT");
    let rest: Vec<String> = said.collect();
    assert!(rest.iter().any(|line| line.starts_with("stopping")), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("still refuses writes")), "{rest:?}");
    let output = child.wait_with_output().expect("it ends");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(11), "{stdout}");
    assert!(stdout.contains(&format!("resume {}", site.run_id())), "{stdout}");
}

#[test]
fn an_undo_is_stopped_only_by_the_second_signal_and_goes_on_afterwards() {
    let site = Site::new(500);
    let before = site.both_ends();
    site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(0);
    let id = site.run_id();
    // Whatever is dropped first, it waits for this.
    let reader = OpenSession::start(&site.new.owner_url, "begin; lock table public.messages in access share mode");

    let (mut child, mut said) = start(&site, &["rollback", &id, "--yes"]);
    assert!(said.any(|line| line.starts_with("unwinding")), "the unwind did not start");
    signal(child.id(), "INT");
    assert!(said.any(|line| line.contains("not left half-way")), "the first signal was not heard");
    signal(child.id(), "INT");
    let rest: Vec<String> = said.collect();
    assert!(rest.iter().any(|line| line.contains(&format!("rollback {id}"))), "{rest:?}");
    assert_eq!(child.wait().expect("it ends").code(), Some(11));
    let status = site.run(&["status", &id]).expect_code(0).stdout;
    assert!(status.contains("it was going back"), "{status}");

    reader.end();
    site.run(&["rollback", &id, "--yes"]).expect_code(0);
    before.assert_same(&site.both_ends(), "after an interrupted and a finished rollback");
}

#[test]
fn a_copy_without_a_run_says_that_the_same_command_goes_on() {
    let site = Site::new(6_000);
    let copy = ["pg", "copy", "--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL", "--yes"];
    let (mut child, mut said) = start(&site, &[&copy[..], &["--max-rate", "100kB/s"]].concat());
    assert!(said.any(|line| line.contains("rows")), "no row was copied");
    signal(child.id(), "INT");
    let rest: Vec<String> = said.collect();
    assert!(rest.last().is_some_and(|line| line.contains("the same command goes on")), "{rest:?}");
    assert_eq!(child.wait().expect("it ends").code(), Some(11));

    site.run(&copy).expect_code(0);
    site.run(&["pg", "verify", "--source", copy[3], "--target", copy[5]]).expect_code(0);
}

/// Starts the program; what it says comes a line at a time.
fn start(site: &Site, args: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = site.tierlift(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let said = BufReader::new(child.stderr.take().expect("stderr is piped"));
    (child, said.lines().map_while(Result::ok))
}
