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
}
