//! Poolers and load balancers, found by what they do.

#![allow(clippy::print_stderr)] // a test that cannot run says so

use std::time::Duration;

use pg_sandbox::{Answer, DelayProxy, PgBouncer, PgInstall, PgServer, PoolMode};
use pg_session::{Access, Behind, PgUrl, Session, SessionError, look_behind};

fn server(major: u16) -> PgServer {
    let install = PgInstall::find(Some(major)).expect("PostgreSQL can be obtained");
    PgServer::builder().install(install).superuser_password("sekret").start().expect("a server starts")
}

fn at(port: u16) -> PgUrl {
    format!("postgresql://postgres:sekret@127.0.0.1:{port}/postgres?connect_timeout=4").parse().expect("a URL")
}

#[tokio::test]
async fn tells_a_pooler_by_its_behaviour() {
    let Some(program) = PgBouncer::find() else {
        eprintln!("SKIPPED: pgbouncer is not installed (apt install pgbouncer)");
        return;
    };
    let server = server(16);
    assert_eq!(look_behind(&at(server.port())).await.expect("answers"), Behind::OneServer { standby: false });
    let turns = ("server_round_robin", "1");
    for (mode, settings, expect) in [
        (PoolMode::Session, &[][..], Behind::OneServer { standby: false }),
        (PoolMode::Transaction, &[], Behind::TransactionPooler),
        (PoolMode::Transaction, &[("default_pool_size", "1")], Behind::TransactionPooler),
        (PoolMode::Transaction, &[("default_pool_size", "2"), turns], Behind::TransactionPooler),
        (PoolMode::Transaction, &[("default_pool_size", "3"), turns], Behind::TransactionPooler),
        (PoolMode::Transaction, &[("min_pool_size", "5"), turns], Behind::TransactionPooler),
        (PoolMode::Statement, &[], Behind::TransactionPooler),
    ] {
        let pooler = PgBouncer::start(&program, &server, mode, settings).expect("pgbouncer starts");
        // Twice: the second time its pool is filled.
        for _ in 0..2 {
            let behind = look_behind(&at(pooler.port())).await.unwrap_or_else(|e| panic!("{mode:?} {settings:?}: {e}"));
            assert_eq!(behind, expect, "{mode:?} {settings:?}");
        }
    }
    // Session mode with too few connections for us would let us wait for ever.
    let small = [("default_pool_size", "1")];
    let pooler = PgBouncer::start(&program, &server, PoolMode::Session, &small).expect("pgbouncer starts");
    let _first = Session::connect(&at(pooler.port()), Access::ReadOnly).await.expect("the pool's only connection");
    let error = Session::connect(&at(pooler.port()), Access::ReadOnly).await.err().expect("none is left");
    assert!(matches!(error, SessionError::Unavailable { .. }) && error.to_string().contains("pool is full"), "{error}");
}

#[tokio::test]
async fn tells_several_servers_from_one() {
    let (one, other) = (server(16), server(16));
    let standby = one.start_standby(&[]).expect("a standby starts");
    let ports = [one.port(), other.port(), standby.port()];
    let check = async |turns: [usize; 2], expect: Behind| {
        let turns = turns.map(|which| ports[which]);
        let balancer = DelayProxy::with_plan(Duration::ZERO, move |nth| Answer::Forward(turns[nth % 2]));
        let balancer = balancer.expect("a proxy");
        assert_eq!(look_behind(&at(balancer.port())).await.expect("answers"), expect);
    };
    check([0, 0], Behind::OneServer { standby: false }).await;
    check([2, 2], Behind::OneServer { standby: true }).await;
    check([0, 1], Behind::SeveralServers { standby: false }).await;
    // They share a system identifier, and still no snapshot.
    check([0, 2], Behind::SeveralServers { standby: true }).await;
}

#[tokio::test]
async fn says_what_a_standby_and_a_foreign_snapshot_need() {
    let (one, other) = (server(16), server(18));
    one.psql("postgres", "create table public.t as select g from generate_series(1, 1000) g").expect("a table");
    let settings = [("max_standby_streaming_delay", "0"), ("hot_standby_feedback", "off")];
    let standby = one.start_standby(&settings).expect("a standby starts");
    let session = Session::connect(&at(standby.port()), Access::ReadOnly).await.expect("connects");
    // A long reader on the standby, and a vacuum on the primary that removes what it may still want to see.
    session.batch_execute("begin isolation level repeatable read; select count(*) from public.t").await.expect("reads");
    let reading = async { session.batch_execute("select pg_sleep(60) from public.t").await };
    let removing = tokio::task::spawn_blocking(move || {
        one.psql("postgres", "delete from public.t; vacuum public.t; select pg_switch_wal()").map(|_| one)
    });
    let (read, removed) = tokio::join!(reading, removing);
    let _one = removed.expect("joins").expect("the primary vacuums");
    let error = session.error(&read.expect_err("the standby had to go on"));
    assert!(error.hint().contains("hot_standby_feedback"), "{error} / {}", error.hint());
    // A snapshot of another server: on either version's words.
    for port in [other.port(), standby.port()] {
        let session = Session::connect(&at(port), Access::ReadOnly).await.expect("connects");
        let sql = "begin isolation level repeatable read read only; set transaction snapshot '00000004-0000002D-1'";
        let error = session.error(&session.batch_execute(sql).await.expect_err("it has none of that name"));
        assert!(error.hint().contains("load balancer"), "{error} / {}", error.hint());
    }
}
