//! A plan is what it says, to the last bit, until it expires or the world moves.

mod world;

use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use runbook::*;
use serde_json::Value;
use world::*;

async fn example() -> Plan {
    let mut plan = plan_for(&World::with(START), STEPS, "db.example.com:5432/app").await;
    plan.cost = Some(CostChange {
        before: UsdRange { low_cents: 2500, high_cents: 2500 },
        after: UsdRange { low_cents: 8500, high_cents: 15000 },
    });
    // Floats that a sloppy reader would not bring back to the bit.
    plan.steps[0].with["ratio"] = 0.1.into();
    plan.steps[0].with["odd"] = 2.225_073_858_507_202e-308.into();
    plan.steps[0].with["sum"] = (0.1 + 0.2).into();
    plan
}

#[tokio::test]
async fn decides_everything() {
    let plan = example().await;
    assert_eq!((plan.from.as_str(), plan.to.as_str(), plan.steps.len()), ("one", "two", 4));
    assert_eq!(plan.steps[0].worst_case_ms, Some(2), "1.5 ms, rounded up");
    assert_eq!(plan.worst_case_ms, 6);
    assert_eq!(plan.irreversible_from, None);
    assert_eq!(plan.steps[2].effect, Effect::ReadOnly);
    assert_eq!(plan.steps[1].undo, "b as it was");
}

#[tokio::test]
async fn saves_and_loads_the_same_plan() {
    let (plan, folder) = (example().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("plan.json");
    plan.save(&file).unwrap();
    plan.save(&file).unwrap();
    let loaded = Plan::load(&file).unwrap();
    assert_eq!(loaded, plan);
    assert_eq!(loaded.digest(), plan.digest());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");

    // Order of keys and white space are not part of it.
    let text = std::fs::read_to_string(&file).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    std::fs::write(&file, value.to_string()).unwrap();
    assert_eq!(Plan::load(&file).unwrap(), plan);
    assert!(plan.save(Path::new("/no/such/folder/plan.json")).is_err());
}

#[tokio::test]
async fn equal_plans_have_equal_digests_and_others_not() {
    let plan = example().await;
    assert_eq!(plan.digest(), plan.clone().digest());
    let changes: [fn(&mut Plan); 6] = [
        |plan| plan.target.push('x'),
        |plan| plan.steps.swap(0, 1),
        |plan| plan.steps[0].with["to"] = "other".into(),
        |plan| plan.playbook.digest.push('0'),
        |plan| plan.expires_at += SignedDuration::from_nanos(1),
        |plan| plan.fingerprint.clear(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = plan.clone();
        change(&mut other);
        assert_ne!(other.digest(), plan.digest(), "change {i}");
    }
}

#[tokio::test]
async fn refuses_a_file_that_was_changed() {
    let (plan, folder) = (example().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("plan.json");
    plan.save(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let check = |text: String, expect: &str| {
        std::fs::write(&file, text).unwrap();
        let failure = Plan::load(&file).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.message.contains(expect), "{failure}");
        assert!(failure.object.contains("plan.json"));
    };
    check(text.replace("\"to\": \"new\"", "\"to\": \"old\""), "was changed");
    check(text.replace("\"title\": \"First\"", "\"title\": \"first\""), "was changed");
    check(text.replace(&plan.digest(), &"0".repeat(64)), "was changed");
    check(text[..text.len() / 2].to_owned(), "is no plan");
    check("{}".to_owned(), "is no plan");
    std::fs::remove_file(&file).unwrap();
    assert!(Plan::load(&file).unwrap_err().message.contains("cannot be read"));

    let mut newer = plan;
    newer.format = 2;
    newer.save(&file).unwrap();
    assert!(Plan::load(&file).unwrap_err().message.contains("format 2"));
}

#[tokio::test]
async fn notices_what_moved() {
    let plan = example().await;
    let live = plan.fingerprint.clone();
    plan.check_fresh(plan.created_at, &live).unwrap();
    let check = |live: &[(&str, &str)], expect: &[&str]| {
        let failure = plan.check_fresh(plan.created_at, &values(live)).unwrap_err();
        assert_eq!(
            (failure.kind, failure.causes.as_slice()),
            (FailureKind::Stale, &expect.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        );
    };
    check(&[("target version", "18.5")], &["target version was 18.4 and is 18.5"]);
    check(&[], &["target version was 18.4 and is gone"]);
    check(&[("target version", "18.4"), ("more", "x")], &["more is new: x"]);

    let late = plan.check_fresh(plan.expires_at, &live).unwrap_err();
    assert!(late.message.contains("expired"), "{late}");
    let mut foreign = plan.clone();
    foreign.tool_version = "0.0.1".to_owned();
    assert!(foreign.check_fresh(plan.created_at, &live).unwrap_err().message.contains("0.0.1"));
}

#[tokio::test]
async fn refuses_previews_of_another_playbook() {
    let (world, playbook) = (World::with(START), playbook(STEPS));
    let inputs = Inputs::resolve(&playbook, &|_| None).unwrap();
    let mut previews = preview_steps(&playbook, &inputs, &Actions(world), Arc::new(Quiet)).await.unwrap();
    let mut never = terms("t");
    never.expires_at = never.created_at;
    assert_eq!(plan(&playbook, &inputs, &previews, never).unwrap_err().kind, FailureKind::InvalidInput);
    previews.swap(0, 1);
    assert_eq!(plan(&playbook, &inputs, &previews, terms("t")).unwrap_err().kind, FailureKind::Internal);
    previews.pop();
    assert_eq!(plan(&playbook, &inputs, &previews, terms("t")).unwrap_err().kind, FailureKind::Internal);
}
