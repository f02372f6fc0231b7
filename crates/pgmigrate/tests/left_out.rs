//! What the target refuses is found before any row is copied, all of it, and stops the copy or is left out by name.

mod common;

use common::{Servers, cx, noting};
use pgmigrate::{CopyOptions, CopyReport, LeftOut, OnRefused, VerifyOptions, copy, copy_undo, verify};
use runbook::{Failure, FailureKind};

/// A function that only a superuser may make.
const NATIVE: &str = "create function public.native(int) returns int language internal immutable strict as 'int4abs';";

/// What must be left out, by name, with a word of the server's own error.
type Expected<'a> = &'a [(&'a str, &'a str)];

/// Stops with everything named and nothing touched; skips and says so, again and again; takes everything back.
async fn check(servers: &Servers, options: CopyOptions, database: &str, expect: Expected<'_>) -> CopyReport {
    let empty = servers.target_state(database);
    let failure: Failure = copy(&options, &cx()).await.expect_err(database).into();
    assert_eq!(failure.kind, FailureKind::Blocked, "{database}: {failure}");
    let said = format!("{failure} {}", failure.causes.join("; "));
    for (object, error) in expect {
        assert!(said.contains(object) && said.contains(error), "{database}: {object}, {error} in {said}");
    }
    assert_eq!(servers.target_state(database), empty, "{database}: nothing is left behind");

    let skip = CopyOptions { on_refused: OnRefused::Skip, ..options };
    let (context, notes) = noting();
    let report = copy(&skip, &context).await.unwrap_or_else(|e| panic!("{database}: {:?}", Failure::from(e)));
    for (object, error) in expect {
        let found = report.left_out.iter().any(|l| l.object == *object && l.error.contains(error));
        assert!(found, "{database}: {object}, {error} in {:#?}", report.left_out);
        assert!(notes.text().contains(&format!("{object} was left out")), "{database}: {}", notes.text());
    }
    let surplus: Vec<&LeftOut> =
        report.left_out.iter().filter(|l| !expect.iter().any(|(object, _)| l.object == *object)).collect();
    assert!(surplus.is_empty(), "{database}: left out besides: {surplus:#?}");
    let seen = verify(&VerifyOptions::new(skip.source.clone(), skip.target.clone()), &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{database}: {:#?}", seen.mismatches);
    assert_eq!(seen.left_out, report.left_out, "{database}: verify tells what it did not compare");
    let again =
        copy(&CopyOptions { on_refused: OnRefused::Stop, ..skip.clone() }, &cx()).await.expect("it is finished");
    assert_eq!(again.left_out, report.left_out, "{database}: a finished copy stays incomplete");
    copy_undo(&skip.target, &cx()).await.expect("undo succeeds");
    assert_eq!(servers.target_state(database), empty, "{database}: undo leaves nothing behind");
    report
}

#[tokio::test]
async fn what_is_refused_stops_the_copy_or_is_left_out_with_what_needs_it() {
    let servers = Servers::start(16, 18);
    Servers::role(&servers.to, "mover", "createdb createrole");
    let denied = "permission denied for language internal";
    let case = |name: &str, sql: &str| servers.case(name, "mover", &format!("{NATIVE} {sql}"));

    let options = case(
        "dependants",
        "create table public.kept (id int primary key, n int default 1); insert into public.kept select generate_series(1, 50);
         create table public.lost (id serial primary key, n int check (n >= public.native(n)));
         insert into public.lost (n) select null from generate_series(1, 5);
         comment on table public.lost is 'goes'; grant select on public.lost to public;
         create table public.child (id int primary key, lost int references public.lost);
         insert into public.child select 1;
         create view public.lost_view as select id, public.native(id) from public.kept;
         create view public.lost_too as select * from public.lost_view;
         create index lost_index on public.kept (public.native(n));
         create table public.guarded (id int); alter table public.guarded enable row level security;
         create policy lost_policy on public.guarded using (id = public.native(id));
         create table public.defaulted (n int default public.native(-7));",
    );
    let report = check(
        &servers,
        options,
        "dependants",
        &[
            ("function public.native(integer)", denied),
            ("table public.lost", denied),
            ("sequence public.lost_id_seq", denied),
            ("default public.lost id", denied),
            ("constraint public.lost lost_pkey", denied),
            ("fk constraint public.child child_lost_fkey", denied),
            ("view public.lost_view", denied),
            ("view public.lost_too", denied),
            ("index public.lost_index", denied),
            ("policy public.guarded lost_policy", denied),
            ("table public.defaulted", denied),
        ],
    )
    .await;
    assert_eq!((report.tables, report.rows), (3, 51));

    // Only a superuser makes operator classes; an index that needs one comes after the data.
    let options = case(
        "operators",
        "create operator class public.odd for type int using btree as operator 1 <, operator 2 <=, operator 3 =,
                operator 4 >=, operator 5 >, function 1 btint4cmp(int, int);
         create table public.kept (id int primary key, n int); insert into public.kept select 1, 2;
         create unique index lost_unique on public.kept (n public.odd); create index kept_index on public.kept (n desc)",
    );
    check(
        &servers,
        options,
        "operators",
        &[
            ("function public.native(integer)", denied),
            ("operator family public.odd", "must be superuser"),
            ("operator class public.odd", "must be superuser"),
            ("index public.lost_unique", "must be superuser"),
        ],
    )
    .await;

    // What belongs to whoever made the server: of such privileges it only warns.
    let options = case(
        "not_ours",
        "revoke usage on language plpgsql from public; grant usage on language plpgsql to pg_monitor;
         revoke execute on function pg_catalog.lo_create(oid) from public; create table public.kept (id int)",
    );
    let unchanged = "no privileges could be revoked";
    check(
        &servers,
        options,
        "not_ours",
        &[
            ("function public.native(integer)", denied),
            ("acl LANGUAGE \"plpgsql\", of which REVOKE ALL ON LANGUAGE \"plpgsql\" FROM PUBLIC", unchanged),
            (
                "acl LANGUAGE \"plpgsql\", of which GRANT ALL ON LANGUAGE \"plpgsql\" TO \"pg_monitor\"",
                "no privileges were granted",
            ),
            ("acl pg_catalog.FUNCTION \"lo_create\"(\"oid\")", unchanged),
        ],
    )
    .await;

    // A view that needs a table's key has its query only after the data: until then it is hollow.
    let options = case(
        "hollow",
        "create table public.kept (id int primary key, n int);
         create view public.hollow as select id, n, public.native(n) as c from public.kept group by id;
         create function public.on_hollow(public.hollow) returns int language sql as 'select 1'",
    );
    check(
        &servers,
        options,
        "hollow",
        &[
            ("function public.native(integer)", denied),
            ("rule public.hollow _RETURN", denied),
            ("view public.hollow", denied),
            ("function public.on_hollow(\"public\".\"hollow\")", denied),
        ],
    )
    .await;

    // The library is gone from the machine, for a superuser too.
    let library = tempfile::tempdir().expect("a folder").keep();
    let from = servers.from.install();
    let lib = from.bin_dir().parent().expect("bin has a parent").join("lib");
    let original = ["", "postgresql"].iter().map(|d| lib.join(d).join("dict_snowball.so")).find(|p| p.is_file());
    std::fs::copy(original.expect("the wheel has it"), library.join("ours.so")).expect("it is copied");
    std::fs::set_permissions(&library, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is readable");
    let sql = format!(
        "create function public.ours() returns int language c as '{}', 'dsnowball_init'; create table public.kept (id int)",
        library.join("ours").display()
    );
    let options = servers.case("library", "postgres", &sql);
    std::fs::remove_dir_all(&library).expect("it is removed");
    check(&servers, options, "library", &[("function public.ours()", "could not access file")]).await;
}

#[tokio::test]
async fn an_older_server_refuses_the_syntax_of_a_newer_one() {
    let servers = Servers::start(18, 16);
    let options = servers.case(
        "newer",
        "postgres",
        "create table public.kept (id int primary key, n int);
         insert into public.kept select n, n from generate_series(1, 10) n;
         create table public.virtual (id int primary key, twice int generated always as (id * 2) virtual);
         create table public.loose (id int primary key, kept int references public.kept not enforced)",
    );
    let report = check(
        &servers,
        options.clone(),
        "newer",
        &[
            ("table public.virtual", "syntax error"),
            ("constraint public.virtual virtual_pkey", "syntax error"),
            ("fk constraint public.loose loose_kept_fkey", "syntax error"),
        ],
    )
    .await;
    assert_eq!((report.tables, report.rows), (2, 10));
}

#[tokio::test]
async fn a_resume_decides_as_the_copy_did_that_it_continues() {
    let servers = Servers::start(16, 18);
    Servers::role(&servers.to, "mover", "createdb createrole");
    // Only the rows show that the newer server refuses them.
    let options = servers.case(
        "resumed",
        "mover",
        &format!(
            "{NATIVE} create view public.lost as select public.native(1);
             create table public.kept (id int); insert into public.kept select generate_series(1, 50);
             create table public.picky (id int constraint old check (id > current_setting('server_version_num')::int - 170000));
             insert into public.picky select 1"
        ),
    );
    let skip = CopyOptions { on_refused: OnRefused::Skip, ..options.clone() };
    let failure: Failure = copy(&skip, &cx()).await.expect_err("a row is refused").into();
    assert_eq!(failure.kind, FailureKind::Failed, "{failure}");
    assert_eq!(failure.object, "table public.picky");
    servers.to.psql("resumed", "alter table public.picky drop constraint old").expect("it is settled");
    let report = copy(&options, &cx()).await.expect("the copy continues");
    let names: Vec<&str> = report.left_out.iter().map(|l| l.object.as_str()).collect();
    assert!(report.resumed);
    assert_eq!(names, ["function public.native(integer)", "view public.lost"]);
    assert_eq!(report.rows, 51);
}
