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
async fn text_means_the_same_whatever_the_database_is_set_to() {
    let server = server();
    server
        .psql(
            "postgres",
            "alter database postgres set array_nulls = off; alter database postgres set quote_all_identifiers = on;
             alter database postgres set transform_null_equals = on; alter database postgres set lc_monetary = 'POSIX';
             alter database postgres set datestyle = 'German'; alter database postgres set intervalstyle = 'postgres_verbose';
             alter database postgres set timezone = 'Asia/Kolkata'; alter database postgres set bytea_output = 'escape';
             alter database postgres set extra_float_digits = -10; alter database postgres set search_path = 'pg_catalog'",
        )
        .expect("settings");
    let session = Session::connect(&url(&server.url("postgres")), Access::ReadOnly).await.expect("connects");
    let said = session
        .simple_query(
            "select concat_ws(' ', '{null}'::text[], 'pg_class'::regclass, null::int = null, 1.1::float4, '\\xff'::bytea,
                              '2026-02-01'::date, '1 day'::interval, '2026-01-01 00:00+00'::timestamptz)",
        )
        .await
        .expect("answers");
    let row = said.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    assert_eq!(row.as_deref(), Some("{NULL} pg_class 1.1 \\xff 2026-02-01 P1D 2026-01-01 00:00:00+00"));
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
