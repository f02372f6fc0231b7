//! Columns whose values the source keeps uncompressed are filled without trying to compress them, and are as on the
//! source afterwards, also when the copy was cut off in between.

mod common;

use common::{Servers, cx, stable};
use pg_sandbox::PgServer;
use pg_session::{Access, Session};
use pgmigrate::{CopyOptions, VerifyOptions, copy, verify};
use runbook::Failure;

/// In `a "b" c`, `wo'"rds` is random and one of four hundred values is not, `poem` gets smaller, `mixed` every other
/// time, `few` is nearly always null, `kept` is never compressed anyway. `brief` is like it and too small to count;
/// `broad` has more columns than one row of an answer has room for two counts each.
const SCHEMA: &str = r#"
    create schema "Odd 'schema'";
    create table "Odd 'schema'"."a ""b"" c" (
        id int primary key, "wo'""rds" text not null, poem text, mixed text, few jsonb, kept text, size int generated always as (length(poem)) stored);
    alter table "Odd 'schema'"."a ""b"" c" alter kept set storage external;
    create function random_words(seed int, words int) returns text language sql immutable as
      $$select string_agg(md5(seed || ' ' || g), ' ') from generate_series(1, words) g$$;
    insert into "Odd 'schema'"."a ""b"" c" (id, "wo'""rds", poem, mixed, few, kept)
      select g, case when g % 400 = 0 then repeat('dull ', 900) else random_words(g, 130) end, repeat('rose ' || g, 800),
             case when g % 2 = 0 then repeat('x', 4000) else random_words(-g, 70) end,
             case when g % 200 = 0 then to_jsonb(case when g = 2000 then repeat('x', 4000) else random_words(g + 5000, 100) end) end, random_words(g + 9000, 70)
        from generate_series(1, 3000) g;
    create index on "Odd 'schema'"."a ""b"" c" (left("wo'""rds", 20));
    create table brief (id int primary key, words text);
    insert into brief select g, random_words(g, 130) from generate_series(1, 600) g;
    select format('create table broad (id int primary key, %s)', string_agg(format('c%s text', g), ', '))
      from generate_series(1, 900) g \gexec
    insert into broad (id, c700) select id, kept || "wo'""rds" from "Odd 'schema'"."a ""b"" c";"#;

const DATABASE: &str = "letters";

/// Columns of which the target compressed no value, and how each is stored now.
fn uncompressed(servers: &Servers) -> String {
    let sql = r#"select string_agg(format('%s %s', a.attname, a.attstorage), ', ' order by a.attnum)
                   from (select count(pg_column_compression("wo'""rds")), count(pg_column_compression(poem)),
                                count(pg_column_compression(mixed)), count(pg_column_compression(few))
                           from "Odd 'schema'"."a ""b"" c") as n (w, p, m, f)
                   join pg_attribute a on a.attrelid = '"Odd ''schema''"."a ""b"" c"'::regclass
                    and case a.attname when 'wo''"rds' then w when 'poem' then p when 'mixed' then m when 'few' then f end = 0"#;
    servers.to.psql(DATABASE, sql).expect("the target answers").trim().to_owned()
}

async fn check_equal(servers: &Servers, options: &CopyOptions) {
    let verified = VerifyOptions::new(options.source.clone(), options.target.clone());
    let seen = verify(&verified, &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    let dump = |server: &PgServer| {
        let output = std::process::Command::new(servers.to.install().program("pg_dump"))
            .args(["--schema-only", "--exclude-schema=tierlift", "--dbname", &server.url(DATABASE)])
            .output()
            .expect("pg_dump runs");
        stable(&String::from_utf8_lossy(&output.stdout)).replace("database version 16", "database version 18")
    };
    let lines = |dump: String| dump.lines().filter(|l| !l.starts_with("-- Dumped")).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(dump(&servers.from)), lines(dump(&servers.to)));
}

#[tokio::test]
async fn values_that_the_source_could_not_compress_are_not_tried_again() {
    let servers = Servers::start(16, 18);
    let options = servers.case(DATABASE, PgServer::SUPERUSER, SCHEMA);
    let report = copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert_eq!(report.rows, 6600);
    assert_eq!(uncompressed(&servers), r#"wo'"rds x"#);
    check_equal(&servers, &options).await;
    let changed = "select string_agg(entry, ', ' order by entry) from (
                     select regexp_replace(entry, ' [0-9a-f]{8}$', '') from tierlift.copy_entry where entry ~ '^STORAGE ') as e (entry)";
    let column = r#"STORAGE Odd 'schema'.a "b" c wo'"rds"#;
    let twice = format!("{column}, {column}, STORAGE public.broad c700, STORAGE public.broad c700");
    assert_eq!(servers.to.psql(DATABASE, changed).expect("the target answers").trim(), twice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_cut_off_puts_the_columns_back() {
    let servers = Servers::start(16, 18);
    let mut options = servers.case(DATABASE, PgServer::SUPERUSER, SCHEMA);
    options.split_bytes = Some(4 * 1024 * 1024);
    let cx = cx();
    let watcher = Session::connect(&options.target, Access::ReadOnly).await.expect("the target answers");
    let watch = async {
        let there = "select to_regclass('tierlift.copy_part') is not null";
        while !watcher.query_one(there, &[]).await.expect("the target answers").get::<_, bool>(0) {}
        let some = "select exists (select from tierlift.copy_part where rows > 0 and parts > 1)";
        while !watcher.query_one(some, &[]).await.expect("the target answers").get::<_, bool>(0) {}
    };
    tokio::select! {
        biased;
        () = watch => {}
        ended = copy(&options, &cx) => panic!("it ended before it was cut off: {ended:?}"),
    }
    let storage = r#"select attstorage from pg_attribute
                      where attrelid = '"Odd ''schema''"."a ""b"" c"'::regclass and attname = 'wo''"rds'"#;
    assert_eq!(servers.to.psql(DATABASE, storage).expect("the target answers").trim(), "e");
    let report = copy(&options, &cx).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert!(report.resumed && report.rows_now < report.rows, "{report:#?}");
    assert_eq!(uncompressed(&servers), r#"wo'"rds x"#);
    check_equal(&servers, &options).await;
}
