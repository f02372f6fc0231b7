//! Passwords appear nowhere: not in output, journal, plan, process list or server logs.

use std::collections::BTreeSet;

use acceptance::{Site, Watched, tree};
use pg_session::PgUrl;

fn password(url: &str) -> String {
    url.parse::<PgUrl>().expect("a URL").password().expect("a password").to_owned()
}

/// The arguments of every process on this machine.
fn process_list() -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if let Ok(args) = std::fs::read(entry.path().join("cmdline")) {
            all.push_str(&String::from_utf8_lossy(&args).replace('\0', " "));
            all.push('\n');
        }
    }
    all
}

#[test]
#[cfg(target_os = "linux")]
fn passwords_appear_nowhere() {
    let site = Site::new(3_000);
    let secrets = [password(&site.old.owner_url), password(&site.new.owner_url)];
    assert!(secrets.iter().all(|s| s.len() >= 8), "a short password could appear by chance");
    let clean = |place: &str, text: &str| {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "a password appears in {place}");
        }
    };

    let plan = site.dir.path().join("plan.json");
    let plan_arg = plan.to_str().expect("UTF-8");
    let dry = site.run(&["migrate", "--to", "tier2", "--plan-out", plan_arg]);
    clean("the output of --plan-out", &(dry.stdout + &dry.stderr));
    clean("the saved plan", &std::fs::read_to_string(&plan).expect("a plan was saved"));

    // Sample the process list at every event of a run: children such as pg_dump come and go between them.
    let mut run = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--plan", plan_arg, "--yes"]));
    let mut seen = BTreeSet::new();
    let ended = run.wait_for(|event| {
        clean("an event", &event.to_string());
        clean("the process list", &process_list());
        seen.insert(event["event"].as_str().unwrap_or("?").to_owned());
        event["event"] == "run_ended"
    });
    assert!(ended.is_some(), "the run did not end: {seen:?}");
    assert_eq!(run.finish(), 0);

    let wrong = site.new.owner_url.replace(&secrets[1], "not-the-password");
    let refused = acceptance::Outcome::of(site.tierlift_with(
        &["migrate", "--to", "tier2", "--yes"],
        &site.old.owner_url,
        &wrong,
    ));
    clean("an error", &(refused.stdout.clone() + &refused.stderr));
    assert!(!(refused.stdout + &refused.stderr).contains("not-the-password"), "the wrong password appears in an error");

    for (path, bytes) in tree(site.dir.path()) {
        clean(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
    clean("the source's log", &site.source.log_text().expect("a log"));
    clean("the target's log", &site.target.log_text().expect("a log"));
}
