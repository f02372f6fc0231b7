//! `migrate --dry-run` says everything and changes nothing.

use acceptance::Site;

#[test]
fn dry_run_exits_2_describes_every_step_and_changes_nothing() {
    let site = Site::new(500);
    let before = site.both_ends();

    let outcome = site.run(&["migrate", "--to", "tier2", "--dry-run"]).expect_code(2);

    before.assert_same(&site.both_ends(), "after the dry run");
    assert!(!site.state_dir().join("runs").exists(), "a dry run leaves no run behind");
    for step in acceptance::steps() {
        assert!(outcome.stdout.contains(&step), "step {step} is missing from:\n{}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("500 rows"), "no row estimate in:\n{}", outcome.stdout);
    assert!(outcome.stdout.contains(" kB") || outcome.stdout.contains(" MB"), "no byte estimate:\n{}", outcome.stdout);
}

#[test]
fn dry_run_as_json_is_one_object_a_line() {
    let site = Site::new(100);
    let outcome = site.run(&["migrate", "--to", "tier2", "--dry-run", "--json"]).expect_code(2);
    let lines: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let previewed = lines.iter().filter(|line| line["event"] == "step_previewed").count();
    assert_eq!(previewed, acceptance::steps().len(), "{}", outcome.stdout);
    assert!(lines.iter().any(|line| line["event"] == "plan" && line["digest"].is_string()), "{}", outcome.stdout);
}
