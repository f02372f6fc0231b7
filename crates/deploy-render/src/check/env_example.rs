//! `.env.example`: every variable once, and no secret has a value.

use std::collections::BTreeSet;

use super::Report;

pub(super) fn check(text: &str, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let mut secret = false;
    for (i, line) in text.lines().enumerate() {
        let at = format!("line {}", i + 1);
        if line.is_empty() {
            secret = false;
        } else if let Some(comment) = line.strip_prefix('#') {
            secret = secret || comment.trim_start().starts_with("Secret:");
        } else {
            let Some((name, value)) = line.split_once('=') else {
                report.add(at, format!("`{line}` is no assignment"), "write NAME=value");
                continue;
            };
            let name_ok = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if name.is_empty() || !name_ok {
                report.add(&at, format!("`{name}` is no variable's name"), "use A-Z, 0-9 and `_`");
            }
            if !seen.insert(name) {
                report.add(&at, format!("`{name}` is there twice"), "remove one");
            }
            if secret && !value.is_empty() {
                report.add(at, format!("the secret `{name}` has a value"), "leave it empty");
            } else if let Some(why) = k8s_templates::looks_secret(name, value) {
                report.add(at, format!("`{name}` {why}"), "leave it empty");
            }
        }
    }
}
