//! A process that dies: after every line of its journal and after every change it made, in turn.
//!
//! A run is done once and watched; then every moment of it is rebuilt (the journal up to there, the world as it was
//! there) and taken up by an engine that knows nothing else. A SIGKILL leaves exactly that behind.

mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use runbook::*;
use world::*;

/// A moment of a run.
struct Moment {
    journal: Vec<u8>,
    values: BTreeMap<String, String>,
    what: String,
}

/// Every moment of a finished run from its first journal line on, or from when the journal had `from` bytes.
fn moments(root: &Path, run: &str, start: &BTreeMap<String, String>, world: &World, from: usize) -> Vec<Moment> {
    let journal = std::fs::read(journal_of(root, run)).unwrap();
    let ends: Vec<usize> = journal.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let history = world.history();
    let mut moments = Vec::new();
    for (line, &end) in ends.iter().enumerate().filter(|(_, end)| **end >= from) {
        let before = history.iter().filter(|(length, _)| (*length as usize) < end).count();
        let during = history.iter().filter(|(length, _)| *length as usize == end).count();
        for changes in before..=before + during {
            let values = changes.checked_sub(1).map_or(start, |i| &history[i].1).clone();
            let what = format!("line {} and {changes} changes", line + 1);
            moments.push(Moment { journal: journal[..end].to_vec(), values: values.clone(), what: what.clone() });
            // And the same with the next line half written.
            if let Some(next) = ends.get(line + 1) {
                let torn = journal[..end + (next - end) / 2].to_vec();
                moments.push(Moment { journal: torn, values, what: format!("{what}, next line torn") });
            }
        }
    }
    moments
}

/// A store that holds the run as it was at that moment.
fn rebuild(root: &Path, run: &str, moment: &Moment) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("runs").join(run);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(root.join("runs").join(run).join("plan.json"), dir.join("plan.json")).unwrap();
    std::fs::write(dir.join("journal.jsonl"), &moment.journal).unwrap();
    folder
}

/// How often each value was written before a moment can't be told from the world of the moment alone, but what was in
/// place must not be written again.
fn expect_no_repeats(world: &World, moment: &Moment) {
    for (name, value) in values(END) {
        let there = moment.values.get(&name) == Some(&value);
        let expect = u32::from(!there && name != "other");
        assert_eq!(world.writes(&name), expect, "{name} after {}", moment.what);
    }
}

#[tokio::test]
async fn resumes_after_every_moment_of_a_run() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let run = engine(&world, folder.path()).run(&plan).await.unwrap().run;
    let moments = moments(folder.path(), &run, &values(START), &world, 0);
    assert!(moments.len() > 25, "{}", moments.len());
    for moment in &moments {
        let again = rebuild(folder.path(), &run, moment);
        let world = World::of(moment.values.clone());
        let log = Arc::new(Log::default());
        let end = engine_with(&world, again.path(), log.clone()).resume(&run).await.unwrap();
        let told = log.events().iter().any(|e| matches!(e, Event::Note { text, .. } if text.contains("half written")));
        assert_eq!(told, moment.what.contains("torn"), "{}", moment.what);
        let done = RunOutcome::NothingToDo { status: RunStatus::Completed };
        assert!(end.outcome == RunOutcome::Completed || end.outcome == done, "{}: {:?}", moment.what, end.outcome);
        assert_eq!(world.values(), values(END), "{}", moment.what);
        expect_no_repeats(&world, moment);

        // What was resumed can be rolled back as if nothing had happened.
        let end = engine(&world, again.path()).rollback(&run).await.unwrap();
        assert_eq!(end.outcome, RunOutcome::Unwound { cause: None }, "{}", moment.what);
        assert_eq!(world.values(), values(START), "{}", moment.what);
    }
}

#[tokio::test]
async fn rolls_back_after_every_moment_of_a_run() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let run = engine(&world, folder.path()).run(&plan).await.unwrap().run;
    for moment in moments(folder.path(), &run, &values(START), &world, 0) {
        let again = rebuild(folder.path(), &run, &moment);
        let world = World::of(moment.values.clone());
        let end = engine(&world, again.path()).rollback(&run).await.unwrap();
        assert_eq!(end.outcome, RunOutcome::Unwound { cause: None }, "{}", moment.what);
        assert_eq!(world.values(), values(START), "{}", moment.what);
    }
}

#[tokio::test]
async fn an_unwind_survives_every_moment() {
    for (fault, by_rollback) in [(Some(Fault::ApplyHalf), false), (None, false), (None, true)] {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
        let plan = plan_for(&world, STEPS, "t").await;
        if let Some(fault) = fault {
            world.break_once("third", fault);
        }
        let first = engine(&world, folder.path());
        let run = first.run(&plan).await.unwrap().run;
        let journal = journal_of(folder.path(), &run);
        let text = std::fs::read_to_string(&journal).unwrap();
        // From the line that turned the run round: before it, a resume goes forward.
        let from = match fault {
            Some(_) => text.find("\"step_failed\"").map(|at| at + text[at..].find('\n').unwrap() + 1).unwrap(),
            None => {
                first.rollback(&run).await.unwrap();
                text.len() + 1
            }
        };
        let mut worlds = 0;
        for moment in moments(folder.path(), &run, &values(START), &world, from) {
            worlds += 1;
            let again = rebuild(folder.path(), &run, &moment);
            let world = World::of(moment.values.clone());
            let engine = engine(&world, again.path());
            let end = if by_rollback { engine.rollback(&run).await } else { engine.resume(&run).await }.unwrap();
            let gone = RunOutcome::NothingToDo { status: RunStatus::Unwound };
            let unwound = matches!(&end.outcome, RunOutcome::Unwound { cause } if cause.is_some() == fault.is_some());
            assert!(unwound || end.outcome == gone, "{}: {:?}", moment.what, end.outcome);
            assert_eq!(world.values(), values(START), "{}", moment.what);
        }
        assert!(worlds > 20, "{worlds}");
    }
}

#[tokio::test]
async fn a_crash_may_follow_a_crash() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let engine = engine(&world, folder.path());
    let store = Store::at(folder.path());
    // Cut off three times in the same step.
    for _ in 0..3 {
        world.break_once("second", Fault::Hang);
        let run = store.run_ids().unwrap().pop();
        let work = async {
            match &run {
                None => engine.run(&plan).await,
                Some(run) => engine.resume(run).await,
            }
        };
        let half_way = async {
            while world.has_faults() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            end = work => panic!("{end:?}"),
            () = half_way => {}
        }
    }
    let record = store.unfinished_run_on("t").unwrap().unwrap();
    let StepStatus::Running { attempt, before } = &record.state.steps[1] else { panic!("{:?}", record.state.steps[1]) };
    assert_eq!(*attempt, 3);
    let untouched = serde_json::json!([null, null]);
    assert_eq!(before, &untouched, "the state before the first attempt, not the half-done one");
    assert_eq!(world.befores("second"), [untouched.clone(), untouched.clone(), untouched]);
    assert_eq!(engine.rollback(&record.id).await.unwrap().outcome, RunOutcome::Unwound { cause: None });
    assert_eq!(world.values(), values(START));
}

#[tokio::test]
async fn work_found_in_place_after_a_crash_is_verified() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let plan = plan_for(&world, STEPS, "t").await;
    let run = engine(&world, folder.path()).run(&plan).await.unwrap().run;
    // The first step's intent, and all it changes.
    let moments = moments(folder.path(), &run, &values(START), &world, 0);
    let moment = moments.iter().find(|moment| moment.what == "line 2 and 2 changes").unwrap();
    for broken in [false, true] {
        let again = rebuild(folder.path(), &run, moment);
        let world = World::of(moment.values.clone());
        if broken {
            world.break_once("first", Fault::Verify);
        }
        let end = engine(&world, again.path()).resume(&run).await.unwrap();
        match end.outcome {
            RunOutcome::Completed if !broken => assert_eq!(world.befores("first").len(), 0, "not applied again"),
            RunOutcome::Unwound { cause: Some((step, _)) } if broken && step == "first" => {
                assert_eq!(world.values(), values(START));
            }
            other => panic!("{other:?}"),
        }
    }
}
