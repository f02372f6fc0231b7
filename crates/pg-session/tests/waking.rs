//! Servers that are asleep, silent, being restarted, or not where the URL says.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pg_sandbox::{Answer, DelayProxy, PgInstall, PgServer, StopMode};
use pg_session::{Access, PgUrl, Session, SessionError};

fn server() -> PgServer {
    let install = PgInstall::find(Some(18)).expect("PostgreSQL can be obtained");
    // A socket in its own folder too.
    PgServer::builder().install(install).setting("unix_socket_directories", ".").start().expect("a server starts")
}

/// A URL of `server` through another port of this machine.
fn through(server: &PgServer, port: u16, query: &str) -> PgUrl {
    let url = server.url("postgres").replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    format!("{url}?{query}").parse().expect("a URL")
}

#[tokio::test]
async fn waits_for_a_server_that_is_waking() {
    let server = server();
    let port = server.port();
    for (first, attempts) in [
        (Answer::HangUp, 3),
        (Answer::Refuse("57P03", "the database system is starting up"), 3),
        (Answer::Refuse("XX000", "Couldn't connect to compute node"), 3),
        (Answer::Refuse("53300", "sorry, too many clients already"), 2),
    ] {
        let plan = {
            let first = first.clone();
            move |nth| if nth + 1 < attempts { first.clone() } else { Answer::Forward(port) }
        };
        let proxy = DelayProxy::with_plan(Duration::ZERO, plan).expect("a proxy");
        let session = Session::connect(&through(&server, proxy.port(), ""), Access::ReadOnly).await;
        assert_eq!(session.unwrap_or_else(|e| panic!("{first:?}: {e}")).major(), 18);
        assert_eq!(proxy.connections(), attempts, "{first:?}");
    }
}

#[tokio::test]
async fn gives_up_when_its_time_is_over() {
    let server = server();
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let silent_port = silent.local_addr().expect("its address").port();
    let check = async |answer: Answer, fits: fn(&SessionError) -> bool| {
        let proxy = DelayProxy::with_plan(Duration::ZERO, move |_| answer.clone()).expect("a proxy");
        let began = Instant::now();
        let url = through(&server, proxy.port(), "connect_timeout=2");
        let error = Session::connect(&url, Access::ReadOnly).await.err().expect("it stays asleep");
        assert!(fits(&error), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "took {:?}", began.elapsed());
        proxy.connections()
    };
    let busy = check(Answer::Refuse("57P03", "starting up"), |e| matches!(e, SessionError::Unavailable { .. })).await;
    assert!(busy > 2, "tried {busy} times");
    check(Answer::HangUp, |e| matches!(e, SessionError::Unreachable { .. })).await;
    // Accepts (the kernel does), and never says a word.
    check(
        Answer::Forward(silent_port),
        |e| matches!(e, SessionError::Unreachable { reason, .. } if reason.contains("no answer within 2 s")),
    )
    .await;
    // What waiting cannot mend is said at once.
    let final_word =
        check(Answer::Refuse("08P01", "unsupported startup parameter"), |e| matches!(e, SessionError::Refused { .. }));
    assert_eq!(final_word.await, 1);
}

#[tokio::test]
async fn waits_for_a_server_that_refuses_while_it_restarts() {
    let mut server = server();
    // Neon's proxy may refuse outright; this address is ours, only the name says Neon.
    let port = server.port();
    let url: PgUrl = format!(
        "postgresql://postgres:{}@ep-a-1.eu-central-1.aws.neon.tech:{port}/postgres?hostaddr=127.0.0.1&connect_timeout=60",
        server.superuser_password()
    )
    .parse()
    .expect("a URL");
    server.stop(StopMode::Fast).expect("it stops");
    let connecting = tokio::spawn(async move { Session::connect(&url, Access::ReadOnly).await.map(|s| s.major()) });
    tokio::task::yield_now().await;
    let restarting = tokio::task::spawn_blocking(move || server.restart().map(|()| server));
    let _server = restarting.await.expect("joins").expect("it starts");
    assert_eq!(connecting.await.expect("joins").expect("connects"), 18);
}

#[tokio::test]
async fn connects_through_a_unix_socket() {
    let server = server();
    let folder = server.data_dir();
    let (folder, port, password) = (folder.display(), server.port(), server.superuser_password());
    for query in ["", "&sslmode=verify-full", "&sslmode=require"] {
        let url: PgUrl = format!("postgres://postgres:{password}@/postgres?host={folder}&port={port}{query}")
            .parse()
            .expect("a URL");
        let session = Session::connect(&url, Access::ReadOnly).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        let row = session.query_one("select inet_server_addr() is null", &[]).await.expect("answers");
        assert!(row.get::<_, bool>(0), "a socket has no address");
        assert_eq!(url.endpoint(), format!("{folder}/.s.PGSQL.{port}/postgres"));
    }
    let absent: PgUrl = "postgres://u@/db?host=/nowhere".parse().expect("a URL");
    let error = Session::connect(&absent, Access::ReadOnly).await.err().expect("nobody is there");
    assert!(error.hint().contains("/nowhere/.s.PGSQL.5432"), "{error} / {}", error.hint());
}
