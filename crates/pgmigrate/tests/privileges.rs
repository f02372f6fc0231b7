//! Roles that may do less than everything: a reader of the source and a target's role that is no superuser.
//!
//! Every kind of source role goes with every kind of target role; what neither can do is found, with its object.

#![allow(clippy::print_stderr)] // a test that cannot run says so

mod common;

use common::{PASSWORD, Servers, cx, url};
use pg_sandbox::PgInstall;
use pgmigrate::{AssessOptions, CopyOptions, OnRefused, VerifyOptions, assess, copy, copy_undo, verify};
use runbook::{Failure, FailureKind, Severity};

const SHOP: &str = "
    create schema app; create schema hidden;
    create table app.orders (id serial primary key, customer int, total numeric);
    insert into app.orders (customer, total) select n % 3, n from generate_series(1, 30) n;
    create table app.secret (id int primary key); insert into app.secret values (1);
    create table hidden.audit (id bigint generated always as identity primary key, what text);
    insert into hidden.audit (what) values ('made');
    create table public.notes (id int);
    alter table app.orders enable row level security;
    create policy own on app.orders to auditor using (customer = 1);
    grant usage on schema app to auditor; grant select on app.orders to auditor;
    grant update (total) on app.orders to auditor with grant option;
    alter default privileges in schema app grant select on tables to auditor;
    comment on schema public is 'of the shop';
    create function app.due() returns trigger language plpgsql as 'begin return new; end';
    create trigger due before insert on app.orders for each row execute function app.due();
    grant usage on schema app, hidden to reader;
    grant select on all tables in schema app, hidden, public to reader;
    grant select on all sequences in schema app, hidden to reader;
    create policy all_of_it on app.orders to reader using (true);
    alter role reader bypassrls";

/// What is taken from the source's reader, and what then stops the copy: (name, statement, object, message).
type SourceCase = (&'static str, &'static str, Option<(&'static str, &'static str)>);

const SOURCES: &[SourceCase] = &[
    ("reader", "select", None),
    ("no_table", "revoke select on app.secret from reader", Some(("table app.secret", "may not read it"))),
    ("no_schema", "revoke usage on schema hidden from reader", Some(("table hidden.audit", "may not read it"))),
    (
        "no_sequence",
        "revoke select on sequence app.orders_id_seq from reader",
        Some(("sequence app.orders_id_seq", "may not read it")),
    ),
    ("filtered", "alter role reader nobypassrls", Some(("table app.orders", "row-level security hides rows"))),
];

/// The target's role: (name, its attributes, who owns the database, further grants, what stops the copy).
struct TargetCase {
    role: &'static str,
    attributes: &'static str,
    owner: &'static str,
    grants: &'static str,
    stops: Option<(&'static str, &'static str)>,
    /// What differs then, when nothing stops it.
    differs: &'static str,
}

const TARGETS: &[TargetCase] = &[
    TargetCase {
        role: "almighty",
        attributes: "superuser",
        owner: "almighty",
        grants: "",
        stops: None,
        differs: "role ",
    },
    TargetCase {
        role: "cloud",
        attributes: "createdb createrole",
        owner: "cloud",
        grants: "",
        stops: None,
        differs: "role ",
    },
    TargetCase {
        role: "plain_owner",
        attributes: "",
        owner: "plain_owner",
        grants: "",
        stops: Some(("role ", "may not create roles")),
        differs: "",
    },
    TargetCase {
        role: "guest",
        attributes: "createrole",
        owner: "postgres",
        grants: "grant create on database {db} to guest; grant create, usage on schema public to guest",
        stops: None,
        differs: "schema public",
    },
    TargetCase {
        role: "stranger",
        attributes: "createrole",
        owner: "postgres",
        grants: "",
        stops: Some(("schema public", "may not create anything in it")),
        differs: "",
    },
];

#[tokio::test]
async fn every_source_role_goes_with_every_target_role() {
    let servers = Servers::start(16, 18);
    Servers::role(&servers.from, "reader", "");
    servers.from.psql("postgres", "create role auditor").expect("the role is made");
    for target in TARGETS {
        Servers::role(&servers.to, target.role, target.attributes);
    }
    matrix(&servers, SOURCES).await;
}

#[tokio::test]
async fn an_older_target_has_other_rules_for_roles() {
    let Ok(_) = PgInstall::find(Some(15)) else {
        eprintln!("SKIPPED: PostgreSQL 15 is not installed, so its rules for CREATEROLE are not tried");
        return;
    };
    let servers = Servers::start(15, 15);
    Servers::role(&servers.from, "reader", "");
    servers.from.psql("postgres", "create role auditor").expect("the role is made");
    for target in TARGETS {
        Servers::role(&servers.to, target.role, target.attributes);
    }
    matrix(&servers, &SOURCES[..1]).await;
}

async fn matrix(servers: &Servers, sources: &[SourceCase]) {
    for source in sources {
        servers.source(source.0, &format!("{SHOP};\n{}", source.1));
        for target in TARGETS {
            check(servers, source, target).await;
        }
    }
}

async fn check(servers: &Servers, source: &SourceCase, target: &TargetCase) {
    let (name, _, source_stops) = source;
    let database = format!("{name}_{}", target.role);
    let mut options = servers.onto(name, &database, "postgres");
    let grants =
        format!("alter database {database} owner to {};\n{}", target.owner, target.grants.replace("{db}", &database));
    servers.to.psql(&database, &grants).expect("the target is prepared");
    options.source = url(&servers.from.url_as("reader", PASSWORD, name));
    options.target = url(&servers.to.url_as(target.role, PASSWORD, &database));
    options.pg_bin = Some(PgInstall::find(Some(18)).expect("the newest pg_dump").bin_dir().to_owned());

    let looked = AssessOptions::new(options.source.clone(), options.target.clone());
    let findings = assess(&looked, &cx()).await.unwrap_or_else(|e| panic!("{database}: {e}")).findings;
    let blocks: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Blocks).collect();
    let stops: Vec<_> = [*source_stops, target.stops].into_iter().flatten().collect();
    for (object, message) in &stops {
        let found = blocks.iter().any(|f| f.object.contains(object) && f.message.contains(message));
        assert!(found, "{database}: {object} {message} in {blocks:#?}");
    }
    let empty = servers.target_state(&database);
    let copied = copy(&options, &cx()).await;
    if !stops.is_empty() {
        let failure: Failure = copied.expect_err(&database).into();
        assert_eq!(failure.kind, FailureKind::Blocked, "{database}: {failure}");
        assert_eq!(servers.target_state(&database), empty, "{database}");
        return;
    }
    assert!(blocks.is_empty(), "{database}: {blocks:#?}");
    let differs = findings.iter().any(|f| f.severity == Severity::Changes && f.object.starts_with(target.differs));
    assert!(differs, "{database}: {} in {findings:#?}", target.differs);
    let report = copied.unwrap_or_else(|e| panic!("{database}: {:?}", Failure::from(e)));
    assert_eq!((report.rows, report.left_out.as_slice()), (32, &[][..]), "{database}");
    let seen = verify(&VerifyOptions::new(options.source.clone(), options.target.clone()), &cx()).await.expect("runs");
    assert!(seen.is_equal(), "{database}: {:#?}", seen.mismatches);
    arrived(servers, name, &database, target.role);
    copy_undo(&options.target, &cx()).await.unwrap_or_else(|e| panic!("{database}: {e}"));
    assert_eq!(servers.target_state(&database), empty, "{database}");
}

/// Everything belongs to the role that copied, and may be used by those who could use it before.
fn arrived(servers: &Servers, source: &str, database: &str, role: &str) {
    let ask = |sql: &str| servers.to.psql(database, sql).expect("it runs").trim().to_owned();
    let owners = "select string_agg(distinct relowner::regrole::text, ',') from pg_class c
                   where relnamespace in ('app'::regnamespace, 'hidden'::regnamespace)";
    assert_eq!(ask(owners), role, "{database}");
    let same = [
        "select relname, relacl::text, relrowsecurity from pg_class where relnamespace = 'app'::regnamespace order by 1",
        "select attname, attacl::text from pg_attribute where attrelid = 'app.orders'::regclass and attacl is not null",
        "select polname, polroles::regrole[]::text, pg_get_expr(polqual, polrelid) from pg_policy where polname = 'own'",
        "select nspacl::text from pg_namespace where nspname = 'app'",
        "select defaclobjtype, defaclnamespace::regnamespace, defaclacl::text from pg_default_acl",
    ];
    for sql in same {
        let there = servers.from.psql(source, sql).expect("it runs");
        // Rights that the owner has of its own are the copying role's now.
        let there = there.trim().replace("postgres", role);
        let here = ask(sql).replace("arwdDxtm", "arwdDxt"); // newer servers add MAINTAIN to an owner's rights
        assert_eq!(here, there, "{database}: {sql}");
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_made_is_left_out_with_what_names_it() {
    let servers = Servers::start(16, 18);
    servers.from.psql("postgres", "create role auditor; create role reader").expect("the roles are made");
    Servers::role(&servers.to, "plain_owner", "");
    let options = servers.case("roleless", "plain_owner", SHOP);
    servers.to.psql("postgres", "create role reader").expect("the role is made");
    let empty = servers.target_state("roleless");
    let skip = CopyOptions { on_refused: OnRefused::Skip, ..options };
    let report = copy(&skip, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    let said: Vec<String> = report.left_out.iter().map(ToString::to_string).collect();
    let check = |object: &str, error: &str| {
        let found = said.iter().any(|line| line.contains(object) && line.contains(error));
        assert!(found, "{object}, {error} in {said:#?}");
    };
    check("role auditor", "permission denied to create role");
    check("policy app.orders own", "role \"auditor\" does not exist");
    check("TABLE \"orders\", of which GRANT SELECT", "role \"auditor\" does not exist");
    check("default acl", "role \"auditor\" does not exist");
    let ask = |sql: &str| servers.to.psql("roleless", sql).expect("it runs").trim().to_owned();
    assert_eq!(ask("select has_table_privilege('reader', 'app.orders', 'select')"), "t", "the other grants came");
    assert_eq!(ask("select string_agg(polname, ' ') from pg_policy"), "all_of_it");
    let seen = verify(&VerifyOptions::new(skip.source.clone(), skip.target.clone()), &cx()).await.expect("runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    assert_eq!(seen.left_out, report.left_out);
    copy_undo(&skip.target, &cx()).await.expect("undo succeeds");
    assert_eq!(servers.target_state("roleless"), empty);
}

/// What is forced on the owner hides rows from our own role once the copy is done, and then nothing could be compared.
#[tokio::test]
async fn rows_that_the_target_would_hide_from_its_owner_are_named_beforehand() {
    let servers = Servers::start(16, 18);
    Servers::role(&servers.to, "mover", "createdb createrole");
    let forced = "create table public.open (id int primary key); alter table public.open force row level security;
                  create table public.closed (id int primary key); insert into public.closed values (1);
                  alter table public.closed enable row level security, force row level security;";
    let options = servers.case("forced", "mover", forced);
    let failure: Failure = copy(&options, &cx()).await.expect_err("it could not be compared").into();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "table public.closed"), "{failure}");
    assert!(failure.causes.is_empty(), "{:?}", failure.causes);

    servers.to.psql("postgres", "alter role mover bypassrls").expect("it is let through");
    copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{:?}", Failure::from(e)));
    let seen = verify(&VerifyOptions::new(options.source, options.target), &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
}
