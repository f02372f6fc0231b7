//! `pg verify` finds a single changed byte and names table, key and column.

use acceptance::Site;
use serde_json::Value;

#[test]
fn one_changed_byte_is_found_and_named() {
    let site = Site::new(2_000);
    site.run(&["pg", "copy", "--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL", "--yes"])
        .expect_code(0);
    let verify = ["pg", "verify", "--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL"];
    site.run(&verify).expect_code(0);

    site.on_target(
        "set session_replication_role = replica;
         update public.messages set content = overlay(content placing '~' from 3 for 1)
         where id = (select id from public.messages order by id offset 1234 limit 1)",
    );
    let key = site.on_target("select id from public.messages where substr(content, 3, 1) = '~'");

    let outcome = site.run(&verify).expect_code(4);
    for part in ["public.messages", "content", &key] {
        assert!(outcome.stdout.contains(part), "{part:?} is missing from:\n{}", outcome.stdout);
    }
    let outcome = site.run(&[&verify[..], &["--json"]].concat()).expect_code(4);
    let result = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
        .find(|line| line["event"] == "verified")
        .expect("a result line");
    let mismatches = result["verification"]["mismatches"].as_array().expect("mismatches");
    assert_eq!(mismatches.len(), 1, "{result}");

    let repair = |more: &[&str]| site.run(&[&verify[..], more].concat());
    let file = site.state_dir().with_file_name("repair.sql");
    let name = file.to_str().expect("a name in UTF-8");
    repair(&["--repair-sql", name]).expect_code(4);
    assert!(std::fs::read_to_string(&file).expect("a file").contains("\"public\".\"messages\""));
    repair(&["--repair-sql", name]).expect_code(3); // it is not written over
    let outcome = repair(&["--repair"]).expect_code(3); // nobody can be asked
    assert!(outcome.stderr.contains("--yes"), "{}", outcome.stderr);
    let outcome = repair(&["--repair", "--yes"]).expect_code(0);
    assert!(outcome.stdout.contains("mended public.messages"), "{}", outcome.stdout);
    site.run(&verify).expect_code(0);
    // Where there is nothing to mend there is no file.
    std::fs::remove_file(&file).expect("it was there");
    repair(&["--repair-sql", name]).expect_code(0);
    assert!(!file.exists());
}
