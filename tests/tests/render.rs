//! `tierlift render` as a person at a terminal uses it: check, write, look at the difference, change a little, refuse
//! what can't be taken back.

use std::fs;
use std::path::Path;
use std::process::Command;

use acceptance::{Outcome, playbooks, program};
use serde_json::Value;

fn render(dir: &Path, args: &[&str]) -> Outcome {
    let mut command = Command::new(program());
    command.current_dir(dir).arg("--playbooks").arg(playbooks()).arg("render").args(args).env("NO_COLOR", "1");
    Outcome::of(command)
}

fn events(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn every_tier_is_checked_without_writing() {
    let dir = tempfile::tempdir().expect("a folder");
    for (system, tiers) in [
        ("chatbot_saas", "phase1 phase2 phase3"),
        ("iitj", "free minimal full"),
        ("jumbo", "free starter professional enterprise"),
        ("oviya", "tier0 tier1 tier2 tier3 tier4"),
        ("pitchey", "current stage1 stage2 stage3 stage4"),
    ] {
        for tier in tiers.split(' ') {
            let outcome = render(dir.path(), &["--system", system, "--tier", tier, "--check"]).expect_code(0);
            assert!(outcome.stdout.contains("files checked"), "{}", outcome.stdout);
        }
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0, "--check wrote something");
}

#[test]
fn a_set_is_written_compared_changed_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let tier2 = ["--system", "oviya", "--tier", "tier2", "--out", "deploy"];
    let with = |more: &[&'static str]| render(dir.path(), &[&tier2[..], more].concat());

    // Nothing is there: everything would be made, nothing is.
    assert!(with(&["--diff"]).expect_code(2).stdout.contains("+++ b/render.yaml"));
    assert!(!dir.path().join("deploy").exists());
    with(&[]).expect_code(0);
    assert_eq!(with(&["--diff"]).expect_code(0).stdout, "");

    // A small change of one's own shows as just that.
    let overlays = dir.path().join("own");
    fs::create_dir(&overlays).expect("a folder");
    fs::write(overlays.join("render.yaml"), "services: [{name: oviya-api, scaling: {maxInstances: 3}}]\n")
        .expect("a file");
    let changed = events(&with(&["--overlays", "own", "--diff", "--json"]).expect_code(2));
    let paths: Vec<&str> = changed.iter().filter_map(|event| event["file"]["path"].as_str()).collect();
    assert_eq!(paths, ["render.yaml"]);
    let unified = changed[0]["file"]["unified"].as_str().expect("a diff");
    assert!(unified.contains("+    maxInstances: 3"), "{unified}");
    let before = fs::read(dir.path().join("deploy/render.yaml")).expect("a file");
    let written = with(&["--overlays", "own"]).expect_code(0);

    // The set from before is kept whole.
    let kept = written.stderr.lines().find_map(|line| line.strip_prefix("the files that were there are kept in "));
    let kept = dir.path().join(kept.expect("where the set is kept"));
    assert_eq!(fs::read(kept.join("render.yaml")).expect("the kept file"), before);

    // And is put back as it was said, to the byte.
    let back = written.stderr.lines().find_map(|line| line.strip_prefix("the way back: tierlift render "));
    let back: Vec<&str> = back.expect("the way back").split(' ').collect();
    render(dir.path(), &[&back[..], &["--diff"]].concat()).expect_code(2);
    assert!(render(dir.path(), &back).expect_code(0).stdout.contains("files written"));
    assert_eq!(fs::read(dir.path().join("deploy/render.yaml")).expect("a file"), before);
    assert_eq!(with(&["--diff"]).expect_code(0).stdout, "");
    assert!(render(dir.path(), &back).expect_code(0).stdout.contains("files there already"));

    // What somebody edited is theirs; the difference is from what they wrote, and nothing else.
    let edited = String::from_utf8(before).expect("text").replace("generation: \"off\"", "generation: manual");
    fs::write(dir.path().join("deploy/render.yaml"), edited).expect("a file");
    let seen = with(&["--diff"]).expect_code(2);
    let lines: Vec<&str> = seen.stdout.lines().filter(|line| line.starts_with(['+', '-'])).skip(2).collect();
    assert_eq!(lines, ["-  generation: manual", "+  generation: \"off\""]);
    assert!(seen.stderr.contains("would not be replaced"), "{}", seen.stderr);
    fs::write(dir.path().join("deploy/render.yaml"), "edited").expect("a file");
    assert!(with(&[]).expect_code(4).stderr.contains("edited render.yaml"));
    assert_eq!(fs::read(dir.path().join("deploy/render.yaml")).expect("a file"), b"edited");
}

#[test]
fn a_folder_that_can_not_be_used() {
    let dir = tempfile::tempdir().expect("a folder");
    let tier2 = ["--system", "oviya", "--tier", "tier2"];
    let check = |more: &[&str], code: u8, expect: &str| {
        let refused = render(dir.path(), &[&tier2[..], more].concat()).expect_code(code.into());
        assert!(refused.stderr.contains(expect) && refused.stderr.contains("what to do"), "{}", refused.stderr);
    };
    fs::write(dir.path().join("file"), "x").expect("a file");
    check(&["--out", "file"], 4, "unknown ");
    check(&["--out", "file/below"], 3, "Not a directory");
    check(&["--out", "/proc/nowhere"], 3, "cannot create");
    check(&[], 3, "no folder was given");
    let kept = render(dir.path(), &["--kept", "nowhere", "--out", "deploy"]).expect_code(3);
    assert!(kept.stderr.contains("there are no files in it"), "{}", kept.stderr);

    // In the folder itself, what is kept would be replaced with it: nothing is touched.
    let deploy = dir.path().join("deploy");
    render(dir.path(), &[&tier2[..], &["--out", "deploy"]].concat()).expect_code(0);
    let tier1 = ["--system", "oviya", "--tier", "tier1", "--out", "."];
    let inside = render(&deploy, &tier1).expect_code(3);
    assert!(
        inside.stderr.contains("replaced as a whole") && inside.stderr.contains("--state-dir"),
        "{}",
        inside.stderr
    );
    assert_eq!(render(dir.path(), &[&tier2[..], &["--out", "deploy", "--diff"]].concat()).expect_code(0).stdout, "");
}

#[test]
fn what_the_platform_never_takes_back_needs_a_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let full = ["--system", "iitj", "--tier", "full", "--out", "deploy"];
    let with = |more: &[&'static str]| render(dir.path(), &[&full[..], more].concat());
    with(&[]).expect_code(0);
    let blueprint = || fs::read_to_string(dir.path().join("deploy/render.yaml")).expect("a file");
    let (before, name) = (blueprint(), "iitj-database");
    assert!(before.contains(&format!("name: {name}\n")), "{before}");

    fs::create_dir(dir.path().join("own")).expect("a folder");
    let smaller = format!("databases: [{{name: {name}, diskSizeGB: 5}}]\n");
    fs::write(dir.path().join("own/render.yaml"), smaller).expect("a file");
    let wanted = format!("render.yaml: Render database {name} diskSizeGB: it goes from `10` to `5`");
    for more in [&["--overlays", "own"][..], &["--overlays", "own", "--check"]] {
        let refused = with(more).expect_code(4);
        assert!(
            refused.stderr.contains(&wanted) && refused.stderr.contains("--accept-irreversible"),
            "{}",
            refused.stderr
        );
    }
    assert!(with(&["--overlays", "own", "--diff"]).expect_code(2).stderr.contains(&wanted));
    assert_eq!(blueprint(), before);
    with(&["--overlays", "own", "--accept-irreversible"]).expect_code(0);
    assert!(blueprint().contains("diskSizeGB: 5"));
}

#[test]
fn own_templates_and_overlays_that_can_not_be_used() {
    let dir = tempfile::tempdir().expect("a folder");
    let check = |file: &str, text: &str, expect: &[&str]| {
        let own = dir.path().join("own");
        let path = own.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        let kind = if file.ends_with(".tera") { "--templates" } else { "--overlays" };
        let refused = render(dir.path(), &["--system", "oviya", "--tier", "tier2", "--check", kind, "own"]);
        fs::remove_dir_all(&own).expect("the folder goes");
        assert!([3, 4].contains(&refused.code), "{file}: {} {}", refused.code, refused.stderr);
        for part in [expect, &["what to do"]].concat() {
            assert!(refused.stderr.contains(part), "{file}: {part:?} is missing from:\n{}", refused.stderr);
        }
    };
    let blueprint = "render/render.yaml.tera";
    check(blueprint, "services:\n{{ nmae }}\n", &[blueprint, "line 2", "nmae"]);
    check(blueprint, "a: {{ title | yml }}\n", &[blueprint, "yml"]);
    check(blueprint, "a: {{ title | yaml }\n", &[blueprint, "1:"]);
    check(blueprint, "services: [\n", &["render.yaml", "no YAML", "1:"]);
    check("render.yaml", "services: [\n", &["own/render.yaml", "no YAML"]);
    check("render.yml", "a: 1\n", &["own/render.yml", "no file `render.yml`", "render.yaml"]);
    check("render.yaml", "previews: {kind: null}\n", &["own/render.yaml at previews.kind", "nothing to take away"]);
    check("k8s/api.yaml", "spec: {replicas: 2}\n", &["own/k8s/api.yaml", "does not say by `kind`"]);
    check("render.yaml", "services: [{name: oviya-api, plan: free}]\n", &["render.yaml: services[0]", "free plan"]);
}
