//! Extensions that the target has in another version, in another schema, or not at all.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Servers, cx};
use pgmigrate::{AssessOptions, CopyOptions, OnRefused, VerifyOptions, assess, copy, copy_undo, verify};
use runbook::{Failure, FailureKind, Finding, Severity};

/// Extensions of our own, made of SQL: (name, version, further lines of the control file).
type Offer<'a> = (&'a str, &'a str, &'a str);

/// A folder for `extension_control_path`, which PostgreSQL 18 and newer look into.
fn offer(offers: &[Offer<'_>]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("extension");
    fs::create_dir(&inside).expect("a folder");
    for dir in [folder.path(), &inside] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("the server may read it");
    }
    for (name, version, control) in offers {
        let write = |file: &Path, text: &str| fs::write(file, text).expect("it is written");
        write(&inside.join(format!("{name}.control")), &format!("default_version = '{version}'\n{control}\n"));
        let objects = format!(
            "create type {name}_mood as enum ('good', 'bad');
             create function {name}_shout(text) returns text language sql immutable return upper($1);
             create operator class {name}_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =,
                    operator 4 >=, operator 5 >, function 1 btint4cmp(int, int);
             create table {name}_settings (name text); select pg_catalog.pg_extension_config_dump('{name}_settings', '');"
        );
        write(&inside.join(format!("{name}--{version}.sql")), &objects);
    }
    folder
}

fn servers(source: &[Offer<'_>], target: &[Offer<'_>]) -> (Servers, [tempfile::TempDir; 2]) {
    let folders = [offer(source), offer(target)];
    let path = |folder: &tempfile::TempDir| format!("$system:{}", folder.path().display());
    let (from, to) = (path(&folders[0]), path(&folders[1]));
    let name = "extension_control_path";
    (Servers::with(18, &[(name, &from)], 18, &[(name, &to)]), folders)
}

async fn look(options: &CopyOptions) -> Vec<Finding> {
    let options = AssessOptions::new(options.source.clone(), options.target.clone());
    assess(&options, &cx()).await.expect("both ends can be read").findings
}

fn has(findings: &[Finding], severity: Severity, object: &str, words: &[&str]) {
    let said = |f: &Finding| format!("{} {}", f.message, f.remedy);
    let found = findings
        .iter()
        .any(|f| f.severity == severity && f.object == object && words.iter().all(|word| said(f).contains(word)));
    assert!(found, "{severity:?} {object} {words:?} in {findings:#?}");
}

#[tokio::test]
async fn each_extension_is_carried_skipped_or_blocks_with_everything_that_needs_it() {
    let source = [("tl_gone", "1.0", ""), ("tl_unused", "1.0", ""), ("tl_newer", "1.0", ""), ("tl_strict", "1.0", "")];
    let target = [("tl_newer", "2.0", "trusted = true"), ("tl_strict", "1.0", "superuser = true")];
    let (servers, _folders) = servers(&source, &target);
    Servers::role(&servers.to, "mover", "createdb createrole");

    // Absent and unused is left behind; another version is taken.
    let options = servers.case(
        "carried",
        "mover",
        "create extension tl_unused; create extension tl_newer;
         create table public.kept (mood public.tl_newer_mood); insert into public.kept values ('good')",
    );
    let seen = look(&options).await;
    has(&seen, Severity::Changes, "extension tl_unused", &["nothing of the application uses it"]);
    has(&seen, Severity::Changes, "extension tl_newer", &["version 1.0 on the source", "version 2.0 is created"]);
    has(&seen, Severity::Changes, "extension tl_newer", &["configuration in public.tl_newer_settings"]);
    let report = copy(&options, &cx()).await.expect("the copy succeeds");
    assert_eq!((report.rows, report.left_out.len()), (1, 0));
    let seen = verify(&VerifyOptions::new(options.source.clone(), options.target.clone()), &cx()).await.expect("runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    copy_undo(&options.target, &cx()).await.expect("undo succeeds");
    let left = servers.to.psql("carried", "select extname from pg_extension order by 1").expect("it runs");
    assert_eq!(left.trim(), "plpgsql");

    // There already, in another version: it stays as it is. plpgsql is not there: it is made.
    let options = servers.case("present", "mover", "create extension tl_newer");
    servers.to.psql("present", "create extension tl_newer; drop extension plpgsql").expect("it is made");
    has(&look(&options).await, Severity::Note, "extension tl_newer", &["1.0 on the source, 2.0 on the target"]);
    copy(&options, &cx()).await.expect("the copy succeeds");
    copy_undo(&options.target, &cx()).await.expect("undo succeeds");
    let left = servers.to.psql("present", "select extname from pg_extension order by 1").expect("it runs");
    assert_eq!(left.trim(), "tl_newer", "undo makes it as it was");

    // There, in another schema.
    let options = servers.case(
        "elsewhere",
        "mover",
        "create extension tl_newer; create table public.feels (mood public.tl_newer_mood)",
    );
    servers.to.psql("elsewhere", "create schema extra; create extension tl_newer schema extra").expect("it is made");
    let words = ["in schema public on the source and extra on the target", "column mood of table public.feels"];
    has(&look(&options).await, Severity::Blocks, "extension tl_newer", &words);

    // Absent and used: everything that needs it is named, whatever lies between.
    let options = servers.case(
        "absent",
        "mover",
        "create extension tl_gone;
         create table public.kept (id int primary key, name text); insert into public.kept values (1, 'a');
         create table public.feels (id int primary key, mood public.tl_gone_mood); insert into public.feels values (1, 'bad');
         create table public.child (id int references public.feels);
         create view public.loud as select public.tl_gone_shout(name) as name from public.kept;
         create view public.louder as select name from public.loud;
         create index odd on public.kept (id public.tl_gone_ops);
         create function public.shout_all(text) returns text language sql as 'select public.tl_gone_shout($1)';
         create function public.of_row(public.feels) returns int language sql as 'select 1'",
    );
    let needs = [
        "the target does not offer it",
        "column mood of table public.feels",
        "constraint child_id_fkey on table public.child",
        "view public.loud",
        "view public.louder",
        "index public.odd",
        "function public.shout_all(text)",
        "function public.of_row(public.feels)",
    ];
    let seen = look(&options).await;
    has(&seen, Severity::Blocks, "extension tl_gone", &needs);
    let message = &seen.iter().find(|f| f.object == "extension tl_gone").expect("just seen").message;
    assert!(!message.contains("feels_pkey") && !message.contains("rule"), "parts are not named again: {message}");
    let failure: Failure = copy(&options, &cx()).await.expect_err("it is absent").into();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "extension tl_gone"));

    let skip = CopyOptions { on_refused: OnRefused::Skip, ..options };
    let report = copy(&skip, &cx()).await.expect("the copy succeeds without it");
    let names: Vec<&str> = report.left_out.iter().map(|l| l.object.as_str()).collect();
    for name in
        ["extension tl_gone", "table public.feels", "view public.loud", "view public.louder", "index public.odd"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!((report.tables, report.rows), (2, 1));
    let seen = verify(&VerifyOptions::new(skip.source.clone(), skip.target.clone()), &cx()).await.expect("runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    assert_eq!(seen.left_out, report.left_out);

    // Offered, but only to a superuser.
    let options = servers.case(
        "strict",
        "mover",
        "create extension tl_strict; create table public.feels (mood public.tl_strict_mood)",
    );
    has(&look(&options).await, Severity::Note, "extension tl_strict", &["only a superuser", "the copy tries"]);
    let empty = servers.target_state("strict");
    let failure: Failure = copy(&options, &cx()).await.expect_err("it is refused").into();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Blocked, "extension tl_strict"), "{failure}");
    assert!(
        failure.message.contains("permission denied") && failure.message.contains("table public.feels"),
        "{failure}"
    );
    assert_eq!(servers.target_state("strict"), empty);
}
