//! Runs that fail, get stuck, are stopped or refused: whatever happens, the world is either new or as it was.

mod world;

use std::sync::Arc;

use runbook::*;
use tokio::sync::watch;
use world::*;

const APPLY_FAULTS: [Fault; 5] = [Fault::Check, Fault::ApplyBefore, Fault::ApplyHalf, Fault::ApplyAfter, Fault::Verify];

#[tokio::test]
async fn completes_and_hands_outputs_on() {
    let (folder, world, log) = (tempfile::tempdir().unwrap(), World::with(START), Arc::new(Log::default()));
    let plan = plan_for(&world, STEPS, "t").await;
    let end = engine_with(&world, folder.path(), log.clone()).run(&plan).await.unwrap();
    assert_eq!(end.outcome, RunOutcome::Completed);
    assert_eq!(world.values(), values(END));
    assert_eq!(world.seen(), [serde_json::json!({"value": "new", "output": {"set": "b"}})]);

    let words: Vec<String> =
        log.events().iter().map(|e| serde_json::to_value(e).unwrap()["event"].to_string()).collect();
    let step = ["\"step_started\"", "\"step_done\""];
    let expect: Vec<&str> = ["\"run_started\""].into_iter().chain(step.repeat(4)).chain(["\"run_ended\""]).collect();
    assert_eq!(words, expect);

    let run = Store::at(folder.path()).open(&end.run).unwrap();
    assert_eq!(run.status(), RunStatus::Completed);
    assert!(!run.live);
    assert!(run.state.steps.iter().all(|step| step.word() == "done"));
}

#[tokio::test]
async fn every_failure_of_every_step_is_unwound() {
    for step in ["first", "second", "look", "third"] {
        for fault in APPLY_FAULTS {
            if step == "look" && matches!(fault, Fault::ApplyHalf | Fault::ApplyAfter) {
                continue; // a look has no half-way
            }
            let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
            let plan = plan_for(&world, STEPS, "t").await;
            world.break_once(step, fault);
            let end = engine(&world, folder.path()).run(&plan).await.unwrap();
            let RunOutcome::Unwound { cause: Some((failed, failure)) } = &end.outcome else {
                panic!("{step} {fault:?}: {:?}", end.outcome)
            };
            assert_eq!((failed.as_str(), failure.object.as_str()), (step, step), "{fault:?}");
            assert_eq!(world.values(), values(START), "{step} {fault:?}");
            let status = Store::at(folder.path()).open(&end.run).unwrap().status();
            assert_eq!(status, RunStatus::Unwound, "{step} {fault:?}");

            // The way is free for another plan, which goes through.
            let again = plan_for(&world, STEPS, "t").await;
            assert_eq!(engine(&world, folder.path()).run(&again).await.unwrap().outcome, RunOutcome::Completed);
            assert_eq!(world.values(), values(END));
        }
    }
}

#[tokio::test]
async fn a_failed_undo_is_stuck_until_it_is_continued() {
    for by_rollback in [false, true] {
        for stuck_at in ["first", "second", "third"] {
            let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
            let plan = plan_for(&world, STEPS, "t").await;
            world.break_once("third", Fault::ApplyHalf);
            world.break_once(stuck_at, Fault::Undo);
            let engine = engine(&world, folder.path());
            let end = engine.run(&plan).await.unwrap();
            let RunOutcome::Stuck { step, cause: Some((failed, _)), .. } = &end.outcome else {
                panic!("{:?}", end.outcome)
            };
            assert_eq!((step.as_str(), failed.as_str()), (stuck_at, "third"));
            assert_ne!(world.values(), values(START));

            // Nothing else may start there meanwhile, and the refusal says what to do.
            let other = plan_for(&world, STEPS, "t").await;
            let refusal = engine.run(&other).await.unwrap_err();
            assert_eq!(refusal.kind, FailureKind::Locked);
            assert!(refusal.hint.contains(&format!("tierlift rollback {}", end.run)), "{}", refusal.hint);

            let end = if by_rollback { engine.rollback(&end.run).await } else { engine.resume(&end.run).await };
            // Who asks for a rollback gets what they asked for; who resumes is told what failed.
            let outcome = end.unwrap().outcome;
            let fits = matches!(&outcome, RunOutcome::Unwound { cause } if cause.is_none() == by_rollback);
            assert!(fits, "{stuck_at}, by rollback {by_rollback}: {outcome:?}");
            assert_eq!(world.values(), values(START), "{stuck_at}");
        }
    }
}

#[tokio::test]
async fn rolls_a_completed_run_back_once() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let engine = engine(&world, folder.path());
    let run = engine.run(&plan).await.unwrap().run;
    assert!(matches!(
        engine.resume(&run).await.unwrap().outcome,
        RunOutcome::NothingToDo { status: RunStatus::Completed }
    ));
    // Any unique beginning of the id will do.
    assert_eq!(engine.rollback(&run[..17]).await.unwrap().outcome, RunOutcome::Unwound { cause: None });
    assert_eq!(world.values(), values(START));
    assert_eq!(world.undos(), ["third", "second", "first"]);
    for _ in 0..2 {
        let end = engine.rollback(&run).await.unwrap();
        assert_eq!(end.outcome, RunOutcome::NothingToDo { status: RunStatus::Unwound });
        assert_eq!(world.undos().len(), 3);
    }
}

#[tokio::test]
async fn leaves_alone_what_it_found_in_place() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(&[("a", "new"), ("a.twin", "new")]));
    let start = world.values();
    let plan = plan_for(&world, STEPS, "t").await;
    world.break_once("third", Fault::Verify);
    let end = engine(&world, folder.path()).run(&plan).await.unwrap();
    assert!(matches!(end.outcome, RunOutcome::Unwound { .. }));
    assert_eq!(world.values(), start);
    assert_eq!(world.undos(), ["third", "second"]);
    let run = Store::at(folder.path()).open(&end.run).unwrap();
    assert_eq!(run.state.steps[0], StepStatus::Found);
}

#[tokio::test]
async fn stops_when_asked_and_goes_on_or_back_later() {
    for forward in [true, false] {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
        let plan = plan_for(&world, STEPS, "t").await;
        world.break_once("second", Fault::Hang);
        let (stop, stopped) = watch::channel(false);
        let engine = Engine::new(Arc::new(Actions(world.clone())), Arc::new(Quiet), Store::at(folder.path()), stopped);
        // The step never ends by itself, so only the signal can end this; it is given once the step is half-way.
        let half_way = async {
            while world.writes("b") == 0 {
                tokio::task::yield_now().await;
            }
            stop.send(true).unwrap();
        };
        let (end, ()) = tokio::join!(engine.run(&plan), half_way);
        let end = end.unwrap();
        assert_eq!(end.outcome, RunOutcome::Interrupted { step: Some("second".to_owned()) });
        let status = Store::at(folder.path()).open(&end.run).unwrap().status();
        assert_eq!(status, RunStatus::Interrupted { unwinding: false });

        // Still stopped: a resume does nothing; a rollback is not stopped by it.
        if forward {
            let again = engine.resume(&end.run).await.unwrap();
            assert_eq!(again.outcome, RunOutcome::Interrupted { step: None });
            stop.send(false).unwrap();
            assert_eq!(engine.resume(&end.run).await.unwrap().outcome, RunOutcome::Completed);
            assert_eq!(world.values(), values(END));
            assert_eq!((world.writes("a"), world.writes("b"), world.writes("c")), (1, 1, 1));
        } else {
            assert_eq!(engine.rollback(&end.run).await.unwrap().outcome, RunOutcome::Unwound { cause: None });
            assert_eq!(world.values(), values(START));
        }
    }
}

#[tokio::test]
async fn a_dropped_engine_is_an_interrupted_run() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    world.break_once("second", Fault::Hang);
    let engine = engine(&world, folder.path());
    let half_way = async {
        while world.writes("b") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = engine.run(&plan) => panic!("{end:?}"),
        () = half_way => {}
    }
    let store = Store::at(folder.path());
    let run = store.unfinished_run_on("t").unwrap().unwrap();
    assert_eq!(run.status(), RunStatus::Interrupted { unwinding: false });
    assert!(store.unfinished_run_on("elsewhere").unwrap().is_none());
    assert_eq!(engine.resume(&run.id).await.unwrap().outcome, RunOutcome::Completed);
    assert_eq!(world.values(), values(END));
    // The half that was there was not written again.
    assert_eq!((world.writes("b"), world.writes("b.twin")), (1, 1));
}

#[tokio::test]
async fn waits_for_what_the_interrupted_step_left_running() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    world.break_once("second", Fault::Hang);
    let engine = engine(&world, folder.path());
    let half_way = async {
        while world.writes("b") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = engine.run(&plan) => panic!("{end:?}"),
        () = half_way => {}
    }
    let store = Store::at(folder.path());
    let run = store.unfinished_run_on("t").unwrap().unwrap().id;
    let half = world.values();
    for _ in 0..2 {
        world.break_once("second", Fault::Locked);
        let refusal = engine.resume(&run).await.unwrap_err();
        assert_eq!((refusal.kind, refusal.object.as_str()), (FailureKind::Locked, "second"));
        assert_eq!(store.open(&run).unwrap().status(), RunStatus::Interrupted { unwinding: false });
        assert_eq!((world.values(), world.undos().len()), (half.clone(), 0));
    }
    assert_eq!(engine.resume(&run).await.unwrap().outcome, RunOutcome::Completed);
    assert_eq!(world.values(), values(END));

    // Before the step was begun there is nothing to wait for: it fails like any other.
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    world.break_once("second", Fault::Locked);
    let end = engine_with(&world, folder.path(), Arc::new(Quiet)).run(&plan).await.unwrap();
    assert!(matches!(end.outcome, RunOutcome::Unwound { cause: Some(_) }), "{:?}", end.outcome);
}

#[tokio::test]
async fn refuses_a_target_that_is_held() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let store = Store::at(folder.path());
    let held = store.lock_target("t", "20261123-000000-abcdef").unwrap();
    let plan = plan_for(&world, STEPS, "t").await;
    let engine = engine(&world, folder.path());
    let refusal = engine.run(&plan).await.unwrap_err();
    assert_eq!(refusal.kind, FailureKind::Locked);
    for part in ["20261123-000000-abcdef", &std::process::id().to_string(), "since"] {
        assert!(refusal.message.contains(part), "{}", refusal.message);
    }
    assert_eq!(world.values(), values(START));
    assert_eq!(store.run_ids().unwrap(), Vec::<String>::new(), "the plan is not used up");

    // Another target is free, and so is this one once the lock is gone.
    let elsewhere = plan_for(&world, "- {id: x, title: X, action: set, with: {name: x, to: new}}", "t2").await;
    engine.run(&elsewhere).await.unwrap();
    drop(held);
    engine.run(&plan).await.unwrap();
}

#[tokio::test]
async fn two_runs_at_once_on_one_target_are_one() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let (one, two) = (plan_for(&world, STEPS, "t").await, plan_for(&world, STEPS, "t").await);
    world.break_once("first", Fault::Hang);
    let engine = engine(&world, folder.path());
    let second = async {
        while world.writes("a") == 0 {
            tokio::task::yield_now().await;
        }
        let live = Store::at(folder.path()).unfinished_run_on("t").unwrap().unwrap();
        assert_eq!(live.status(), RunStatus::Running, "somebody is at it");
        assert_eq!(engine.resume(&live.id).await.unwrap_err().kind, FailureKind::Locked);
        engine.run(&two).await.unwrap_err()
    };
    tokio::select! {
        end = engine.run(&one) => panic!("{end:?}"),
        refusal = second => assert_eq!(refusal.kind, FailureKind::Locked),
    }
}

#[tokio::test]
async fn refuses_plans_that_are_used_or_old() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let engine = engine(&world, folder.path());
    let run = engine.run(&plan).await.unwrap().run;
    let refusal = engine.run(&plan).await.unwrap_err();
    assert_eq!(refusal.kind, FailureKind::Stale);
    assert!(refusal.message.contains(&run), "{}", refusal.message);
    assert_eq!(Store::at(folder.path()).is_consumed(&plan.digest()).unwrap(), Some(run));

    let mut old = plan_for(&world, STEPS, "t").await;
    old.expires_at = old.created_at;
    assert_eq!(engine.run(&old).await.unwrap_err().kind, FailureKind::Stale);
}

#[tokio::test]
async fn rolls_back_the_later_run_first() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let engine = engine(&world, folder.path());
    let first = engine.run(&plan_for(&world, STEPS, "t").await).await.unwrap().run;
    let later = "- {id: later, title: Later, action: set, with: {name: a, to: later}}";
    let later = engine.run(&plan_for(&world, later, "t").await).await.unwrap().run;
    let refusal = engine.rollback(&first).await.unwrap_err();
    assert_eq!(refusal.kind, FailureKind::Blocked);
    assert!(refusal.hint.contains(&later), "{}", refusal.hint);
    engine.rollback(&later).await.unwrap();
    engine.rollback(&first).await.unwrap();
    assert_eq!(world.values(), values(START));
}

const BURN: &str = "
- {id: first, title: First, action: set, with: {name: a, to: new}}
- {id: burn, title: Burn, action: burn, with: {name: b, to: new}}
- {id: look, title: Look, action: look, with: {name: c}}
- {id: third, title: Third, action: set, with: {name: c, to: new}}
- {id: fourth, title: Fourth, action: set, with: {name: d, to: new}}
";

#[tokio::test]
async fn there_is_no_unwind_past_the_line() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, BURN, "t").await;
    assert_eq!(plan.irreversible_from, Some(1));
    let careful = engine(&world, folder.path());
    assert_eq!(careful.run(&plan).await.unwrap_err().kind, FailureKind::PastPointOfNoReturn);
    assert_eq!(world.values(), values(START));

    // A failure before the line unwinds all.
    let bold = engine(&world, folder.path()).accept_irreversible(true);
    world.break_once("burn", Fault::Check);
    assert!(matches!(bold.run(&plan).await.unwrap().outcome, RunOutcome::Unwound { .. }));
    assert_eq!(world.values(), values(START));

    // One after it only goes back to it, and then the only way is forward.
    let plan = plan_for(&world, BURN, "t").await;
    world.break_once("fourth", Fault::ApplyHalf);
    let end = bold.run(&plan).await.unwrap();
    let RunOutcome::PastNoReturn { step, cause: Some((failed, _)) } = &end.outcome else { panic!("{:?}", end.outcome) };
    assert_eq!((step.as_str(), failed.as_str()), ("burn", "fourth"));
    let at_line = values(&[("a", "new"), ("a.twin", "new"), ("b", "new"), ("b.twin", "new"), ("other", "untouched")]);
    assert_eq!(world.values(), at_line);
    for engine in [&careful, &bold] {
        let refusal = engine.rollback(&end.run).await.unwrap_err();
        assert_eq!(refusal.kind, FailureKind::PastPointOfNoReturn);
        assert!(refusal.hint.contains("resume"), "{}", refusal.hint);
    }
    assert_eq!(careful.resume(&end.run).await.unwrap().outcome, RunOutcome::Completed);
    assert_eq!(world.seen().len(), 2, "what was looked at behind the line is looked at again");
    // `a` once in the run that was unwound and once in this; what is before the line was not repeated.
    assert_eq!((world.writes("a"), world.writes("b"), world.writes("c"), world.writes("d")), (2, 1, 2, 2));

    // Rolling the completed run back needs consent, and goes down to the line.
    assert_eq!(careful.rollback(&end.run).await.unwrap_err().kind, FailureKind::PastPointOfNoReturn);
    let end = bold.rollback(&end.run).await.unwrap();
    assert_eq!(end.outcome, RunOutcome::PastNoReturn { step: "burn".to_owned(), cause: None });
    assert_eq!(world.values(), at_line);
}

#[tokio::test]
async fn an_irreversible_step_that_failed_can_only_be_tried_again() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, BURN, "t").await;
    let engine = engine(&world, folder.path()).accept_irreversible(true);
    world.break_once("burn", Fault::ApplyHalf);
    let end = engine.run(&plan).await.unwrap();
    assert!(matches!(&end.outcome, RunOutcome::PastNoReturn { step, .. } if step == "burn"), "{:?}", end.outcome);
    assert_eq!(engine.resume(&end.run).await.unwrap().outcome, RunOutcome::Completed);
    assert_eq!((world.writes("b"), world.writes("b.twin"), world.undos().len()), (1, 1, 0));
}

#[tokio::test]
async fn an_action_that_cannot_be_built_changes_nothing() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let mut plan = plan_for(&world, STEPS, "t").await;
    plan.steps[3].with = serde_json::json!({});
    let failure = engine(&world, folder.path()).run(&plan).await.unwrap_err();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::InvalidInput, "step third"));
    assert_eq!(world.values(), values(START));
    assert!(Store::at(folder.path()).run_ids().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_and_ambiguous_runs_are_named() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let engine = engine(&world, folder.path());
    assert!(engine.resume("2026").await.unwrap_err().hint.contains("no runs"));
    let first = engine.run(&plan_for(&world, STEPS, "t").await).await.unwrap().run;
    let second = engine.run(&plan_for(&world, STEPS, "t").await).await.unwrap().run;
    let both = engine.resume(&first[..4]).await.unwrap_err();
    assert!(both.hint.contains(&first) && both.hint.contains(&second), "{}", both.hint);
    assert!(engine.resume("1999").await.unwrap_err().hint.contains(&second));
}

#[tokio::test]
async fn a_dry_run_builds_no_action_and_changes_nothing() {
    let (world, log) = (World::with(START), Arc::new(Log::default()));
    let playbook = playbook(STEPS);
    let inputs = Inputs::resolve(&playbook, &|_| None).unwrap();
    let previews = preview_steps(&playbook, &inputs, &Actions(world.clone()), log.clone()).await.unwrap();
    assert_eq!((world.actions(), world.history().len()), (0, 0));
    assert_eq!(previews.len(), 4);
    assert_eq!(log.events().len(), 4);
    assert!(previews.iter().all(|preview| !preview.done && preview.blocking().next().is_none()));

    let world = World::with(&[("a", "new"), ("a.twin", "new"), ("b.blocked", "")]);
    let previews = preview_steps(&playbook, &inputs, &Actions(world), log).await.unwrap();
    assert!(previews[0].done && !previews[1].done);
    assert_eq!(previews[1].blocking().next().unwrap().message, "is blocked");
}
