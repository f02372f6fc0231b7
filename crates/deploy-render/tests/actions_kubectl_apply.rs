//! `kubectl.apply` against a stand-in for kubectl with a cluster in a file (`fake_kubectl.py`, which says what it stands in
//! for): no API server can be had on the machines where the tests run. The real kubectl, where it is installed, is asked
//! whether it knows every command line that was used.

#![allow(clippy::print_stderr)] // a skipped test says so

mod actions;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use actions::*;
use runbook::{Check, Effect, FailureKind};
use serde_json::{Value, json};

/// A cluster and the folder of a kustomization.
struct Cluster {
    run: Run,
}

impl Cluster {
    /// None, said aloud, where the stand-in can't run.
    fn new() -> Option<Self> {
        if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
            skipped("there is no python3, which the stand-in for kubectl needs");
            return None;
        }
        let cluster = Self { run: Run::new() };
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_kubectl.py");
        // A link and not a copy: a program just written can't be started while another test's child holds it open.
        std::os::unix::fs::symlink(fake, cluster.program()).unwrap();
        cluster.set(&json!({"contexts": ["prod"], "objects": {}, "faults": {}}));
        Some(cluster)
    }

    fn program(&self) -> PathBuf {
        self.run.path("kubectl")
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.run.path("cluster.json")).unwrap()).unwrap()
    }

    fn set(&self, state: &Value) {
        fs::write(self.run.path("cluster.json"), state.to_string()).unwrap();
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        change(&mut state);
        self.set(&state);
    }

    fn folder(&self) -> PathBuf {
        self.run.path("deploy/k8s")
    }

    /// What a step before writes there.
    fn render(&self, objects: &[Value]) {
        fs::create_dir_all(self.folder()).unwrap();
        let names: Vec<String> = (0..objects.len()).map(|i| format!("{i}.json")).collect();
        for (name, object) in names.iter().zip(objects) {
            fs::write(self.folder().join(name), object.to_string()).unwrap();
        }
        fs::write(self.folder().join("kustomization.yaml"), json!({"resources": names}).to_string()).unwrap();
    }

    fn with(&self) -> Value {
        json!({"context": "prod", "kustomization": self.folder(), "timeout_seconds": 60, "kubectl": self.program()})
    }

    /// Somebody applied these before.
    async fn has(&self, objects: &[Value]) {
        self.render(objects);
        let cx = self.run.context("earlier");
        let step = step("kubectl.apply", &self.with());
        let before = pending(&*step, &cx).await;
        step.apply(&cx, &before).await.unwrap();
        self.change(|state| {
            for object in state["objects"].as_object_mut().unwrap().values_mut() {
                object["metadata"]["managedFields"] = json!([{"manager": "somebody", "operation": "Apply"}]);
            }
        });
    }

    /// Its objects without what the server alone writes.
    fn objects(&self) -> BTreeMap<String, Value> {
        let state = self.state();
        let objects = state["objects"].as_object().unwrap().iter();
        objects
            .map(|(key, object)| {
                let mut object = object.clone();
                object.as_object_mut().unwrap().remove("status");
                for own in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
                    object["metadata"].as_object_mut().unwrap().remove(own);
                }
                (key.clone(), object)
            })
            .collect()
    }

    fn log(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.run.path("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The commands that change something, without their arguments.
    fn mutations(&self) -> Vec<String> {
        let commands = self.log().into_iter().filter(|args| args[0] == "--context").map(|args| args[2].clone());
        commands.filter(|command| ["apply", "replace", "delete"].contains(&command.as_str())).collect()
    }
}

/// Said aloud; where every validator is required, a failure.
fn skipped(why: &str) {
    assert!(std::env::var("TIERLIFT_VALIDATORS").as_deref() != Ok("required"), "{why}, and it is required here");
    eprintln!("skipped: {why}");
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})
}

fn config(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "app"}, "data": {"key": value}})
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "app"},
        "spec": {"replicas": 2, "image": image},
    })
}

fn tier1() -> Vec<Value> {
    vec![namespace(), config("settings", "postgresql://app:kept-password@old/app"), deployment("one")]
}

fn tier2() -> Vec<Value> {
    vec![namespace(), config("settings", "new"), config("more", "x"), deployment("two")]
}

#[test]
fn refuses_an_unnamed_cluster_and_what_is_no_folder() {
    let usable = json!({"context": "prod", "kustomization": "deploy/k8s", "timeout_seconds": 60});
    step("kubectl.apply", &usable);
    let check = |change: &dyn Fn(&mut Value), words: &str| refuses("kubectl.apply", &usable, change, words);
    check(&|with| drop(with.as_object_mut().unwrap().remove("context")), "missing field `context`");
    check(&|with| with["context"] = json!(""), "context is ``");
    check(&|with| with["context"] = json!("--all"), "context is `--all`");
    check(&|with| with["context"] = json!({"env": "X"}), "invalid type");
    check(&|with| drop(with.as_object_mut().unwrap().remove("kustomization")), "missing field `kustomization`");
    check(&|with| with["kustomization"] = json!(""), "kustomization: ");
    check(&|with| with["kustomization"] = json!("https://example.com/x"), "kustomization is no folder");
    check(&|with| with["timeout_seconds"] = json!(0), "timeout_seconds is 0");
    check(&|with| with["kubectl"] = json!("-x"), "kubectl is `-x`");
    check(&|with| with["force"] = json!(true), "unknown field `force`");
}

#[tokio::test]
async fn applies_and_puts_back_what_was_there() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    // Replicas of a field that only the cluster has, as an autoscaler would leave it.
    cluster.change(|state| state["objects"]["apps|Deployment|app|api"]["spec"]["extra"] = json!("kept"));
    let start = cluster.objects();
    cluster.render(&tier2());

    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    assert_eq!(apply.effect(), Effect::Reversible);
    let before = pending(&*apply, &cx).await;
    assert_eq!((&before["kept_objects"], &before["missing"][0]["name"]), (&json!(3), &json!("more")));
    assert!(!before.to_string().contains("kept-password"), "{before}");
    let kept = fs::read_dir(cluster.run.run_dir().join("kubectl")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> = kept.filter(|path| path.to_string_lossy().contains("/apply-")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&kept[0]).unwrap();
    for server_own in ["status", "managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
        assert!(!text.contains(&format!("\"{server_own}\"")), "{server_own}");
    }

    let output = apply.apply(&cx, &before).await.unwrap();
    assert_eq!((&output["applied_objects"], &output["created_objects"]), (&json!(4), &json!(1)));
    apply.verify(&cx).await.unwrap();
    let applied = cluster.objects();
    assert_eq!(applied["apps|Deployment|app|api"]["spec"], json!({"replicas": 2, "image": "two", "extra": "kept"}));
    assert_eq!(applied.len(), 4);

    // Again, and after a crash between the work and the journal.
    assert!(is_done(&*apply, &cx).await);
    apply.apply(&cx, &before).await.unwrap();
    assert_eq!(cluster.objects(), applied);

    // The files may be gone by the time of the undo.
    fs::remove_dir_all(cluster.folder()).unwrap();
    for _ in 0..2 {
        apply.undo(&cx, &before).await.unwrap();
        assert_eq!(cluster.objects(), start);
    }
    let log = cluster.log();
    let last = log.last().unwrap();
    assert_eq!(last[..6], ["--context", "prod", "rollout", "status", "deployment/api", "--timeout"]);
    assert_eq!(last[7..], ["--namespace", "app"]);
    every_command_line_is_known_to_the_real_one(&cluster);
}

/// With `--help` at its end, kubectl reads all flags and then does nothing.
fn every_command_line_is_known_to_the_real_one(cluster: &Cluster) {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        skipped("there is no kubectl that could be asked for its flags");
        return;
    }
    let mut commands = BTreeMap::new();
    for args in cluster.log() {
        // One of each command: the flags are always the same.
        let command = if args[0] == "--context" { args[2].clone() } else { args[0].clone() };
        commands.insert((command, args.len()), args);
    }
    assert!(commands.len() >= 8, "{commands:?}");
    for args in commands.values() {
        let output = Command::new("kubectl").args(args).arg("--help").output().unwrap();
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn what_was_not_there_is_deleted_and_its_namespace_left() {
    let Some(cluster) = Cluster::new() else { return };
    let volume =
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "app"}});
    let instance = json!({
        "apiVersion": "sql.cnrm.cloud.google.com/v1beta1", "kind": "SQLInstance",
        "metadata": {"name": "db", "namespace": "app"},
    });
    cluster.render(&[&tier2()[..], &[volume, instance]].concat());
    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    let preview = apply.preview(&cluster.run.dry()).await.unwrap();
    assert_eq!(
        preview.undo,
        "replace 0 object(s) by what they are now, delete 3; left in place with what they hold: Namespace app, \
         PersistentVolumeClaim app/data, SQLInstance app/db"
    );
    let before = pending(&*apply, &cx).await;
    assert_eq!((&before["kept_objects"], before["missing"].as_array().unwrap().len()), (&json!(0), 6));
    apply.apply(&cx, &before).await.unwrap();
    apply.verify(&cx).await.unwrap();
    for _ in 0..2 {
        apply.undo(&cx, &before).await.unwrap();
        let left: Vec<String> = cluster.objects().into_keys().collect();
        let data =
            ["sql.cnrm.cloud.google.com|SQLInstance|app|db", "|Namespace||app", "|PersistentVolumeClaim|app|data"];
        assert_eq!(left.len(), 3);
        assert!(data.iter().all(|key| left.contains(&(*key).to_owned())), "{left:?}");
    }
    let notes = cluster.run.notes();
    assert!(notes[0].starts_with("Namespace app is left in place"), "{notes:?}");
    assert_eq!(cluster.mutations(), ["apply", "delete"]);
}

#[tokio::test]
async fn what_others_made_meanwhile_is_left() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&[namespace()]).await;
    cluster.render(&tier2());
    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    let before = pending(&*apply, &cx).await;
    // The step is stopped before it applied anything; then somebody makes one of its objects.
    cluster.change(|state| {
        let mut theirs = config("more", "theirs");
        theirs["metadata"]["managedFields"] = json!([{"manager": "kubectl-create", "operation": "Update"}]);
        theirs["metadata"]["generation"] = json!(1);
        theirs["metadata"]["uid"] = json!("uid-x");
        theirs["metadata"]["resourceVersion"] = json!("77");
        state["objects"]["|ConfigMap|app|more"] = theirs;
    });
    apply.undo(&cx, &before).await.unwrap();
    assert_eq!(cluster.objects()["|ConfigMap|app|more"]["data"]["key"], "theirs");
    assert_eq!(cluster.mutations(), ["apply", "replace"]);
    assert_eq!(cluster.run.notes(), ["ConfigMap app/more was made by somebody else since, and is left in place"]);
}

#[tokio::test]
async fn an_apply_cut_short_is_put_back_or_finished() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    let start = cluster.objects();
    cluster.render(&tier2());
    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    let before = pending(&*apply, &cx).await;
    for forward in [false, true] {
        cluster.change(|state| state["faults"] = json!({"apply": 3}));
        let failure = apply.apply(&cx, &before).await.unwrap_err();
        assert!(failure.causes[0].contains("deployment.apps/api is forbidden"), "{failure:?}");
        assert_ne!(cluster.objects(), start);
        if forward {
            // What a resume sees now is half-changed; the first `before` still counts.
            assert_ne!(pending(&*apply, &cx).await, before);
            apply.apply(&cx, &before).await.unwrap();
            apply.verify(&cx).await.unwrap();
        }
        apply.undo(&cx, &before).await.unwrap();
        assert_eq!(cluster.objects(), start);
    }
}

#[tokio::test]
async fn a_rollout_that_does_not_end_fails_the_step() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    cluster.render(&[namespace(), deployment("broken")]);
    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    let before = pending(&*apply, &cx).await;
    apply.apply(&cx, &before).await.unwrap();
    let failure = apply.verify(&cx).await.unwrap_err();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Failed, "Deployment app/api"));
    assert!(failure.causes[1].contains("timed out waiting for the condition"), "{failure:?}");
    // And one that did not run before either does not keep its undo waiting.
    let second = cluster.run.context("second");
    cluster.render(&[namespace(), deployment("two")]);
    let broken = pending(&*apply, &second).await;
    assert_eq!(broken["ready"], json!([]));
    apply.apply(&second, &broken).await.unwrap();
    apply.undo(&second, &broken).await.unwrap();
    assert_eq!(cluster.objects()["apps|Deployment|app|api"]["spec"]["image"], "broken");
    // The healthy one is waited for.
    cluster.change(|state| state["objects"]["|ConfigMap|app|settings"]["data"]["key"] = json!("edited"));
    apply.undo(&cx, &before).await.unwrap();
    assert_eq!(cluster.objects()["apps|Deployment|app|api"]["spec"]["image"], "one");
}

#[tokio::test]
async fn without_what_was_kept_nothing_is_changed() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    cluster.render(&tier2());
    let (apply, cx) = (step("kubectl.apply", &cluster.with()), cluster.run.context("apply"));
    let before = pending(&*apply, &cx).await;
    let kept = cluster.run.run_dir().join("kubectl");
    let kept = kept.join(format!("apply-{}.json", &before["digest"].as_str().unwrap()[..16]));
    let (now, done) = (cluster.state(), cluster.mutations());
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replace("one", "evil")).unwrap();
    for failure in [apply.apply(&cx, &before).await.unwrap_err(), apply.undo(&cx, &before).await.unwrap_err()] {
        assert!(failure.message.contains("does not hold the objects"), "{failure}");
    }
    fs::remove_file(&kept).unwrap();
    apply.undo(&cx, &before).await.unwrap_err();
    assert_eq!((cluster.state(), cluster.mutations()), (now, done));
}

#[tokio::test]
async fn a_preview_names_what_would_change_and_changes_nothing() {
    let Some(cluster) = Cluster::new() else { return };
    let apply = step("kubectl.apply", &cluster.with());
    let dry = cluster.run.dry();
    let preview = async || apply.preview(&dry).await.unwrap();
    let folder = cluster.folder().display().to_string();

    // An earlier step will render it.
    let before = preview().await;
    assert!(before.changes[0].contains("it is not there yet, an earlier step must write it"), "{:?}", before.changes);
    assert_eq!((before.changes.len(), before.findings.len()), (1, 0));
    assert_eq!(apply.check(&dry).await.unwrap(), Check::Pending { before: Value::Null });

    // Nothing of it is in the cluster.
    cluster.render(&tier2());
    let first = format!("apply {folder}, as it is now, to context prod");
    let create = [
        "create Namespace app",
        "create ConfigMap app/settings",
        "create ConfigMap app/more",
        "create Deployment app/api",
    ];
    assert_eq!(preview().await.changes[1..], create);

    cluster.has(&tier1()).await;
    cluster.render(&tier2());
    let (now, done) = (cluster.state(), cluster.mutations());
    let shown = preview().await;
    assert_eq!(
        shown.changes,
        [
            first.as_str(),
            "create ConfigMap app/more",
            "change ConfigMap app/settings",
            "change Deployment app/api",
            "leave 1 object(s) unchanged"
        ]
    );
    assert_eq!(shown.undo, "replace 3 object(s) by what they are now, delete 1");
    assert_eq!((shown.estimate.seconds, shown.findings), (Some(120.0), vec![]));
    assert_eq!(apply.check(&dry).await.unwrap(), Check::Pending { before: Value::Null });
    assert_eq!((cluster.state(), cluster.mutations()), (now, done));

    cluster.render(&tier1());
    assert_eq!(preview().await.changes[1..], ["leave 3 object(s) unchanged"]);
    assert_eq!(apply.check(&dry).await.unwrap(), Check::Done);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_before_the_run() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    let check = async |change: &dyn Fn(&mut Value), objects: &[Value], expect: &str| {
        cluster.render(objects);
        let mut with = cluster.with();
        change(&mut with);
        let apply = step("kubectl.apply", &with);
        let preview = apply.preview(&cluster.run.dry()).await.unwrap();
        assert_eq!(blocking(&preview.findings), [expect]);
        apply.check(&cluster.run.dry()).await.unwrap();
        apply
    };
    let secret = |data: Value| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "app"}});
        secret.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        secret
    };
    for data in [json!({"data": {"a": "eA=="}}), json!({"stringData": {"a": "x"}})] {
        let objects = [namespace(), secret(data)];
        let apply = check(&|_| (), &objects, "Secret app/s: it holds its values in plain sight").await;
        let cx = cluster.run.context("apply");
        assert_eq!(apply.check(&cx).await.unwrap_err().kind, FailureKind::Blocked);
    }
    let nameless = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "x-"}});
    check(&|_| (), &[nameless], "Job: it has no name of its own").await;
    check(&|with| with["context"] = json!("other"), &tier2(), "context other: is not in the kubeconfig").await;
    let missing = "program tierlift-no-kubectl: there is no such program, or it may not be run";
    check(&|with| with["kubectl"] = json!("tierlift-no-kubectl"), &tier2(), missing).await;

    cluster.render(&[secret(json!({"type": "x"}))]);
    let preview = step("kubectl.apply", &cluster.with()).preview(&cluster.run.dry()).await.unwrap();
    assert_eq!(preview.findings, [], "a secret whose values others bring is none in plain sight");

    cluster.change(|state| state["faults"] = json!({"diff": "conflict"}));
    let conflict = format!(
        "kustomization {}: another manager owns a field: error: Apply failed with 1 conflict: conflict with \"hpa\" using \
         apps/v1: .spec.replicas",
        cluster.folder().display()
    );
    check(&|_| (), &tier2(), &conflict).await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_no_difference() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.has(&tier1()).await;
    for command in ["get", "diff"] {
        cluster.change(|state| state["faults"] = json!({command: "unreachable"}));
        let apply = step("kubectl.apply", &cluster.with());
        let failure = apply.preview(&cluster.run.dry()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.causes[0].contains("Unable to connect"), "{failure:?}");
        assert!(!failure.hint.is_empty());
        apply.check(&cluster.run.context("apply")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_step_without_its_kustomization_fails_before_it_changes_anything() {
    let Some(cluster) = Cluster::new() else { return };
    let apply = step("kubectl.apply", &cluster.with());
    let failure = apply.check(&cluster.run.context("apply")).await.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Blocked, "there is no kustomization"));
    cluster.render(&tier1());
    let cx = cluster.run.context("apply");
    let before = pending(&*apply, &cx).await;
    apply.apply(&cx, &before).await.unwrap();
    cluster.change(|state| drop(state["objects"].as_object_mut().unwrap().remove("|ConfigMap|app|settings")));
    let failure = apply.verify(&cx).await.unwrap_err();
    assert_eq!(failure.object, "ConfigMap app/settings");
}
