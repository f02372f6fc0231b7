//! Copies that are cut off at many moments: they finish later without repeating anything, or are taken back cleanly.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Notes, Pair, cx};
use pg_session::{Access, Session};
use pgmigrate::{VerifyOptions, copy, copy_undo, verify};

/// Where a copy is cut off, in parts of a whole copy's time.
const MOMENTS: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_cut_off_anywhere_finishes_and_repeats_nothing() {
    let _alone = ALONE.lock().await;
    let pair = start();
    let whole = time_of_a_copy(&pair).await;
    let mut cut_within = 0;
    for moment in 1..=MOMENTS {
        // In turn after so much time, and after so many parts.
        if moment % 2 == 0 {
            cut_off(&pair, whole * moment / MOMENTS).await;
        } else {
            cut_off_after_parts(&pair, i64::from(moment) / 3).await;
        }
        // The dead attempt's transactions end when the server notices; what counts is what it has committed by then.
        let (parts, done) = settled_parts(&pair);
        let report = copy(&pair.options(), &cx()).await.unwrap_or_else(|e| panic!("moment {moment}: {e}"));
        if done > 0 && done < parts {
            cut_within += 1;
        }
        if parts > 0 {
            assert_eq!(report.parts_now, parts - done, "moment {moment}: finished parts are not repeated");
        }
        let seen = verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
        assert!(seen.is_equal(), "moment {moment}: {:#?}", seen.mismatches);
        assert_eq!(report.rows, seen.rows, "moment {moment}");
        copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    }
    assert!(cut_within > 0, "no moment fell into the middle of the rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_cut_off_anywhere_can_be_taken_back() {
    let _alone = ALONE.lock().await;
    let pair = start();
    let empty = pair.target_state();
    let whole = time_of_a_copy(&pair).await;
    for moment in 1..=MOMENTS / 2 {
        cut_off(&pair, whole * 2 * moment / MOMENTS).await;
        copy_undo(&pair.target_url(), &cx()).await.unwrap_or_else(|e| panic!("moment {moment}: {e}"));
        assert_eq!(pair.target_state(), empty, "moment {moment}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_begins_anew_when_the_source_was_written_to() {
    let _alone = ALONE.lock().await;
    let pair = start();
    for change in [
        "update public.messages set content = content || '!' where id % 7 = 0",
        "alter table public.profiles add column if not exists nickname text, alter column nickname set default clock_timestamp()",
        "truncate public.mood_entries",
        "delete from public.messages where id % 7 = 3",
        "vacuum full public.messages",
    ] {
        for crash in [false, true] {
            // One change a kind is enough behind a crash.
            if crash && !change.starts_with("update") && !change.starts_with("delete") {
                continue;
            }
            cut_off_after_parts(&pair, 2).await;
            pair.on_source(change);
            if crash {
                pair.from.crash().expect("it recovers"); // and with it the counters are gone
            }
            let report = copy(&pair.options(), &cx()).await.unwrap_or_else(|e| panic!("{change}: {e}"));
            let seen =
                verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
            assert!(seen.is_equal(), "{change}: {:#?}", seen.mismatches);
            // Without counters it is looked at which finished parts were touched; those of other tables may stay.
            if !crash {
                assert_eq!(report.rows_now, report.rows, "{change}");
            }
            copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_on_when_the_source_only_seems_to_have_been_written_to() {
    let _alone = ALONE.lock().await;
    let pair = start();
    pair.from.create_database("other").expect("the database is made");
    pair.from.psql("other", "create table busy (id int)").expect("the table is made");
    for (name, disturb) in [
        ("quiet", (|_| ()) as fn(&Pair)),
        ("crash", |pair| pair.from.crash().unwrap()),
        // Transaction ids are the whole cluster's.
        ("another database is written to", |pair| {
            drop(pair.from.psql("other", "insert into busy values (1)").unwrap())
        }),
        ("statistics", |pair| drop(pair.on_source("analyze public.messages"))),
        ("locked rows", |pair| {
            drop(pair.on_source("begin; select * from public.messages order by id for update; commit"))
        }),
        ("another database and a crash", |pair| {
            pair.from.psql("other", "insert into busy values (1)").unwrap();
            pair.from.crash().unwrap();
        }),
        ("counters thrown away", |pair| {
            drop(pair.on_source("select pg_stat_reset(); select pg_current_xact_id()"));
        }),
    ] {
        cut_off_after_parts(&pair, 3).await;
        let (parts, done) = settled_parts(&pair);
        disturb(&pair);
        let notes = Arc::<Notes>::default();
        let report = copy(&pair.options(), &notes.cx()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(report.parts_now, parts - done, "{name}: finished parts are not repeated: {}", notes.text());
        let seen = verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
        assert!(seen.is_equal(), "{name}: {:#?}", seen.mismatches);
        copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_come_again_where_one_may_have_been_written_to() {
    let _alone = ALONE.lock().await;
    let pair = start();
    for oid in [5001, 5002] {
        pair.on_source(&format!(
            "select lo_from_bytea({oid}, 'old {oid}'); alter large object {oid} owner to {}",
            pair.source.owner
        ));
    }
    for (change, again) in [("", false), ("select lo_put(5001, 0, 'new')", true)] {
        cut_off_after(&pair, "select count(*) from tierlift.copy_large_object", 0).await;
        pair.on_source(change);
        let notes = Arc::<Notes>::default();
        let report = copy(&pair.options(), &notes.cx()).await.expect("the resume succeeds");
        // Counters lag behind: without a change they may come again too, with one they must (or everything does).
        if again {
            assert!(notes.text().contains("written to"), "{}", notes.text());
        }
        assert_eq!(report.large_objects, 2);
        let contents =
            "select string_agg(convert_from(lo_get(oid), 'UTF8'), ',' order by oid) from pg_largeobject_metadata";
        assert_eq!(pair.on_target(contents), pair.on_source(contents));
        copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    }
}

/// Two servers and a copy keep two cores busy: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn start() -> Pair {
    let pair = Pair::start(6_000);
    // Within four times this after the copy's beginning a crash may lose commits, and then nothing can be said.
    pair.on_source("alter system set wal_writer_delay = '1ms'");
    pair.on_source("select pg_reload_conf()");
    pair
}

async fn time_of_a_copy(pair: &Pair) -> Duration {
    let began = Instant::now();
    copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    let whole = began.elapsed();
    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    whole
}

/// Drops a copy in mid-air: its connections break as they do when the process dies.
async fn cut_off(pair: &Pair, after: Duration) {
    let options = pair.options();
    // Either outcome is fine: the last moments may come after the end.
    drop(tokio::time::timeout(after, copy(&options, &cx())).await);
}

/// The same as soon as the target has recorded more than so many parts with rows.
async fn cut_off_after_parts(pair: &Pair, parts: i64) {
    const DONE: &str =
        "select count(*) from tierlift.copy_part, tierlift.copy where rows > 0 and (writes ->> 'durable')::bool";
    cut_off_after(pair, DONE, parts).await;
}

/// The same as soon as the target counts more than so many.
async fn cut_off_after(pair: &Pair, count: &str, least: i64) {
    let (options, cx) = (pair.options(), cx());
    let watcher = Session::connect(&common::url(&pair.to.url(&pair.target.database)), Access::ReadOnly).await;
    let watcher = watcher.expect("the target answers");
    let watch = async {
        loop {
            let begun = watcher.query_one("select to_regclass('tierlift.copy_part') is not null", &[]).await;
            if begun.expect("the target answers").get(0) {
                let counted = watcher.query_one(count, &[]).await;
                // It may have been undone meanwhile; the table is gone then.
                if counted.is_ok_and(|row| row.get::<_, i64>(0) > least) {
                    return;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = watch => {}
        ended = copy(&options, &cx) => drop(ended.expect("the copy succeeds")),
    }
}

/// (parts, finished parts) when no session of the dead attempt is at work any more.
fn settled_parts(pair: &Pair) -> (u64, u64) {
    let busy = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'tierlift%' and datname = 'oviya'";
    while pair.on_target(busy).trim() != "0" {
        std::thread::yield_now();
    }
    if pair.on_target("select to_regclass('tierlift.copy_part') is null").trim() == "t" {
        return (0, 0);
    }
    let counts = pair.on_target("select count(*), count(done_at) from tierlift.copy_part");
    let mut counts = counts.trim().split('|').map(|n| n.parse().expect("a count is a number"));
    let mut next = || counts.next().expect("two counts were asked for");
    (next(), next())
}
