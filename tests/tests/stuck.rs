//! An undo that fails: the run is stuck, says so, blocks other runs, and goes on once the cause is mended.

use acceptance::{Outcome, Site};

/// The undo drops the table that this needs, but nothing that the copy did not make.
const NOT_YOURS: &str = "create view not_yours as select count(*) from public.messages";

#[test]
fn a_failed_undo_is_a_state_from_which_rollback_goes_on() {
    let site = Site::new(500);
    let before = site.both_ends();
    site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(0);
    let id = site.run_id();
    site.on_target(NOT_YOURS);

    let stuck = site.run(&["rollback", &id, "--yes"]).expect_code(6);
    for part in ["copy", "not_yours", &format!("rollback {id}"), "what to do", "still refuses writes"] {
        assert!(stuck.stderr.contains(part), "{part:?} is missing from:\n{}", stuck.stderr);
    }
    let status = site.run(&["status", &id]).expect_code(0).stdout;
    assert!(status.contains("stuck") && status.contains("not_yours"), "{status}");
    let refused = site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(7);
    assert!(refused.stderr.contains(&id) && refused.stderr.contains("stuck"), "{}", refused.stderr);

    site.on_target("drop view not_yours");
    site.run(&["rollback", &id, "--yes"]).expect_code(0);
    before.assert_same(&site.both_ends(), "after the stuck run was rolled back");
    for again in ["rollback", "resume"] {
        let outcome = site.run(&[again, &id, "--yes"]).expect_code(0);
        assert!(outcome.stdout.contains("nothing to do"), "{again}: {}", outcome.stdout);
    }
}

#[test]
fn a_failed_run_that_got_stuck_ends_with_0_when_the_operator_rolls_it_back() {
    let site = Site::new(300);
    let before = site.both_ends();
    // A gate that no search can pass.
    let folder = site.dir.path().join("playbooks");
    std::fs::create_dir_all(folder.join("oviya")).expect("a folder");
    let original = |name: &str| std::fs::read_to_string(acceptance::playbooks().join("oviya").join(name)).expect(name);
    std::fs::write(folder.join("oviya/system.yaml"), original("system.yaml")).expect("written");
    let playbook = original("tier1-to-tier2.yaml");
    let strict = playbook.replace("max_p95_ms: 1000", "max_p95_ms: 0.001");
    assert_ne!(strict, playbook);
    std::fs::write(folder.join("oviya/tier1-to-tier2.yaml"), strict).expect("written");

    let mut command = site.tierlift(&["migrate", "--to", "tier2", "--yes"]);
    command.env("TIERLIFT_PLAYBOOKS", &folder);
    let mut run = acceptance::Watched::start(command);
    let started = run.wait_for(|event| event["event"] == "step_started" && event["step"] == "backfill");
    assert!(started.is_some(), "the backfill was not reached");
    site.on_target(NOT_YOURS);
    let failed = run.wait_for(|event| event["event"] == "step_failed");
    assert_eq!(failed.map(|event| event["step"].clone()), Some("gate-semantic-search".into()));
    assert_eq!(run.finish(), 6);
    site.on_target("drop view not_yours");
    site.run(&["rollback", &site.run_id(), "--yes"]).expect_code(0);
    before.assert_same(&site.both_ends(), "after the failed run was rolled back");
}

#[test]
fn a_mistyped_variable_does_not_cost_the_run() {
    let site = Site::new(500);
    let before = site.both_ends();
    let mut run = acceptance::Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
    run.wait_for(|event| event["event"] == "step_done" && event["step"] == "copy");
    run.kill();
    let id = site.run_id();
    let journal = site.journal();
    let (source, target) = (site.old.owner_url.as_str(), site.new.owner_url.as_str());
    let wrong = |url: &str| {
        let (head, tail) = url.rsplit_once('@').expect("a URL with a password");
        let (user, _) = head.rsplit_once(':').expect("a URL with a password");
        format!("{user}:wrong@{tail}")
    };
    let elsewhere = |url: &str| url.replace("/oviya", "/postgres");
    for verb in ["resume", "rollback"] {
        let check = |source: &str, target: &str, part: &str| {
            let outcome = Outcome::of(site.tierlift_with(&[verb, &id, "--yes"], source, target)).expect_code(3);
            assert!(outcome.stderr.contains(part), "{verb}: {part:?} is missing from:\n{}", outcome.stderr);
            assert_eq!(site.journal(), journal, "{verb}: {part}: the journal went on");
        };
        check(&wrong(source), target, "refused role");
        check(source, &wrong(target), "refused role");
        check(&elsewhere(source), target, "the plan was made for");
        check(source, &elsewhere(target), "the plan was made for");
    }
    site.run(&["resume", &id, "--yes"]).expect_code(0);
    site.assert_migrated();
    site.run(&["rollback", &id, "--yes"]).expect_code(0);
    before.assert_same(&site.both_ends(), "after the rollback");
}
