//! Sessions and locks against a real server.

use std::time::Duration;

use pg_sandbox::{PgInstall, PgServer};
use pg_session::{Access, AdvisoryLock, PgUrl, Session, SessionError};

fn server() -> PgServer {
    let install = PgInstall::find(Some(18)).expect("PostgreSQL can be obtained");
    PgServer::builder().install(install).start().expect("a server starts")
}

fn url(text: &str) -> PgUrl {
    text.parse().expect("a URL")
}

#[tokio::test]
async fn pins_its_settings_and_keeps_read_only_sessions_from_writing() {
    let server = server();
    server
        .psql("postgres", "alter database postgres set default_transaction_read_only = on; alter database postgres set statement_timeout = '1ms'")
        .expect("settings");
    let url = url(&server.url("postgres"));
    let reader = Session::connect(&url, Access::ReadOnly).await.expect("connects");
    let refused = reader.batch_execute("create table public.t (i int)").await.expect_err("a read-only session");
    assert_eq!(refused.code().map(|c| c.code().to_owned()).as_deref(), Some("25006"));
    assert_eq!(reader.major(), 18);
    // A fenced database takes writes from a session that says it may write.
    let writer = Session::connect(&url, Access::ReadWrite).await.expect("connects");
    writer.batch_execute("create table public.t (i int)").await.expect("writes in spite of the fence");
    let timeout: String = writer.query_one("show statement_timeout", &[]).await.expect("answers").get(0);
    assert_eq!(timeout, "0");
}

#[tokio::test]
async fn says_what_is_wrong_with_a_connection() {
    let server = server();
    let good = server.url("postgres");
    let check = async |url: String, fits: fn(&SessionError) -> bool| {
        let error = Session::connect(&url.parse().expect("a URL"), Access::ReadOnly).await.err().expect("refused");
        assert!(fits(&error), "{error:?}");
        assert!(!error.hint().is_empty() && !format!("{error} {error:?}").contains("sekret"), "{error:?}");
    };
    check(server.url_as("postgres", "sekret", "postgres"), |e| matches!(e, SessionError::Refused { .. })).await;
    check(server.url_as("nobody", "sekret", "postgres"), |e| matches!(e, SessionError::Refused { .. })).await;
    check(server.url("absent"), |e| matches!(e, SessionError::NoDatabase { .. })).await;
    check("postgresql://u:sekret@127.0.0.1:1/db".into(), |e| matches!(e, SessionError::Unreachable { .. })).await;
    check("postgresql://u:sekret@no-such-host.invalid/db".into(), |e| matches!(e, SessionError::Unreachable { .. }))
        .await;
    // The sandbox's server offers no TLS.
    check(format!("{good}?sslmode=require"), |e| matches!(e, SessionError::Tls { .. })).await;
}

#[tokio::test]
async fn an_ended_session_tells_why() {
    let server = server();
    let session = Session::connect(&url(&server.url("postgres")), Access::ReadOnly).await.expect("connects");
    let others =
        "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where application_name = 'tierlift'";
    let ended = tokio::task::spawn_blocking(move || server.psql("postgres", others).map(|said| (said, server)));
    let (said, _server) = ended.await.expect("joins").expect("the server ends it");
    assert_eq!(said.trim(), "1");
    let error = session.error(&session.batch_execute("select 1").await.expect_err("it has ended"));
    assert!(error.to_string().contains("administrator command"), "{error}");
}

#[tokio::test]
async fn a_lock_has_one_holder_and_goes_with_its_session() {
    let server = server();
    let url = url(&server.url("postgres"));
    let first = AdvisoryLock::acquire(&url, 7, Duration::ZERO).await.expect("connects").expect("free");
    let holder = AdvisoryLock::acquire(&url, 7, Duration::ZERO).await.expect("connects").err().expect("held");
    assert!(holder.expect("the holder is visible").pid > 0);
    drop(AdvisoryLock::acquire(&url, 8, Duration::ZERO).await.expect("connects").expect("another key is free"));
    drop(first);
    AdvisoryLock::acquire(&url, 7, Duration::from_secs(10)).await.expect("connects").expect("free again");
}
