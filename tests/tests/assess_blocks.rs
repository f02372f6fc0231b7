//! A block that assess finds stops `migrate` with exit 4 before anything changes, and `pg assess` shows it first.

use acceptance::{Outcome, Site};

#[test]
fn an_index_whose_function_needs_a_search_path_stops_the_migration() {
    let site = Site::new(100);
    let sql = "create function public.tidy(t text) returns text language sql immutable as 'select lower(btrim(t))';
               create function public.leaning(t text) returns text language plpgsql immutable
                 as 'begin return tidy(t); end';
               create index messages_leaning on public.messages (leaning(content))";
    site.source.psql(&site.old.database, sql).expect("the source runs it");
    let before = site.both_ends();

    let outcome = site.run(&["migrate", "--to", "tier2", "--yes"]).expect_code(4);
    for part in ["index public.messages_leaning", "function tidy(text) does not exist", "set search_path"] {
        assert!(outcome.stderr.contains(part), "{part} is missing from:\n{}", outcome.stderr);
    }
    before.assert_same(&site.both_ends(), "after the refusal");
    assert!(!site.state_dir().join("runs").exists(), "no run was begun");

    let ends = ["--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL"];
    let assess =
        |more: &[&str]| Outcome::of(site.tierlift(&[&["pg", "assess"][..], &ends, more].concat())).expect_code(4);
    let text = assess(&[]).stdout;
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is missing from:\n{text}"));
    assert!(place("BLOCKS (1)") < place("index public.messages_leaning"));
    assert!(place("index public.messages_leaning") < place("CHANGES ("));
    assert!(place("CHANGES (") < place("NOTES (") && place("NOTES (") < place("ESTIMATE"));
    assert!(text.contains("blocked by 1") && text.contains("then look again with"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal:\n{text}");

    // The names that scripts may rely on; see docs/assess.md.
    let json: serde_json::Value = serde_json::from_str(assess(&["--json"]).stdout.trim()).expect("one JSON object");
    assert_eq!(json["event"], "assessed");
    let findings = json["assessment"]["findings"].as_array().expect("findings are a list");
    assert_eq!(findings[0]["severity"], "blocks");
    assert!(findings.iter().all(|f| ["object", "message", "remedy"].iter().all(|name| f[name].is_string())));
    for name in ["rows", "bytes", "seconds", "source_round_trip_ms", "target_bytes_per_second"] {
        assert!(json["assessment"]["forecast"][name].is_number(), "{name} in {}", json["assessment"]["forecast"]);
    }
    before.assert_same(&site.both_ends(), "after looking");
}

#[test]
fn a_copy_says_how_wrong_its_estimate_was() {
    let site = Site::new(500);
    let ends = ["--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL"];
    let outcome = Outcome::of(site.tierlift(&[&["pg", "copy", "--yes"][..], &ends].concat())).expect_code(0);
    assert!(outcome.stdout.contains("the estimate was off by"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("CHANGES ("), "{}", outcome.stdout);
}
