//! A target's lock dies with its process, however that ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use runbook::{FailureKind, Store};

/// Set in the child process that the test below starts: the store whose target it is to hold.
const HOLD: &str = "RUNBOOK_TEST_HOLD";

#[test]
fn held_by_another_process() {
    let Ok(root) = std::env::var(HOLD) else { return };
    let _lock = Store::at(root).lock_target("t", "20261123-000000-abcdef").unwrap();
    writeln!(std::io::stdout(), "\nheld").unwrap();
    // Until the parent kills this process or is gone itself.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn is_free_once_its_holder_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "held_by_another_process", "--nocapture"])
        .env(HOLD, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"), "the child ended before it had the lock");

    let store = Store::at(folder.path());
    let failure = store.lock_target("t", "mine").unwrap_err();
    assert_eq!((failure.kind, failure.object.as_str()), (FailureKind::Locked, "target t"));
    for part in ["run 20261123-000000-abcdef", &format!("process {}", child.id()), " on ", " since 20"] {
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
    drop(store.lock_target("another", "mine").unwrap());

    child.kill().unwrap();
    child.wait().unwrap();
    let lock = store.lock_target("t", "mine").unwrap();
    assert!(store.lock_target("t", "other").unwrap_err().message.contains("run mine"));
    drop(lock);
    drop(store.lock_target("t", "other").unwrap());
}
