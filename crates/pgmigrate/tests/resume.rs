//! Copies that are cut off at many moments: they finish later without repeating anything, or are taken back cleanly.

mod common;

use std::time::{Duration, Instant};

use common::{Pair, cx};
use pgmigrate::{VerifyOptions, copy, copy_undo, verify};

/// Where a copy is cut off, in parts of a whole copy's time.
const MOMENTS: u32 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_cut_off_anywhere_finishes_and_repeats_nothing() {
    let pair = Pair::start(6_000);
    let whole = time_of_a_copy(&pair).await;
    let mut cut_within = 0;
    for moment in 1..=MOMENTS {
        cut_off(&pair, whole * moment / MOMENTS).await;
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
    let pair = Pair::start(6_000);
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
    let pair = Pair::start(2_000);
    let whole = time_of_a_copy(&pair).await;
    for change in [
        "update public.messages set content = content || '!' where id % 7 = 0",
        "alter table public.profiles add column nickname text",
        "truncate public.mood_entries",
    ] {
        cut_off(&pair, whole * 2 / 3).await;
        pair.on_source(change);
        let report = copy(&pair.options(), &cx()).await.unwrap_or_else(|e| panic!("{change}: {e}"));
        assert_eq!(report.rows_now, report.rows, "{change}");
        let seen = verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
        assert!(seen.is_equal(), "{change}: {:#?}", seen.mismatches);
        copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    }
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

/// (parts, finished parts) when no session of the dead attempt is at work any more.
fn settled_parts(pair: &Pair) -> (u64, u64) {
    let busy = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'tierlift' and datname = 'oviya'";
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
