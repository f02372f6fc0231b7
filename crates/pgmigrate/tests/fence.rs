//! The fence: who is stopped, what is proved, and that lowering it leaves no trace.

mod common;

use common::{Pair, cx, url};
use pg_session::{Access, Session};
use pgmigrate::{Error, fence, fence_before, fence_findings, fence_held, is_fenced, unfence};
use runbook::{Failure, FailureKind};

#[tokio::test]
async fn stops_writers_and_leaves_no_trace() {
    let pair = Pair::start(300);
    let before_everything = pair.source_state();
    let app = connect(&pair.source.app_url).await;
    app.batch_execute("begin; update public.messages set content = 'half' where id = 1").await.expect("the app writes");

    let before = fence_before(&pair.source_url()).await.expect("the source can be read");
    let report = fence(&pair.source_url(), &cx()).await.expect("the fence goes up");
    assert!(report.sessions_ended >= 1, "{report:?}");
    assert!(is_fenced(&pair.source_url()).await.expect("the source can be read"));
    assert!(app.batch_execute("commit").await.is_err(), "the writer's session has ended");
    let late = connect(&pair.source.app_url).await;
    let refused = late.batch_execute("update public.messages set content = 'late' where id = 1").await;
    let code = refused.expect_err("new sessions can only read").code().map(|c| c.code().to_owned());
    assert_eq!(code.as_deref(), Some("25006"));
    fence_held(&pair.source_url(), &report).await.expect("nothing was written");

    let again = fence(&pair.source_url(), &cx()).await.expect("raising it twice is raising it once");
    assert_eq!((again.counters, again.rows_written), (report.counters.clone(), report.rows_written));

    unfence(&pair.source_url(), &before).await.expect("the fence goes down");
    assert!(late.batch_execute("select 1").await.is_err(), "sessions that began fenced have ended");
    unfence(&pair.source_url(), &before).await.expect("lowering it twice is lowering it once");
    assert_eq!(pair.source_state(), before_everything);
}

#[tokio::test]
async fn puts_back_a_setting_that_was_there() {
    let pair = Pair::start(300);
    pair.on_source("alter database oviya set default_transaction_read_only = off");
    let before_everything = pair.source_state();
    let before = fence_before(&pair.source_url()).await.expect("the source can be read");
    assert_eq!(before.setting.as_deref(), Some("off"));
    fence(&pair.source_url(), &cx()).await.expect("the fence goes up");
    unfence(&pair.source_url(), &before).await.expect("the fence goes down");
    assert_eq!(pair.source_state(), before_everything);
}

#[tokio::test]
async fn finds_out_about_writes_behind_it() {
    let pair = Pair::start(300);
    for behind in [
        "update public.messages set content = 'behind' where id = 2",
        "truncate public.mood_entries",
        "alter table public.profiles add column sneaked_in int",
    ] {
        let report = fence(&pair.source_url(), &cx()).await.expect("the fence goes up");
        fence_held(&pair.source_url(), &report).await.expect("nothing was written yet");
        pair.on_source(&format!("set default_transaction_read_only = off; {behind}"));
        assert!(matches!(fence_held(&pair.source_url(), &report).await, Err(Error::Fence { .. })), "{behind}");
    }
    let report = fence(&pair.source_url(), &cx()).await.expect("the fence goes up");
    pair.on_source("set default_transaction_read_only = off; alter database oviya reset default_transaction_read_only");
    assert!(matches!(fence_held(&pair.source_url(), &report).await, Err(Error::Fence { .. })), "it is down");
}

#[tokio::test]
async fn says_beforehand_why_it_cannot_go_up() {
    let pair = Pair::start(300);
    let found = fence_findings(&url(&pair.source.app_url)).await.expect("the source can be read");
    assert!(found.iter().any(|f| f.object == "database oviya"), "only the owner may: {found:?}");
    let failure: Failure = fence(&url(&pair.source.app_url), &cx()).await.expect_err("it may not").into();
    assert_eq!(failure.kind, FailureKind::Blocked);

    pair.on_source("alter role oviya_app set default_transaction_read_only = off");
    let found = fence_findings(&pair.source_url()).await.expect("the source can be read");
    assert!(found.iter().any(|f| f.object == "role oviya_app"), "{found:?}");
    assert!(!is_fenced(&pair.source_url()).await.expect("the source can be read"));
}

#[tokio::test]
async fn a_writer_it_may_not_end_forbids_it() {
    let pair = Pair::start(300);
    // A superuser's session, as a provider's own may be; oviya_owner is none.
    let provider = connect(&pair.from.url(&pair.source.database)).await;
    provider
        .batch_execute("begin; update public.messages set content = 'theirs' where id = 3")
        .await
        .expect("it writes");
    let refused = fence(&pair.source_url(), &cx()).await.expect_err("a writer is left");
    assert!(matches!(&refused, Error::Fence { message, .. } if message.contains("postgres")), "{refused}");
    provider.batch_execute("rollback").await.expect("its session lives");
    fence(&pair.source_url(), &cx()).await.expect("an idle one is no obstacle");
}

async fn connect(text: &str) -> Client {
    // Not a `Session`: an application's defaults and name.
    let (client, connection) = pg_session::tokio_postgres::connect(text, pg_session::tokio_postgres::NoTls)
        .await
        .expect("the application connects");
    tokio::spawn(async move { drop(connection.await) });
    client
}

type Client = pg_session::tokio_postgres::Client;

#[tokio::test]
async fn our_own_sessions_survive_it() {
    let pair = Pair::start(300);
    let ours = Session::connect(&pair.source_url(), Access::ReadOnly).await.expect("we connect");
    fence(&pair.source_url(), &cx()).await.expect("the fence goes up");
    ours.batch_execute("select 1").await.expect("our session lives");
}
