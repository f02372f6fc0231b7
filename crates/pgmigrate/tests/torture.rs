//! One of everything, from every version to every version: what pg_dump says of both ends after a copy is the same, data
//! included, and an undo leaves nothing of it.

mod common;

use std::path::Path;

use common::normal;
use common::{cx, url};
use pg_sandbox::{PgInstall, PgServer};
use pg_session::{Access, Session};
use pgmigrate::{CopyOptions, VerifyOptions, copy, copy_undo, verify};
use runbook::Failure;

/// Of `fixtures/torture`, in this order: later ones use what earlier ones made.
const FILES: &[&str] = &[
    "types.sql",
    "functions.sql",
    "operators.sql",
    "text_search.sql",
    "tables.sql",
    "identity.sql",
    "sequences.sql",
    "inheritance.sql",
    "partitions.sql",
    "constraints.sql",
    "indexes.sql",
    "statistics.sql",
    "views.sql",
    "triggers.sql",
    "row_security.sql",
    "names.sql",
    "foreign.sql",
    "replication.sql",
    "privileges.sql",
    "large_objects.sql",
    "modern.min18.sql",
];

#[tokio::test]
async fn carries_one_of_everything_from_every_version_to_every_version() {
    let targets = [start(16), start(18)];
    let newest = targets[1].install().clone();
    for major in [15, 16, 18] {
        let Some(from) = start_source(major) else { continue };
        for to in &targets {
            from_to(&from, to, &newest).await;
        }
    }
}

async fn from_to(from: &PgServer, to: &PgServer, newest: &PgInstall) {
    let (source, target) = (from.install().major(), to.install().major());
    let name = format!("torture_{source}_to_{target}");
    let held = load(from, source.min(target));
    to.create_database(&name).expect("the database is made");
    let other_session = Session::connect(&url(&from.url(&held)), Access::ReadWrite).await.expect("a session");
    other_session.batch_execute("create temporary table not_yours (id int)").await.expect("a temporary table");
    let seen = |server: &PgServer, database: &str| Seen::of(newest, server, database, source.min(target));
    let globals = |server: &PgServer| common::stable(&server.pg_dumpall_globals().expect("pg_dumpall runs"));
    let empty = (seen(to, &name), globals(to));

    let mut options = CopyOptions::new(url(&from.url(&held)), url(&to.url(&name)));
    options.pg_bin = Some(newest.bin_dir().to_owned());
    options.jobs = Some(3);
    options.split_bytes = Some(100 * 1024);
    let report = copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{name}: {:?}", Failure::from(e)));
    assert_eq!(report.large_objects, 1506, "{name}");
    let verification =
        verify(&VerifyOptions::new(options.source.clone(), options.target.clone()), &cx()).await.expect("verify runs");
    assert!(verification.is_equal(), "{name}: {:#?}", verification.mismatches);
    seen(from, &held).assert_same(&seen(to, &name), &name);
    assert_eq!(next_values(from, &held), next_values(to, &name), "{name}");

    copy_undo(&options.target, &cx()).await.unwrap_or_else(|e| panic!("{name}: {:?}", Failure::from(e)));
    seen(to, &name).assert_same(&empty.0, &name);
    assert_eq!(globals(to), empty.1, "{name}");
}

/// The database with every fixture that servers of this major version can hold, made when it is first asked for.
fn load(server: &PgServer, older: u16) -> String {
    let major = server.install().major();
    let files: Vec<&str> = FILES.iter().copied().filter(|file| minimum(file) <= older).collect();
    let name = format!("torture_{}_of_{}", files.len(), FILES.len());
    let exists = server.psql("postgres", &format!("select datname from pg_database where datname = '{name}'"));
    if exists.expect("databases are listed").is_empty() {
        server.create_database(&name).expect("the database is made");
        for file in files {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torture").join(file);
            let sql = std::fs::read_to_string(path).expect("the fixture is there");
            server.psql(&name, &sql).unwrap_or_else(|e| panic!("{major}: {file}: {e}"));
        }
    }
    name
}

/// The major version that a fixture's name asks for.
fn minimum(file: &str) -> u16 {
    let part = file.split('.').find_map(|part| part.strip_prefix("min"));
    part.map_or(0, |version| version.parse().expect("a fixture's name holds a version"))
}

fn start(major: u16) -> PgServer {
    let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
    PgServer::builder().install(install).start().expect("the server starts")
}

/// With the roles that the fixtures name; `None` where this version is not installed.
#[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
fn start_source(major: u16) -> Option<PgServer> {
    let install = match PgInstall::find(Some(major)) {
        Ok(install) => install,
        Err(error) if major < 16 => {
            eprintln!("SKIPPED: PostgreSQL {major} as a source: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let server = PgServer::builder().install(install).start().expect("the server starts");
    server
        .psql("postgres", "create role reader; create role \"Odd Role\"; create role \"owner of two\";")
        .expect("the roles are made");
    Some(server)
}

/// Everything there is to see of a database.
struct Seen {
    schema: Vec<String>,
    /// Sorted, for parts arrive in any order.
    rows: Vec<String>,
    /// What no dump shows in a form that can be compared.
    more: Vec<String>,
}

impl Seen {
    fn of(newest: &PgInstall, server: &PgServer, database: &str, older: u16) -> Self {
        let dump = |args: &[&str]| {
            let output = std::process::Command::new(newest.program("pg_dump"))
                .args(["--no-owner", "--exclude-schema=tierlift", "--no-large-objects"])
                .args(args)
                .arg("--dbname")
                .arg(server.url(database))
                .output()
                .expect("pg_dump runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            normal::lines(&String::from_utf8(output.stdout).expect("pg_dump writes UTF-8"), older)
        };
        let mut rows = dump(&["--data-only"]);
        rows.sort();
        let more = server.psql(database, MORE).expect("the catalogue is read");
        Self { schema: dump(&["--schema-only"]), rows, more: more.lines().map(str::to_owned).collect() }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        let pairs = [(&self.schema, &other.schema), (&self.more, &other.more), (&self.rows, &other.rows)];
        for (one, two) in pairs {
            if one != two {
                let at = one.iter().zip(two).position(|(a, b)| a != b).unwrap_or(one.len().min(two.len()));
                let around = |lines: &[String]| -> Vec<String> {
                    lines.iter().skip(at.saturating_sub(5)).take(15).map(|l| l.chars().take(200).collect()).collect()
                };
                panic!("{what}: they part at line {at}: {:#?}\nand {:#?}", around(one), around(two));
            }
        }
    }
}

const MORE: &str = "
    create function pg_temp.contents(regclass) returns text language plpgsql as
      $$ declare found text; begin
        execute format('select md5(string_agg(t::text, e''\\n'' order by t::text)) from %s t', $1) into found; return found; end $$;
    select 'large object', m.oid, md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject'), pg_get_userbyid(lomowner),
           (select string_agg(a::text, ' ' order by a::text) from unnest(lomacl) a)
      from pg_largeobject_metadata m order by m.oid;
    select 'materialised view', c.oid::regclass, c.relispopulated,
           case when c.relispopulated then pg_temp.contents(c.oid) end
      from pg_class c where c.relkind = 'm' order by c.oid::regclass::text;";

/// What each sequence gives next, or why it gives nothing.
fn next_values(server: &PgServer, database: &str) -> String {
    const SQL: &str = "
        create function pg_temp.next(regclass) returns text language plpgsql as
          $$ begin return nextval($1); exception when others then return sqlerrm; end $$;
        select c.oid::regclass, pg_temp.next(c.oid) from pg_class c
         where c.relkind = 'S' and c.relnamespace <> coalesce(to_regnamespace('tierlift'), 0) order by c.oid::regclass::text;";
    server.psql(database, SQL).expect("sequences are asked")
}
