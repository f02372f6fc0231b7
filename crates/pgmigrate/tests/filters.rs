//! Copies of a part of a database, or under other names: what comes, what stays, what is refused beforehand.

mod common;

use common::{cx, stable, url};
use pg_sandbox::{PgInstall, PgServer, StopMode};
use pg_session::PgUrl;
use pgmigrate::{AssessOptions, CopyOptions, Selection, VerifyOptions, assess, copy, copy_undo, verify};
use runbook::{Failure, FailureKind, Finding, Severity};

/// An application with everything that hangs together across schemas.
const SOURCE: &str = r#"
    create schema app; create schema audit; create schema util; create schema "My.Odd ""Schema";
    create type app.mood as enum ('good', 'bad');
    create domain util.short as text check (length(value) < 100);
    create sequence util.tickets start 100;
    create function util.touch() returns trigger language plpgsql as $$ begin return new; end $$;
    create function util.slug(t text) returns text language sql immutable return lower(t);
    create function util.unused() returns int language sql return 1;

    create table app.users (id bigint generated always as identity primary key, name util.short not null, mood app.mood);
    create table app.posts (
        id serial primary key, ticket bigint default nextval('util.tickets'), author bigint references app.users,
        title text, slug text generated always as (util.slug(title)) stored, at date not null default '2026-01-01');
    create index posts_slug on app.posts (util.slug(title));
    create trigger touch before update on app.posts for each row execute function util.touch();
    create table audit.log (id serial primary key, post int references app.posts, line text);
    create view app.post_log as select p.id, l.line from app.posts p join audit.log l on l.post = p.id;
    create view app.authors as select u.id, u.name from app.users u where exists (select from app.posts where author = u.id);
    create function app.last_line() returns text language sql begin atomic select line from audit.log limit 1; end;
    create function app.names_it() returns bigint language plpgsql as $$ begin return (select count(*) from app.posts); end $$;
    create function app.own_path() returns int language sql set search_path = app as 'select 1';
    alter table app.posts enable row level security;
    create policy mine on app.posts for select using (author in (select id from app.users));
    comment on table audit.log is 'who did what';

    create table app.events (id int, at date not null, note text) partition by range (at);
    create table app.events_1 partition of app.events for values from ('2026-01-01') to ('2026-02-01');
    create table app.events_2 partition of app.events for values from ('2026-02-01') to ('2026-03-01');
    create index events_at on app.events (at);
    create table app.base (id int, kind text); create table app.derived (more text) inherits (app.base);
    create table "My.Odd ""Schema"."A *" (id int primary key, "where" text);
    create materialized view app.counts as select author, count(*) from app.posts group by author;

    insert into app.users (name, mood) select 'user ' || g, 'good' from generate_series(1, 50) g;
    insert into app.posts (author, title, at) select 1 + g % 50, 'Post ' || g, '2026-01-01'::date + g from generate_series(1, 400) g;
    insert into audit.log (post, line) select g, 'line ' || g from generate_series(1, 300) g;
    insert into app.events select g, '2026-01-01'::date + g % 50, 'event ' || g from generate_series(1, 500) g;
    insert into app.base select g, 'base' from generate_series(1, 10) g;
    insert into app.derived select g, 'derived', 'more' from generate_series(1, 10) g;
    insert into "My.Odd ""Schema"."A *" select g, 'w' from generate_series(1, 10) g;
    refresh materialized view app.counts; analyze;
"#;

const IN_NO_SCHEMA: &str = "select (select count(*) from pg_publication) + (select count(*) from pg_event_trigger)
                                 + (select count(*) from pg_largeobject_metadata)";

struct Servers {
    from: PgServer,
    to: PgServer,
}

impl Servers {
    fn start() -> Self {
        let start = |major| {
            let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
            PgServer::builder().install(install).start().expect("the server starts")
        };
        let servers = Self { from: start(16), to: start(18) };
        servers.from.psql("postgres", "create database app").expect("the source makes it");
        servers.from.psql("app", SOURCE).expect("the source is filled");
        servers
    }

    /// A new, empty target database.
    fn target(&self, name: &str) -> Case<'_> {
        self.to.psql("postgres", &format!("create database {name}")).expect("the target makes it");
        Case { servers: self, name: name.to_owned() }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in [&mut self.from, &mut self.to] {
            server.stop(StopMode::Fast).expect("the server stops");
        }
    }
}

struct Case<'a> {
    servers: &'a Servers,
    name: String,
}

impl Case<'_> {
    fn source(&self) -> PgUrl {
        url(&self.servers.from.url("app"))
    }

    fn target(&self) -> PgUrl {
        url(&self.servers.to.url(&self.name))
    }

    fn options(&self, selection: &Selection) -> CopyOptions {
        let mut options = CopyOptions::new(self.source(), self.target());
        options.pg_bin = Some(self.servers.to.install().bin_dir().to_owned());
        options.selection = selection.clone();
        options
    }

    fn ask(&self, sql: &str) -> String {
        self.servers.to.psql(&self.name, sql).expect("the target runs it").trim().to_owned()
    }

    fn state(&self) -> String {
        stable(&self.servers.to.pg_dump(&self.name, &[]).expect("pg_dump runs"))
    }

    async fn findings(&self, selection: &Selection) -> Result<Vec<Finding>, Failure> {
        let mut options = AssessOptions::new(self.source(), self.target());
        options.selection = selection.clone();
        Ok(assess(&options, &cx()).await?.findings)
    }

    async fn copy(&self, selection: &Selection) -> pgmigrate::CopyReport {
        copy(&self.options(selection), &cx()).await.unwrap_or_else(|e| panic!("{}: {e:?}", self.name))
    }

    /// Without a selection, as the copy was made.
    async fn differences(&self, selection: Option<&Selection>) -> Vec<String> {
        let mut options = VerifyOptions::new(self.source(), self.target());
        options.selection = selection.cloned();
        let seen = verify(&options, &cx()).await.expect("verify runs");
        seen.mismatches.iter().map(ToString::to_string).collect()
    }
}

const NONE: [String; 0] = [];

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn include(globs: &[&str]) -> Selection {
    Selection { include: strings(globs), ..Selection::default() }
}

fn exclude(globs: &[&str]) -> Selection {
    Selection { exclude: strings(globs), ..Selection::default() }
}

/// The relations of a target outside of schema tierlift.
const RELATIONS: &str =
    "select string_agg(format('%s %I.%I', relkind, nspname, relname), ', ' order by nspname, relname)
      from pg_class c join pg_namespace n on n.oid = relnamespace
     where nspname !~ '^(pg_|information_schema|tierlift)' and relkind in ('r', 'p', 'v', 'm', 'S')";

#[tokio::test]
async fn only_what_is_chosen_comes_and_everything_lost_is_named() {
    let servers = Servers::start();
    let loose = "select lo_from_bytea(5001, 'x'); create publication changes for table app.posts;
        create function public.watch() returns event_trigger language plpgsql as $$ begin end $$;
        create event trigger watcher on ddl_command_end execute function public.watch()";
    servers.from.psql("app", loose).expect("the source makes what is in no schema");
    let check = async |name: &str, selection: Selection, relations: &str, lost: &[&str], rows: u64| {
        let case = servers.target(name);
        let empty = case.state();
        let findings = case.findings(&selection).await.expect("assess runs");
        let named: Vec<&str> = findings
            .iter()
            .filter(|f| f.severity == Severity::Changes && f.message.contains("which is not selected"))
            .map(|f| f.object.as_str())
            .collect();
        assert_eq!(named, lost, "{name}");
        for object in ["1 large object", "publication changes", "event trigger watcher"] {
            assert!(findings.iter().any(|f| f.object == object), "{name}: {object}: {findings:#?}");
        }
        let report = case.copy(&selection).await;
        assert_eq!(case.ask(RELATIONS), relations, "{name}");
        assert_eq!(case.ask(IN_NO_SCHEMA), "0", "{name}");
        assert_eq!(report.rows, rows, "{name}");
        assert_eq!(case.differences(None).await, NONE, "{name}");
        assert_eq!(case.differences(Some(&selection)).await, NONE, "{name}");
        copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
        assert_eq!(case.state(), empty, "{name}");
    };
    // One table, with the types, functions and sequences it needs; its foreign key and its policy need another table.
    check(
        "one_table",
        include(&["app.posts"]),
        "r app.posts, S app.posts_id_seq, S util.tickets",
        &["constraint posts_author_fkey on table app.posts", "policy mine on table app.posts"],
        400,
    )
    .await;
    // A schema, a table by an odd name, a partition and a child: views and parsed functions over them go too.
    check(
        "no_audit",
        exclude(&["audit", r#""My.Odd ""Schema"."A *""#, "app.*_2", "app.derived"]),
        "v app.authors, r app.base, m app.counts, p app.events, r app.events_1, r app.posts, S app.posts_id_seq, \
         r app.users, S app.users_id_seq, S util.tickets",
        &["function app.last_line()", "view app.post_log"],
        50 + 400 + 10 + 310,
    )
    .await;
    // A partition alone arrives as a table of its own.
    check("one_partition", include(&["app.events_2"]), "r app.events_2", &[], 190).await;
    // Exclusion wins, and what is needed comes from an excluded schema too.
    check(
        "needed",
        Selection { exclude: strings(&["util", "app.posts"]), ..include(&["app.users", "app.posts", "app.b*"]) },
        "r app.base, r app.users, S app.users_id_seq",
        &[],
        60,
    )
    .await;
}

#[tokio::test]
async fn filters_that_cannot_work_are_refused_before_anything_changes() {
    let servers = Servers::start();
    let case = servers.target("refused");
    let empty = case.state();
    let check = async |selection: Selection, object: &str, message: &str| {
        for failure in [
            case.findings(&selection).await.expect_err(object),
            copy(&case.options(&selection), &cx()).await.expect_err(object).into(),
        ] {
            assert_eq!(failure.kind, FailureKind::InvalidInput, "{failure}");
            assert!(failure.object.contains(object) && failure.message.contains(message), "{failure}");
            assert!(!failure.hint.is_empty(), "{failure}");
        }
    };
    let condition = |text: &str| Selection { conditions: strings(&[text]), ..Selection::default() };
    let schema = |text: &str| Selection { map_schema: strings(&[text]), ..Selection::default() };
    check(include(&["app.pots"]), "--include app.pots", "matches no schema and no table").await;
    check(exclude(&["audit", "App"]), "--exclude App", "matches no schema and no table").await;
    check(include(&["a.b.c"]), "--include a.b.c", "more than one dot").await;
    check(exclude(&["*"]), "--include and --exclude", "nothing is left").await;
    check(condition("app.posts=nothing = 1"), "--where app.posts", "column \"nothing\" does not exist").await;
    check(condition("app.posts=id"), "--where app.posts", "must be type boolean").await;
    check(condition("app.posts=true); drop table app.posts --"), "--where app.posts", "semicolon").await;
    check(condition("app.posts=true) union all select ("), "--where app.posts", "closes a parenthesis").await;
    check(condition("app.posts=true /*"), "--where app.posts", "unterminated").await;
    check(condition("app.nowhere=true"), "--where app.nowhere", "no table that would be copied").await;
    check(condition("app.authors=true"), "--where app.authors", "no table that would be copied").await;
    check(schema("nowhere=b"), "--map-schema nowhere=b", "no schema nowhere").await;
    check(schema("app=audit"), "--map-schema app=audit", "schema audit is copied too").await;
    let owner = Selection { map_owner: strings(&["nobody=b"]), ..Selection::default() };
    check(owner, "--map-owner nobody=b", "nothing that is copied belongs to role nobody").await;
    // The nearest thing that was meant is said.
    let failure = case.findings(&include(&["posts"])).await.expect_err("posts is no schema");
    assert!(failure.hint.contains("app.posts"), "{}", failure.hint);

    let blocks = async |selection: Selection, object: &str, message: &str| {
        let findings = case.findings(&selection).await.expect("assess runs");
        let found = findings.iter().find(|f| f.severity == Severity::Blocks);
        let found = found.unwrap_or_else(|| panic!("{object} blocks: {findings:#?}"));
        assert!(found.object == object && found.message.contains(message), "{found:?}");
        let failure: Failure = copy(&case.options(&selection), &cx()).await.expect_err(object).into();
        assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, object));
    };
    blocks(exclude(&["app.base"]), "table app.derived", "needs table app.base").await;
    servers.to.psql("refused", "create schema taken").expect("the target runs it");
    blocks(schema("app=taken"), "schema taken", "the target has one").await;
    let superuser = case.ask("select current_user");
    let owner = Selection { map_owner: strings(&[&format!("{superuser}=ghost")]), ..Selection::default() };
    blocks(owner, "role ghost", "the target has no such role").await;
    servers.to.psql("refused", "drop schema taken").expect("the target runs it");
    assert_eq!(case.state(), empty);
}

#[tokio::test]
async fn rows_are_chosen_by_condition() {
    let servers = Servers::start();
    let case = servers.target("rows");
    let empty = case.state();
    let selection = Selection {
        conditions: strings(&[
            "app.posts=id <= 100 -- the first ones",
            "app.events=at < '2026-01-11'",
            "audit.log=post in (select id from app.posts where posts.id <= 100)",
        ]),
        ..Selection::default()
    };
    let mut options = case.options(&selection);
    options.split_bytes = Some(8 * 1024);
    options.jobs = Some(2);
    copy(&options, &cx()).await.expect("the copy succeeds");
    assert_eq!(
        case.ask("select (select count(*) from app.posts), (select count(*) from app.events), (select count(*) from audit.log), (select count(*) from app.users)"),
        "100|100|100|50"
    );
    assert_eq!(case.differences(None).await, NONE, "as it was copied");
    assert_ne!(case.differences(Some(&Selection::default())).await, NONE, "whole tables are not there");
    case.ask("update app.posts set title = 'x' where id = 3; delete from app.events where id = 5; update audit.log set post = 1 where id = 5");
    let mut options = VerifyOptions::new(case.source(), case.target());
    options.limit = 5;
    let seen = verify(&options, &cx()).await.expect("verify runs");
    for table in ["app.posts", "app.events_1", "audit.log"] {
        assert!(seen.mismatches.iter().any(|m| m.table == table), "{table}: {:#?}", seen.mismatches);
    }
    assert!(seen.mismatches.iter().all(|m| m.table != "app.users"), "{:#?}", seen.mismatches);
    copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
    assert_eq!(case.state(), empty);

    // A row whose other end stays behind is refused by its key.
    let dangling = Selection { conditions: strings(&["app.posts=id <= 100"]), ..Selection::default() };
    let failure: Failure = copy(&case.options(&dangling), &cx()).await.expect_err("posts are missing").into();
    assert!(failure.object.contains("log_post_fkey"), "{failure}");
    assert!(failure.hint.contains("--where"), "{}", failure.hint);
    // The copy that was begun is only continued as it was begun.
    let failure: Failure = copy(&case.options(&selection), &cx()).await.expect_err("another filter").into();
    assert_eq!(failure.kind, FailureKind::Blocked);
    assert!(failure.message.contains("--where 'app.posts=id <= 100'"), "{failure}");
    copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
    assert_eq!(case.state(), empty);
}

#[tokio::test]
async fn schemas_arrive_under_other_names() {
    let servers = Servers::start();
    servers.from.psql("app", "create extension vector schema public; create table public.tags (tag public.vector(2)); insert into public.tags values ('[1,2]')").expect("it runs");
    let case = servers.target("mapped");
    let empty = case.state();
    // A chain, an exchange, and a schema that the target has already.
    let selection = Selection {
        map_schema: strings(&["app=audit", "audit=app", "public=tags", r#""My.Odd ""Schema"="Plain Name""#]),
        ..Selection::default()
    };
    let findings = case.findings(&selection).await.expect("assess runs");
    let spelled: Vec<&str> =
        findings.iter().filter(|f| f.message.contains("its text names")).map(|f| f.object.as_str()).collect();
    assert_eq!(spelled, ["function app.names_it()", "function app.own_path()"]);
    let report = case.copy(&selection).await;
    assert_eq!(
        case.ask("select string_agg(nspname, ',' order by nspname) from pg_namespace where nspname !~ '^(pg_|information_schema)'"),
        "Plain Name,app,audit,public,tags,tierlift,util"
    );
    assert_eq!(case.ask("select count(*) from audit.posts join app.log on log.post = posts.id"), "300");
    assert_eq!(
        case.ask("insert into audit.posts (author, title) values (1, 'N') returning id, ticket, slug"),
        "401|500|n"
    );
    case.ask("delete from audit.posts where id = 401; select setval('audit.posts_id_seq', 400); select setval('util.tickets', 499)");
    assert_eq!(case.ask("select count(*) from audit.post_log"), "300");
    assert_eq!(
        case.ask("select audit.last_line() is not null, nspowner::regrole from pg_namespace where nspname = 'public'"),
        "t|pg_database_owner"
    );
    assert!(report.rows > 0);
    assert_eq!(case.differences(None).await, NONE);
    let again = case.copy(&selection).await;
    assert_eq!((again.rows_now, again.entries_now), (0, 0));
    // Somebody else's, under a name that the copy made before it renamed the schema.
    let own =
        case.ask("select relname from pg_class where relnamespace = 'app'::regnamespace and relkind = 'r' limit 1");
    case.ask(&format!("create table public.{own} (theirs int)"));
    copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
    case.ask(&format!("drop table public.{own}"));
    assert_eq!(case.state(), empty);
}

#[tokio::test]
async fn the_schema_alone_then_the_rows_alone() {
    let servers = Servers::start();
    let case = servers.target("halves");
    let schema_only = Selection { schema_only: true, map_schema: strings(&["app=here"]), ..Selection::default() };
    let report = case.copy(&schema_only).await;
    assert_eq!((report.rows, report.bytes), (0, 0));
    assert_eq!(case.ask("select count(*) from here.posts"), "0");
    assert_eq!(case.ask("select last_value, is_called from util.tickets"), "100|f");
    assert_eq!(case.ask("select count(*) from pg_constraint where conname = 'log_post_fkey' and convalidated"), "1");
    assert_eq!(case.differences(None).await, NONE);

    // Into that schema, as if it had been there all along.
    case.ask("drop schema tierlift cascade; create function here.no() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
              create trigger no before insert on here.posts for each row execute function here.no();
              create table here.outside (post int references here.posts)");
    let empty = case.state();
    let data_only = Selection { data_only: true, map_schema: strings(&["app=here"]), ..Selection::default() };
    let report = case.copy(&data_only).await;
    assert_eq!(report.rows, 50 + 400 + 300 + 500 + 20 + 10);
    assert_eq!(case.ask("select last_value, is_called from util.tickets"), "499|t");
    assert_eq!(case.differences(None).await, NONE);
    let again = case.copy(&data_only).await;
    assert_eq!(again.rows_now, 0);
    // Rows of a table that is none of the copy's are not thrown away with those that they refer to.
    case.ask("insert into here.outside values (1)");
    let failure: Failure = copy_undo(&case.target(), &cx()).await.expect_err("a row refers to a post").into();
    assert!(failure.object.contains("here.outside"), "{failure}");
    case.ask("delete from here.outside");
    copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
    assert_eq!(case.state(), empty);
    copy_undo(&case.target(), &cx()).await.expect("undo twice is undo once");

    // Rows that point at rows which did not come are found although nothing checked them on their way.
    let dangling = Selection { conditions: strings(&["app.users=id < 40"]), ..data_only.clone() };
    let failure: Failure = copy(&case.options(&dangling), &cx()).await.expect_err("users are missing").into();
    assert!(failure.object.contains("posts_author_fkey"), "{failure}");
    copy_undo(&case.target(), &cx()).await.expect("undo succeeds");
    assert_eq!(case.state(), empty);

    let blocks = async |change: &str, revert: &str, object: &str, message: &str| {
        case.ask(change);
        let findings = case.findings(&data_only).await.expect("assess runs");
        let found = findings
            .iter()
            .any(|f| f.severity == Severity::Blocks && f.object == object && f.message.contains(message));
        assert!(found, "{change}: {findings:#?}");
        let failure: Failure = copy(&case.options(&data_only), &cx()).await.expect_err(change).into();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure}");
        case.ask(revert);
    };
    for (change, revert, object, message) in [
        (
            "alter table here.users rename name to nom",
            "alter table here.users rename nom to name",
            "table here.users",
            "column name is missing",
        ),
        (
            "alter table here.events_1 rename to e",
            "alter table here.e rename to events_1",
            "table here.events_1",
            "no such table",
        ),
        (
            "alter table here.events alter note type varchar(80)",
            "alter table here.events alter note type text",
            "table here.events_1",
            "note is text on the source and character varying(80)",
        ),
        (
            "alter table here.base add must int not null",
            "alter table here.base drop must",
            "table here.base",
            "must is not on the source",
        ),
        ("insert into here.base values (1)", "truncate here.base", "table here.base", "it has rows"),
        (
            "alter table here.posts enable always trigger no",
            "alter table here.posts enable trigger no",
            "trigger no on table here.posts",
            "would fire",
        ),
        (
            "alter sequence util.tickets rename to t",
            "alter sequence util.t rename to tickets",
            "sequence util.tickets",
            "no such sequence",
        ),
    ] {
        blocks(change, revert, object, message).await;
    }
    assert_eq!(case.state(), empty);
}

#[tokio::test]
async fn owners_are_mapped_and_what_is_not_selected_does_not_block() {
    let servers = Servers::start();
    servers
        .from
        .psql(
            "app",
            "create role writer; create role reader login bypassrls password 'r'; create schema closed; create table closed.secret (id serial);
             alter table app.posts owner to writer; alter function util.touch() owner to writer; alter type app.mood owner to writer;
             alter schema audit owner to writer; alter table audit.log owner to writer; create statistics app.st on id, author from app.posts;
             alter statistics app.st owner to writer; alter materialized view app.counts owner to writer;
             create table app.hidden (id serial); grant usage on schema app, audit, util to reader;
             grant select on app.posts, app.users, audit.log to reader;
             grant select on sequence app.posts_id_seq, app.users_id_seq, audit.log_id_seq, util.tickets to reader",
        )
        .expect("it runs");
    servers
        .to
        .psql(
            "postgres",
            "create role mover login password 'm' createdb createrole; create role new_writer; create database owned owner mover",
        )
        .expect("it runs");
    let case = Case { servers: &servers, name: "owned".into() };
    let as_role = |url: PgUrl, role: &str| -> PgUrl {
        common::url(&format!(
            "postgresql://{role}:{}@{}:{}/{}?sslmode=disable",
            &role[..1],
            url.host(),
            url.port(),
            url.dbname()
        ))
    };
    let (source, target) = (as_role(case.source(), "reader"), as_role(case.target(), "mover"));
    let selection = Selection {
        map_owner: strings(&["writer=new_writer"]),
        ..Selection {
            exclude: strings(&["app.hidden"]),
            ..include(&["app.posts", "app.users", "app.hidden", "audit", "app.counts"])
        }
    };
    let mut options = case.options(&selection);
    (options.source, options.target) = (source.clone(), target.clone());
    let failure: Failure = copy(&options, &cx()).await.expect_err("mover is no new_writer").into();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "role new_writer"), "{failure}");
    case.ask("grant new_writer to mover");
    let empty = case.state();
    copy(&options, &cx()).await.unwrap_or_else(|e| panic!("{e:?}"));
    let owners = "select string_agg(distinct format('%s %s', o.name, o.owner::regrole), ', ' order by format('%s %s', o.name, o.owner::regrole)) from (
        select relname, relowner from pg_class where relname in ('posts', 'users', 'log', 'counts', 'posts_id_seq', 'log_id_seq')
        union all select proname, proowner from pg_proc where proname = 'touch' union all select typname, typowner from pg_type where typname in ('mood', 'short')
        union all select stxname, stxowner from pg_statistic_ext union all select nspname, nspowner from pg_namespace where nspname in ('app', 'audit')) o (name, owner)";
    assert_eq!(
        case.ask(owners),
        "app mover, audit new_writer, counts new_writer, log new_writer, log_id_seq new_writer, mood new_writer, posts new_writer, \
         posts_id_seq new_writer, short mover, st new_writer, touch new_writer, users mover"
    );
    assert_eq!(case.ask("select has_schema_privilege('new_writer', 'app', 'create')"), "f", "for the moment only");
    let mut verify_options = VerifyOptions::new(source, target.clone());
    verify_options.selection = Some(selection);
    let seen = verify(&verify_options, &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    copy_undo(&target, &cx()).await.expect("undo succeeds");
    assert_eq!(case.state(), empty);
}
