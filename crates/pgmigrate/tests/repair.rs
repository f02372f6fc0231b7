//! A repair as a file, as a role without special rights, where it is refused, and what it leaves.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Two, cx, url};
use pgmigrate::{Error, Repair, RepairFile, VerifyOptions, verify};
use tokio_postgres::NoTls;

const KINDS: &str = include_str!("fixtures/kinds.sql");

#[tokio::test]
async fn a_file_of_sql_does_the_same_and_only_once() {
    let two = Two::start(16, 18, "file");
    two.on_source(KINDS);
    two.on_target(KINDS);
    let damage = "
        update kinds set t = null, j = '{}', floats = array['-0'::float8], p = row(1, e'tab\\t\\\\.') where id % 7 = 0;
        delete from kinds where id % 50 = 1; insert into kinds (id) select -g from generate_series(1, 5) g;
        delete from keyless where a = 3; insert into keyless values (4, 'x'), (4, 'x');
        insert into no_columns default values; delete from emptied where ctid = '(0,2)';
        update citizens set name = name || ' jr.'; delete from numbered where id = 2; update wide set t = 'short';
        delete from \"Odd \"\"Name\"\"\"; select nextval('tickets'); select lo_unlink(900001), lo_put(900002, 0, 'S');
        update computed set id = 70 where id = 5";
    two.on_target(damage);
    let options = VerifyOptions::new(two.source_url(), two.target_url());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("repair.sql");
    let mut file = RepairFile::create(&path).expect("a new file");
    let plan = Repair::plan(&options, &cx()).await.expect("both ends can be read");
    plan.write_sql(&mut file, &cx()).await.expect("the file is written");
    drop(file);
    assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    let sql = std::fs::read_to_string(&path).expect("the file can be read");
    assert!(!sql.contains(two.to.superuser_password()), "{sql:.500}");
    let refused = RepairFile::create(&path).err().expect("it is not written over").to_string();
    assert!(refused.contains("exists already"), "{refused}");

    // Somebody writes between the comparison and the repair: that table is refused, and no row of it is lost.
    two.on_target("insert into two_keys values (1000, 'new', 1); update kinds set t2 = 'new' where id = 14");
    let error = two.to.psql(&two.database, &sql).expect_err("the file is refused").to_string();
    assert!(error.contains("table public.kinds is not as it was"), "{error}");
    two.on_target("update kinds set t2 = 'other 14' where id = 14; delete from two_keys where x = 1000");

    // Tables before that one are mended, so the file has had its day.
    let path = folder.path().join("again.sql");
    let mut file = RepairFile::create(&path).expect("a new file");
    Repair::plan(&options, &cx()).await.expect("read").write_sql(&mut file, &cx()).await.expect("the file is written");
    let sql = std::fs::read_to_string(&path).expect("the file can be read");
    two.on_target(&sql);
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    assert!(found.is_equal(), "{:#?}", found.mismatches);
    let error = two.to.psql(&two.database, &sql).expect_err("twice is refused").to_string();
    assert!(error.contains("is not as it was when its repair was made"), "{error}");
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    assert!(found.is_equal(), "{:#?}", found.mismatches);

    let unfinished = folder.path().join("unfinished.sql");
    drop(RepairFile::create(&unfinished).expect("a new file"));
    assert!(!unfinished.exists(), "half a file stayed");
}

const FAMILY: &str = "
    create table org (id int primary key, name text unique, parent int references org on delete cascade);
    create table person (id int generated always as identity primary key, org int references org on delete cascade,
                         boss int references person, note text);
    create table badge (id int primary key, person int not null references person on delete cascade);
    create table log (what text);
    insert into org select g, 'org ' || g, nullif(g - 1, 0) from generate_series(1, 5) g;
    insert into person (org, boss, note) select 1 + g % 5, nullif(g - 1, 0), 'n' || g from generate_series(1, 20) g;
    insert into badge select g, g from generate_series(1, 20) g;
    create function stamp() returns trigger language plpgsql as $$ begin new.note := 'stamped'; return new; end $$;
    create trigger stamp before insert or update on person for each row execute function stamp();
    create trigger always before insert or update on person for each row execute function stamp();
    alter table person enable always trigger always;
    create trigger never before insert or update on person for each row execute function stamp();
    alter table person disable trigger never;
    create rule gone as on delete to badge do also insert into log values ('badge ' || old.id);";

/// Rows missing, surplus and changed in tables that point at one another and at themselves.
const FAMILY_DAMAGE: &str = "
    set session_replication_role = replica; alter table person disable trigger always;
    delete from badge where person in (select id from person where org = 5);
    delete from person where org = 5 and id <> 4; update person set org = 1, boss = null where id = 4;
    update person set boss = null where boss not in (select id from person);
    delete from org where id = 5;
    insert into org values (99, 'extra', 1), (98, 'more', 99);
    insert into person (id, org, boss, note) overriding system value values (99, 99, null, 'x'), (98, 98, 99, 'y');
    insert into badge values (99, 99), (98, 98);
    update org set name = 'changed' where id = 2; update person set note = 'z' where id = 3;
    update badge set person = 99 where id = 10; delete from badge where id = 11;
    alter table person enable always trigger always";

/// Which triggers and rules are on.
const SWITCHES: &str = "
    select string_agg(tgname || tgenabled::text, ' ' order by tgname) from pg_trigger where not tgisinternal
    union all select rulename || ev_enabled::text from pg_rewrite where rulename = 'gone'";

#[tokio::test]
async fn foreign_keys_triggers_and_rules_do_not_get_in_the_way() {
    let two = Two::start(16, 18, "family");
    two.on_source(FAMILY);
    two.to
        .psql("postgres", "create role app login password 'app'; alter database family owner to app")
        .expect("a role");
    two.on_target(&format!("alter schema public owner to app; set role app; {FAMILY}"));
    let before = two.on_target(SWITCHES);
    // As a superuser, who may set session_replication_role, and as the owner, who may not.
    for target in [two.target_url(), url(&two.to.url_as("app", "app", "family"))] {
        let options = VerifyOptions::new(two.source_url(), target.clone());
        two.on_target(FAMILY_DAMAGE);
        let plan = Repair::plan(&options, &cx()).await.expect("both ends can be read");
        assert_eq!(plan.verification().differing.len(), 3, "{:#?}", plan.verification().differing);
        let kept_still = plan.kept_still();
        let report = plan.apply(&cx()).await.expect("the target can be mended");
        assert!(report.failures.is_empty(), "{target}: {:#?}", report.failures);
        assert!(report.verification.is_equal(), "{target}: {:#?}", report.verification.mismatches);
        assert_eq!(
            kept_still,
            ["rule gone of public.badge", "trigger always of public.person", "trigger stamp of public.person"]
        );
        assert_eq!((two.on_target(SWITCHES), two.on_target("select * from log")), (before.clone(), String::new()));
        // Every foreign key holds.
        two.on_target("create table copy_of_badge (person int references person); insert into copy_of_badge select person from badge; drop table copy_of_badge");
    }
    // What the server refuses is said, and changes nothing: unique names exchanged between rows that others point at.
    two.on_target("update org set name = '' where id = 3; update org set name = 'org 3' where id = 4; update org set name = 'org 4' where id = 3");
    let options = VerifyOptions::new(two.source_url(), url(&two.to.url_as("app", "app", "family")));
    let report = Repair::plan(&options, &cx()).await.expect("read").apply(&cx()).await.expect("it ends");
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.len() == 1 && failures[0].starts_with("public.org: could not be mended: "), "{failures:?}");
    let left: Vec<String> = report.verification.mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["public.org, id=3, column name: differs", "public.org, id=4, column name: differs"]);
    // A superuser can.
    let options = VerifyOptions::new(two.source_url(), two.target_url());
    let report = Repair::plan(&options, &cx()).await.expect("read").apply(&cx()).await.expect("it ends");
    assert!(report.verification.is_equal(), "{:#?}", report.failures);
}

#[tokio::test]
async fn a_file_for_a_role_without_rights_mends_tables_that_point_at_one_another() {
    let two = Two::start(18, 18, "family");
    two.on_source(FAMILY);
    two.to
        .psql("postgres", "create role app login password 'app'; alter database family owner to app")
        .expect("a role");
    two.on_target(&format!("alter schema public owner to app; set role app; {FAMILY}"));
    two.on_target(FAMILY_DAMAGE);
    let options = VerifyOptions::new(two.source_url(), url(&two.to.url_as("app", "app", "family")));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("repair.sql");
    let mut file = RepairFile::create(&path).expect("a new file");
    Repair::plan(&options, &cx()).await.expect("read").write_sql(&mut file, &cx()).await.expect("the file is written");
    let sql = std::fs::read_to_string(&path).expect("the file can be read");
    assert!(sql.contains("-- kept still meanwhile: trigger always of public.person"), "{sql:.800}");
    two.on_target(&format!("set role app;\n{sql}"));
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    assert!(found.is_equal(), "{:#?}", found.mismatches);
}

#[tokio::test]
async fn says_what_no_repair_can_mend() {
    let two = Two::start(18, 18, "left");
    two.on_source(KINDS);
    two.on_target(KINDS);
    two.on_target(
        "alter table computed alter column doubled set expression as (id * 3); drop view odd;
         update two_keys set v = 0 where x = 3",
    );
    let options = VerifyOptions::new(two.source_url(), two.target_url());
    let report = Repair::plan(&options, &cx()).await.expect("read").apply(&cx()).await.expect("it ends");
    let left: Vec<String> = report.verification.mismatches.iter().map(ToString::to_string).collect();
    let mut expect: Vec<String> =
        (1..=5).map(|id| format!("public.computed, id={id}, column doubled: differs")).collect();
    expect.push("rule _RETURN on view public.odd: missing on the target".into());
    expect.push("view public.odd: missing on the target".into());
    assert_eq!(left, expect);
    assert_eq!(two.on_target("select v from two_keys where x = 3").trim(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn is_refused_where_it_would_destroy() {
    let two = Two::start(16, 18, "refused");
    for server in [&two.from, &two.to] {
        server.psql("refused", "create table t (a int)").expect("a table");
        server.psql("refused", include_str!("../src/sql/state.sql")).expect("our tables");
    }
    two.on_source("insert into t values (1)");
    let id = |server: &pg_sandbox::PgServer| {
        let sql = "select json_build_object('server', system_identifier::text, 'database', current_database()) from pg_control_system()";
        server.psql("refused", sql).expect("an identity").trim().to_owned()
    };
    let (source, target) = (id(&two.from), id(&two.to));
    let state = |id: &str, finished: &str| {
        format!(
            "delete from tierlift.copy; insert into tierlift.copy (source, before, writes, selection, finished_at) values ('{id}', '{{}}', '{{}}', '{{}}', {finished})"
        )
    };
    let options = VerifyOptions::new(two.source_url(), two.target_url());
    let refused = async |options: &VerifyOptions, expect: &str| {
        let error = Repair::plan(options, &cx()).await.expect("read").apply(&cx()).await.expect_err(expect);
        let Error::Blocked(findings) = &error else { panic!("{expect}: {error}") };
        assert!(findings.iter().any(|f| f.message.contains(expect)), "{expect}: {findings:#?}");
        assert!(findings.iter().all(|f| !f.remedy.is_empty()));
        assert_eq!(two.on_target("select count(*) from t").trim(), "0");
    };
    let same = VerifyOptions::new(two.source_url(), two.source_url());
    refused(&same, "it is the source").await;
    two.on_target(&state(&source.replace("refused", "another"), "now()"));
    refused(&options, "it holds a copy of another database (another)").await;
    two.on_target(&state(&source, "null"));
    refused(&options, "its copy is not finished").await;
    two.on_target(&state(&source, "now()"));
    two.on_source(&state(&target, "now()"));
    refused(&options, "the source was copied from it").await;
    two.on_source("delete from tierlift.copy");
    two.on_target("alter database refused set default_transaction_read_only = on");
    refused(&options, "it is fenced").await;
    two.to.psql("postgres", "alter database refused reset default_transaction_read_only").expect("no fence");

    let (client, connection) =
        tokio_postgres::connect(&format!("{}?application_name=web", two.to.url("refused")), NoTls)
            .await
            .expect("a client");
    let connection = tokio::spawn(connection);
    client.batch_execute("select 1").await.expect("it answers");
    refused(&options, "role postgres, web").await;
    drop(client);
    connection.await.expect("it ends").expect("it ends well");
    two.on_target("do $$ begin while exists (select from pg_stat_activity where application_name = 'web') loop perform pg_stat_clear_snapshot(); end loop; end $$");

    let report = Repair::plan(&options, &cx()).await.expect("read").apply(&cx()).await.expect("nothing is in the way");
    assert!(report.verification.is_equal(), "{:#?}", report.verification.mismatches);
}
