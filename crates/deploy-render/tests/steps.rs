//! The action `render.write` as the engine calls it: render for the source, then switch to the target, then back.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{options, oviya, system_file};
use deploy_render::{DatabaseTarget, action, inspect, render};
use runbook::{Action, Check, Context, Effect, FailureKind, Quiet, Severity};
use serde_json::{Value, json};

/// How many files the tier has.
fn count() -> usize {
    render(&oviya(), "tier2", &options(DatabaseTarget::Source)).unwrap().len()
}

struct Run {
    dir: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("deploy/oviya")
    }

    fn with(&self, database: &str) -> Value {
        json!({"system_file": system_file("oviya"), "tier": "tier2", "out": self.out(), "database": database})
    }

    fn step(&self, database: &str) -> Box<dyn Action> {
        action("render.write", &self.with(database)).unwrap().unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn context(&self, step: &str) -> Context {
        Context::of_run(step, "r1", &self.dir.path().join("runs/r1"), BTreeMap::new(), Arc::new(Quiet))
    }
}

async fn pending(step: &dyn Action, cx: &Context) -> Value {
    match step.check(cx).await.unwrap() {
        Check::Pending { before } => before,
        Check::Done => panic!("it is not done"),
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if !dir.exists() {
        return BTreeMap::new();
    }
    common::files_below(dir).into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[tokio::test]
async fn renders_switches_and_goes_back_step_by_step() {
    let run = Run::new();
    let (render, switch) = (run.step("source"), run.step("target"));
    let (cx1, cx2) = (run.context("render"), run.context("switch"));
    assert_eq!(render.effect(), Effect::Reversible);

    let before1 = pending(&*render, &cx1).await;
    let output = render.apply(&cx1, &before1).await.unwrap();
    assert_eq!(output["rendered_files"], count());
    assert_eq!(output["digest"].as_str().unwrap().len(), 64);
    render.verify(&cx1).await.unwrap();
    assert_eq!(render.check(&cx1).await.unwrap(), Check::Done);
    let rendered = files(&run.out());

    let before2 = pending(&*switch, &cx2).await;
    let output2 = switch.apply(&cx2, &before2).await.unwrap();
    assert_eq!(output2["previous_digest"], output["digest"]);
    switch.verify(&cx2).await.unwrap();
    assert_eq!(switch.check(&cx2).await.unwrap(), Check::Done);
    let api = fs::read_to_string(run.out().join("k8s/api.yaml")).unwrap();
    assert!(api.contains("name: oviya-database-tier2") && !api.contains("tier1"));

    // Applying or undoing twice ends the same.
    switch.apply(&cx2, &before2).await.unwrap();
    for _ in 0..2 {
        switch.undo(&cx2, &before2).await.unwrap();
        assert_eq!(files(&run.out()), rendered);
    }
    render.verify(&cx1).await.unwrap();
    for _ in 0..2 {
        render.undo(&cx1, &before1).await.unwrap();
        assert!(!run.dir.path().join("deploy").exists());
    }
    assert_eq!(render.verify(&cx1).await.unwrap_err().kind, FailureKind::Failed);
}

#[tokio::test]
async fn a_preview_changes_nothing_and_shows_the_switch_before_the_first_step_ran() {
    let run = Run::new();
    let cx = Context::detached("x", Arc::new(Quiet));
    let preview = |database: &str| inspect("render.write", &run.with(database)).unwrap().unwrap();

    let render = preview("source").preview(&cx).await.unwrap();
    assert_eq!(render.findings, []);
    assert_eq!(render.changes.len(), count(), "{:?}", render.changes);
    assert!(render.changes.iter().all(|change| change.starts_with("create ")));
    assert!(render.estimate.bytes.unwrap() > 10_000);

    let switch = preview("target").preview(&cx).await.unwrap();
    assert_eq!(switch.changes.len(), 7, "{:?}", switch.changes);
    assert!(switch.changes[0].starts_with("change .env.example ("), "{:?}", switch.changes);
    let left = format!("leave {} file(s) in ", count() - 6);
    assert!(switch.changes[6].starts_with(&left), "{:?}", switch.changes);
    assert!(fs::read_dir(run.dir.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_folder_of_somebody_else_blocks() {
    let run = Run::new();
    fs::create_dir_all(run.out()).unwrap();
    fs::write(run.out().join("notes.txt"), "mine").unwrap();
    let cx = run.context("render");
    let step = run.step("source");
    let preview = step.preview(&cx).await.unwrap();
    assert_eq!(preview.findings[0].severity, Severity::Blocks);
    assert!(preview.findings[0].message.contains("notes.txt"));
    let failure = step.check(&cx).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked);
    assert_eq!(fs::read_to_string(run.out().join("notes.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn an_undo_does_not_need_the_system_file() {
    let run = Run::new();
    let file = run.dir.path().join("system.yaml");
    fs::copy(system_file("oviya"), &file).unwrap();
    let mut with = run.with("source");
    with["system_file"] = json!(file);
    let step = action("render.write", &with).unwrap().unwrap();
    let cx = run.context("render");
    let before = pending(&*step, &cx).await;
    step.apply(&cx, &before).await.unwrap();
    fs::remove_file(file).unwrap();
    step.undo(&cx, &before).await.unwrap();
    assert!(!run.out().exists());
}

#[tokio::test]
async fn a_user_template_with_something_wrong_blocks_before_anything_is_written() {
    let run = Run::new();
    let templates = run.dir.path().join("templates/docker");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("nestjs.Dockerfile.tera"), "FROM node\n").unwrap();
    let mut with = run.with("source");
    with["templates"] = json!(run.dir.path().join("templates"));
    let step = action("render.write", &with).unwrap().unwrap();
    let cx = run.context("render");
    let preview = step.preview(&cx).await.unwrap();
    assert!(
        preview.findings.iter().any(|f| f.object.starts_with("Dockerfile: line 1") && f.severity == Severity::Blocks)
    );
    let before = pending(&*step, &cx).await;
    assert_eq!(step.apply(&cx, &before).await.unwrap_err().kind, FailureKind::Blocked);
    assert!(!run.out().exists());
}

#[tokio::test]
async fn what_the_platform_never_takes_back_needs_a_word() {
    let run = Run::new();
    let (own, cx) = (run.dir.path().join("own"), run.context("render"));
    fs::create_dir(&own).unwrap();
    let step = |overlay: Option<&str>, accepted: bool| {
        let mut with = run.with("target");
        if let Some(text) = overlay {
            fs::write(own.join("render.yaml"), text).unwrap();
            with["overlays"] = json!(own);
        }
        with["accept_irreversible"] = json!(accepted);
        action("render.write", &with).unwrap().unwrap_or_else(|failure| panic!("{failure}"))
    };
    let first = step(None, false);
    let before = pending(&*first, &cx).await;
    first.apply(&cx, &before).await.unwrap();
    let there = files(&run.out());

    let moved = "services: [{name: oviya-api, region: ohio}]\n";
    let refused = step(Some(moved), false);
    let preview = refused.preview(&cx).await.unwrap();
    let [finding] = preview.findings.as_slice() else { panic!("{:#?}", preview.findings) };
    assert_eq!(finding.severity, Severity::Blocks);
    assert!(finding.object.contains("Render service oviya-api region"), "{finding:?}");
    assert!(finding.remedy.contains("accept_irreversible: true"), "{finding:?}");
    let before = pending(&*refused, &cx).await;
    assert_eq!(refused.apply(&cx, &before).await.unwrap_err().kind, FailureKind::Blocked);
    assert_eq!(files(&run.out()), there);

    let accepted = step(Some(moved), true);
    assert_eq!(accepted.preview(&cx).await.unwrap().findings[0].severity, Severity::Changes);
    accepted.apply(&cx, &before).await.unwrap();
    accepted.verify(&cx).await.unwrap();
    assert!(fs::read_to_string(run.out().join("render.yaml")).unwrap().contains("region: ohio"));
    accepted.undo(&cx, &before).await.unwrap();
    assert_eq!(files(&run.out()), there);
}

#[test]
fn only_takes_its_own_name_and_arguments() {
    assert!(inspect("pg.copy", &json!({})).is_none());
    assert!(action("render", &json!({})).is_none());
    let run = Run::new();
    let check = |change: &dyn Fn(&mut Value), expect: &str| {
        let mut with = run.with("source");
        change(&mut with);
        let Err(failure) = inspect("render.write", &with).unwrap() else { panic!("{expect}") };
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.message.contains(expect), "{failure}");
        assert!(!failure.hint.is_empty());
    };
    check(&|with| with["database"] = json!("both"), "both");
    check(&|with| with["extra"] = json!(1), "extra");
    check(&|with| drop(with.as_object_mut().unwrap().remove("tier")), "tier");
}

#[tokio::test]
async fn wrong_input_is_told_as_such() {
    let run = Run::new();
    let cx = run.context("render");
    let check = |key: &str, value: Value| {
        let mut with = run.with("source");
        with[key] = value;
        action("render.write", &with).unwrap().unwrap()
    };
    let failure = check("tier", json!("tier9")).preview(&cx).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidInput);
    assert!(failure.message.contains("no tier `tier9`"), "{failure}");
    let failure = check("system_file", json!("nowhere.yaml")).check(&cx).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidInput);
    assert!(failure.message.contains("nowhere.yaml") && !failure.causes.is_empty(), "{failure:?}");
}
