//! A server's life: started, used, stopped, crashed, restarted, detached, and ended with a killed owner.

#![allow(clippy::print_stdout)] // the child under test tells its parent where its server is
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pg_sandbox::{PgInstall, PgServer, SandboxError, StopMode};

/// Set in the child that [`dies_with_a_killed_owner`] starts of this very test program.
const OWNER: &str = "PG_SANDBOX_TEST_OWNER";

fn start(major: u16) -> PgServer {
    PgServer::builder().install(PgInstall::find(Some(major)).unwrap()).start().unwrap()
}

fn one(server: &PgServer, sql: &str) -> String {
    server.psql("postgres", sql).unwrap().trim().to_owned()
}

/// psql as whoever the URL names, its password taken out of the command line, where everybody could read it.
fn psql(server: &PgServer, url: &str, sql: &str) -> Command {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, rest) = rest.split_once(':').unwrap();
    let (password, rest) = rest.split_once('@').unwrap();
    let mut command = Command::new(server.install().program("psql"));
    command.args(["-XAtqc", sql, &format!("{scheme}://{user}@{rest}")]).env("PGPASSWORD", password);
    command
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn both_versions_answer_as_configured() {
    for major in [16, 18] {
        let server = start(major);
        assert_eq!(one(&server, "show server_version_num")[..2], major.to_string());
        for (setting, expect) in [
            ("wal_level", "logical"),
            ("listen_addresses", "127.0.0.1"),
            ("password_encryption", "scram-sha-256"),
            ("server_encoding", "UTF8"),
            ("fsync", "off"),
            ("port", &server.port().to_string()),
        ] {
            assert_eq!(one(&server, &format!("show {setting}")), expect, "{setting} of {major}");
        }
        let folder = server.data_dir().parent().unwrap().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}

#[test]
fn wants_passwords_and_names_errors() {
    let password = "o'p/e n:s@e%same";
    let server = PgServer::builder().superuser_password(password).setting("work_mem", "7MB").start().unwrap();
    assert_eq!(one(&server, "show work_mem"), "7MB");
    assert!(server.url("a b").starts_with("postgresql://postgres:o%27p%2Fe%20n%3As%40e%25same@127.0.0.1:"));
    assert!(!format!("{server:?}").contains(password));

    let psql =
        |url: &str| Command::new(server.install().program("psql")).args(["-XAtc", "select 1", url]).output().unwrap();
    assert_eq!(psql(&server.url("postgres")).stdout, b"1\n");
    let refused = psql(&server.url_as("postgres", "wrong", "postgres"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("password authentication failed"));

    match server.psql("postgres", "select 1;\nselect nonsense;") {
        Err(SandboxError::Program { program, said }) => {
            assert_eq!(program, "psql");
            assert!(said.contains("nonsense") && !said.contains(password), "{said}");
        }
        other => panic!("{other:?}"),
    }
    assert!(server.log_text().unwrap().contains("nonsense"));
    assert!(!server.log_text().unwrap().contains(password));
    let many: String = (0..5_000).map(|n| format!("select repeat('x', 400), {n};\n")).collect();
    assert_eq!(server.psql("postgres", &many).unwrap().lines().count(), 5_000, "long input, long output");
}

#[test]
fn recovers_from_the_loss_of_one_backend() {
    let server = start(18);
    server
        .psql(
            "postgres",
            "create table kept (id int); insert into kept values (7); create unlogged table lost as table kept",
        )
        .unwrap();
    let open = |sql: &str| {
        let mut command = psql(&server, &server.url("postgres"), sql);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (mut victim, mut other) = (open("select pg_sleep(60)"), open("select pg_sleep(61)"));
    let pids = || one(&server, "select pid from pg_stat_activity where query ~ '^select pg_sleep' order by query");
    eventually("two sleepers", || pids().lines().count() == 2);
    let pid: u32 = pids().lines().next().unwrap().parse().unwrap();

    assert!(server.kill_backend(pid).unwrap());
    assert!(!victim.wait().unwrap().success() && !other.wait().unwrap().success(), "all sessions end");
    assert_eq!(one(&server, "select id from kept"), "7");
    assert_eq!(one(&server, "select count(*) from lost"), "0", "it was a crash");
    assert!(!server.kill_backend(std::process::id()).unwrap(), "only its own backends");

    one(&server, "insert into lost values (1); select pg_stat_force_next_flush()");
    server.crash().unwrap();
    assert_eq!(one(&server, "select (select count(*) from kept), (select count(*) from lost)"), "1|0");
}

#[test]
fn keeps_what_was_committed() {
    let mut server = start(18);
    server.create_database("some \"name\"").unwrap();
    server.psql("some \"name\"", "create table t (id int); insert into t values (1)").unwrap();
    let add = |server: &PgServer| server.psql("some \"name\"", "insert into t select max(id) + 1 from t").unwrap();
    let port = server.port();

    server.stop(StopMode::Fast).unwrap();
    assert!(!is_open(port) && server.pid().is_none());
    server.restart().unwrap();
    add(&server);
    server.stop(StopMode::Immediate).unwrap();
    server.restart().unwrap();
    add(&server);
    server.kill_hard().unwrap();
    assert!(!is_open(port));
    server.restart().unwrap();
    add(&server);

    assert_eq!(server.port(), port);
    assert_eq!(server.psql("some \"name\"", "select max(id) from t").unwrap().trim(), "4");
    let dump = server.pg_dump("some \"name\"", &["--data-only", "--inserts"]).unwrap();
    assert!(dump.contains("INSERT INTO public.t VALUES (4);"), "{dump}");
    server.psql("postgres", "create role someone").unwrap();
    assert!(server.pg_dumpall_globals().unwrap().contains("CREATE ROLE someone"));
    assert!(server.log_text().unwrap().contains("was not properly shut down"));
}

#[test]
fn clusters_differ() {
    let servers = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| start(16))).collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut identifiers: Vec<_> =
        servers.iter().map(|server| one(server, "select system_identifier from pg_control_system()")).collect();
    identifiers.sort();
    identifiers.dedup();
    assert_eq!(identifiers.len(), 3);
}

#[test]
fn says_why_it_did_not_start() {
    match PgServer::builder().setting("no_such_setting", "1").start() {
        Err(SandboxError::Start { log, .. }) => assert!(log.contains("no_such_setting"), "{log}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn owner_of_a_database_creates_vector() {
    for major in [16, 18] {
        let server = start(major);
        server
            .psql("postgres", "create role someone login password 'x'; create database theirs owner someone")
            .unwrap();
        let sql = "create extension vector; select '[3,4]'::vector <-> '[0,0]'";
        let output = psql(&server, &server.url_as("someone", "x", "theirs"), sql).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().last(), Some("5"), "{output:?}");
    }
}

#[test]
fn detached_outlives_its_owner() {
    let detached = start(18).detach().unwrap();
    assert!(is_open(detached.port) && detached.data_dir.is_dir());
    // SAFETY: plain system call, on the server this test started.
    assert_eq!(unsafe { libc::kill(detached.pid as libc::pid_t, libc::SIGINT) }, 0);
    eventually("the port is closed", || !is_open(detached.port));
    eventually("the server is gone", || !detached.data_dir.join("postmaster.pid").exists());
    std::fs::remove_dir_all(detached.folder).unwrap();
}

/// Not a test of its own: the child that [`dies_with_a_killed_owner`] kills.
#[test]
fn owner() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let server = start(18);
    // A busy backend does not notice that its postmaster has gone; the server's end must not wait for it.
    let mut session = psql(&server, &server.url("postgres"), "do $$ begin raise notice 'busy'; loop end loop; end $$")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("busy"), "{line}");
    println!("owner: {} {} {}", server.port(), server.pid().unwrap(), server.data_dir().display());
    session.wait().unwrap();
    drop(server);
}

#[test]
fn dies_with_a_killed_owner() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The harness writes the test's name before what the test prints, on the same line.
    let line = lines.find_map(|line| Some(line.split_once("owner: ")?.1.to_owned())).unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    let (port, data_dir) = (fields[0].parse().unwrap(), PathBuf::from(fields[2]));
    let pid: libc::pid_t = fields[1].parse().unwrap();
    assert!(is_open(port) && data_dir.is_dir());

    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    eventually("the port is closed", || !is_open(port));
    eventually("the folder is gone", || !data_dir.parent().is_some_and(Path::exists));
    // SAFETY: signal 0 only asks.
    eventually("the postmaster is gone", || unsafe { libc::kill(pid, 0) } != 0);
}
