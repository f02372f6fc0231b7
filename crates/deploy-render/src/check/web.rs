//! `vercel.json`, `deno.json` and Cloudflare's rules: what their schemas, if any, do not have.

use k8s_templates::looks_secret;
use serde_json::Value;

use super::{Report, elements, entries};

/// Keys Vercel still takes and tells not to use, and what to use.
const VERCEL_OLD: [(&str, &str); 9] = [
    ("alias", "set the domains of the project"),
    ("build", "set variables with `vercel env`"),
    ("builds", "use framework, buildCommand and functions"),
    ("env", "set variables with `vercel env`"),
    ("name", "link the folder to its project with `vercel link`"),
    ("public", "remove it"),
    ("routes", "use rewrites, redirects and headers"),
    ("scope", "link the folder to its project with `vercel link`"),
    ("version", "remove it"),
];

pub(super) fn check_vercel(document: &Value, report: &mut Report) {
    for (key, remedy) in VERCEL_OLD.into_iter().filter(|(key, _)| !document[key].is_null()) {
        report.add(key, "Vercel keeps it for old projects only", remedy);
    }
    for (i, cron) in elements(&document["crons"]) {
        if cron["path"].as_str().is_none_or(|path| !path.starts_with('/')) {
            report.add(format!("crons[{i}].path"), "it is no path of this project", "begin it with /");
        }
    }
    for (pattern, function) in entries(&document["functions"]) {
        if function["maxDuration"].as_u64().is_some_and(|seconds| seconds == 0 || seconds > 900) {
            let at = format!("functions.{pattern}.maxDuration");
            report.add(at, "Vercel has no such time", "use 1 to 900 seconds, as the plan allows");
        }
    }
    let mut names = Vec::new();
    for (i, rule) in elements(&document["headers"]) {
        for (j, header) in elements(&rule["headers"]) {
            let (name, value) = (header["key"].as_str().unwrap_or(""), header["value"].as_str().unwrap_or(""));
            names.push(name.to_ascii_lowercase());
            if let Some(why) = looks_secret(name, value) {
                report.add(format!("headers[{i}].headers[{j}]"), format!("`{name}` {why}"), "remove it: all get it");
            }
            let everything = rule["source"].as_str().is_some_and(|source| source == "/(.*)");
            if everything && name.eq_ignore_ascii_case("cache-control") && value.contains("immutable") {
                let message = "every page would stay in browsers for good";
                report.add(format!("headers[{i}].headers[{j}]"), message, "keep only files named after their content");
            }
        }
    }
    for wanted in ["strict-transport-security", "x-content-type-options"] {
        if !names.iter().any(|name| name == wanted) {
            report.add("headers", format!("no answer has {wanted}"), "add it for /(.*)");
        }
    }
}

pub(super) fn check_deno(document: &Value, report: &mut Report) {
    let deploy = &document["deploy"];
    for key in ["org", "app"] {
        if deploy[key].as_str().is_none_or(str::is_empty) {
            report.add(format!("deploy.{key}"), "`deno deploy` would ask, and a workflow can't answer", "name it");
        }
    }
    if deploy["framework"].is_null() && deploy["runtime"]["entrypoint"].is_null() && deploy["runtime"]["cwd"].is_null()
    {
        report.add("deploy.runtime", "Deno Deploy does not know what to start", "name its entrypoint");
    }
    if !deploy["regions"].is_null() {
        report.add("deploy.regions", "no file says where an app runs", "use `deno deploy create --region`");
    }
    if document["lock"] == false || document["lock"]["frozen"] == false {
        report.add("lock", "a release could fetch other versions than were tested", "set lock.frozen to true");
    }
    for (name, module) in entries(&document["imports"]) {
        let module = module.as_str().unwrap_or("");
        if module.starts_with("http://") || module.starts_with("https://") {
            report.add(format!("imports.{name}"), format!("`{module}` has no checked version"), "use jsr: or npm:");
        } else if module.starts_with("jsr:") || module.starts_with("npm:") {
            let pinned = module.rfind('@').is_some_and(|at| at > 5 && !module[at + 1..].is_empty());
            if !pinned {
                report.add(format!("imports.{name}"), format!("`{module}` is another one tomorrow"), "add @version");
            }
        }
    }
    for (name, task) in entries(&document["tasks"]) {
        let command = task.as_str().or_else(|| task["command"].as_str()).unwrap_or("");
        if command.contains("deployctl") {
            report.add(format!("tasks.{name}"), "deployctl is gone", "use `deno deploy`");
        }
        if command.split_whitespace().any(|word| matches!(word, "-A" | "--allow-all")) {
            report.add(format!("tasks.{name}"), "the program may do everything", "name what it may, or use -P");
        }
    }
}

/// Rules of a zone: a body of Cloudflare's Rulesets API.
pub(super) fn check_rules(document: &Value, report: &mut Report) {
    let mut refs: Vec<&str> = Vec::new();
    for (i, rule) in elements(&document["rules"]) {
        let at = format!("rules[{i}]");
        let reference = rule["ref"].as_str().unwrap_or("");
        if reference.is_empty() || refs.contains(&reference) {
            let message = format!("`{reference}` is missing or there twice");
            report.add(format!("{at}.ref"), message, "give the rule its own: it keeps its history by it");
        }
        refs.push(reference);
        let expression = rule["expression"].as_str().unwrap_or("");
        if expression.matches('(').count() != expression.matches(')').count() || expression.is_empty() {
            report.add(format!("{at}.expression"), "it is no expression", "close what is open");
        }
        match rule["action"].as_str().unwrap_or("") {
            "set_cache_settings" => check_cache(&at, expression, rule, report),
            "block" => check_limit(&at, rule, report),
            other => report.add(
                format!("{at}.action"),
                format!("`{other}` is no action of these rules"),
                "use set_cache_settings or block",
            ),
        }
    }
    if refs.is_empty() {
        report.add("rules", "it would delete every rule of the zone", "name at least one, or leave the file out");
    }
}

fn check_cache(at: &str, expression: &str, rule: &Value, report: &mut Report) {
    let settings = &rule["action_parameters"];
    let forced = settings["edge_ttl"]["mode"] == "override_origin";
    if forced && settings["edge_ttl"]["default"].as_u64().is_none_or(|seconds| seconds == 0) {
        report.add(format!("{at}.action_parameters.edge_ttl"), "it says not for how long", "set `default` in seconds");
    }
    if expression == "true" || expression.contains("path, \"/\")") && !expression.contains("http.cookie") {
        let message = "it keeps every answer, those to one user for all others too";
        report.add(format!("{at}.expression"), message, "name a path, and leave out who is signed in");
    }
}

fn check_limit(at: &str, rule: &Value, report: &mut Report) {
    let limit = &rule["ratelimit"];
    let at = format!("{at}.ratelimit");
    if limit["requests_per_period"].as_u64().is_none_or(|requests| requests == 0) {
        report.add(format!("{at}.requests_per_period"), "it would refuse everybody", "allow at least 1");
    }
    let by = |name: &str| elements(&limit["characteristics"]).any(|(_, one)| one == name);
    if !by("cf.colo.id") || !(by("ip.src") || by("cf.unique_visitor_id")) {
        let message = "it does not count each address for itself";
        report.add(format!("{at}.characteristics"), message, "use [cf.colo.id, ip.src]");
    }
    for key in ["period", "mitigation_timeout"] {
        if limit[key].as_u64().is_none_or(|seconds| !crate::tier::RATE_TIMES.contains(&seconds)) {
            report.add(format!("{at}.{key}"), "Cloudflare has no such time", "use e.g. 10, 60, 600 or 3600");
        }
    }
}
