//! The steps as the engine calls them.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::Pair;
use pgmigrate::action::{action, inspect};
use runbook::{Check, Context, FailureKind, Quiet};
use serde_json::{Value, json};

#[tokio::test]
async fn the_steps_of_a_migration_and_their_undo() {
    let pair = Pair::start(1_000);
    let (source, target) = (&pair.source.owner_url, &pair.target.owner_url);
    let (source_state, target_state) = (pair.source_state(), pair.target_state());
    let both = json!({ "source": source, "target": target });
    let pg_bin = pair.to.install().bin_dir();
    let steps = [
        (
            "assess",
            "pg.assess",
            json!({ "source": source, "target": target, "requires": [{ "table": "public.messages" }] }),
        ),
        ("fence", "pg.fence", json!({ "source": source })),
        ("copy", "pg.copy", json!({ "source": source, "target": target, "jobs": 2, "pg_bin": pg_bin })),
        ("verify", "pg.verify", both),
        ("held", "pg.fence_held", json!({ "source": source, "fence": "fence" })),
    ];
    for (id, name, with) in &steps {
        let step = inspect(name, with).expect("it is ours").expect("its arguments are good");
        let cx = Context::detached(id, Arc::new(Quiet));
        let preview = step.preview(&cx).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(preview.findings.iter().all(|f| f.severity != runbook::Severity::Blocks), "{name}: {preview:#?}");
        assert!(matches!(step.check(&cx).await, Ok(Check::Pending { .. })), "{name}");
    }
    assert_eq!(
        (pair.source_state(), pair.target_state()),
        (source_state.clone(), target_state.clone()),
        "previews change nothing"
    );

    let mut outputs: BTreeMap<String, Value> = BTreeMap::new();
    let mut before = Vec::new();
    for (id, name, with) in &steps {
        let cx = Context::of_run(id, "run-1", Path::new("."), outputs.clone(), Arc::new(Quiet));
        let step = action(name, with).expect("it is ours").expect("its arguments are good");
        let Ok(Check::Pending { before: was }) = step.check(&cx).await else { panic!("{name} is pending") };
        let output = step.apply(&cx, &was).await.unwrap_or_else(|e| panic!("{name}: {e} {:?}", e.causes));
        step.verify(&cx).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!output.to_string().contains(&password(source)), "{name}: no secrets in the journal");
        outputs.insert((*id).to_owned(), output);
        before.push(was);
    }
    assert_eq!(outputs["verify"]["mismatches"], 0);
    assert_eq!(outputs["verify"]["rows"], outputs["copy"]["rows"]);
    let cx = Context::of_run("copy", "run-1", Path::new("."), outputs.clone(), Arc::new(Quiet));
    let copied = action("pg.copy", &steps[2].2).expect("it is ours").expect("its arguments are good");
    assert_eq!(copied.check(&cx).await.expect("it can be read"), Check::Done);

    for ((id, name, with), was) in steps.iter().zip(&before).rev() {
        let cx = Context::of_run(id, "run-1", Path::new("."), outputs.clone(), Arc::new(Quiet));
        let step = action(name, with).expect("it is ours").expect("its arguments are good");
        for _ in 0..2 {
            step.undo(&cx, was).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    assert_eq!(pair.target_state(), target_state);
    assert_eq!(pair.source_state(), source_state);
}

#[test]
fn arguments_are_checked_without_repeating_secrets() {
    let check = |name: &str, with: Value, says: &str| {
        let Err(failure) = inspect(name, &with).expect("it is ours") else { panic!("{with}") };
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.message.contains(says), "{failure}");
        assert!(!failure.to_string().contains("sekret"), "{failure}");
    };
    let good = "postgres://u:sekret@h/db";
    check("pg.fence", json!({ "source": "mysql://u:sekret@h/db" }), "postgresql://");
    check("pg.fence", json!({}), "source");
    check("pg.fence", json!({ "source": good, "sauce": 1 }), "sauce");
    check("pg.copy", json!({ "source": good, "target": good, "jobs": "many" }), "many");
    check("pg.assess", json!({ "source": good, "target": good, "requires": [{ "tabel": "x" }] }), "tabel");
    assert!(inspect("render.write", &json!({})).is_none());
}

fn password(url: &str) -> String {
    let user_info =
        url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("the sandbox's URLs have one").0;
    user_info.split_once(':').expect("and a password").1.to_owned()
}

#[test]
fn a_part_of_a_database_is_selected_in_the_playbook() {
    let check = |action: &str, more: Value, expect: Option<&str>| {
        let mut with = json!({ "source": "postgresql://u@a/x", "target": "postgresql://u@b/x" });
        with.as_object_mut().expect("it is an object").extend(more.as_object().expect("it is one too").clone());
        match (inspect(action, &with).expect("it is ours"), expect) {
            (Ok(_), None) => {}
            (Err(failure), Some(part)) => {
                assert_eq!(failure.kind, FailureKind::InvalidInput);
                assert!(failure.message.contains(part), "{failure}");
            }
            (Ok(_), Some(part)) => panic!("{with} should say {part}"),
            (Err(failure), None) => panic!("{with}: {failure}"),
        }
    };
    let select = json!({
        "include": ["public"], "exclude": ["public.*_log"], "map_schema": ["public=app"], "map_owner": ["a=b"],
        "where": ["public.t=id > 5"],
    });
    for action in ["pg.assess", "pg.copy", "pg.verify"] {
        check(action, json!({ "select": select }), None);
        check(action, json!({ "select": { "data_only": true } }), None);
        check(action, json!({ "select": { "inclde": [] } }), Some("inclde"));
        check(action, json!({ "include": [] }), Some("include"));
    }
    check("pg.copy", json!({ "max_rate": "20MB/s", "max_source_sessions": 10 }), None);
    check("pg.copy", json!({ "max_rate": "20Mb/s" }), Some("e.g. 20MB/s"));
    check("pg.verify", json!({ "max_rate": "20MB/s" }), Some("max_rate"));
}
