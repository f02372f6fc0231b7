//! Every quirk that a look at both ends can find, found on real servers that imitate the providers.

mod common;

use std::collections::BTreeMap;
use std::thread;

use common::{cx, url};
use pg_sandbox::{PgInstall, PgServer, StopMode, oviya};
use pg_session::{Access, PgUrl, Session};
use pgmigrate::{AssessOptions, Assessment, assess};
use runbook::{Failure, FailureKind, Finding, Severity};

use Scenario::{Neon, Plain, Supabase};
use Severity::{Blocks, Changes, Note};

/// Which servers are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scenario {
    /// A grown Supabase project to Cloud SQL.
    Supabase,
    /// Nobody's server in collation C, with one of each odd thing, to AlloyDB.
    Plain,
    /// A Neon project to Cloud SQL.
    Neon,
}

/// Where a quirk shows.
enum Seen {
    /// As a finding of this severity about an object whose name holds the first text, in words that hold the second.
    Finding(Scenario, Severity, &'static str, &'static str),
    /// Before any connection, as a block that names this instead.
    Url(&'static str, &'static str),
    /// Not by assess; where instead.
    Elsewhere(&'static str),
}

use Seen::{Elsewhere, Finding as Found, Url};

/// The list of what breaks a migration, by its numbers.
const QUIRKS: &[(u32, Seen)] = &[
    // Supabase
    (1, Found(Supabase, Changes, "schemas auth, cron, extensions", "stay behind")),
    (2, Found(Supabase, Changes, "constraint messages_user_id_fkey on table public.messages", "a stand-in")),
    (2, Found(Supabase, Changes, "function public.my_mail()", "request.jwt.claims")),
    (2, Found(Supabase, Changes, "default value for column owner of table public.clips", "auth.uid()")),
    (2, Found(Supabase, Changes, "view public.me", "auth.uid()")),
    (2, Found(Supabase, Changes, "policy Moods are private", "auth.uid()")),
    (2, Found(Supabase, Changes, "attachments_object_fkey", "storage.objects")),
    (2, Found(Supabase, Changes, "on_auth_user_created", "call the function where sign-ups will happen")),
    (3, Found(Supabase, Changes, "role authenticated", "created there without login")),
    (3, Found(Supabase, Changes, "role service_role", "BYPASSRLS")),
    (3, Found(Supabase, Changes, "role supabase_admin", "default privileges stay behind")),
    (3, Found(Supabase, Changes, "role oviya_owner", "memberships are not copied")),
    (4, Found(Supabase, Changes, "event trigger pgrst_ddl_watch", "need a superuser")),
    (4, Found(Supabase, Changes, "publication supabase_realtime", "not created on the target")),
    (4, Found(Plain, Changes, "foreign data wrapper odd_wrapper", "leads out of the database")),
    (4, Found(Plain, Changes, "comment on extension vector", "not copied")),
    (5, Found(Supabase, Changes, "extension vector", "created on the target in schema extensions")),
    (5, Found(Supabase, Changes, "table vault.secrets", "encrypted with a key that only this server has")),
    (6, Url("postgres://postgres.abc@aws-0-eu.pooler.supabase.com:6543/postgres", "aws-0-eu.pooler.supabase.com:5432")),
    (6, Url("postgres://postgres@db.abc.supabase.co:6543/postgres", "db.abc.supabase.co:5432")),
    (6, Elsewhere("a host with none but IPv6 addresses needs a resolver: unreachable.rs of pg-session, its own test")),
    (7, Found(Supabase, Note, "source ", "max_slot_wal_keep_size 4GB")),
    (7, Found(Plain, Note, "replication slot follower", "not in use, WAL reserved")),
    (8, Found(Supabase, Note, "source ", "statement_timeout of 120 s")),
    (8, Found(Supabase, Changes, "role anon", "statement_timeout=3s")),
    // Neon
    (9, Url("postgres://u@ep-cool-1-pooler.eu.aws.neon.tech/db", "ep-cool-1.eu.aws.neon.tech")),
    (10, Elsewhere("a connection without it fails: pg-session sends SNI, its URL parser reads channel_binding")),
    (11, Elsewhere("a look has waited for it already: pg-session retries while a compute wakes")),
    (12, Found(Neon, Note, "source ", "40 hours")),
    (12, Found(Neon, Note, "source ", "neondb_owner lacks REPLICATION")),
    (12, Found(Neon, Changes, "table public.sessions", "whenever a compute is suspended")),
    (13, Found(Supabase, Note, "role tierlift", "may not set session_replication_role")),
    // Cloud SQL, AlloyDB
    (14, Found(Supabase, Note, "role tierlift", "no superuser")),
    (14, Found(Supabase, Changes, "owners", "everything on the target belongs to tierlift")),
    (14, Found(Plain, Changes, "function public.in_internal(integer)", "only a superuser")),
    (15, Found(Supabase, Note, "target ", "logical_decoding off")),
    (15, Found(Plain, Note, "target ", "set alloydb.logical_decoding")),
    (16, Found(Supabase, Changes, "role oviya_app", "passwords can't be read")),
    (16, Found(Supabase, Changes, "cron job nightly", "inactive until the switch")),
    (17, Found(Plain, Changes, "publication of_schema", "not created on the target")),
    (17, Elsewhere("IDENTIFY_SYSTEM belongs to live migration, which there is not yet")),
    // Every Postgres
    (18, Found(Plain, Changes, "column public.with_attver.note", "pg_attver")),
    (19, Elsewhere("pg_dump's settings are passed over when its output is cut: toc.rs, its own test")),
    (20, Found(Plain, Changes, "target ", "its collation is libc C.UTF-8, the source's libc C")),
    (20, Found(Plain, Changes, "index public.people_name", "order of the database's collation")),
    (20, Found(Plain, Changes, "unique constraint people_mail_unique", "equal stays equal")),
    (20, Found(Plain, Changes, "table public.by_letter", "refused by their partition")),
    (20, Found(Plain, Changes, "rooms_room_excl", "exclude each other")),
    (20, Found(Plain, Note, "column public.people.town", "operating system's")),
    (21, Elsewhere("they are carried whole: tests/torture.rs")),
    (22, Found(Plain, Blocks, "prepared transaction left open", "commit or roll it back")),
    (22, Found(Plain, Note, "table public.scratch", "unlogged")),
    (22, Found(Plain, Changes, "foreign table public.far_away", "another server")),
    (22, Found(Plain, Changes, "user mapping for postgres on server elsewhere", "create user mapping")),
    (22, Found(Plain, Note, "table public.no_key", "no primary key")),
    (22, Found(Plain, Note, "table public.no_identity", "no replica identity")),
    (22, Found(Plain, Note, "table public.no_columns", "no columns")),
    (22, Found(Plain, Changes, "table public.stored_oddly (access method odd_storage)", "default_table_access_method")),
    (22, Elsewhere("types, casts, operators and odd names are carried whole: tests/torture.rs")),
    (23, Found(Plain, Changes, "index public.half_built", "not created on the target")),
    (23, Found(Plain, Note, "constraint amount_is_positive on public.doubtful", "never validated")),
    (23, Elsewhere("views, keys, indexes and triggers of every kind are carried whole: tests/torture.rs")),
    (24, Elsewhere("two servers behind one address: tests/endpoints.rs; a standby: the test below")),
    (25, Found(Supabase, Note, "source ", "pgbouncer, connection_limit")),
    (26, Found(Plain, Blocks, "index public.notes_leaning", "function tidy(text) does not exist")),
    (26, Found(Plain, Blocks, "check constraint body_is_tidy", "public.leaning(text)")),
    (26, Found(Plain, Blocks, "check constraint tidy_text_check on public.tidy_text", "public.leaning(text)")),
    (26, Found(Plain, Blocks, "partition key of table public.by_tidy", "public.leaning(text)")),
    (26, Found(Plain, Changes, "index public.empty_notes_leaning", "names tidy without a schema")),
    (26, Found(Plain, Changes, "materialized view public.tidied", "names tidy without a schema")),
];

/// What nobody gave a number.
const MORE: &[Seen] = &[
    Found(Plain, Changes, "target ", "can only read by default"),
    Found(Plain, Note, "target ", "autovacuum is off"),
    Found(Plain, Note, "target ", "a server does not say how much room its disk has"),
    Found(Plain, Note, "source ", "no data checksums"),
    Found(Plain, Note, "sequence public.nearly_over", "used 92 % of its values"),
    Found(Plain, Changes, "database setting work_mem", "not copied"),
    Found(Plain, Blocks, "table tierlift.lifts", "tierlift's own at both ends"),
    Found(Plain, Changes, "function out_of_place()", "it stays behind"),
    Found(Plain, Changes, "view information_schema.out_of_place_too", "it stays behind"),
    Found(Plain, Changes, "check constraint note_is_there on public.marks", "rows come in any order"),
    Found(Plain, Changes, "comment on database odd", "not copied"),
    Found(Plain, Changes, "default privileges of role alloy_owner on the target", "select on tables to web_user"),
    Found(Neon, Note, "target ", "newer than the source's"),
    Found(Neon, Note, "source ", "connections left"),
    Found(Neon, Blocks, "source ", "raise max_locks_per_transaction"),
];

#[tokio::test]
async fn finds_every_quirk_that_a_look_can_find() {
    let numbers: Vec<u32> = QUIRKS.iter().map(|(number, _)| *number).collect();
    assert!((1..=26).all(|number| numbers.contains(&number)), "a quirk is missing from the table");
    let servers = Servers::start();
    let mut seen = BTreeMap::new();
    for (scenario, (source, target)) in servers.pairs() {
        let options = AssessOptions::new(source, target);
        let look = assess(&options, &cx()).await.unwrap_or_else(|e| panic!("{scenario:?}: {e} {}", e.hint()));
        assert!(!look.findings.iter().any(|f| f.message.contains("may not look")), "{:#?}", look.findings);
        seen.insert(scenario, look);
    }
    let mut missing = Vec::new();
    for (number, place) in
        QUIRKS.iter().map(|(number, place)| (*number, place)).chain(MORE.iter().map(|seen| (0, seen)))
    {
        match place {
            Found(scenario, severity, object, words) => {
                if !holds(&seen[scenario], *severity, object, words) {
                    missing.push(format!("quirk {number}: {severity:?} {object:?} {words:?} in {scenario:?}"));
                }
            }
            Url(text, instead) => {
                let options = AssessOptions::new(url(text), url(text));
                let failure: Failure = assess(&options, &cx()).await.expect_err("it is refused").into();
                assert_eq!(failure.kind, FailureKind::Blocked);
                assert!(failure.hint.contains(instead), "{failure} {}", failure.hint);
            }
            Elsewhere(place) => assert!(place.contains(": ") || place.contains(", "), "it says where: {place}"),
        }
    }
    assert!(missing.is_empty(), "{missing:#?}\nin {:#?}", all(&seen));
    sound_things_are_left_alone(&seen[&Plain]);
    no_secret_is_shown(&seen);
    a_locked_table_is_named(&servers).await;
}

/// A table that nobody can read is named, with who keeps it so, instead of waiting for it.
async fn a_locked_table_is_named(servers: &Servers) {
    let (source, target) = servers.pairs()[0].1.clone();
    let holder = Session::connect(&url(&servers.supabase.url(&servers.oviya.database)), Access::ReadWrite)
        .await
        .expect("it connects");
    holder.batch_execute("begin; lock table public.messages").await.expect("the table is locked");
    let options = AssessOptions::new(source, target);
    let failure: Failure = assess(&options, &cx()).await.expect_err("it can't be read").into();
    assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
    assert!(failure.object.starts_with("session ") && failure.message.contains("table public.messages"), "{failure}");
    assert!(failure.hint.contains("pg_terminate_backend("), "{}", failure.hint);
}

/// What the fixtures have beside each quirk and what is as it should be.
fn sound_things_are_left_alone(plain: &Assessment) {
    let about = |object: &str, words: &str| -> Vec<&Finding> {
        plain.findings.iter().filter(|f| f.object.contains(object) && f.message.contains(words)).collect()
    };
    for (object, words) in [
        ("notes_upright", "whose body names"),
        ("notes_spelled_out", "whose body names"),
        ("notes_upright", "without a search_path"),
        ("people_name_like", ""),
        ("another database", ""),
        ("table tierlift.copy", ""),
        ("default privileges of role alloy_owner", "to public"),
    ] {
        let named = about(object, words);
        assert!(named.is_empty(), "{named:#?}");
    }
}

fn no_secret_is_shown(seen: &BTreeMap<Scenario, Assessment>) {
    let json = serde_json::to_string(&seen.values().collect::<Vec<_>>()).expect("it serialises");
    for secret in ["not to be shown", "secret_thing", "Y2lwaGVydGV4dA"] {
        assert!(!json.contains(secret), "{secret} is shown");
    }
}

fn holds(look: &Assessment, severity: Severity, object: &str, words: &str) -> bool {
    look.findings.iter().any(|f| {
        let Finding { severity: is, object: about, message, remedy } = f;
        *is == severity && about.contains(object) && (message.contains(words) || remedy.contains(words))
    })
}

fn all(seen: &BTreeMap<Scenario, Assessment>) -> Vec<String> {
    seen.iter()
        .flat_map(|(scenario, look)| {
            look.findings
                .iter()
                .map(move |f| format!("{scenario:?} {:?} {}: {}; {}", f.severity, f.object, f.message, f.remedy))
        })
        .collect()
}

#[tokio::test]
async fn a_standby_is_named() {
    let start = |major| {
        let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
        PgServer::builder().install(install).superuser_password(NEON_PASSWORD).start().expect("the server starts")
    };
    let (mut one, other) = (start(16), start(18));
    for server in [&one, &other] {
        server.create_database("app").expect("the database is made");
    }
    fill(&one, "app", "create table public.t (id int primary key)");
    let look = async |source: &str| {
        let options = AssessOptions::new(url(source), url(&other.url("app")));
        assess(&options, &cx()).await.expect("both ends can be read")
    };
    let direct = one.url("app");
    assert!(!look(&direct).await.is_blocked());

    one.stop(StopMode::Fast).expect("it stops");
    std::fs::write(one.data_dir().join("standby.signal"), "").expect("the file is written");
    one.restart().expect("it starts as a standby");
    let standby = look(&direct).await;
    assert!(
        holds(&standby, Note, "source 127.0.0.1", "writes must be stopped on its primary"),
        "{:#?}",
        standby.findings
    );
    assert!(holds(&standby, Note, "standby", "cancels reads after 30s"), "{:#?}", standby.findings);
    one.stop(StopMode::Fast).expect("it stops");
}

struct Servers {
    supabase: PgServer,
    oviya: oviya::OviyaSource,
    plain: PgServer,
    neon: PgServer,
    /// Only has to be there.
    _cloud_sql: PgServer,
    tierlift: oviya::OviyaTarget,
    alloy: PgServer,
}

const NEON_PASSWORD: &str = "for-a-test-only";

impl Servers {
    fn start() -> Self {
        let start =
            |major, settings: &'static [(&'static str, &'static str)]| thread::spawn(move || server(major, settings));
        let supabase = start(16, &[("max_slot_wal_keep_size", "4GB")]);
        let plain = start(16, &[("max_prepared_transactions", "2")]);
        let neon = start(
            16,
            &[
                ("max_connections", "8"),
                ("max_locks_per_transaction", "10"),
                ("max_worker_processes", "1"),
                ("max_wal_senders", "1"),
                ("autovacuum_max_workers", "1"),
            ],
        );
        let cloud_sql = start(18, &[]);
        let alloy = start(18, &[("autovacuum", "off"), ("wal_level", "replica")]);
        let [supabase, plain, neon, cloud_sql, alloy] =
            [supabase, plain, neon, cloud_sql, alloy].map(|started| started.join().expect("the server starts"));

        let oviya = oviya::load_source(&supabase, 300).expect("the source loads");
        fill(&supabase, &oviya.database, include_str!("fixtures/assess/supabase.sql"));

        fill(&plain, "postgres", "create database odd template template0 lc_collate 'C' lc_ctype 'C.UTF-8'");
        // Before the prepared transaction, whose end it would wait for.
        fill(&plain, "odd", "select pg_create_logical_replication_slot('follower', 'pgoutput')");
        fill(&plain, "odd", "alter database odd set work_mem = '32MB'");
        fill(&plain, "odd", include_str!("fixtures/assess/plain.sql"));

        fill(&neon, "postgres", "create database neondb");
        fill(&neon, "neondb", include_str!("fixtures/assess/neon.sql"));
        fill(&neon, "neondb", &format!("alter role neondb_owner password '{NEON_PASSWORD}'"));

        let tierlift = oviya::prepare_target(&cloud_sql).expect("the target is prepared");
        fill(&cloud_sql, &tierlift.database, include_str!("fixtures/assess/cloudsql.sql"));

        fill(&alloy, "postgres", &format!("create role alloy_owner login createrole password '{NEON_PASSWORD}'"));
        fill(&alloy, "postgres", "create database app owner alloy_owner");
        fill(&alloy, "app", include_str!("fixtures/assess/alloydb.sql"));
        fill(&alloy, "app", "alter database app set default_transaction_read_only = on");
        Self { supabase, oviya, plain, neon, _cloud_sql: cloud_sql, tierlift, alloy }
    }

    fn pairs(&self) -> [(Scenario, (PgUrl, PgUrl)); 3] {
        let cloud_sql = url(&self.tierlift.owner_url);
        let as_pasted = format!("{}?pgbouncer=true&connection_limit=1", self.oviya.owner_url);
        [
            (Supabase, (url(&as_pasted), cloud_sql.clone())),
            (Plain, (url(&self.plain.url("odd")), url(&self.alloy.url_as("alloy_owner", NEON_PASSWORD, "app")))),
            (Neon, (url(&self.neon.url_as("neondb_owner", NEON_PASSWORD, "neondb")), cloud_sql)),
        ]
    }
}

fn server(major: u16, settings: &[(&str, &str)]) -> PgServer {
    let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
    let builder = settings.iter().fold(PgServer::builder(), |builder, (name, value)| builder.setting(name, value));
    builder.install(install).start().expect("the server starts")
}

fn fill(server: &PgServer, database: &str, sql: &str) {
    server.psql(database, sql).unwrap_or_else(|e| panic!("{database}: {e}"));
}
