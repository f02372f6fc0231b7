//! A saved plan is run exactly, once, and only in the world it was made for.

use acceptance::Site;

#[test]
fn a_saved_plan_is_good_for_one_run_in_the_world_it_was_made_for() {
    let site = Site::new(300);
    let file = site.dir.path().join("plan.json");
    let plan = file.to_str().expect("UTF-8");
    let save = || site.run(&["migrate", "--to", "tier2", "--plan-out", plan]).expect_code(2);
    let run = || site.run(&["migrate", "--to", "tier2", "--plan", plan, "--yes"]);
    save();
    let text = std::fs::read_to_string(&file).expect("a plan");

    let edited = text.replace("\"workers\": 2", "\"workers\": 9");
    assert_ne!(edited, text);
    std::fs::write(&file, edited).expect("written");
    assert!(run().expect_code(3).stderr.contains("was changed after it was saved"));
    std::fs::write(&file, &text).expect("written");

    site.on_source("alter table public.messages add column added int");
    let moved = run().expect_code(10).stderr;
    assert!(moved.contains("source schema was"), "{moved}");
    assert!(!site.state_dir().join("runs").exists(), "a run was begun");
    site.on_source("alter table public.messages drop column added");

    save();
    run().expect_code(0);
    let id = site.run_id();
    let twice = run().expect_code(10).stderr;
    assert!(twice.contains(&id), "{twice}");
    site.run(&["rollback", &id, "--yes"]).expect_code(0);
    run().expect_code(10);
}
