//! One of everything: what pg_dump says of both ends after a copy is the same, data included.

mod common;

use common::{cx, stable, url};
use pg_sandbox::{PgInstall, PgServer, StopMode};
use pgmigrate::{CopyOptions, VerifyOptions, copy, copy_undo, verify};

#[tokio::test]
async fn carries_one_of_everything() {
    let start = |major| {
        let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
        PgServer::builder().install(install).start().expect("the server starts")
    };
    let (mut from, mut to) = (start(16), start(18));
    for server in [&from, &to] {
        server.create_database("torture").expect("the database is made");
    }
    from.psql("postgres", "create role reader; create role \"Odd Role\";").expect("the roles are made");
    from.psql("torture", include_str!("fixtures/torture.sql")).expect("the source is filled");
    let empty = state(&to, &to);

    let mut options = CopyOptions::new(url(&from.url("torture")), url(&to.url("torture")));
    options.pg_bin = Some(to.install().bin_dir().to_owned());
    options.jobs = Some(3);
    options.split_bytes = Some(100 * 1024);
    copy(&options, &cx()).await.expect("the copy succeeds");
    for (a, b) in state(&to, &from).lines().zip(state(&to, &to).lines()) {
        assert_eq!(a, b);
    }
    let seen =
        verify(&VerifyOptions::new(options.source.clone(), options.target.clone()), &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);

    copy_undo(&options.target, &cx()).await.expect("undo succeeds");
    assert_eq!(state(&to, &to), empty);
    for server in [&mut from, &mut to] {
        server.stop(StopMode::Fast).expect("the server stops");
    }
}

/// A database as the newer server's pg_dump sees it; rows sorted, for parts arrive in any order.
fn state(newer: &PgServer, server: &PgServer) -> String {
    let dump = |args: &[&str]| {
        let output = std::process::Command::new(newer.install().program("pg_dump"))
            .args(["--no-owner", "--exclude-schema=tierlift"])
            .args(args)
            .arg("--dbname")
            .arg(server.url("torture"))
            .output()
            .expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = stable(&String::from_utf8(output.stdout).expect("pg_dump writes UTF-8"));
        text.lines().filter(|line| !line.starts_with("-- Dumped")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (schema, mut rows) = (dump(&["--schema-only"]), dump(&["--data-only"]));
    rows.sort();
    [schema, rows].concat().join("\n")
}
