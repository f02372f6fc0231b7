//! Large objects between roles that are no superusers: refused when unreadable, resumed in the middle, taken back alone.

mod common;

use std::time::Duration;

use common::{cx, url};
use pg_sandbox::{DelayProxy, PgInstall, PgServer};
use pg_session::{Access, Session};
use pgmigrate::{AssessOptions, CopyOptions, assess, copy, copy_undo};
use runbook::{Failure, Severity};

/// Small ones enough for several batches, and two of which each takes many transactions.
const FILL: &str = "
    select lo_from_bytea((1000 + g)::oid, convert_to('object ' || g, 'UTF8')) from generate_series(1, 2500) g;
    select lo_from_bytea(5000, decode(repeat(md5('first'), 900000), 'hex'));
    select lo_from_bytea((6000 + g)::oid, decode(repeat(md5(g::text), 1000 * g), 'hex')) from generate_series(1, 60) g;
    select lo_from_bytea(4294967295, decode(repeat(md5('last'), 500000), 'hex'));
    comment on large object 5000 is 'the first';
    revoke update on large object 5000 from current_user;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_roles_move_large_objects_and_resume_in_the_middle_of_one() {
    let start = |major| {
        let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
        PgServer::builder().install(install).start().expect("the server starts")
    };
    let (from, to) = (start(16), start(18));
    from.psql(
        "postgres",
        "create role looker login password 'x'; grant pg_read_all_data to looker; create database app",
    )
    .expect("the source is prepared");
    from.psql("app", FILL).expect("the source is filled");
    to.psql("postgres", "create role mover login password 'x' createrole; create database app owner mover")
        .expect("the target is prepared");
    let proxy = DelayProxy::start(to.port(), Duration::from_millis(5)).expect("the proxy starts");
    let far = to.url_as("mover", "x", "app").replace(&to.port().to_string(), &proxy.port().to_string());
    let (source, target) = (url(&from.url_as("looker", "x", "app")), url(&to.url_as("mover", "x", "app")));

    // Reading every table gives no right to read any large object.
    let options = AssessOptions::new(source.clone(), target.clone());
    let seen = assess(&options, &cx()).await.expect("both ends can be read").findings;
    let blocks: Vec<_> = seen.iter().filter(|f| f.severity == Severity::Blocks).map(|f| f.object.as_str()).collect();
    assert_eq!(blocks, ["2562 large objects, the first of them 1001"]);
    from.psql(
        "app",
        "do $$ declare o oid; begin
           for o in select oid from pg_largeobject_metadata loop
             execute format('grant select on large object %s to looker', o);
           end loop;
         end $$",
    )
    .expect("the rights are granted");

    // Cut off while the first large one is on its way.
    let mut options = CopyOptions::new(source, url(&far));
    options.pg_bin = Some(to.install().bin_dir().to_owned());
    let watcher = Session::connect(&url(&to.url("app")), Access::ReadOnly).await.expect("a session");
    let half_way = async {
        let begun = "select from pg_tables where schemaname = 'tierlift' and tablename = 'copy_large_object'";
        let within = "select from tierlift.copy_large_object where not complete and bytes > 3000000";
        while watcher.query(begun, &[]).await.expect("the target answers").is_empty() {}
        while watcher.query(within, &[]).await.expect("the target answers").is_empty() {}
    };
    let uncut = cx();
    tokio::select! {
        report = copy(&options, &uncut) => panic!("it ended before it was cut off: {report:?}"),
        () = half_way => {}
    }
    let done = "select oid, xmin from pg_largeobject_metadata where oid < 5000 order by oid";
    let before = to.psql("app", done).expect("the target answers");
    assert_eq!(before.lines().count(), 2500);

    options.target = target.clone();
    let report = copy(&options, &uncut).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    assert!(report.resumed);
    assert_eq!(report.large_objects, 2562);
    assert_eq!(to.psql("app", done).expect("the target answers"), before, "they were not made again");
    let contents = "select oid, md5(lo_get(oid)), obj_description(oid, 'pg_largeobject') from pg_largeobject_metadata order by oid";
    let ours = from.psql("app", contents).expect("the source answers");
    assert!(ours == to.psql("app", contents).expect("the target answers"), "contents differ");
    let rights = "select lomacl from pg_largeobject_metadata where oid in (1001, 5000) order by oid";
    assert_eq!(
        to.psql("app", rights).expect("the target answers"),
        "{mover=rw/mover,looker=r/mover}\n{mover=r/mover,looker=r/mover}\n"
    );

    // Only what the copy made goes again.
    to.psql("app", "select lo_from_bytea(42, 'the application''s own')").expect("an object is made");
    copy_undo(&target, &uncut).await.expect("undo succeeds");
    assert_eq!(to.psql("app", "select array_agg(oid) from pg_largeobject_metadata").expect("it answers"), "{42}\n");
    let failure: Failure = copy(&options, &uncut).await.expect_err("the target is not empty").into();
    assert!(failure.message.contains("1 large objects"), "{failure}");
}
