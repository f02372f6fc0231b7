//! What a playbook may say, and how a wrong one is pointed at.

use std::path::Path;

use runbook::*;
use serde_json::{Value, json};

const GOOD: &str = "\
playbook: oviya/tier1-to-tier2
system: oviya
from: tier1
to: tier2
inputs:
  source: {env: SOURCE_URL, secret: true, description: the old one}
  out: {env: OUT, default: deploy}
  fixed: {default: '7'}
steps:
  - id: copy
    title: Copy every table
    action: pg.copy
    with:
      source: $source
      jobs: 2
      ratio: 0.25
      price: $$5
      deep: [{to: $out, n: null}, true, $fixed]
";

/// Where the error is, what it says and what it advises.
fn check(text: &str, place: &str, message: &str, hint: &str) {
    let error = Playbook::parse(text, "p.yaml").expect_err(message);
    let seen = format!("{} | {} | {}", error.file, error.message, error.hint);
    assert!(
        error.file == format!("p.yaml:{place}") && error.message.contains(message) && error.hint.contains(hint),
        "{seen}\nexpected {place} | {message} | {hint}\nin\n{text}"
    );
    let failure = Failure::from(error.clone());
    assert_eq!((failure.kind, failure.object), (FailureKind::InvalidInput, error.file));
    assert!(!failure.hint.is_empty());
}

/// The same for `GOOD` with one thing changed.
fn check_with(old: &str, new: &str, place: &str, message: &str, hint: &str) {
    assert!(GOOD.contains(old), "{old}");
    check(&GOOD.replacen(old, new, 1), place, message, hint);
}

fn env(name: &str) -> Option<String> {
    match name {
        "SOURCE_URL" => Some("postgres://u:hunter2@h/db".to_owned()),
        _ => None,
    }
}

#[test]
fn resolves_references_and_escapes() {
    let playbook = Playbook::parse(GOOD, "p.yaml").unwrap();
    let inputs = Inputs::resolve(&playbook, &env).unwrap();
    let expect = json!({
        "source": {"env": "SOURCE_URL"}, "jobs": 2, "ratio": 0.25, "price": "$5",
        "deep": [{"to": "deploy", "n": null}, true, "7"],
    });
    let with = inputs.arguments(&playbook.steps[0]);
    assert_eq!(with, expect);
    assert_eq!(inputs.get("source"), Some(&json!({"env": "SOURCE_URL"})));
    let secrets = resolve_secrets(&with, &env).unwrap();
    assert_eq!(secrets["source"], "postgres://u:hunter2@h/db");
    assert_eq!(secrets["deep"], expect["deep"]);
}

#[test]
fn refuses_unknown_keys() {
    check_with("system:", "sytem:", "2:1", "unknown key `sytem`", "playbook, system, from, to, description, inputs");
    check_with("    title:", "    titel:", "11:5", "unknown key `titel`", "id, title, action, with");
    check_with("secret: true", "secrt: true", "6:29", "unknown key `secrt`", "env, secret, default, description");
}

#[test]
fn refuses_what_is_not_a_playbook() {
    // The place of what is missing is that of the last key beside it.
    check_with("system: oviya\n", "", "8:1", "`system` is missing", "system");
    check_with("    title: Copy every table\n", "", "12:5", "`title` is missing", "title");
    check_with("from: tier1", "from: [tier1]", "3:7", "not a playbook", "YAML");
    check_with("from: tier1", "from: 'tier1", "8:21", "not a playbook", "YAML");
    check_with("to: tier2", "to: tier2\nto: tier3", "5:1", "`to` is written twice", "one of the two");
    check_with("jobs: 2", "jobs: 2\n      jobs: 3", "16:7", "`jobs` is written twice", "one of the two");
    check_with("ratio: 0.25", "ratio: .nan", "16:14", "finite", "YAML");
    let missing = Playbook::load(Path::new("no/such.yaml")).unwrap_err();
    assert_eq!(missing.file, "no/such.yaml");
}

#[test]
fn refuses_what_contradicts_itself() {
    check_with("to: tier2", "to: tier1", "4:5", "from tier1 to itself", "two different tiers");
    check_with("from: tier1", "from: ''", "3:7", "`from` is empty", "value");
    check_with("secret: true", "secret: true, default: x", "6:52", "secret and has a default", "remove");
    check_with("{default: '7'}", "{}", "8:3", "input `fixed` has no value", "`env`");
    check_with("fixed: {", "Fixed-1: {", "8:3", "can't name an input", "lowercase");
    check_with("env: SOURCE_URL", "env: postgres", "6:17", "can't name an environment variable", "capital");
    check_with("$source", "$sauce", "14:15", "`$sauce` refers to no input", "$fixed, $out, $source");
    check_with("$fixed]", "[{x: $nope}]]", "18:46", "`$nope` refers to no input", "$$nope");
    check_with("$source", "{env: SOURCE_URL}", "14:15", "refers to an environment variable", "inputs");
    check_with("id: copy", "id: Copy it", "10:9", "can't be a step's id", "hyphens");
    check_with("title: Copy every table", "title: ' '", "11:12", "`title` is empty", "value");
    let twice = format!("{GOOD}  - {{id: copy, title: Again, action: pg.copy}}\n");
    check(&twice, "19:10", "step id `copy` is used twice, first on line 10", "own id");
    let (head, _) = GOOD.split_once("steps:").unwrap();
    check(&format!("{head}steps: []\n"), "9:8", "has no steps", "at least one");
}

#[test]
fn refuses_passwords_in_plain_text() {
    check_with("$source", "postgres://u:hunter2@h/db", "14:15", "holds a password", "secret input");
    check_with("$source", "postgres://h/db?user=u&password=hunter2", "14:15", "holds a password", "secret input");
    check_with("default: deploy", "default: 'redis://:hunter2@h'", "7:28", "holds a password", "secret input");
    // Without a password it is an address like another.
    Playbook::parse(&GOOD.replace("$source", "postgres://u@h:5432/db"), "p.yaml").unwrap();

    let playbook = Playbook::parse(GOOD, "p.yaml").unwrap();
    let leaky = |name: &str| env(name).or_else(|| (name == "OUT").then(|| "s3://key:hunter2@bucket".to_owned()));
    let failure = Inputs::resolve(&playbook, &leaky).unwrap_err();
    assert!(failure.object.contains("input out") && !format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

#[test]
fn names_the_variable_that_is_missing() {
    let playbook = Playbook::parse(GOOD, "p.yaml").unwrap();
    for unset in [None, Some(String::new())] {
        let failure = Inputs::resolve(&playbook, &|_| unset.clone()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.object.contains("input source") && failure.message.contains("SOURCE_URL"), "{failure}");
        assert_eq!(failure.hint, "set SOURCE_URL: the old one");
        let late = resolve_secrets(&json!({"x": [{"env": "SOURCE_URL"}]}), &|_| unset.clone()).unwrap_err();
        assert!(late.object.contains("SOURCE_URL"), "{late}");
    }
    // `env` beside other keys is no reference.
    let plain = json!({"env": "PROD", "other": Value::Null});
    assert_eq!(resolve_secrets(&plain, &|_| None).unwrap(), plain);
}

#[test]
fn the_digest_is_of_the_bytes() {
    let digest = |text: &str| Playbook::parse(text, "p.yaml").unwrap().digest;
    assert_eq!(digest(GOOD), digest(GOOD));
    assert_ne!(digest(GOOD), digest(&format!("{GOOD}# a remark\n")));
    assert_eq!(digest(GOOD).len(), 64);
}
