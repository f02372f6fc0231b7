//! One run a target: the second is told who holds it, and the first is not disturbed.

use acceptance::{Outcome, Site, Watched};

#[test]
fn a_second_run_is_refused_and_the_first_goes_on() {
    let site = Site::new(1_000);
    let mut first = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
    let started = first.wait_for(|event| event["event"] == "step_started" && event["step"] == "backfill");
    assert!(started.is_some(), "the backfill was not reached");
    // Held still, so that it can't end before the others have asked.
    first.signal("STOP");

    let same = site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(7);
    for part in [site.run_id(), format!("process {}", first.pid())] {
        assert!(same.stderr.contains(&part), "{part:?} is missing from:\n{}", same.stderr);
    }
    let mut elsewhere = site.tierlift(&["migrate", "--to", "tier2", "--yes"]);
    elsewhere.env("TIERLIFT_STATE_DIR", site.dir.path().join("another"));
    let other = Outcome::of(elsewhere).expect_code(7);
    assert!(other.stderr.contains("another run holds it: server process"), "{}", other.stderr);
    site.run(&["rollback", &site.run_id(), "--yes"]).expect_code(7);

    first.signal("CONT");
    assert_eq!(first.finish(), 0);
    site.assert_migrated();
}
