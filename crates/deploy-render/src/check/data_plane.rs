//! PgBouncer, Redis, nginx and PostgreSQL's parameters: what they are told must fit what compose.yaml gives them.

use serde_json::Value;

use super::compose::mebibytes;
use super::{Report, elements};
use crate::set::RenderedSet;
use crate::yaml;

/// `key = value` lines, comments left out.
fn settings(text: &str) -> impl Iterator<Item = (String, &str, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with([';', '#'])).filter_map(|(i, line)| {
        let (key, value) = line.split_once('=')?;
        Some((format!("line {i}"), key.trim(), value.trim()))
    })
}

fn compose(set: &RenderedSet) -> Option<Value> {
    let text = String::from_utf8_lossy(set.get("compose.yaml")?).into_owned();
    yaml::documents(&text).ok()?.into_iter().next()
}

pub(super) fn pgbouncer(set: &RenderedSet, text: &str, report: &mut Report) {
    let number = |name: &str| settings(text).find(|(_, key, _)| *key == name)?.2.parse::<u64>().ok();
    for (at, key, value) in settings(text) {
        if key == "auth_type" && ["any", "trust"].contains(&value) {
            report.add(at, format!("`{value}` asks nobody for a password"), "use scram-sha-256");
        } else if key == "pool_mode" && value == "statement" {
            report.add(at, "a transaction of several statements would fail", "use transaction");
        }
    }
    let pool = number("default_pool_size").unwrap_or(20) + number("reserve_pool_size").unwrap_or(0);
    let allowed = compose(set).and_then(|compose| {
        let command = &compose["services"]["postgres"]["command"];
        let found = elements(command).find_map(|(_, word)| word.as_str()?.strip_prefix("max_connections="));
        found?.parse::<u64>().ok()
    });
    if let Some(allowed) = allowed.filter(|allowed| pool >= *allowed) {
        let message = format!("it opens {pool} connections, PostgreSQL allows {allowed}, and people need some");
        report.add("default_pool_size", message, "lower default_pool_size or reserve_pool_size");
    }
}

pub(super) fn redis(set: &RenderedSet, text: &str, report: &mut Report) {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    if value("aclfile").is_none() && value("requirepass").is_none() {
        report.add("aclfile", "whoever reaches it may do everything", "name a file with users and passwords");
    }
    let Some(maxmemory) = value("maxmemory").and_then(|text| mebibytes(text.trim())) else {
        return report.add("maxmemory", "it grows until it is killed", "say how much it may hold");
    };
    let limit = compose(set).and_then(|compose| {
        mebibytes(compose["services"]["redis"]["deploy"]["resources"]["limits"]["memory"].as_str()?)
    });
    if let Some(limit) = limit.filter(|limit| maxmemory * 10 > limit * 9) {
        let message = format!("of {limit} MiB it may hold {maxmemory}, and a rewrite of its file needs more");
        report.add("maxmemory", message, "leave a quarter of the container's memory");
    }
}

pub(super) fn nginx(set: &RenderedSet, text: &str, report: &mut Report) {
    let compose = compose(set);
    let mut has_health = false;
    for (i, line) in (1..).zip(text.lines()) {
        has_health |= line.contains("location = /health");
        let Some(url) = line.trim().strip_prefix("set $backend http://") else { continue };
        let address = url.trim_end_matches(';');
        let (host, port) = address.split_once(':').unwrap_or((address, "80"));
        let Some(service) = compose.as_ref().and_then(|compose| compose["services"].get(host)) else {
            let message = format!("compose.yaml has no service `{host}`");
            report.add(format!("line {i}"), message, "name one of its services");
            continue;
        };
        if let Some(listens) = service["environment"]["PORT"].as_str().filter(|listens| *listens != port) {
            let message = format!("`{host}` listens at {listens}, not at {port}");
            report.add(format!("line {i}"), message, "use the port the service has");
        }
    }
    if !has_health {
        report.add("", "nobody can ask whether it is well", "answer at /health");
    }
    if !text.lines().any(|line| line.trim() == "server_tokens off;") {
        report.add("server_tokens", "it tells everybody its version", "turn it off");
    }
}

pub(super) fn tuning(set: &RenderedSet, text: &str, report: &mut Report) {
    let undo = set.get("postgres/tuning-undo.sql").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    for (i, line) in (1..).zip(text.lines()) {
        let Some(rest) = line.strip_prefix("alter system set ") else { continue };
        let at = format!("line {i}");
        if rest.matches(';').count() != 1 {
            report.add(&at, "more than one statement would be one transaction, which fails", "write one a line");
        }
        let name = rest.split([' ', '=']).next().unwrap_or("");
        let reset = format!("alter system reset {name};");
        if !undo.as_ref().is_some_and(|undo| undo.lines().any(|line| line == reset)) {
            report.add(&at, format!("`{name}` has no way back"), "reset it in postgres/tuning-undo.sql");
        }
    }
}

/// Indexes of tables that are in use: one built the plain way keeps everybody from writing until it is done.
pub(super) fn indexes(set: &RenderedSet, text: &str, report: &mut Report) {
    let undo = set.get("postgres/indexes-undo.sql").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    for (i, line) in (1..).zip(text.lines()) {
        let Some(rest) = line.strip_prefix("create ") else { continue };
        let at = format!("line {i}");
        let Some(rest) = rest.trim_start_matches("unique ").strip_prefix("index concurrently ") else {
            report.add(&at, "nobody could write to the table until it is built", "create index concurrently");
            continue;
        };
        let name = rest.trim_start_matches("if not exists ").split(' ').next().unwrap_or("");
        // It is dropped by the schema and the name.
        let drops =
            |line: &str| line.starts_with("drop index concurrently ") && line.trim_end_matches(';').ends_with(name);
        if !undo.as_ref().is_some_and(|undo| undo.lines().any(drops)) {
            report.add(&at, format!("{name} has no way back"), "drop it in postgres/indexes-undo.sql");
        }
    }
}
