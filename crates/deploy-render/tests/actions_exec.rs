//! `exec`: what it refuses, what it runs how often, what it shows of it, and the processes it leaves or doesn't.

mod actions;

use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use actions::*;
use runbook::{Check, Effect, FailureKind, Severity};
use serde_json::{Value, json};

/// A variable that is set wherever cargo runs tests; it plays the secret.
const SECRET: &str = "CARGO_MANIFEST_DIR";

fn script(run: &Run, name: &str, text: &str) -> Value {
    let path = run.path(name);
    fs::write(&path, text).unwrap();
    json!(["sh", path])
}

/// A step that adds a line to `log` and whose undo takes it away again.
fn adding(run: &Run) -> Value {
    json!({
        "argv": script(run, "add.sh", "echo added >>log; echo said; echo complained >&2"),
        "undo": script(run, "take.sh", "echo taken >>log"),
        "dir": run.dir.path(),
        "timeout_seconds": 60,
    })
}

fn log(run: &Run) -> String {
    fs::read_to_string(run.path("log")).unwrap_or_default()
}

#[test]
fn refuses_what_is_no_program_with_arguments() {
    let run = Run::new();
    let usable = adding(&run);
    let secret = std::env::var(SECRET).unwrap();
    let check = |change: &dyn Fn(&mut Value), words: &str| refuses("exec", &usable, change, words);
    check(&|with| with["argv"] = json!([]), "argv names no program");
    check(&|with| with["argv"] = json!([""]), "argv names no program");
    check(&|with| with["argv"] = json!("rm -rf x"), "argv is one text");
    check(&|with| with["argv"] = json!({"a": 1}), "argv is no list");
    check(&|with| with["argv"] = json!(["echo hello > x"]), "a whole command line");
    check(&|with| with["argv"] = json!(["sh", "-c", "echo x"]), "hands a command line to the shell sh");
    check(&|with| with["argv"] = json!(["/bin/bash", "-o", "pipefail", "-ec", "x"]), "to the shell /bin/bash");
    check(&|with| with["undo"] = json!(["dash", "-lc", "x"]), "undo hands a command line");
    check(&|with| with["argv"] = json!(["a", null]), "item 2 of argv is no text");
    check(&|with| with["argv"] = json!(["a", ["b"]]), "item 2 of argv is no text");
    check(&|with| with["argv"] = json!(["a", "b\0c"]), "item 2 of argv holds a zero byte");
    check(&|with| with["argv"] = json!(["a", {"env": "TOKEN"}]), "item 2 of argv is a secret");
    check(
        &|with| {
            with["env"] = json!({"TOKEN": {"env": SECRET}});
            with["verify"] = json!(["a", format!("--token={secret}")]);
        },
        "item 2 of verify is a secret",
    );
    check(
        &|with| with["env"] = json!({"TOKEN": {"env": SECRET}, "URL": format!("x?{secret}")}),
        "variable URL is written out and holds a secret",
    );
    check(&|with| with["env"] = json!({"env": "TOKEN"}), "env is one secret");
    check(&|with| with["env"] = json!({"A=B": "x"}), "`A=B` can't name a variable");
    check(&|with| with["env"] = json!({"A": ["x"]}), "variable A is no text");
    check(&|with| with["env"] = json!({"A": "x\0y"}), "variable A holds a zero byte");
    check(&|with| with["dir"] = json!("build"), "dir `build` is relative");
    check(&|with| with["shell"] = json!(true), "unknown field `shell`");
    check(&|with| drop(with.as_object_mut().unwrap().remove("argv")), "missing field `argv`");
    check(&|with| drop(with.as_object_mut().unwrap().remove("timeout_seconds")), "missing field `timeout_seconds`");
    check(&|with| with["timeout_seconds"] = json!(0), "timeout_seconds is 0");
    check(&|with| with["timeout_seconds"] = json!(-1), "invalid value");
    check(&|with| drop(with.as_object_mut().unwrap().remove("undo")), "neither undo nor effect");
    check(&|with| with["effect"] = json!("read_only"), "it has an undo and an effect");
    check(
        &|with| {
            with.as_object_mut().unwrap().remove("undo");
            with["effect"] = json!("reversible");
        },
        "unknown variant `reversible`",
    );
    let mut unset = usable.clone();
    unset["env"] = json!({"TOKEN": {"env": "TIERLIFT_TEST_NEVER_SET"}});
    let failure = deploy_render::action("exec", &unset).unwrap().err().unwrap();
    assert_eq!(
        failure.to_string(),
        "environment variable TIERLIFT_TEST_NEVER_SET: is not set, and a step needs the secret in it"
    );
    // A shell that reads a file is a program like any other.
    step("exec", &usable);
}

#[test]
fn the_effect_follows_from_the_undo_or_is_said() {
    let run = Run::new();
    let check = |effect: Option<&str>, expect: Effect| {
        let mut with = adding(&run);
        if let Some(effect) = effect {
            with.as_object_mut().unwrap().remove("undo");
            with["effect"] = json!(effect);
        }
        assert_eq!(step("exec", &with).effect(), expect);
    };
    check(None, Effect::Reversible);
    check(Some("read_only"), Effect::ReadOnly);
    check(Some("irreversible"), Effect::Irreversible);
}

#[tokio::test]
async fn runs_once_and_is_taken_back_once_however_often_it_is_called() {
    let run = Run::new();
    let (exec, cx) = (step("exec", &adding(&run)), run.context("exec"));
    let before = pending(&*exec, &cx).await;
    let output = exec.apply(&cx, &before).await.unwrap();
    assert_eq!(output["exit_code"], 0);
    assert_eq!((&output["stdout"], &output["stderr"]), (&json!(["said"]), &json!(["complained"])));
    exec.verify(&cx).await.unwrap();

    // A crash between the work and the journal: it is asked again, maybe called again.
    assert!(is_done(&*exec, &cx).await);
    assert_eq!(exec.apply(&cx, &before).await.unwrap(), output);
    assert_eq!(log(&run), "added\n");

    for _ in 0..2 {
        exec.undo(&cx, &before).await.unwrap();
        assert_eq!(log(&run), "added\ntaken\n");
    }
    // A run that can only go forward begins the step afresh.
    assert!(!is_done(&*exec, &cx).await);
    exec.apply(&cx, &before).await.unwrap();
    exec.undo(&cx, &before).await.unwrap();
    assert_eq!(log(&run), "added\ntaken\nadded\ntaken\n");
    // Another step of the run knows nothing of this one.
    assert!(!is_done(&*exec, &run.context("another")).await);
}

#[tokio::test]
async fn its_own_check_knows_better_than_the_run() {
    let run = Run::new();
    let mut with = adding(&run);
    with["check"] = script(&run, "check.sh", "test -s log");
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let before = pending(&*exec, &cx).await;
    assert_eq!(exec.verify(&cx).await.unwrap_err().kind, FailureKind::Failed);
    exec.apply(&cx, &before).await.unwrap();
    exec.verify(&cx).await.unwrap();
    assert!(is_done(&*exec, &cx).await && is_done(&*exec, &run.dry()).await);
    fs::remove_file(run.path("log")).unwrap();
    assert!(!is_done(&*exec, &cx).await);
    exec.apply(&cx, &before).await.unwrap();
    assert_eq!(log(&run), "added\n");

    // With a verify of its own, that is what counts.
    with["verify"] = script(&run, "verify.sh", "echo not there >&2; exit 3");
    let failure = step("exec", &with).verify(&cx).await.unwrap_err();
    assert!(failure.message.contains("ended with exit code 3"), "{failure}");
    assert_eq!(failure.causes, ["not there"]);

    // A check that a signal ends has said nothing.
    with["check"] = script(&run, "killed.sh", "kill -9 $$");
    let failure = step("exec", &with).check(&cx).await.unwrap_err();
    assert!(failure.message.contains("ended by signal 9"), "{failure}");
}

#[tokio::test]
async fn a_program_that_fails_fails_the_step_with_its_last_words() {
    let run = Run::new();
    let mut with = adding(&run);
    with["argv"] = script(&run, "fail.sh", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i >&2; done; exit 7");
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let before = pending(&*exec, &cx).await;
    let failure = exec.apply(&cx, &before).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Failed);
    assert!(failure.message.ends_with("ended with exit code 7"), "{failure}");
    assert_eq!(failure.causes.len(), 10);
    assert_eq!(failure.causes[9], "12");
    assert!(!is_done(&*exec, &cx).await);
    // Half done is undone too, and an undo that fails can be tried again.
    with["undo"] = script(&run, "undo.sh", "test -e mended || exit 1; echo taken >>log");
    let exec = step("exec", &with);
    exec.undo(&cx, &before).await.unwrap_err();
    fs::write(run.path("mended"), "").unwrap();
    exec.undo(&cx, &before).await.unwrap();
    assert_eq!(log(&run), "taken\n");
}

#[tokio::test]
async fn without_an_undo_it_says_so() {
    let run = Run::new();
    for (effect, undo) in [("read_only", ""), ("irreversible", "there is no way back")] {
        let mut with = adding(&run);
        with.as_object_mut().unwrap().remove("undo");
        with["effect"] = json!(effect);
        let (exec, cx) = (step("exec", &with), run.context(effect));
        assert_eq!(exec.preview(&run.dry()).await.unwrap().undo, undo);
        exec.apply(&cx, &Value::Null).await.unwrap();
        match exec.undo(&cx, &Value::Null).await {
            Ok(()) => assert_eq!(effect, "read_only"),
            Err(failure) => assert_eq!(failure.kind, FailureKind::PastPointOfNoReturn),
        }
    }
}

#[tokio::test]
async fn a_preview_shows_what_would_run_and_runs_nothing() {
    let run = Run::new();
    let mut with = adding(&run);
    with["env"] = json!({"MODE": "fast", "RETRIES": 3, "TOKEN": {"env": SECRET}});
    with["verify"] = json!(["true"]);
    let exec = step("exec", &with);
    let preview = exec.preview(&run.dry()).await.unwrap();
    let path = |name: &str| run.path(name).display().to_string();
    let place = format!(" in {}", run.dir.path().display());
    assert_eq!(
        preview.changes,
        [
            format!("run [\"sh\", \"{}\"]{place}, for at most 60 s", path("add.sh")),
            "with MODE=fast".to_owned(),
            "with RETRIES=3".to_owned(),
            format!("with TOKEN from the secret in ${SECRET}"),
            "proved by [\"true\"]".to_owned(),
        ]
    );
    assert_eq!(preview.undo, format!("run [\"sh\", \"{}\"]{place}", path("take.sh")));
    assert_eq!(preview.estimate.seconds, Some(60.0));
    assert_eq!(preview.findings, []);
    assert!(!serde_json::to_string(&preview).unwrap().contains(&std::env::var(SECRET).unwrap()));
    assert_eq!(exec.check(&run.dry()).await.unwrap(), Check::Pending { before: Value::Null });
    assert_eq!(log(&run), "");
}

#[tokio::test]
async fn a_program_that_is_not_there_blocks() {
    let run = Run::new();
    fs::write(run.path("data"), "no program").unwrap();
    let check = async |change: &dyn Fn(&mut Value), expect: &[&str]| {
        let mut with = adding(&run);
        change(&mut with);
        let exec = step("exec", &with);
        let preview = exec.preview(&run.dry()).await.unwrap();
        let expect: Vec<String> = expect
            .iter()
            .map(|name| format!("program {name}: there is no such program, or it may not be run"))
            .collect();
        assert_eq!(blocking(&preview.findings), expect);
        // The dry run goes on to say what else stands in the way.
        assert_eq!(exec.check(&run.dry()).await.unwrap(), Check::Pending { before: Value::Null });
        exec
    };
    let missing = "tierlift-no-such-program";
    let exec = check(&|with| with["argv"] = json!([missing, 1]), &[missing]).await;
    let failure = exec.apply(&run.context("exec"), &Value::Null).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Blocked);
    check(&|with| with["undo"] = json!(["./no-such-script"]), &["./no-such-script"]).await;
    check(&|with| with["check"] = json!([missing]), &[missing]).await;
    check(&|with| with["verify"] = json!(["./data"]), &["./data"]).await;
    check(&|with| with["env"] = json!({"PATH": run.path("nowhere")}), &["sh"]).await;
    let exec = check(&|with| with["dir"] = json!(run.path("later")), &[]).await;
    let findings = exec.preview(&run.dry()).await.unwrap().findings;
    assert_eq!((findings.len(), findings[0].severity), (1, Severity::Changes));
    assert!(findings[0].message.contains("is not there yet"));
}

#[tokio::test]
async fn secrets_reach_the_program_and_nothing_else() {
    let run = Run::new();
    let secret = std::env::var(SECRET).unwrap();
    let mut with = adding(&run);
    with["env"] = json!({"TOKEN": {"env": SECRET}});
    let text = "echo \"$TOKEN\" >got; echo \"out $TOKEN\"; echo \"err $TOKEN postgresql://u:pw@h/d\" >&2";
    with["argv"] = script(&run, "talk.sh", text);
    with["undo"] = script(&run, "fail.sh", "echo \"token $TOKEN\" >&2; exit 1");
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let output = exec.apply(&cx, &Value::Null).await.unwrap();
    assert_eq!(fs::read_to_string(run.path("got")).unwrap().trim(), secret);
    assert_eq!(
        (&output["stdout"], &output["stderr"]),
        (&json!(["out ***"]), &json!(["err *** postgresql://u:***@h/d"]))
    );
    let failure = exec.undo(&cx, &Value::Null).await.unwrap_err();
    assert_eq!(failure.causes, ["token ***"]);
    assert!(!all_of(&failure).contains(&secret));
    for (path, bytes) in files(&run.path("state")) {
        assert!(!String::from_utf8_lossy(&bytes).contains(&secret), "{}", path.display());
    }
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended() {
    let run = Run::new();
    let mut with = adding(&run);
    with["argv"] = json!(["sleep", 600]);
    with["timeout_seconds"] = json!(1);
    let started = Instant::now();
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let failure = exec.apply(&cx, &Value::Null).await.unwrap_err();
    assert!(failure.message.contains("did not end within 1 s"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(!is_done(&*exec, &cx).await, "nothing is left that would be in the way");
}

/// Polls a step until its program's record is complete; returns the step, still under way, and the process.
async fn until_recorded<F: Future + Unpin>(run: &Run, mut work: F) -> (F, i32) {
    let record = run.run_dir().join("processes/exec.json");
    let pid = std::future::poll_fn(|task| {
        assert!(std::pin::Pin::new(&mut work).poll(task).is_pending(), "its program should not end");
        let text = fs::read(&record).unwrap_or_default();
        let whole: Value = serde_json::from_slice(&text).unwrap_or_default();
        assert!(whole["program"].as_str().unwrap().contains("sleep"));
        std::task::Poll::Ready(i32::try_from(whole["pid"].as_u64().unwrap()).unwrap())
    })
    .await;
    (work, pid)
}

fn kill(pid: i32, signal: i32) -> bool {
    // SAFETY: plain system call, on a process group that this test started.
    unsafe { libc::kill(-pid, signal) == 0 }
}

#[tokio::test]
async fn a_program_that_outlived_tierlift_is_not_started_again() {
    let run = Run::new();
    let mut with = adding(&run);
    with["argv"] = json!(["sleep", 600]);
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let (work, pid) = until_recorded(&run, exec.apply(&cx, &Value::Null)).await;
    // As when tierlift is killed: nobody is left to end what it started.
    std::mem::forget(work);
    for failure in [
        exec.check(&cx).await.unwrap_err(),
        exec.apply(&cx, &Value::Null).await.unwrap_err(),
        exec.undo(&cx, &Value::Null).await.unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::Locked);
        assert_eq!(failure.object, format!("process {pid}"));
        assert!(failure.message.contains("[\"sleep\", \"600\"]"), "{failure}");
        assert!(failure.hint.contains(&format!("kill -- -{pid}")), "{}", failure.hint);
    }
    assert_eq!(log(&run), "", "not even the undo ran");
    assert!(kill(pid, libc::SIGKILL));
    let give_up = Instant::now() + Duration::from_secs(30);
    while exec.check(&cx).await.is_err() {
        assert!(Instant::now() < give_up, "it is dead and still in the way");
        tokio::task::yield_now().await;
    }
    exec.undo(&cx, &Value::Null).await.unwrap();
    assert_eq!(log(&run), "taken\n");
}

#[tokio::test]
async fn a_record_cut_short_or_of_another_process_is_understood() {
    let run = Run::new();
    let (exec, cx) = (step("exec", &adding(&run)), run.context("exec"));
    let record = run.run_dir().join("processes/exec.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    let check = async |text: String, locked: bool| {
        fs::write(&record, &text).unwrap();
        assert_eq!(exec.check(&cx).await.is_err_and(|f| f.kind == FailureKind::Locked), locked, "{text}");
        assert_eq!(record.exists(), locked, "{text}");
    };
    let me = std::process::id();
    check(String::new(), false).await;
    check(me.to_string(), true).await;
    check(json!({"pid": me, "started": "another boot 12", "program": "x"}).to_string(), false).await;
}

#[tokio::test]
async fn a_program_ends_with_the_step_that_is_dropped() {
    let run = Run::new();
    let mut with = adding(&run);
    with["argv"] = json!(["sleep", 600]);
    let (exec, cx) = (step("exec", &with), run.context("exec"));
    let (work, pid) = until_recorded(&run, exec.apply(&cx, &Value::Null)).await;
    drop(work);
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert!(!is_done(&*exec, &cx).await);
}
