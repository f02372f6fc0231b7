//! Copies through what may stand before a server: a pooler, a balancer, TLS, a standby.

#![allow(clippy::print_stderr)] // a test that cannot run says so

mod common;

use std::time::Duration;

use common::{Pair, cx, url};
use pg_sandbox::{Answer, DelayProxy, PgBouncer, PgServer, PoolMode};
use pg_session::PgUrl;
use pgmigrate::{AssessOptions, CopyOptions, Error, VerifyOptions};

/// The superuser's way into `database` of `server` through another port.
fn through(server: &PgServer, database: &str, port: u16) -> PgUrl {
    url(&server.url(database).replace(&format!(":{}/", server.port()), &format!(":{port}/")))
}

fn options(pair: &Pair, source: &PgUrl, target: &PgUrl) -> CopyOptions {
    CopyOptions { source: source.clone(), target: target.clone(), ..pair.options() }
}

async fn copy_and_verify(options: &CopyOptions) {
    let report = pgmigrate::copy(options, &cx()).await.unwrap_or_else(|e| panic!("{e:?}: {}", e.hint()));
    assert!(report.rows > 0);
    let verify = VerifyOptions::new(options.source.clone(), options.target.clone());
    let verification = pgmigrate::verify(&verify, &cx()).await.expect("verifies");
    assert!(verification.is_equal(), "{:?}", verification.mismatches);
}

/// Nobody copies, assesses or verifies through such ends.
async fn assert_refused(options: &CopyOptions, object: &str, words: &str) {
    let pair = (options.source.clone(), options.target.clone());
    let assess = AssessOptions::new(pair.0.clone(), pair.1.clone());
    for (what, error) in [
        ("copy", pgmigrate::copy(options, &cx()).await.err()),
        ("assess", pgmigrate::assess(&assess, &cx()).await.err()),
        ("verify", pgmigrate::verify(&VerifyOptions::new(pair.0, pair.1), &cx()).await.err()),
    ] {
        let Some(Error::Blocked(findings)) = error else { panic!("{what}: {error:?}") };
        let finding = &findings[0];
        assert!(finding.object.starts_with(object) && finding.message.contains(words), "{what}: {finding:?}");
    }
}

#[tokio::test]
async fn poolers_and_balancers_are_refused_and_a_standby_is_read() {
    let pair = Pair::start(2_000);
    let (database, empty) = (&pair.source.database, &pair.target.database);
    let standby = pair.from.start_standby(&[]).expect("a standby starts");
    let before = pair.target_state();

    let ports = [pair.from.port(), standby.port()];
    let balancer = DelayProxy::with_plan(Duration::ZERO, move |nth| Answer::Forward(ports[nth % 2])).expect("a proxy");
    let several = "different servers";
    let source = through(&pair.from, database, balancer.port());
    assert_refused(&options(&pair, &source, &pair.target_url()), "source 127.0.0.1", several).await;
    let target = through(&pair.from, "postgres", balancer.port());
    assert_refused(&options(&pair, &pair.source_url(), &target), "target 127.0.0.1", several).await;

    if let Some(program) = PgBouncer::find() {
        let transaction = "connection pooler in transaction mode";
        let pooler = PgBouncer::start(&program, &pair.from, PoolMode::Transaction, &[]).expect("pgbouncer starts");
        let source = through(&pair.from, database, pooler.port());
        assert_refused(&options(&pair, &source, &pair.target_url()), "source 127.0.0.1", transaction).await;
        let pooler = PgBouncer::start(&program, &pair.to, PoolMode::Transaction, &[]).expect("pgbouncer starts");
        let target = through(&pair.to, empty, pooler.port());
        assert_refused(&options(&pair, &pair.source_url(), &target), "target 127.0.0.1", transaction).await;
    } else {
        eprintln!("SKIPPED in part: pgbouncer is not installed (apt install pgbouncer)");
    }
    assert_eq!(pair.target_state(), before, "nothing has touched the target");

    // A standby takes no writes, and it can be read.
    let onto_standby = options(&pair, &pair.source_url(), &through(&pair.from, database, standby.port()));
    let error = pgmigrate::copy(&onto_standby, &cx()).await.expect_err("a standby takes no writes");
    assert!(format!("{error:?} {}", error.hint()).contains("standby"), "{error:?}");
    copy_and_verify(&options(&pair, &through(&pair.from, database, standby.port()), &pair.target_url())).await;
}

#[tokio::test]
async fn a_pooler_in_session_mode_is_copied_through() {
    let Some(program) = PgBouncer::find() else {
        eprintln!("SKIPPED: pgbouncer is not installed (apt install pgbouncer)");
        return;
    };
    let pair = Pair::start(100);
    // Of nobody's but the superuser's, the only role this pooler knows.
    let sql = "create table public.t (id int primary key, x text); insert into public.t select g, 'x' || g from generate_series(1, 5000) g";
    for server in [&pair.from, &pair.to] {
        server.create_database("plain").expect("a database");
    }
    pair.from.psql("plain", sql).expect("rows");
    let from = PgBouncer::start(&program, &pair.from, PoolMode::Session, &[]).expect("pgbouncer starts");
    let to = PgBouncer::start(&program, &pair.to, PoolMode::Session, &[]).expect("pgbouncer starts");
    let source = through(&pair.from, "plain", from.port());
    let target = through(&pair.to, "plain", to.port());
    copy_and_verify(&options(&pair, &source, &target)).await;
}
