//! A copy that is broken off at one exact moment, or by one exact cause: it says of what and what to do, and the next
//! call finishes it.

#![allow(clippy::print_stderr)] // what is skipped is said

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Notes, Pair, cx, url};
use pg_sandbox::{CutAt, CutProxy};
use pg_session::{Access, Session};
use pgmigrate::{CopyReport, VerifyOptions, copy, verify};
use runbook::Failure;

/// What goes by in every transaction that brings rows.
const RECORD: &[u8] = b"done_at = clock_timestamp()";

/// Parts with rows that are on the target.
const PARTS: &str = "select count(*) from tierlift.copy_part where rows > 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_repeated_and_one_that_was_lost_is() {
    let pair = Pair::start(3_000);
    for at in [CutAt::TheirAnswer, CutAt::BeforeThem] {
        for retry_for in [Duration::from_secs(60), Duration::ZERO] {
            let proxy = CutProxy::start(pair.to.port(), RECORD, at).expect("the proxy starts");
            let mut options = pair.options();
            let through =
                pair.target.owner_url.replace(&format!(":{}/", pair.to.port()), &format!(":{}/", proxy.port()));
            options.target = url(&through);
            options.retry_for = retry_for;
            options.jobs = Some(1); // nobody else finishes anything beside
            let notes = Arc::<Notes>::default();
            let report = match copy(&options, &notes.cx()).await {
                Ok(report) => {
                    assert!(notes.text().contains("trying again"), "{}", notes.text());
                    report
                }
                Err(error) => {
                    assert!(retry_for.is_zero(), "{error}");
                    let failure = Failure::from(error);
                    assert!(failure.hint.contains("start it again"), "{failure:?}");
                    let done = number(&pair, PARTS);
                    assert_eq!(done > 0, at == CutAt::TheirAnswer, "it was the first commit of rows");
                    let report = copy(&options, &cx()).await.expect("the resume succeeds");
                    assert!(report.resumed);
                    assert_eq!(report.parts_now + done, number(&pair, PARTS), "{at:?}");
                    report
                }
            };
            assert!(proxy.was_cut());
            is_equal(&pair, &report).await;
            reset(&pair).await;
        }
    }
}

#[tokio::test]
async fn a_part_cannot_be_recorded_twice() {
    let pair = Pair::start(300);
    copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    let again = "set session_replication_role = replica;
                 update tierlift.copy_part set rows = rows, done_at = clock_timestamp() where rows > 0";
    let error = pair.to.psql(&pair.target.database, again).expect_err("it is refused");
    assert!(error.to_string().contains("is on the target already"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_empties_is_copied_again() {
    let pair = Pair::start(3_000);
    pair.on_source(SLOW_INDEX);
    pair.on_source(
        "create unlogged table public.cache (id int primary key, v text); create index on public.cache (v);
         insert into public.cache select g, 'v' || g from generate_series(1, 40000) g",
    );
    for guarded in [false, true] {
        // With a trigger in place, rows must not come in any more.
        let stop_at = if guarded { "refresh materialized view" } else { "last_slow" };
        if guarded {
            pair.on_source(
                "create trigger seen before update on public.cache for each row
                   execute function pg_catalog.suppress_redundant_updates_trigger();
                 drop index public.last_slow;
                 create materialized view public.slowly as select public.slow(id) from public.last where id <= 100",
            );
        }
        let options = pair.options();
        let copying = tokio::spawn(async move {
            let mut options = options;
            options.retry_for = Duration::ZERO;
            copy(&options, &cx()).await
        });
        wait_for_statement(&pair, stop_at).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while number(&pair, "select count(*) from tierlift.copy_part where relation ~ 'cache' and done_at is null") > 0
        {
            assert!(Instant::now() < deadline, "the unlogged table does not come");
        }
        pair.on_target("checkpoint"); // commits that nobody waits for could be lost otherwise
        pair.to.crash().expect("the target recovers");
        let error = copying.await.expect("no panic").expect_err("its connections broke");
        assert!(Failure::from(error).hint.contains("start it again"));
        assert_eq!(number(&pair, "select count(*) from public.cache"), 0);
        let done = number(&pair, PARTS);
        let notes = Arc::<Notes>::default();
        let report = copy(&pair.options(), &notes.cx()).await.expect("the resume succeeds");
        assert!(notes.text().contains("a crash of the target emptied"), "{}", notes.text());
        assert_eq!(notes.text().contains("begins anew"), guarded, "{}", notes.text());
        if !guarded {
            let lost = number(&pair, &format!("{PARTS} and relation ~ 'cache'"));
            assert_eq!(report.parts_now, number(&pair, PARTS) - (done - lost), "only that table is repeated");
        }
        is_equal(&pair, &report).await;
        reset(&pair).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cause_is_named_and_the_next_call_finishes() {
    let pair = Pair::start(1_000);
    pair.on_source(SLOW_INDEX);
    // Cancelled by somebody.
    let failure = fails(&pair, async || {
        let pid = wait_for_statement(&pair, "last_slow").await;
        pair.on_target(&format!("select pg_cancel_backend({pid})"));
    })
    .await;
    assert_eq!(failure.object, "index public.last_slow");
    assert!(failure.message.contains("57014") && failure.hint.contains("cancelled"), "{failure:?}");
    finishes(&pair).await;
    // No connection left, at either end: all that may be are the first that are opened, and the copy wants more.
    for (server, name, database, owner) in [
        (&pair.to, "target", &pair.target.database, &pair.target.owner),
        (&pair.from, "source", &pair.source.database, &pair.source.owner),
    ] {
        let limit = if name == "target" { 2 } else { 1 };
        server.psql(database, &format!("alter role {owner} connection limit {limit}")).expect("the limit is set");
        let failure = fails(&pair, async || ()).await;
        assert!(failure.message.contains("too many connections"), "{name}: {failure:?}");
        assert!(failure.message.contains(&format!(":{}/", server.port())), "{name}: {failure:?}");
        assert!(failure.hint.contains("frees connections"), "{name}: {failure:?}");
        server.psql(database, &format!("alter role {owner} connection limit -1")).expect("the limit is lifted");
        finishes(&pair).await;
    }
}

/// A copy that gives up at once, while something happens to it.
async fn fails(pair: &Pair, what: impl AsyncFnOnce()) -> Failure {
    let mut options = pair.options();
    options.retry_for = Duration::ZERO;
    let impatient = |text: &str| url(&format!("{text}?connect_timeout=1"));
    (options.source, options.target) = (impatient(&pair.source.owner_url), impatient(&pair.target.owner_url));
    let copying = tokio::spawn(async move { copy(&options, &cx()).await });
    what().await;
    Failure::from(copying.await.expect("no panic").expect_err("it is stopped"))
}

async fn finishes(pair: &Pair) {
    let report = copy(&pair.options(), &cx()).await.expect("the next call succeeds");
    is_equal(pair, &report).await;
    reset(pair).await;
}

/// An index that takes two seconds, on a table that is not sent together with others.
const SLOW_INDEX: &str = "
    create function public.slow(int) returns int immutable language sql as 'select $1 from pg_sleep(0.02)';
    create table public.last (id int);
    insert into public.last select g from generate_series(1, 20000) g;
    create index last_slow on public.last (public.slow(id)) where id <= 100";

/// Waits until one of our sessions on the target makes, for good, what has these words in its definition; its backend.
async fn wait_for_statement(pair: &Pair, words: &str) -> i32 {
    let watcher = Session::connect(&url(&pair.to.url("postgres")), Access::ReadOnly).await.expect("the target answers");
    let sql = "select pid from pg_stat_activity where application_name = 'tierlift copy' and state = 'active' and position($1 in query) > 0 and query ~ 'copy_entry'";
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no session of ours ever runs {words}");
        if let Some(row) = watcher.query_opt(sql, &[&words]).await.expect("the target answers") {
            return row.get(0);
        }
    }
}

fn number(pair: &Pair, sql: &str) -> u64 {
    pair.on_target(sql).trim().parse().expect("a number")
}

async fn is_equal(pair: &Pair, report: &CopyReport) {
    let seen = verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    assert_eq!(report.rows, seen.rows);
}

async fn reset(pair: &Pair) {
    pgmigrate::copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_the_next_call_finishes() {
    let pair = Pair::start(6_000);
    let Some(disk) = SmallDisk::mount(&pair) else {
        eprintln!("SKIPPED a_full_disk_is_named: only root on Linux may mount a small disk");
        return;
    };
    pair.on_target(&format!("create tablespace small location '{}'", disk.path().display()));
    pair.on_target(&format!("grant create on tablespace small to {}", pair.target.owner));
    pair.on_target(&format!("alter database {} set default_tablespace = small", pair.target.database));
    let failure = fails(&pair, async || ()).await;
    assert!(failure.object.starts_with("table ") || failure.object.starts_with("index "), "{failure:?}");
    assert!(failure.message.contains("53100") && failure.hint.contains("disk is full"), "{failure:?}");
    disk.enlarge();
    finishes(&pair).await;
    pair.on_target(&format!("alter database {} reset default_tablespace", pair.target.database));
    pair.on_target("drop tablespace small");
}

/// A file system of two megabytes, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(pair: &Pair) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        if !run("mount", &["-t", "tmpfs", "-o", "size=2m"], &["tmpfs"], dir.path()) {
            return None;
        }
        let disk = Self(dir);
        // Readable for the server, which runs as somebody else where the tests run as root.
        let server = std::fs::metadata(pair.to.data_dir()).expect("the server has a folder");
        use std::os::unix::fs::MetadataExt;
        std::os::unix::fs::chown(disk.path(), Some(server.uid()), Some(server.gid())).expect("root may");
        Some(disk)
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    fn enlarge(&self) {
        assert!(run("mount", &["-o", "remount,size=200m"], &[], self.path()), "it can be enlarged");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &[], self.path()); // a failure leaves an empty file system in memory
    }
}

fn run(program: &str, options: &[&str], more: &[&str], path: &std::path::Path) -> bool {
    let status = std::process::Command::new(program)
        .args(options)
        .args(more)
        .arg(path)
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
