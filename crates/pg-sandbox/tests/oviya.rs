//! The source and the target of the demo are what they say.

use std::process::Command;

use pg_sandbox::{PgInstall, PgServer, oviya};

fn start(major: u16) -> PgServer {
    PgServer::builder().install(PgInstall::find(Some(major)).unwrap()).start().unwrap()
}

/// Runs SQL as whoever the URL names; what it printed, or its error.
fn run(server: &PgServer, url: &str, sql: &str) -> Result<String, String> {
    let (login, place) = url.trim_start_matches("postgresql://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let output = Command::new(server.install().program("psql"))
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &format!("postgresql://{user}@{place}")])
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn source_is_a_supabase_project() {
    let server = start(16);
    let source = oviya::load_source(&server, 50_000).unwrap();
    assert_eq!(
        (source.users, source.conversations, source.messages, source.mood_entries),
        (1_250, 5_000, 50_000, 5_000)
    );
    let log = server.log_text().unwrap();
    assert!(!log.contains("ERROR"), "{log}");

    let owner = |sql: &str| run(&server, &source.owner_url, sql);
    for (sql, expect) in [
        ("select count(*) from auth.users", "1250"),
        ("select count(*) from public.profiles", "1250"),
        ("select count(*), min(id), max(id), count(distinct content) from public.messages", "50000|1|50000|50000"),
        ("select count(distinct metadata->>'topic'), count(distinct emotion) from public.messages", "12|6"),
        ("select count(*) filter (where role = 'user') between 24900 and 25100 from public.messages", "t"),
        ("select min(created_at)::date, count(distinct created_at) from public.messages", "2025-09-01|50000"),
        ("select sum(message_count), count(last_message_id) from public.conversations", "50000|5000"),
        ("select count(*) from public.topic_emotions", "72"),
        ("select count(*) from public.\"DailyMood\" where \"averageScore\" is null", "0"),
        (
            "select count(*) from public.mood_entries m join public.messages s on s.id = m.message_id
          where m.user_id <> s.user_id or m.emotion <> s.emotion",
            "0",
        ),
        ("show statement_timeout", "2min"),
        ("show wal_level", "logical"),
        ("select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = current_user", "f|t|t"),
        (
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' and pg_get_userbyid(c.relowner) <> 'oviya_owner'",
            "0",
        ),
        (
            "select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname in
          ('auth', 'storage', 'realtime', 'extensions', 'graphql_public', 'vault')",
            "auth extensions graphql_public realtime storage vault",
        ),
        ("select evtname, pg_get_userbyid(evtowner) from pg_event_trigger", "pgrst_ddl_watch|supabase_admin"),
        ("select count(*) from pg_policies where schemaname = 'public'", "11"),
        ("select tablename from pg_publication_tables where pubname = 'supabase_realtime'", "messages"),
    ] {
        assert_eq!(owner(sql).as_deref(), Ok(expect), "{sql}");
    }

    // What a migration's source role does: fence, and end the application's sessions.
    let fence = "alter database oviya set default_transaction_read_only = on;
                 alter database oviya reset default_transaction_read_only;
                 select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'oviya_app';
                 lock table public.messages in share mode";
    owner(&format!("begin; {fence}; rollback")).unwrap();

    // Row security: a person sees their own, the backend sees all and owns nothing.
    let one = owner("select user_id from public.conversations order by id limit 1").unwrap();
    let claims = format!("set request.jwt.claims = '{{\"sub\": \"{one}\"}}'; set role authenticated; ");
    let theirs = "select count(*), count(distinct user_id), min(user_id::text) from public.conversations";
    assert_eq!(owner(&(claims.clone() + theirs)), Ok(format!("4|1|{one}")));
    assert_eq!(owner(&(claims + "select count(*) from public.messages")).as_deref(), Ok("40"));
    assert_eq!(owner("set role authenticated; select count(*) from public.messages").as_deref(), Ok("0"));
    let app = |sql: &str| run(&server, &source.app_url, sql);
    assert_eq!(app("select count(*) from public.messages").as_deref(), Ok("50000"));
    let said = app("insert into public.messages (conversation_id, user_id, content)
                    select id, user_id, 'hello' from public.conversations limit 1 returning id, content_length, emotion");
    assert_eq!(said.as_deref(), Ok("50001|5|calm"));
    assert_eq!(
        owner("select sum(message_count) from public.conversations").as_deref(),
        Ok("50001"),
        "counted by a trigger"
    );
    assert!(app("select count(*) from auth.users").unwrap_err().contains("permission denied"));
    assert!(app("create table public.mine ()").unwrap_err().contains("permission denied"));

    // Signing up makes a profile.
    let id = "5d1ad1f3-0000-4000-a000-000000000000";
    owner(&format!("insert into auth.users (id, email) values ('{id}', 'new@example.com')")).unwrap();
    assert_eq!(
        owner(&format!("select display_name, initials from public.profiles where id = '{id}'")).as_deref(),
        Ok("Friend|F")
    );

    let dump = server.pg_dump("oviya", &["--schema-only"]).unwrap();
    for part in [
        "DEFERRABLE INITIALLY DEFERRED",
        "GENERATED ALWAYS AS IDENTITY",
        "\"Touch updated_at\"",
        "ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin",
    ] {
        assert!(dump.contains(part), "{part}");
    }
}

#[test]
fn loads_are_equal_and_any_size() {
    let fingerprint = "select md5(string_agg(t::text, '' order by t.id)) from public.messages t;
                       select md5(string_agg(t::text, '' order by t.id)) from public.conversations t;
                       select md5(string_agg(t::text, '' order by t.id)) from public.mood_entries t;
                       select md5(string_agg(t::text, '' order by t.id)) from auth.users t";
    let prints: Vec<String> = (0..2)
        .map(|_| {
            let server = start(16);
            let source = oviya::load_source(&server, 437).unwrap();
            server.psql(&source.database, fingerprint).unwrap()
        })
        .collect();
    assert_eq!(prints[0], prints[1]);
    for messages in [0, 1] {
        let server = start(18);
        let source = oviya::load_source(&server, messages).unwrap();
        let count = run(&server, &source.owner_url, "select count(*) from public.messages").unwrap();
        assert_eq!(count, messages.to_string());
    }
}

#[test]
fn target_is_empty_and_without_superuser() {
    let server = start(18);
    let target = oviya::prepare_target(&server).unwrap();
    assert!(!format!("{target:?}").contains("postgresql://"));
    let owner = |sql: &str| run(&server, &target.owner_url, sql);
    for (sql, expect) in [
        (
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = current_user",
            "f|t|t|f",
        ),
        ("select pg_get_userbyid(datdba) from pg_database where datname = current_database()", "tierlift"),
        ("select pg_has_role('cloudsqlsuperuser', 'member')", "t"),
        (
            "create extension vector; select extversion, pg_get_userbyid(extowner) from pg_extension where extname = 'vector'",
            "0.8.5|tierlift",
        ),
        (
            "create schema auth; create role anon nologin; create table public.t (id int); select count(*) from public.t",
            "0",
        ),
    ] {
        assert_eq!(owner(sql).as_deref(), Ok(expect), "{sql}");
    }
    for (sql, expect) in [
        ("create event trigger e on ddl_command_end execute function no_function()", "ermission denied"),
        ("set session_replication_role = replica", "permission denied"),
        ("alter role tierlift superuser", "permission denied"),
        ("select rolpassword from pg_authid", "permission denied"),
    ] {
        let said = owner(sql).unwrap_err();
        assert!(said.contains(expect), "{sql}: {said}");
    }
}
