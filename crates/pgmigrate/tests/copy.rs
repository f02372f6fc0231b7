//! A whole copy of the demo's application between real servers: what arrives, what is reported, what undo leaves.

mod common;

use common::{Pair, cx, stable};
use pgmigrate::{AssessOptions, VerifyOptions, assess, copy, copy_undo, verify};
use runbook::Severity;

#[tokio::test]
async fn copies_a_supabase_project_and_takes_it_back() {
    let pair = Pair::start(3_000);
    let empty = pair.target_state();

    let report = copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    assert!(!report.resumed);
    assert_eq!(report.rows, report.rows_now);
    assert!(report.parts_now > report.tables, "tables were cut into parts: {report:?}");

    let seen = verify(&VerifyOptions::new(pair.source_url(), pair.target_url()), &cx()).await.expect("verify runs");
    assert!(seen.is_equal(), "{:#?}", seen.mismatches);
    assert_eq!((seen.tables, seen.rows), (report.tables, report.rows));
    schema_is_equal(&pair);

    // Policies work through the stand-in for auth.
    let user = pair.on_target("select user_id from public.conversations order by user_id limit 1");
    let user = user.trim();
    let sees = format!(
        "set role authenticated; set request.jwt.claims = '{{\"sub\": \"{user}\"}}';
         select count(*) > 0 and bool_and(user_id = '{user}') from public.conversations"
    );
    assert_eq!(pair.on_target(&sees).trim(), "t");

    let again = copy(&pair.options(), &cx()).await.expect("a finished copy is found finished");
    assert_eq!((again.rows_now, again.parts_now, again.entries_now), (0, 0, 0));
    assert_eq!(again.rows, report.rows);

    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    assert_eq!(pair.target_state(), empty);
    copy_undo(&pair.target_url(), &cx()).await.expect("undo twice is undo once");
    assert_eq!(pair.target_state(), empty);
}

#[tokio::test]
async fn undo_keeps_what_an_empty_target_had() {
    let pair = Pair::start(300);
    pair.on_target(&format!(
        "create role auditor; create schema reports; comment on schema reports is 'to come';
         grant usage on schema reports, public to auditor;
         set role {}; alter default privileges grant select on tables to auditor",
        pair.target.owner
    ));
    let empty = pair.target_state();
    copy(&pair.options(), &cx()).await.expect("an empty target need not be a bare one");
    copy_undo(&pair.target_url(), &cx()).await.expect("undo succeeds");
    assert_eq!(pair.target_state(), empty);
}

/// What pg_dump says of both ends' application schema, owners aside, is the same but for what assess reports.
fn schema_is_equal(pair: &Pair) {
    let args = ["--schema-only", "--no-owner", "--no-publications", "--schema=public"];
    let dump = |server: &pg_sandbox::PgServer, database: &str| {
        let program = pair.to.install().program("pg_dump");
        let output = std::process::Command::new(program)
            .args(args)
            .arg("--dbname")
            .arg(server.url(database))
            .output()
            .expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let dump = stable(&String::from_utf8(output.stdout).expect("pg_dump writes UTF-8"));
        // The provider's own default privileges stay behind, as assess reports; headers of entries are comments.
        let left_behind = "ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin ";
        let keeps = |line: &&str| !line.is_empty() && !line.starts_with("--") && !line.starts_with(left_behind);
        let owner = |line: &str| line.replace(&pair.source.owner, "OWNER").replace(&pair.target.owner, "OWNER");
        dump.lines().filter(keeps).map(owner).collect::<Vec<_>>().join("\n")
    };
    let (from, to) = (dump(&pair.from, &pair.source.database), dump(&pair.to, &pair.target.database));
    for (a, b) in from.lines().zip(to.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(from.lines().count(), to.lines().count());
}

#[tokio::test]
async fn assess_says_what_stays_behind_and_changes_nothing() {
    let pair = Pair::start(300);
    let (source, target) = (pair.source_state(), pair.target_state());
    let options = AssessOptions::new(pair.source_url(), pair.target_url());
    let seen = assess(&options, &cx()).await.expect("assess runs");
    assert!(!seen.is_blocked(), "{:#?}", seen.findings);
    let check = |object: &str| {
        let found = seen.findings.iter().any(|f| f.severity == Severity::Changes && f.object.contains(object));
        assert!(found, "{object} in {:#?}", seen.findings);
    };
    for object in [
        "constraint messages_user_id_fkey",
        "policy Conversations are private",
        "on_auth_user_created",
        "role service_role",
        "event trigger",
        "publication",
        "schemas auth",
    ] {
        check(object);
    }
    assert_eq!((pair.source_state(), pair.target_state()), (source, target));
}
