//! Undo takes back what the copy made, and nothing that somebody else made since.

mod common;

use common::{Pair, cx, noting};
use pg_session::{Access, Session};
use pgmigrate::{copy, copy_undo};
use runbook::{Failure, FailureKind};

#[tokio::test]
async fn what_others_made_since_stays_and_is_named() {
    let pair = Pair::start(300);
    let owner = pair.target.owner.clone();
    pair.on_source("create extension vector with schema extensions");
    copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    pair.on_target(&format!(
        "set role {owner}; create schema theirs; create table theirs.notes (id int);
         create table public.later (id int primary key, message bigint references public.messages, at extensions.vector(3));
         insert into public.later (id) values (1);
         create function public.later(public.later) returns int language sql return 1;
         create index on public.messages (created_at); grant select on public.later to authenticated;
         create schema if not exists extensions; create table extensions.theirs (id int)"
    ));
    let (context, notes) = noting();
    copy_undo(&pair.target_url(), &context).await.expect("undo succeeds");
    let left = pair.on_target(
        "select string_agg(c.oid::regclass::text, ' ' order by c.oid::regclass::text) from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'v', 'm', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'",
    );
    assert_eq!(left.trim(), "extensions.theirs later theirs.notes");
    assert_eq!(pair.on_target("select count(*) from public.later").trim(), "1");
    for said in [
        "table public.later was not made by the copy and stays",
        "function public.later(public.later) was not made by the copy",
        "constraint later_message_fkey on table public.later was not made by the copy and went with table public.messages",
        "table theirs.notes was not made",
        "schema theirs was not made",
        "extension vector stays",
        "role authenticated stays",
    ] {
        assert!(notes.text().contains(said), "{said} in {}", notes.text());
    }
}

#[tokio::test]
async fn what_others_built_on_the_copy_is_not_dropped_behind_their_back() {
    let pair = Pair::start(300);
    let empty = pair.target_state();
    copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    pair.on_target(&format!(
        "set role {}; create view public.report as select count(*) from public.messages;
         create view public.summary as select * from public.report",
        pair.target.owner
    ));
    let copied = pair.target_state();
    let failure: Failure = copy_undo(&pair.target_url(), &cx()).await.expect_err("views are in the way").into();
    assert_eq!(failure.kind, FailureKind::Blocked);
    for view in ["view public.report (it needs table public.messages)", "view public.summary"] {
        assert!(failure.message.contains(view), "{failure}");
    }
    assert_eq!(pair.target_state(), copied);
    pair.on_target("drop view public.summary, public.report");
    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    assert_eq!(pair.target_state(), empty);
}

#[tokio::test]
async fn what_else_is_kept_in_schema_tierlift_is_left_alone() {
    let pair = Pair::start(300);
    pair.on_target(&format!(
        "set role {}; create schema tierlift; create table tierlift.backfill (id int)",
        pair.target.owner
    ));
    let with_backfill = pair.target_state();
    copy(&pair.options(), &cx()).await.expect("a backfill's leftover does not keep a copy from an empty database");
    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    assert_eq!(pair.target_state(), with_backfill);

    pair.on_target("alter schema tierlift owner to postgres");
    let failure: Failure = copy(&pair.options(), &cx()).await.expect_err("it is another's").into();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "schema tierlift"), "{failure}");
}

#[tokio::test]
async fn an_attempt_that_died_as_it_began_leaves_nothing_behind_its_undo() {
    let pair = Pair::start(300);
    let empty = pair.target_state();
    let dead = Session::connect(&pair.target_url(), Access::ReadWrite).await.expect("the target answers");
    dead.batch_execute("set application_name = 'tierlift copy'; begin; create schema tierlift")
        .await
        .expect("it begins");
    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    dead.batch_execute("commit").await.expect_err("its session was ended");
    assert_eq!(pair.target_state(), empty);
}
