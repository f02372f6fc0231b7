//! What cannot work is refused before anything changes, with the object and what to do.

mod common;

use std::sync::Arc;

use common::{Pair, cx, url};
use pgmigrate::{AssessOptions, CopyOptions, Required, assess, copy, copy_undo};
use runbook::{Context, Failure, FailureKind, Quiet, Severity};

#[tokio::test]
async fn assess_blocks_what_cannot_be_copied() {
    let pair = Pair::start(300);
    let untouched = pair.target_state();
    let requires = vec![
        Required { table: "public.messages".into(), columns: vec!["id".into(), "contents".into()] },
        Required { table: "public.massages".into(), columns: Vec::new() },
    ];
    let options = AssessOptions { requires, ..AssessOptions::new(pair.source_url(), pair.target_url()) };
    let blocks = |options: AssessOptions| async move {
        let seen = assess(&options, &cx()).await.expect("both ends can be read");
        seen.findings.into_iter().filter(|f| f.severity == Severity::Blocks).map(|f| f.object).collect::<Vec<_>>()
    };
    assert_eq!(blocks(options).await, ["column public.messages.contents", "table public.massages"]);
    assert_eq!(pair.target_state(), untouched);

    // As the application's own role, which sees rows through policies and owns nothing.
    let as_app = AssessOptions::new(url(&pair.source.app_url), pair.target_url());
    let seen = blocks(as_app).await;
    assert!(seen.iter().any(|o| o.contains("table auth.users")), "it may not read auth.users: {seen:?}");

    let itself = AssessOptions::new(pair.source_url(), pair.source_url());
    assert!(blocks(itself).await.contains(&"database oviya".to_owned()));

    pair.on_target("create table public.left_over (id int); create extension vector");
    let options = AssessOptions::new(pair.source_url(), pair.target_url());
    let seen = assess(&options, &cx()).await.expect("both ends can be read");
    let not_empty = seen.findings.iter().find(|f| f.severity == Severity::Blocks).expect("it is not empty");
    assert!(not_empty.message.contains("table public.left_over"), "{not_empty:?}");
    assert!(!not_empty.message.contains("vector"), "an extension's objects do not count: {not_empty:?}");
    let with_left_over = pair.target_state();
    let failure: Failure = copy(&pair.options(), &cx()).await.expect_err("it is not empty").into();
    assert_eq!(failure.kind, FailureKind::Blocked);
    copy_undo(&pair.target_url(), &cx()).await.expect("there is nothing of ours to undo");
    assert_eq!(pair.target_state(), with_left_over);
}

#[tokio::test]
async fn wrong_input_is_told_apart_and_shows_no_password() {
    let pair = Pair::start(300);
    let port = pair.to.port();
    let check = async |target: &str, object_or_message: &str, kind: FailureKind| {
        let options = CopyOptions::new(pair.source_url(), url(target));
        let failure: Failure = copy(&options, &cx()).await.expect_err(target).into();
        let text = format!("{failure} {:?} {}", failure.causes, failure.hint);
        assert!(text.contains(object_or_message), "{text}");
        assert_eq!(failure.kind, kind, "{text}");
        assert!(!text.contains("sekret"), "{text}");
        assert!(!failure.hint.is_empty(), "{text}");
    };
    check(&format!("postgres://tierlift:sekret@127.0.0.1:{port}/oviya"), "tierlift", FailureKind::InvalidInput).await;
    check("postgres://tierlift:sekret@127.0.0.1:1/oviya", "127.0.0.1:1", FailureKind::InvalidInput).await;
    let elsewhere = pair.target.owner_url.replace("/oviya", "/nowhere");
    check(&elsewhere, "nowhere", FailureKind::InvalidInput).await;
    check("postgres://u:sekret@ep-x-pooler.eu.aws.neon.tech/db", "ep-x.eu.aws.neon.tech", FailureKind::Blocked).await;
    check(
        "postgres://u:sekret@aws-0-eu.pooler.supabase.com:6543/postgres",
        "aws-0-eu.pooler.supabase.com:5432",
        FailureKind::Blocked,
    )
    .await;
}

#[tokio::test]
async fn names_the_object_the_target_refuses() {
    let pair = Pair::start(300);
    let empty = pair.target_state();
    // Only a superuser may make functions in C, and no provider gives out one.
    pair.on_source(
        "create function public.in_c() returns int language c strict as '$libdir/dict_snowball', 'dsnowball_init'",
    );
    let failure: Failure = copy(&pair.options(), &cx()).await.expect_err("the target's role may not use C").into();
    assert_eq!(failure.object, "function public.in_c()");
    assert!(failure.message.contains("permission denied for language c"), "{failure}");
    assert_eq!(pair.target_state(), empty, "nothing of the copy is left");
}

#[tokio::test]
async fn another_runs_copy_is_left_alone() {
    let pair = Pair::start(300);
    let run = |id: &str| {
        Context::of_run("copy", id, std::path::Path::new("."), std::collections::BTreeMap::new(), Arc::new(Quiet))
    };
    copy(&pair.options(), &run("first")).await.expect("the copy succeeds");
    let copied = pair.target_state();
    let failure: Failure = copy(&pair.options(), &run("second")).await.expect_err("another run's is there").into();
    assert_eq!(failure.kind, FailureKind::Blocked);
    copy_undo(&pair.target_url(), &run("second")).await.expect("there is nothing of its own to undo");
    assert_eq!(pair.target_state(), copied);
    let report = copy(&pair.options(), &run("first")).await.expect("its own is found finished");
    assert_eq!(report.rows_now, 0);
}
