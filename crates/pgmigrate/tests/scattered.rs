//! Partitions by the hash of an enum: the label's oid is hashed, so on another server a row belongs to another partition.

mod common;

use common::{Servers, cx};
use pg_sandbox::PgServer;
use pgmigrate::{CopyOptions, MismatchKind, Repair, Verification, VerifyOptions, copy, copy_undo, verify};
use runbook::Failure;

const SCHEMA: &str = "
    create type mood as enum ('sad', 'so-so', 'ok', 'good', 'happy', 'merry');
    create table days (id int, mood mood, note text) partition by hash (mood);
    create table days_0 partition of days for values with (modulus 3, remainder 0);
    create table days_1 (note text, mood mood, id int);
    alter table days attach partition days_1 for values with (modulus 3, remainder 1);
    create unlogged table days_2 partition of days for values with (modulus 3, remainder 2);
    create unique index on days (id, mood);";

const ROWS: &str =
    "insert into days select g, (enum_range(null::mood))[1 + g % 6], 'note ' || g from generate_series(1, 600) g;";

/// On the target the labels' oids are others.
const BEFORE: &str = "do $$ begin for i in 1..7 loop execute format('create type t%s as enum (%L, %L, %L)', i, 'a', 'b', 'c'); end loop; end $$;
    do $$ begin for i in 1..7 loop execute format('drop type t%s', i); end loop; end $$;";

fn selected(options: &CopyOptions) -> VerifyOptions {
    VerifyOptions::new(options.source.clone(), options.target.clone())
}

async fn compared(options: &CopyOptions) -> Verification {
    verify(&selected(options), &cx()).await.expect("verify runs")
}

fn spread(server: &PgServer, database: &str) -> String {
    server.psql(database, "select tableoid::regclass, count(*) from days group by 1 order by 1").expect("it answers")
}

#[tokio::test]
async fn rows_find_the_partition_that_is_theirs_there() {
    let servers = Servers::start(16, 18);
    let options = servers.case("whole", PgServer::SUPERUSER, &format!("{SCHEMA}{ROWS}"));
    servers.to.psql("whole", BEFORE).expect("oids are used up");
    let report = copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert_eq!(report.rows, 600);
    assert_ne!(spread(&servers.from, "whole"), spread(&servers.to, "whole"), "the test needs other oids on the target");
    // Each row is found where the server looks for it.
    let found = "select count(*) from unnest(enum_range(null::mood)) m cross join lateral (select from days d where d.mood = m) d";
    assert_eq!(servers.to.psql("whole", found).expect("it answers").trim(), "600");
    let equal = compared(&options).await;
    assert!(equal.is_equal() && equal.rows == 600, "{equal:#?}");

    servers
        .to
        .psql("whole", "update days set note = 'other' where id = 7; delete from days where id = 8")
        .expect("it is changed");
    let differs = compared(&options).await;
    let [table] = differs.differing.as_slice() else { panic!("{differs:#?}") };
    assert_eq!((table.table.as_str(), table.missing, table.extra), ("public.days", 2, 1));
    assert_eq!(differs.mismatches.iter().filter(|m| m.kind == MismatchKind::Missing).count(), 2, "{differs:#?}");
    let Err(refused) = Repair::plan(&selected(&options), &cx()).await else { panic!("it can't be mended by places") };
    assert!(refused.to_string().contains("table public.days"), "{refused}");
    copy_undo(&options.target, &cx()).await.expect("undo succeeds");
    assert_eq!(
        servers.to.psql("whole", "select count(*) from pg_class where relname like 'days%'").unwrap().trim(),
        "0"
    );
}

#[tokio::test]
async fn a_partition_alone_and_rows_alone_arrive_too() {
    let servers = Servers::start(16, 18);
    let mut alone = servers.case("alone", PgServer::SUPERUSER, &format!("{SCHEMA}{ROWS}"));
    alone.selection.include = vec!["public.days_0".into()];
    servers.to.psql("alone", BEFORE).expect("oids are used up");
    let report = copy(&alone, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert_eq!(report.tables, 1);
    assert!(compared(&alone).await.is_equal());

    let mut rows = servers.onto("alone", "rows", PgServer::SUPERUSER);
    rows.selection.data_only = true;
    servers.to.psql("rows", &format!("{BEFORE}{SCHEMA}")).expect("the schema is made");
    let report = copy(&rows, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert_eq!(report.rows, 600);
    let equal = compared(&rows).await;
    assert!(equal.is_equal() && equal.rows == 600, "{equal:#?}");
    copy_undo(&rows.target, &cx()).await.expect("undo succeeds");
    assert_eq!(servers.to.psql("rows", "select count(*) from days").unwrap().trim(), "0");
}
