//! A source that is written to while it is copied, as it is without a fence: what arrives is one moment of it, or nothing
//! that calls itself finished.

mod common;

use common::{Servers, cx, url};
use pg_sandbox::PgServer;
use pg_session::{Access, Session};
use pgmigrate::{CopyOptions, VerifyOptions, copy, copy_undo, verify};
use runbook::{Failure, FailureKind};

/// Two tables too large to go with others, one of them (the larger) read first when there is one reader only.
const TABLES: &str = "
    create table first (id int primary key, amount int not null, filler text);
    insert into first select g, 100, repeat(md5(g::text), 30) from generate_series(1, 4000) g;
    create table second (id serial primary key, amount int not null, filler text);
    insert into second (amount, filler) select 100, repeat(md5(g::text), 30) from generate_series(1, 2000) g;
    create table empty (id int);
    analyze;";

/// Slow enough that a statement of somebody else's comes in between.
fn slow(servers: &Servers, database: &str) -> CopyOptions {
    let mut options = servers.case(database, PgServer::SUPERUSER, TABLES);
    options.jobs = Some(1);
    options.max_rate = Some("2MB/s".parse().expect("it is a rate"));
    options
}

/// Returns when the target has rows that nobody has committed yet: a reader is at work.
async fn first_rows(options: &CopyOptions) {
    let session = Session::connect(&options.target, Access::ReadOnly).await.expect("the target answers");
    let begun = "select exists (select from pg_stat_progress_copy where tuples_processed > 0)";
    while !session.query_one(begun, &[]).await.expect("the target answers").get::<_, bool>(0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_one_moment_of_a_busy_source() {
    let servers = Servers::start(16, 18);
    let options = slow(&servers, "busy");
    let writer = Session::connect(&options.source, Access::ReadWrite).await.expect("the source answers");
    let write = async {
        for number in 0_u32.. {
            // Leaves the sum of all amounts as it was, but only to those who see all of it.
            let id = number % 4000 + 1;
            let transfer = format!(
                "update public.first set amount = amount - 1 where id = {id}; insert into public.second (amount) values (1)"
            );
            writer.batch_execute(&transfer).await.expect("the source takes writes");
            if number % 50 == 0 {
                let refill = "delete from public.empty; insert into public.empty values (1)";
                writer.batch_execute(refill).await.expect("the source takes writes");
            }
        }
    };
    let context = cx();
    tokio::select! {
        report = copy(&options, &context) => drop(report.expect("the copy succeeds")),
        () = write => {}
    }
    let on = |server: &PgServer, sql: &str| server.psql("busy", sql).expect("it answers").trim().to_owned();
    const SUM: &str = "select sum(amount) from (select amount from first union all select amount from second) s";
    assert_eq!(on(&servers.to, SUM), "600000");
    let count = "select count(*) from second";
    let (there, now): (i64, i64) = (on(&servers.to, count).parse().unwrap(), on(&servers.from, count).parse().unwrap());
    assert!(there < now, "nothing was written while the copy ran: {there} of {now}");
    assert_eq!(on(&servers.to, "select nextval('second_id_seq') > max(id) from second"), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_emptied_before_it_was_read_is_named() {
    let servers = Servers::start(16, 18);
    for (at, change) in
        ["truncate public.second", "alter table public.second alter filler type varchar(5000) using filler || ''"]
            .iter()
            .enumerate()
    {
        let options = slow(&servers, &format!("emptied_{at}"));
        let other = Session::connect(&url(&servers.from.url(&format!("emptied_{at}"))), Access::ReadWrite).await;
        let other = other.expect("the source answers");
        let context = cx();
        let mut copying = std::pin::pin!(copy(&options, &context));
        tokio::select! {
            outcome = &mut copying => panic!("{change}: the copy ended too early: {outcome:?}"),
            () = first_rows(&options) => {}
        }
        let (outcome, changed) = tokio::join!(copying, other.batch_execute(change));
        changed.expect(change);
        let failure: Failure = outcome.expect_err(change).into();
        assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "table public.second"), "{failure}");

        let report = copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{change}: {:?}", Failure::from(e)));
        assert_eq!(report.rows_now, report.rows, "{change}: it began anew");
        let seen = verify(&VerifyOptions::new(options.source.clone(), options.target.clone()), &cx()).await;
        let seen = seen.expect("verify runs");
        assert!(seen.is_equal(), "{change}: {:#?}", seen.mismatches);
        copy_undo(&options.target, &cx()).await.expect("undo succeeds");
    }
}
