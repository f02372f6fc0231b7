//! What cannot come, or not as it was, is said beforehand; and what an older target can't hold is refused by name.

mod common;

use common::{cx, url};
use pg_sandbox::{PgInstall, PgServer};
use pgmigrate::{AssessOptions, CopyOptions, assess, copy, copy_undo};
use runbook::{Failure, Severity};

fn start(major: u16) -> PgServer {
    let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
    PgServer::builder()
        .install(install)
        .setting("max_prepared_transactions", "5")
        .setting("allow_in_place_tablespaces", "on")
        .start()
        .expect("the server starts")
}

#[tokio::test]
async fn assess_names_everything_that_stays_or_changes() {
    let (from, to) = (start(16), start(18));
    from.psql("postgres", "create tablespace elsewhere location ''; create database app; create role reader")
        .expect("the source is prepared");
    from.psql(
        "app",
        "create schema app;
         alter database app set work_mem = '8MB'; alter role reader in database app set app.secret = 'sekret';
         revoke connect on database app from public;
         create table app.kept (id int primary key using index tablespace elsewhere) tablespace elsewhere;
         create access method heap_too type table handler heap_tableam_handler;
         create table app.stored_otherwise (a int) using heap_too;
         create table app.places (place regclass, several regclass[]);
         create table app.parent (a int, b int); create table app.child (extra int, a int, b int);
         alter table app.child inherit app.parent;
         create function app.definer() returns int language sql security definer as 'select 1';
         create foreign data wrapper w; create server s foreign data wrapper w;
         create user mapping for reader server s options (password 'sekret');
         create function app.noticed() returns event_trigger language plpgsql as 'begin end';
         create event trigger notice on ddl_command_end execute function app.noticed();
         create publication everything for all tables; create publication whole for tables in schema app;
         create publication one for table app.kept;
         select lo_create(77);
         begin; insert into app.kept values (1); prepare transaction 'forgotten';",
    )
    .expect("the source is filled");
    to.psql("postgres", "create role mover login password 'x' createrole; create database app owner mover")
        .expect("the target is prepared");
    let (source, target) = (url(&from.url("app")), url(&to.url_as("mover", "x", "app")));
    let options = AssessOptions::new(source.clone(), target.clone());
    let seen = assess(&options, &cx()).await.expect("both ends can be read").findings;
    let check = |object: &str, severity: Severity| {
        let found = seen.iter().find(|f| f.object.contains(object)).unwrap_or_else(|| panic!("{object}: {seen:#?}"));
        assert_eq!(found.severity, severity, "{found:?}");
        assert!(!found.remedy.is_empty(), "{found:?}");
    };
    check("prepared transaction forgotten", Severity::Blocks);
    check("database setting work_mem", Severity::Changes);
    check("setting app.secret of role reader", Severity::Changes);
    check("privileges on database app", Severity::Changes);
    check("table app.kept (tablespace elsewhere)", Severity::Changes);
    check("index app.kept_pkey (tablespace elsewhere)", Severity::Changes);
    check("table app.stored_otherwise (access method heap_too)", Severity::Changes);
    check("table app.child", Severity::Changes);
    check("column app.places.place", Severity::Note);
    check("column app.places.several", Severity::Note);
    check("function app.definer", Severity::Note);
    check("user mapping for reader on server s", Severity::Changes);
    check("event trigger notice", Severity::Changes);
    check("publication everything", Severity::Changes);
    check("publication whole", Severity::Changes);
    let text = format!("{seen:?}");
    assert!(!text.contains("publication one") && !text.contains("sekret"), "{text}");

    let mut options = CopyOptions::new(source, target.clone());
    options.pg_bin = Some(to.install().bin_dir().to_owned());
    let failure: Failure = copy(&options, &cx()).await.expect_err("a prepared transaction blocks").into();
    assert!(failure.object.contains("prepared transaction forgotten"), "{failure}");

    // As an ordinary role, on which wrappers and access methods are wasted.
    from.psql(
        "app",
        "rollback prepared 'forgotten'; drop foreign data wrapper w cascade; drop access method heap_too cascade",
    )
    .expect("the source is tidied");
    copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    let made =
        "select string_agg(pubname, ',') from pg_publication; select string_agg(evtname, ',') from pg_event_trigger;
                select array_agg(oid) from pg_largeobject_metadata";
    assert_eq!(to.psql("app", made).expect("the target answers"), "one\n\n{77}\n");
    copy_undo(&target, &cx()).await.expect("undo succeeds");
    assert_eq!(to.psql("app", made).expect("the target answers"), "\n\n\n");
}

#[tokio::test]
async fn an_older_target_refuses_by_name() {
    let (from, to) = (start(18), start(16));
    let cases = [
        ("create table t (a int, b int generated always as (a) virtual)", "table public.t"),
        (
            "create table t (id int4range, d daterange, primary key (id, d without overlaps))",
            "constraint public.t t_pkey",
        ),
        ("create table t (a int, constraint loose check (a > 0) not enforced)", "check constraint public.t loose"),
        ("create table t (a int); alter table t add constraint n not null a not valid", "public.t"),
        ("create table t (a int not null no inherit)", "table public.t"),
        ("create collation c (provider = builtin, locale = 'C.UTF-8')", "collation public.c"),
        ("alter default privileges grant select on large objects to public", "default acl"),
    ];
    for (at, (sql, object)) in cases.into_iter().enumerate() {
        let name = format!("refused_{at}");
        for server in [&from, &to] {
            server.create_database(&name).expect("the database is made");
        }
        let dump = || common::stable(&to.pg_dump(&name, &[]).expect("pg_dump runs"));
        let empty = dump();
        from.psql(&name, sql).expect(sql);
        let mut options = CopyOptions::new(url(&from.url(&name)), url(&to.url(&name)));
        options.pg_bin = Some(from.install().bin_dir().to_owned());
        let failure: Failure = copy(&options, &cx()).await.expect_err(sql).into();
        let text = format!("{failure} {:?}", failure.causes);
        assert!(text.contains(object), "{sql}: {text}");
        copy_undo(&options.target, &cx()).await.expect(sql);
        assert_eq!(dump(), empty, "{sql}");
    }
}
