//! The engine's steps: previewed before anything is there, checked, applied, verified, undone; and what they refuse.

mod common;

use common::{Db, SERVER, context};
use runbook::{Check, Effect, Failure, FailureKind, Preview, Severity};
use serde_json::{Value, json};
use vector_backfill::action::{action, inspect};

fn model_dir() -> String {
    pg_sandbox::model_dir().unwrap().display().to_string()
}

/// The four steps of a playbook for table `public.notes`.
fn steps(target: &Db, source: Option<&Db>) -> Vec<(&'static str, Value)> {
    let url = |db: &Db| SERVER.url(&db.0);
    let mut steps = vec![
        ("vector.enable", json!({"dimensions": 256})),
        ("vector.backfill", json!({"dimensions": 256, "text": "content", "workers": 2, "model_dir": model_dir()})),
        ("vector.index", json!({"opclass": "vector_cosine_ops"})),
        (
            "vector.recall",
            json!({"text": "content", "k": 5, "min_recall": 0.9, "model_dir": model_dir(), "store_probes": true}),
        ),
    ];
    for (_, with) in &mut steps {
        with["target"] = url(target).into();
        with["table"] = "public.notes".into();
        with["column"] = "embedding".into();
        if let Some(source) = source {
            with["source"] = url(source).into();
        }
    }
    steps
}

const TABLE: &str = "
    create table public.notes (id uuid primary key default gen_random_uuid(), content text not null);
    insert into public.notes (content)
      select (array['the dog barks', 'a loan from the bank', 'I slept badly'])[1 + i % 3] || ' ' || i
        from generate_series(1, 300) i;";

#[tokio::test(flavor = "multi_thread")]
async fn steps_go_forward_and_back() {
    let (source, target) = (Db::with(TABLE), Db::new());
    let (cx, _watch) = context();
    let empty = target.dump();
    // As in a dry run: nothing is on the target yet.
    for (name, with) in steps(&target, Some(&source)) {
        let step = inspect(name, &with).unwrap().unwrap();
        let preview = step.preview(&cx).await.unwrap();
        assert!(!preview.changes.is_empty() && blocks(&preview).is_empty(), "{name}: {preview:?}");
        assert_eq!(step.effect(), Effect::Reversible);
        assert!(!preview.undo.is_empty(), "{name}");
        if name != "vector.enable" {
            assert_eq!(preview.estimate.rows, Some(300), "{name}");
        }
        assert!(matches!(step.check(&cx).await.unwrap(), Check::Pending { .. }), "{name}");
    }
    target.assert_is(&empty);

    // As in a run, with everything done twice.
    target.sql(TABLE);
    let copied = target.dump();
    let database = format!(
        "select setconfig from pg_db_role_setting s join pg_database d on d.oid = setdatabase where datname = '{}'",
        target.0
    );
    let mut done = Vec::new();
    for (name, with) in steps(&target, Some(&source)) {
        let step = action(name, &with).unwrap().unwrap();
        let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("{name} is done already") };
        step.undo(&cx, &before).await.unwrap_or_else(|e| panic!("{name}: undo before apply: {e:?}"));
        let output = step.apply(&cx, &before).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        step.verify(&cx).await.unwrap();
        check_output(name, &output);
        if name != "vector.recall" {
            assert_eq!(step.check(&cx).await.unwrap(), Check::Done, "{name}");
        }
        step.apply(&cx, &before).await.unwrap_or_else(|e| panic!("{name} again: {e:?}"));
        step.verify(&cx).await.unwrap();
        assert_eq!(inspect(name, &with).unwrap().unwrap().effect(), step.effect());
        done.push((name, step, before));
    }
    assert!(target.sql(&database).contains("ivfflat.probes"));
    for (name, step, before) in done.iter().rev() {
        for _ in 0..2 {
            step.undo(&cx, before).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
    target.assert_is(&copied);
    assert_eq!(target.sql(&database), "");
}

fn check_output(name: &str, output: &Value) {
    let fields: &[&str] = match name {
        "vector.enable" => &["extension_version", "schema"],
        "vector.backfill" => {
            &["rows", "rows_per_second", "skipped", "dead", "seconds", "model", "dimensions", "lifted_from"]
        }
        "vector.index" => &["lists", "seconds", "bytes", "memory_bytes"],
        _ => &["recall", "probes", "k", "p50_ms", "p95_ms", "recall_low", "recall_high", "curve"],
    };
    for field in fields {
        assert!(output.get(field).is_some(), "{name} returns no {field}: {output}");
    }
}

fn blocks(preview: &Preview) -> Vec<String> {
    let blocks = preview.findings.iter().filter(|finding| finding.severity == Severity::Blocks);
    blocks.map(|finding| format!("{}: {}", finding.object, finding.message)).collect()
}

/// What was there before stays when a run is undone.
#[tokio::test(flavor = "multi_thread")]
async fn undo_leaves_what_was_there() {
    let target = Db::with(&format!("create schema extensions; create extension vector schema extensions; {TABLE}"));
    let (cx, _watch) = context();
    let dump = target.dump();
    let (name, with) = steps(&target, None).remove(0);
    let step = action(name, &with).unwrap().unwrap();
    let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("there is no column yet") };
    let output = step.apply(&cx, &before).await.unwrap();
    assert_eq!((&output["schema"], &output["created_extension"]), (&json!("extensions"), &json!(false)));
    // The whole chain with pgvector in a schema no search_path names.
    for (name, with) in steps(&target, None).drain(1..) {
        let step = action(name, &with).unwrap().unwrap();
        let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("{name} is done already") };
        step.apply(&cx, &before).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        step.undo(&cx, &before).await.unwrap();
        if name == "vector.backfill" {
            step.apply(&cx, &before).await.unwrap();
        }
        if name == "vector.index" {
            step.apply(&cx, &before).await.unwrap();
        }
    }
    let index = action("vector.index", &steps(&target, None)[2].1).unwrap().unwrap();
    index.undo(&cx, &json!({"index": false, "parallel_workers": null})).await.unwrap();
    action("vector.backfill", &steps(&target, None)[1].1).unwrap().unwrap().undo(&cx, &Value::Null).await.unwrap();
    step.undo(&cx, &before).await.unwrap();
    target.assert_is(&dump);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_decides_the_schema_of_the_extension() {
    let source = Db::with(&format!("create schema extensions; create extension vector schema extensions; {TABLE}"));
    let target = Db::with(TABLE);
    let (cx, _watch) = context();
    let dump = target.dump();
    let (name, with) = steps(&target, Some(&source)).remove(0);
    let step = action(name, &with).unwrap().unwrap();
    let preview = step.preview(&cx).await.unwrap();
    assert!(preview.changes[0].contains("in schema extensions"), "{preview:?}");
    let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("there is no extension yet") };
    assert_eq!(step.apply(&cx, &before).await.unwrap()["schema"], "extensions");
    step.undo(&cx, &before).await.unwrap();
    target.assert_is(&dump);
}

/// Every refusal names its object and says what to do; nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_it_cannot_use() {
    let db = Db::with(&format!(
        "{TABLE} create extension vector;
         create table public.keyless (content text); create table public.other (id int primary key, body text);
         create table public.typed (id int primary key, content text, embedding text);
         create table public.short (id int primary key, content text, embedding vector(8));
         create table public.numbers (id int primary key, content int);
         create view public.seen as select * from public.notes"
    ));
    let (cx, _watch) = context();
    let dump = db.dump();
    let check = async |name: &str, change: Value, kind: FailureKind, words: &str| {
        let index =
            ["vector.enable", "vector.backfill", "vector.index", "vector.recall"].iter().position(|n| *n == name);
        let (_, mut with) = steps(&db, None).remove(index.unwrap());
        for (key, value) in change.as_object().unwrap() {
            with[key] = value.clone();
        }
        let outcome = match inspect(name, &with).unwrap() {
            Ok(step) => step.preview(&cx).await,
            Err(failure) => Err(failure),
        };
        let said = match &outcome {
            Ok(preview) => {
                assert_eq!(kind, FailureKind::Blocked, "{name} {change}: {preview:?}");
                assert!(preview.findings.iter().all(|finding| !finding.remedy.is_empty()));
                blocks(preview).join("; ")
            }
            Err(failure) => {
                assert_eq!(failure.kind, kind, "{failure:?}");
                assert!(!failure.hint.is_empty(), "{failure:?}");
                format!("{failure}")
            }
        };
        assert!(said.contains(words), "{name} {change}: {said}");
        assert!(!format!("{outcome:?}").contains(SERVER.superuser_password()), "{outcome:?}");
    };
    use FailureKind::{Blocked, InvalidInput};
    let no_server = "postgresql://u:sekret@127.0.0.1:1/db";
    let wrong_password = SERVER.url_as("postgres", "sekret", &db.0);
    for name in ["vector.enable", "vector.backfill", "vector.index", "vector.recall"] {
        check(name, json!({"target": no_server}), InvalidInput, "cannot reach 127.0.0.1:1/db").await;
        check(name, json!({"target": wrong_password}), InvalidInput, "refused role postgres").await;
        check(name, json!({"target": "nonsense"}), InvalidInput, "postgresql://").await;
        check(name, json!({"nonsense": 1}), InvalidInput, "unknown field `nonsense`").await;
        check(name, json!({"table": "a.b.c"}), InvalidInput, "schema.table").await;
        if name != "vector.recall" {
            check(name, json!({"table": "public.absent"}), Blocked, "table public.absent: there is no such table")
                .await;
            check(name, json!({"table": "public.seen"}), Blocked, "table public.seen").await;
        }
    }
    for name in ["vector.backfill", "vector.recall"] {
        check(name, json!({"text": "body"}), Blocked, "table public.notes: it has no column body").await;
        check(name, json!({"table": "public.numbers"}), Blocked, "column public.numbers.content: it is integer").await;
        check(name, json!({"model_dir": "/nonexistent"}), InvalidInput, "l2_supercat_256.safetensors").await;
    }
    for name in ["vector.enable", "vector.backfill"] {
        check(name, json!({"table": "public.typed"}), Blocked, "it is there already, as text").await;
        check(name, json!({"table": "public.short"}), Blocked, "vector(8), not vector(256)").await;
    }
    check("vector.enable", json!({"dimensions": 0}), InvalidInput, "dimensions 0").await;
    check("vector.enable", json!({"dimensions": 4096}), InvalidInput, "1 to 2000").await;
    check("vector.backfill", json!({"dimensions": 1000}), InvalidInput, "from a model of 256").await;
    check("vector.backfill", json!({"table": "public.keyless"}), Blocked, "no key of a single column").await;
    check("vector.backfill", json!({"key": "content"}), Blocked, "content is no key").await;
    check("vector.backfill", json!({"workers": 0}), InvalidInput, "workers 0").await;
    check("vector.index", json!({"opclass": "vector_l2_ops"}), InvalidInput, "opclass vector_l2_ops").await;
    check("vector.index", json!({"lists": 0}), InvalidInput, "lists 0").await;
    check("vector.recall", json!({"k": 0}), InvalidInput, "k 0").await;
    check("vector.recall", json!({"min_recall": 1.5}), InvalidInput, "min_recall 1.5").await;
    check("vector.recall", json!({"max_p95_ms": -1}), InvalidInput, "max_p95_ms -1").await;
    db.assert_is(&dump);
}

/// In a run the same is said by `apply`, before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn steps_out_of_order_say_what_is_missing() {
    let db = Db::with(TABLE);
    let (cx, _watch) = context();
    let dump = db.dump();
    let check = async |name: &str, words: &str| {
        let (_, with) = steps(&db, None).into_iter().find(|(step, _)| *step == name).unwrap();
        let step = action(name, &with).unwrap().unwrap();
        let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("{name} can't be done") };
        let failure: Failure = step.apply(&cx, &before).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure:?}");
        assert!(failure.to_string().contains(words) && !failure.hint.is_empty(), "{failure:?}");
    };
    for name in ["vector.backfill", "vector.index"] {
        check(name, "pgvector is not enabled").await;
    }
    check("vector.recall", "no column embedding").await;
    db.assert_is(&dump);
    db.sql("create extension vector; alter table public.notes add column embedding vector(256)");
    check("vector.index", "it holds no embedding yet").await;
    check("vector.recall", "no ivfflat index").await;
}

/// A missed gate stops the run and stores nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_missed_gate_blocks() {
    let db = Db::with(TABLE);
    let (cx, _watch) = context();
    for (name, mut with) in steps(&db, None) {
        if name == "vector.recall" {
            with["max_p95_ms"] = json!(0.000_001);
        }
        let step = action(name, &with).unwrap().unwrap();
        let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("{name} is done already") };
        match step.apply(&cx, &before).await {
            Ok(_) => assert_ne!(name, "vector.recall"),
            Err(failure) => {
                assert_eq!((name, failure.kind), ("vector.recall", FailureKind::Blocked), "{failure:?}");
                assert!(failure.object.contains("public.notes.embedding"), "{failure:?}");
            }
        }
    }
    assert_eq!(db.sql("select count(*) from pg_db_role_setting s join pg_database d on d.oid = setdatabase where datname = current_database()"), "0");
}

/// A role that may do what a managed provider lets it do, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_owner_is_enough() {
    let target = Db::new();
    let url = target.owner_url();
    let (cx, _watch) = context();
    target.sql(&format!("set role owner_{}; {TABLE}", target.0));
    let dump = target.dump();
    let mut done = Vec::new();
    for (name, mut with) in steps(&target, None) {
        with["target"] = url.clone().into();
        let step = action(name, &with).unwrap().unwrap();
        assert_eq!(blocks(&step.preview(&cx).await.unwrap()), Vec::<String>::new());
        let Check::Pending { before } = step.check(&cx).await.unwrap() else { panic!("{name} is done already") };
        step.apply(&cx, &before).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        step.verify(&cx).await.unwrap();
        done.push((step, before));
    }
    for (step, before) in done.iter().rev() {
        step.undo(&cx, before).await.unwrap();
    }
    target.assert_is(&dump);

    // Somebody else's table.
    target.sql("create table public.theirs (id int primary key, content text)");
    for (name, mut with) in steps(&target, None) {
        (with["target"], with["table"]) = (url.clone().into(), "public.theirs".into());
        let preview = inspect(name, &with).unwrap().unwrap().preview(&cx).await.unwrap();
        let said = blocks(&preview).join("; ");
        let expect = match name {
            "vector.enable" | "vector.index" => "it belongs to another role, and only its owner may alter it",
            _ => "this role may not read it",
        };
        assert!(said == format!("table public.theirs: {expect}"), "{name}: {said}");
    }
}
