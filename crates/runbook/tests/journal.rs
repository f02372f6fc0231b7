//! A journal tells what happened, or that it no longer does.

mod world;

use std::path::PathBuf;
use std::sync::Arc;

use runbook::*;
use serde_json::json;
use world::*;

/// A journal of five lines and its folder.
fn journal() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let start = Entry::RunStarted { run: "r".into(), plan_digest: "d".into(), plan_file: "plan.json".into() };
    let mut journal = Journal::create(&path, &start).unwrap();
    for step in ["a", "b"] {
        let before = json!({"was": 0.1, "text": "line\nbreak \"quoted\""});
        journal.append(&Entry::StepIntent { step: step.into(), attempt: 1, before }).unwrap();
        let output = json!({"rows": 3});
        journal.append(&Entry::StepDone { step: step.into(), output, seconds: 0.1 + 0.2, already: false }).unwrap();
    }
    drop(journal);
    (folder, path)
}

fn lines(path: &PathBuf) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| format!("{line}\n")).collect()
}

#[test]
fn reads_what_was_written() {
    let (_folder, path) = journal();
    let read = read_journal(&path).unwrap();
    assert_eq!((read.records.len(), read.torn_bytes), (5, 0));
    assert_eq!(read.records.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(
        matches!(&read.records[2].event, Entry::StepDone { step, seconds, .. } if step == "a" && *seconds == 0.1 + 0.2)
    );

    // And goes on where it ended, also after it was closed.
    let (mut journal, again) = Journal::open(&path).unwrap();
    assert_eq!(again, read);
    journal.append(&Entry::RunCompleted {}).unwrap();
    assert_eq!(read_journal(&path).unwrap().records.len(), 6);
    assert!(matches!(Journal::create(&path, &Entry::RunCompleted {}), Err(JournalError::Io { .. })));
}

#[test]
fn says_which_line_was_tampered_with() {
    type Change = fn(&mut Vec<String>);
    let table: [(&str, Change, u64, &str); 12] = [
        ("a flipped digit", |l| l[2] = l[2].replace("\"rows\":3", "\"rows\":4"), 3, "does not have the content"),
        ("a changed step", |l| l[1] = l[1].replace("\"step\":\"a\"", "\"step\":\"x\""), 2, "does not have the content"),
        ("a changed time", |l| l[0] = l[0].replacen("20", "19", 1), 1, ""),
        (
            "a shortened hash",
            |l| {
                let last_digit = l[3].len() - 4;
                l[3].remove(last_digit);
            },
            4,
            "does not have the content",
        ),
        ("a removed first line", |l| drop(l.remove(0)), 1, "has number 2, expected 1"),
        ("a removed line", |l| drop(l.remove(2)), 3, "has number 4, expected 3"),
        ("swapped lines", |l| l.swap(1, 2), 2, "has number 3, expected 2"),
        ("a repeated line", |l| l.insert(3, l[2].clone()), 4, "has number 3, expected 4"),
        ("a repeated last line", |l| l.push(l[4].clone()), 6, "has number 5, expected 6"),
        ("an empty line", |l| l.insert(1, "\n".into()), 2, "is no journal line"),
        ("a line of garbage", |l| l.insert(5, "nonsense\n".into()), 6, "is no journal line"),
        ("a flipped byte in the last line", |l| l[4] = l[4].replace("\"b\"", "\"c\""), 5, "does not have the content"),
    ];
    for (what, change, line, expect) in table {
        let (_folder, path) = journal();
        let mut text = lines(&path);
        change(&mut text);
        assert_ne!(text, lines(&path), "{what} changes nothing");
        std::fs::write(&path, text.concat()).unwrap();
        for error in [read_journal(&path).unwrap_err(), Journal::open(&path).unwrap_err()] {
            let JournalError::Tampered { line: seen, what: why, .. } = &error else { panic!("{what}: {error}") };
            assert_eq!(*seen, line, "{what}: {error}");
            assert!(why.contains(expect), "{what}: {error}");
            assert_eq!(Failure::from(error).kind, FailureKind::InvalidInput);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text.concat(), "{what}: the evidence was touched");
    }
}

#[test]
fn a_line_of_another_journal_does_not_fit() {
    let (_one, path) = journal();
    let (_two, other) = journal();
    let (mut text, foreign) = (lines(&path), lines(&other));
    text[3].clone_from(&foreign[3]);
    std::fs::write(&path, text.concat()).unwrap();
    let error = read_journal(&path).unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("does not follow the line before it"), "{error}");
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let (_folder, path) = journal();
    let good = std::fs::read(&path).unwrap();
    let last = good.len() - 1;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        match read_journal(&path) {
            Err(JournalError::Tampered { .. }) => {}
            // Within the last line some flips look like a line cut short; that is reported too, and the event never counts.
            Ok(read) if read.torn_bytes > 0 && read.records.len() == 4 => {
                assert!(at + 600 > last, "byte {at}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_torn_last_line_never_happened() {
    let (_folder, path) = journal();
    let whole = lines(&path);
    let kept = whole[..4].concat();
    let half = &whole[4][..whole[4].len() / 2];
    let no_newline = whole[4].trim_end();
    let tails =
        [half.to_owned(), no_newline.to_owned(), "{".into(), "garbage".into(), format!("{half}\n"), "\0\0\0\n".into()];
    for tail in tails {
        std::fs::write(&path, format!("{kept}{tail}")).unwrap();
        let read = read_journal(&path).unwrap();
        assert_eq!((read.records.len(), read.torn_bytes), (4, tail.len() as u64), "{tail:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}{tail}"), "reading changes nothing");

        // Opened to go on, it is cut off, and the chain holds over the cut.
        let (mut journal, read) = Journal::open(&path).unwrap();
        assert_eq!(read.torn_bytes, tail.len() as u64);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        journal.append(&Entry::RunUnwound {}).unwrap();
        assert_eq!(read_journal(&path).unwrap().records.len(), 5);
    }
    // Cut anywhere: what is left verifies.
    let good = whole.concat();
    for at in 0..good.len() {
        std::fs::write(&path, &good[..at]).unwrap();
        let read = read_journal(&path).unwrap();
        let complete = good[..at].matches('\n').count();
        assert_eq!(read.records.len(), complete, "cut at {at}");
    }
}

#[test]
fn has_one_writer() {
    let (_folder, path) = journal();
    let (journal, _) = Journal::open(&path).unwrap();
    let error = Journal::open(&path).unwrap_err();
    assert!(matches!(error, JournalError::Held { .. }), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::Locked);
    drop(journal);
    Journal::open(&path).unwrap();
}

#[tokio::test]
async fn a_run_with_a_damaged_journal_is_named_and_hides_no_other() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let engine = engine_with(&world, folder.path(), Arc::new(Quiet));
    let bad = engine.run(&plan_for(&world, STEPS, "t").await).await.unwrap().run;
    let good = engine.run(&plan_for(&world, STEPS, "elsewhere").await).await.unwrap().run;
    let path = journal_of(folder.path(), &bad);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"set\":\"a\"", "\"set\":\"x\"", 1)).unwrap();

    let store = Store::at(folder.path());
    let runs = store.list_runs().unwrap();
    assert_eq!(runs.len(), 2);
    for (id, run) in runs {
        assert_eq!(run.is_ok(), id == good);
    }
    for failure in [engine.resume(&bad).await.unwrap_err(), engine.rollback(&bad).await.unwrap_err()] {
        assert!(failure.object.contains(&bad) && failure.message.contains("line 3"), "{failure}");
    }
    // Nobody knows how it left its target; other targets are free.
    assert!(engine.run(&plan_for(&world, STEPS, "t").await).await.is_err());
    engine.run(&plan_for(&world, STEPS, "elsewhere").await).await.unwrap();

    // A plan that was swapped, and a journal that tells an impossible story.
    std::fs::write(&path, &text).unwrap();
    let plan = folder.path().join("runs").join(&bad).join("plan.json");
    let own_plan = std::fs::read(&plan).unwrap();
    std::fs::copy(folder.path().join("runs").join(&good).join("plan.json"), &plan).unwrap();
    assert!(store.open(&bad).unwrap_err().message.contains("another plan"));
    std::fs::write(&plan, own_plan).unwrap();
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.append(&Entry::UndoDone { step: "first".into(), seconds: 0.0 }).unwrap();
    drop(journal);
    let story = store.open(&bad).unwrap_err();
    assert!(story.message.contains("a step that is done can't take a undo done"), "{story}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_run_is_for_its_owners_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, world) = (tempfile::tempdir().unwrap(), World::with(START));
    let root = folder.path().join(".tierlift");
    let run = engine_with(&world, &root, Arc::new(Quiet)).run(&plan_for(&world, STEPS, "t").await).await.unwrap().run;
    for folder in [root.clone(), root.join("runs"), root.join("runs").join(&run), root.join("locks")] {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
    }
    assert_eq!(std::fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
    let names: Vec<_> =
        std::fs::read_dir(root.join("runs").join(&run)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
