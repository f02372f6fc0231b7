//! What a person gets wrong: a one-screen error with its object and what to do, the right exit code, nothing changed.

#![allow(clippy::print_stderr)] // a skipped check is said aloud

use acceptance::{Outcome, Site, playbooks};

fn check(site: &Site, name: &str, outcome: Outcome, code: i32, parts: &[&str]) {
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.code, code, "{name}:\n{text}");
    for part in parts {
        assert!(text.contains(part), "{name}: {part:?} is missing from:\n{text}");
    }
    assert!(outcome.stderr.lines().count() <= 24, "{name}: more than a screen:\n{text}");
    assert!(!site.state_dir().join("runs").exists(), "{name}: a run was begun");
}

#[test]
fn mistakes_are_refused_with_object_and_advice() {
    let site = Site::new(200);
    let before = site.both_ends();
    let (source, target) = (site.old.owner_url.clone(), site.new.owner_url.clone());
    let migrate = ["migrate", "--to", "tier2", "--yes"];
    let with = |source: &str, target: &str| Outcome::of(site.tierlift_with(&migrate, source, target));

    let replace_password = |url: &str| {
        let (head, tail) = url.rsplit_once('@').expect("a URL with a password");
        let (user, _) = head.rsplit_once(':').expect("a URL with a password");
        format!("{user}:wrong@{tail}")
    };
    check(&site, "wrong password", with(&source, &replace_password(&target)), 3, &["refused role", "what to do"]);
    // Port 1 on loopback: nothing listens there, and nothing else is asked.
    let nowhere = "postgresql://nobody:x@127.0.0.1:1/none";
    check(&site, "unreachable", with(&source, nowhere), 3, &["127.0.0.1:1/none", "cannot reach", "what to do"]);
    check(&site, "no database", with(&source, &target.replace("/oviya", "/absent")), 3, &["absent", "what to do"]);
    check(&site, "not a URL", with("host=localhost", &target), 3, &["postgresql://", "what to do"]);
    check(&site, "same database", with(&source, &source), 4, &["same database"]);

    // The application's role may not read everything and does not own the database.
    check(
        &site,
        "missing privilege",
        with(&site.old.app_url, &target),
        4,
        &["BLOCKS", site.old.app_url.split("//").nth(1).and_then(|s| s.split(':').next()).expect("a user")],
    );

    check(&site, "unknown tier", site.run(&["migrate", "--to", "tier9", "--yes"]), 3, &["tier9", "tier0, tier1"]);
    check(&site, "no playbook", site.run(&["migrate", "--to", "tier4", "--yes"]), 3, &["tier4", "tier1 to tier2"]);
    check(&site, "unknown system", site.run(&["migrate", "--to", "tier2", "--system", "nope"]), 3, &["nope", "oviya"]);
    check(&site, "bad argument", site.run(&["migrate", "--too", "tier2"]), 3, &["--too"]);
    check(&site, "no such run", site.run(&["resume", "20990101", "--yes"]), 3, &["20990101"]);
    check(&site, "not asked", site.run(&["migrate", "--to", "tier2"]), 3, &["--yes"]);

    let mut unset = site.tierlift(&migrate);
    unset.env_remove("OVIYA_TARGET_URL");
    check(&site, "variable unset", Outcome::of(unset), 3, &["OVIYA_TARGET_URL"]);
    let mut no_model = site.tierlift(&migrate);
    no_model.env("TIERLIFT_MODEL_DIR", "/nonexistent");
    check(&site, "no model", Outcome::of(no_model), 3, &["/nonexistent", "TIERLIFT_MODEL_DIR"]);

    let mut no_pg_dump = site.tierlift(&["migrate", "--to", "tier2", "--dry-run"]);
    no_pg_dump.env_remove("TIERLIFT_PG_BIN").env("PATH", "/nonexistent");
    match Outcome::of(no_pg_dump) {
        found if found.code == 2 => eprintln!("skipped: pg_dump is installed here where distributions put it"),
        outcome => check(&site, "no pg_dump", outcome, 3, &["pg_dump", "TIERLIFT_PG_BIN"]),
    }

    before.assert_same(&site.both_ends(), "after every mistake");
}

#[test]
fn a_target_that_is_not_empty_and_a_source_without_the_table_are_refused() {
    let site = Site::new(200);
    site.target.psql(&site.new.database, "create table public.leftover (id int)").expect("a table");
    let before = site.both_ends();
    check(&site, "not empty", site.run(&["migrate", "--to", "tier2", "--yes"]), 4, &["public.leftover", "not empty"]);
    before.assert_same(&site.both_ends(), "after the refusal");
    site.target.psql(&site.new.database, "drop table public.leftover").expect("dropped");

    site.source.psql(&site.old.database, "alter table public.messages rename to posts").expect("renamed");
    let before = site.both_ends();
    check(&site, "no table", site.run(&["migrate", "--to", "tier2", "--yes"]), 4, &["public.messages"]);
    before.assert_same(&site.both_ends(), "after the refusal");
}

#[test]
fn a_bad_playbook_is_refused_with_line_and_column() {
    let site = Site::new(50);
    let copy = site.dir.path().join("playbooks");
    std::fs::create_dir_all(copy.join("oviya")).expect("a folder");
    let original = playbooks().join("oviya");
    std::fs::copy(original.join("system.yaml"), copy.join("oviya/system.yaml")).expect("copied");
    let text = std::fs::read_to_string(original.join("tier1-to-tier2.yaml")).expect("the playbook");
    let broken = |name: &str, from: &str, to: &str, parts: &[&str]| {
        assert!(text.contains(from), "{name}: {from:?} is not in the playbook");
        std::fs::write(copy.join("oviya/tier1-to-tier2.yaml"), text.replacen(from, to, 1)).expect("written");
        let mut command = site.tierlift(&["migrate", "--to", "tier2", "--yes"]);
        command.env("TIERLIFT_PLAYBOOKS", &copy);
        check(&site, name, Outcome::of(command), 3, parts);
    };
    broken("unknown key", "  - id: fence\n", "  - id: fence\n    colour: red\n", &["colour", "tier1-to-tier2.yaml:"]);
    broken("not YAML", "steps:\n", "steps: [\n", &["tier1-to-tier2.yaml"]);
    broken("unknown action", "action: pg.fence\n", "action: pg.fense\n", &["pg.fense", "pg.fence"]);
    broken("unknown input", "source: $source\n", "source: $sauce\n", &["sauce"]);
    broken("duplicate step", "id: verify", "id: copy", &["copy"]);
    broken("unknown argument", "workers: 2", "wrokers: 2", &["wrokers"]);
}
