//! How hard a copy leans on the source: its rate, and how it gives way to a busy application.

mod common;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use common::url;
use pg_sandbox::{PgInstall, PgServer, StopMode};
use pg_session::{Access, Session};
use pgmigrate::{CopyOptions, VerifyOptions, copy, verify};
use runbook::{Context, Event, Reporter};

/// Keeps what is said.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    changed: tokio::sync::Notify,
}

impl Reporter for Notes {
    fn report(&self, event: Event) {
        if let Event::Note { text, .. } = event {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            self.changed.notify_one();
        }
    }
}

impl Notes {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn saying(&self, what: &str) {
        while !self.lines().iter().any(|line| line.contains(what)) {
            self.changed.notified().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_keeps_its_rate_and_gives_way() {
    let start = |major| {
        let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
        PgServer::builder().install(install).start().expect("the server starts")
    };
    let (mut from, mut to) = (start(16), start(18));
    from.psql(
        "postgres",
        "create table a as select g as id, repeat(md5(g::text), 16) as t from generate_series(1, 2000) g;
         create table b as select * from a; create table c as select * from a; create table d as select * from a; analyze",
    )
    .expect("the source is filled");
    let options = |database: &str| {
        to.psql("postgres", &format!("create database {database}")).expect("the target makes it");
        let mut options = CopyOptions::new(url(&from.url("postgres")), url(&to.url(database)));
        options.pg_bin = Some(to.install().bin_dir().to_owned());
        options.jobs = Some(3);
        options
    };

    // 4.2 MB at 2 MB/s, over three readers together. Slower than that is this machine's business.
    let mut slow = options("slow");
    slow.max_rate = Some("2MB/s".parse().expect("it is a rate"));
    let began = Instant::now();
    let report = copy(&slow, &common::cx()).await.expect("the copy succeeds");
    let least = report.bytes as f64 / 2e6;
    let took = began.elapsed().as_secs_f64();
    assert!(least > 2.0 && took >= least * 0.9, "{} bytes in {took} s", report.bytes);

    // An application at work: one reader goes on alone, and the copy ends although the application does not.
    let busy = async || {
        let session = Session::connect(&url(&from.url("postgres")), Access::ReadWrite).await.expect("it connects");
        session.batch_execute("set application_name = 'app'").await.expect("it is set");
        session
    };
    let working = async |session: Session| {
        // Ends when it is cancelled.
        drop(session.batch_execute("select pg_sleep(600)").await);
    };
    let (one, two) = (busy().await, busy().await);
    let cancel = [one.cancel_token(), two.cancel_token()];
    let notes = Arc::new(Notes::default());
    let mut shy = options("shy");
    shy.max_source_sessions = Some(1);
    let sessions = tokio::spawn(async move { tokio::join!(working(one), working(two)) });
    let active = "select count(*) from pg_stat_activity where application_name = 'app' and state = 'active'";
    while from.psql("postgres", active).expect("it runs").trim() != "2" {
        tokio::task::yield_now().await;
    }
    let cx = Context::detached("copy", notes.clone());
    let report = copy(&shy, &cx).await.expect("the copy succeeds beside a busy application");
    assert_eq!(report.rows, 8000);
    notes.saying("no further reader starts").await;
    let held = notes.lines();
    assert!(held.iter().any(|l| l.contains("2 active sessions, more than the 1 allowed")), "{held:#?}");

    // One of them stops in the middle: the others start again.
    let mut patient = options("patient");
    patient.max_source_sessions = Some(1);
    patient.max_rate = Some("1MB/s".parse().expect("it is a rate"));
    let notes = Arc::new(Notes::default());
    let cx = Context::detached("copy", notes.clone());
    let (report, ()) = tokio::join!(copy(&patient, &cx), async {
        notes.saying("no further reader starts").await;
        cancel[0].cancel_query(tokio_postgres::NoTls).await.expect("it is cancelled");
        notes.saying("readers start again").await;
    });
    assert_eq!(report.expect("the copy succeeds").rows, 8000);
    cancel[1].cancel_query(tokio_postgres::NoTls).await.expect("it is cancelled");
    sessions.await.expect("the sessions end");
    let seen = verify(&VerifyOptions::new(patient.source.clone(), patient.target.clone()), &common::cx()).await;
    assert!(seen.expect("verify runs").is_equal());
    for server in [&mut from, &mut to] {
        server.stop(StopMode::Fast).expect("the server stops");
    }
}
