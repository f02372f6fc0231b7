//! What the planner knew of a table on the source it knows on the target: taken over where the target can, else gathered
//! anew.

mod common;

use common::{Servers, cx};
use pg_sandbox::PgServer;
use pgmigrate::copy;
use runbook::Failure;

/// Each too large to go with others. What `anew` says of a table is why its statistics can't be taken over.
const SCHEMA: &str = r#"
    create type mood as enum ('sad', 'ok', 'happy');
    create schema "Odd 'schema'";
    create table "Odd 'schema'"."a ""b"" c" (id int primary key, "it's" text, mood mood, data jsonb, at timestamptz, gone int,
                                              n numeric, empty text, unseen int);
    alter table "Odd 'schema'"."a ""b"" c" drop column gone, alter unseen set statistics 0;
    insert into "Odd 'schema'"."a ""b"" c"
      select g, repeat(e'\\ "''{},' || g % 9, 20), (enum_range(null::mood))[1 + g % 3], jsonb_build_object('n', g % 50),
             timestamptz '2024-01-01' + g * interval '1 hour', g % 7, null, g
        from generate_series(1, 6000) g;
    create table stale (like "Odd 'schema'"."a ""b"" c" including indexes);
    create table expression (id int primary key, words text);
    create index on expression (lower(words));
    create table arrays (id int primary key, words text[]);
    create table several (id int primary key, words text);
    create statistics pair on id, words from several;
    create table bare (id int, words text);
    insert into expression select g, repeat(md5(g::text), 5) from generate_series(1, 6000) g;
    insert into arrays select id, array[words] from expression;
    insert into several table expression;
    insert into bare table expression;"#;

/// After `analyze`, in a transaction of its own.
const CHANGED: &str = r#"
    insert into stale table "Odd 'schema'"."a ""b"" c";
    create table never (id int primary key, words text);
    alter table never set (autovacuum_enabled = off);
    alter table stale set (autovacuum_enabled = off);
    insert into never table expression;
    select pg_stat_force_next_flush();"#;

const ANALYSED: &str = "select string_agg(relname, ' ' order by relname) from pg_stat_user_tables
                         where schemaname <> 'tierlift' and last_analyze is not null";

const KNOWN: &str = r#"select attname, null_frac, avg_width, n_distinct, most_common_vals, most_common_freqs, histogram_bounds,
                              correlation from pg_stats where tablename = 'a "b" c' order by attname"#;

/// Copies, and gives the tables that were analysed on the target.
async fn analysed(servers: &Servers) -> String {
    let options = servers.case("known", PgServer::SUPERUSER, SCHEMA);
    for sql in ["analyze", CHANGED] {
        servers.from.psql("known", sql).expect("the source runs it");
    }
    let report = copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert_eq!(report.rows, 6000 * 7, "{report:#?}");
    let without = "select count(*) from pg_class c where relkind = 'r' and reltuples <> 6000 and relname in
                   ('a \"b\" c', 'stale', 'expression', 'arrays', 'several', 'bare', 'never')";
    assert_eq!(servers.to.psql("known", without).expect("it answers").trim(), "0");
    servers.to.psql("known", ANALYSED).expect("it answers").trim().to_owned()
}

#[tokio::test]
async fn a_target_that_can_takes_over_what_is_complete_and_fresh() {
    let servers = Servers::start(16, 18);
    assert_eq!(analysed(&servers).await, "arrays bare expression never several stale");
    let known = |server: &PgServer| server.psql("known", KNOWN).expect("it answers");
    let (from, to) = (known(&servers.from), known(&servers.to));
    assert!(from.lines().count() > 6 && from.contains("happy"), "{from}");
    assert_eq!(from, to);
}

#[tokio::test]
async fn an_older_target_gathers_them_anew() {
    let servers = Servers::start(16, 16);
    assert_eq!(analysed(&servers).await, "a \"b\" c arrays bare expression never several stale");
}
