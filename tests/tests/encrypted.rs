//! The real program and a source that takes only encrypted connections.

#![allow(clippy::print_stderr)] // a test that cannot run says so

use std::path::Path;
use std::process::{Command, Stdio};

use acceptance::Outcome;
use pg_sandbox::{PgBouncer, PgInstall, PgServer, PoolMode};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority's certificate, and a server's for 127.0.0.1 with its key.
fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Root");
    let key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("signed").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    (root, params.signed_by(&key, &issuer).expect("signed").pem(), key.serialize_pem())
}

fn tierlift(home: &Path, args: &[&str]) -> Command {
    // Its pg_dump is built without TLS, so that another must be found.
    let client = PgInstall::find(Some(18)).expect("PostgreSQL 18 can be obtained");
    let mut command = Command::new(acceptance::program());
    command.args(args).current_dir(home).stdin(Stdio::null()).env("HOME", home).env_remove("PGSSLROOTCERT");
    command.env("TIERLIFT_PG_BIN", client.bin_dir());
    command
}

fn check(command: Command, code: i32, parts: &[&str]) {
    let outcome = Outcome::of(command);
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.code, code, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
    assert!(!text.contains("sekret"), "a password is shown:\n{text}");
}

#[test]
fn copies_from_a_server_that_wants_tls() {
    let Ok(install) = PgInstall::find(Some(15)) else {
        eprintln!(
            "SKIPPED: PostgreSQL 15 of the distribution, which has TLS, is not installed (apt install postgresql-15)"
        );
        return;
    };
    let start = |install: PgInstall| {
        PgServer::builder().install(install).superuser_password("sekret").start().expect("a server starts")
    };
    let mut source = start(install);
    let target = start(PgInstall::find(Some(18)).expect("PostgreSQL can be obtained"));
    source.psql("postgres", "create database app").expect("a database");
    source
        .psql("app", "create table public.t (id int primary key, x text); insert into public.t select g, 'x' || g from generate_series(1, 5000) g")
        .expect("rows");
    target.create_database("app").expect("a database");
    let (root, cert, key) = certificates();
    for (name, text) in [
        ("server.crt", &*cert),
        ("server.key", &key),
        ("postgresql.auto.conf", "ssl = on\n"),
        ("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n"),
    ] {
        source.write_file(name, text).expect("a file");
    }
    source.restart().expect("it starts again");

    let home = tempfile::tempdir().expect("a folder");
    let root_file = home.path().join("root.crt");
    std::fs::write(&root_file, &root).expect("a file");
    let other_file = home.path().join("other.crt");
    std::fs::write(&other_file, certificates().0).expect("a file");
    let (root_file, other_file) = (root_file.to_str().expect("UTF-8"), other_file.to_str().expect("UTF-8"));
    let to = target.url("app");
    let from = |query: &str| format!("{}?{query}", source.url("app"));
    let run =
        |command: &str, query: &str| tierlift(home.path(), &["pg", command, "--source", &from(query), "--target", &to]);

    check(run("assess", "sslmode=disable"), 3, &["no encryption", "add sslmode=require"]);
    let strict = format!("sslmode=verify-full&sslrootcert={other_file}");
    // An authority of the same name with another key, as after it was made anew.
    check(run("assess", &strict), 3, &["not signed by the authority it names", "sslrootcert=FILE"]);
    check(run("assess", "sslmode=verify-full"), 3, &["not signed by an authority we trust"]);
    // libpq's variable, and its place in the home folder.
    let mut by_variable = run("assess", "sslmode=verify-full");
    by_variable.env("PGSSLROOTCERT", root_file);
    check(by_variable, 0, &["public.t"]);
    std::fs::create_dir(home.path().join(".postgresql")).expect("a folder");
    std::fs::copy(root_file, home.path().join(".postgresql/root.crt")).expect("a file");
    check(run("assess", "sslmode=verify-full"), 0, &["public.t"]);

    let bound = format!("sslmode=verify-full&sslrootcert={root_file}&channel_binding=require");
    let mut copy = run("copy", &bound);
    // What would lead pg_dump elsewhere, or let it speak in the clear.
    copy.arg("--yes").env("PGHOSTADDR", "192.0.2.1").env("PGSSLMODE", "disable").env("PGOPTIONS", "-c work_mem=1");
    check(copy, 0, &["copied 1 tables, 5,000 rows"]);
    check(run("verify", &bound), 0, &["equal"]);
}

#[test]
fn a_pooler_that_shares_backends_stops_everything() {
    let Some(program) = PgBouncer::find() else {
        eprintln!("SKIPPED: pgbouncer is not installed (apt install pgbouncer)");
        return;
    };
    let install = PgInstall::find(Some(18)).expect("PostgreSQL can be obtained");
    let server = PgServer::builder().install(install).superuser_password("sekret").start().expect("a server starts");
    server.create_database("new").expect("a database");
    let pooler = PgBouncer::start(&program, &server, PoolMode::Transaction, &[]).expect("pgbouncer starts");
    let home = tempfile::tempdir().expect("a folder");
    let source = server.url("postgres").replace(&server.port().to_string(), &pooler.port().to_string());
    let target = server.url("new");
    for command in [&["assess"][..], &["copy", "--yes"], &["verify"]] {
        let args = [&["pg"], command, &["--source", &source, "--target", &target]].concat();
        check(tierlift(home.path(), &args), 4, &["transaction mode", "pool_mode=session"]);
    }
}
