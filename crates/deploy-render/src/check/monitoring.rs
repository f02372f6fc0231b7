//! What is under `monitoring/`: rules that can fire, are tested and have a runbook, routes that end somewhere, targets that
//! are there, a dashboard whose panels show something.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Report, elements};
use crate::set::RenderedSet;
use crate::yaml;

/// How soon somebody must look; each must have its route.
const SEVERITIES: [&str; 3] = ["page", "ticket", "notice"];

pub(super) fn check(set: &RenderedSet, path: &str, text: &str, report: &mut Report) {
    let documents = if path.ends_with(".json") {
        serde_json::from_str(text).map(|document| vec![document]).map_err(|error| error.to_string())
    } else if path.ends_with(".yml") || path.ends_with(".yaml") {
        yaml::documents(text)
    } else {
        return;
    };
    let documents = match documents {
        Ok(documents) => documents,
        Err(error) => return report.add("", format!("it can't be read: {error}"), "correct the template"),
    };
    for document in &documents {
        match path {
            "monitoring/rules.yml" => rules(set, &document["groups"], report),
            "monitoring/missing.yml" => rule_list(&document["groups"], report),
            "monitoring/rules.yaml" => rule_list(&document["spec"]["groups"], report),
            "monitoring/alertmanager.yml" => routes(document, report),
            "monitoring/prometheus.yml" => targets(set, document, report),
            "monitoring/dashboard.json" => dashboard(document, report),
            _ => {}
        }
    }
}

/// Each rule by itself.
fn rule_list(groups: &Value, report: &mut Report) {
    let mut names = BTreeSet::new();
    for (g, group) in elements(groups) {
        let name = group["name"].as_str().unwrap_or("");
        if !names.insert(name) {
            report.add(format!("groups[{g}].name"), format!("`{name}` is there twice"), "rename one");
        }
        for (r, rule) in elements(&group["rules"]) {
            let at = |field: &str| format!("groups[{g}].rules[{r}].{field}");
            if rule["expr"].as_str().unwrap_or("").is_empty() {
                report.add(at("expr"), "it has no condition", "write one, in PromQL");
            }
            if rule["for"].as_str().is_none_or(|lasting| lasting.starts_with('0')) {
                report.add(at("for"), "a single bad sample would fire it", "say for how long it must hold");
            }
            let severity = rule["labels"]["severity"].as_str().unwrap_or("");
            if !SEVERITIES.contains(&severity) {
                let message = format!("`{severity}` has no route");
                report.add(at("labels.severity"), message, format!("use one of {}", SEVERITIES.join(", ")));
            }
            for field in ["summary", "description", "runbook_url"] {
                if rule["annotations"][field].as_str().unwrap_or("").is_empty() {
                    let field = format!("annotations.{field}");
                    report.add(at(&field), "whoever is woken would not know what to do", "write it");
                }
            }
        }
    }
}

/// The rules together with their tests and their runbook.
fn rules(set: &RenderedSet, groups: &Value, report: &mut Report) {
    rule_list(groups, report);
    let text = |path: &str| set.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let tests = text("monitoring/rules_test.yml") + &text("monitoring/rules_long_test.yml");
    let runbook = text("monitoring/RUNBOOK.md");
    let mut seen = BTreeSet::new();
    for (g, group) in elements(groups) {
        for (r, rule) in elements(&group["rules"]) {
            let at = format!("groups[{g}].rules[{r}].alert");
            let alert = rule["alert"].as_str().unwrap_or("");
            if !seen.insert(alert.to_owned()) {
                report.add(&at, format!("`{alert}` is there twice"), "rename one");
            }
            if !tests.lines().any(|line| line.trim().strip_prefix("alertname: ") == Some(alert)) {
                report.add(&at, format!("`{alert}` has no test"), "add one to monitoring/rules_test.yml");
            }
            if !runbook.lines().any(|line| line.strip_prefix("## ") == Some(alert)) {
                report.add(&at, format!("`{alert}` is not in the runbook"), "add it to monitoring/RUNBOOK.md");
            }
        }
    }
}

fn routes(document: &Value, report: &mut Report) {
    let receivers: BTreeSet<&str> =
        elements(&document["receivers"]).filter_map(|(_, receiver)| receiver["name"].as_str()).collect();
    let mut known = |at: String, route: &Value| {
        let name = route["receiver"].as_str().unwrap_or("");
        if !receivers.contains(name) {
            report.add(at, format!("there is no receiver `{name}`"), "add it under `receivers`");
        }
    };
    known("route.receiver".to_owned(), &document["route"]);
    for (i, route) in elements(&document["route"]["routes"]) {
        known(format!("route.routes[{i}].receiver"), route);
    }
    let matchers = document["route"]["routes"].to_string();
    for severity in SEVERITIES {
        if !matchers.contains(&format!("severity=\\\"{severity}\\\"")) {
            report.add("route.routes", format!("nobody is told of `{severity}`"), "add a route for it");
        }
    }
    for (i, receiver) in elements(&document["receivers"]) {
        for secret in ["routing_key", "service_key", "api_key", "api_url"] {
            if receiver.to_string().contains(&format!("\"{secret}\":")) {
                let message = format!("`{secret}` is a secret in plain sight");
                report.add(format!("receivers[{i}]"), message, format!("use `{secret}_file`"));
            }
        }
    }
}

/// Files that are read, and hosts that are in compose.yaml.
fn targets(set: &RenderedSet, document: &Value, report: &mut Report) {
    for (i, file) in elements(&document["rule_files"]) {
        let file = file.as_str().unwrap_or("");
        if set.get(&format!("monitoring/{file}")).is_none() {
            report.add(format!("rule_files[{i}]"), format!("there is no file `{file}`"), "render it, or remove it");
        }
    }
    let compose = set.get("compose.yaml").and_then(|bytes| yaml::documents(&String::from_utf8_lossy(bytes)).ok());
    let Some(compose) = compose.as_ref().and_then(|documents| documents.first()) else { return };
    for (i, job) in elements(&document["scrape_configs"]) {
        for (_, group) in elements(&job["static_configs"]) {
            for target in elements(&group["targets"]).filter_map(|(_, target)| target.as_str()) {
                let host = target.trim_start_matches("http://").split([':', '/']).next().unwrap_or("");
                // Names of the world are not ours to know.
                if !target.starts_with("https://") && host != "localhost" && compose["services"].get(host).is_none() {
                    let message = format!("compose.yaml has no service `{host}`");
                    report.add(format!("scrape_configs[{i}]"), message, "add it there, or remove the target");
                }
            }
        }
    }
}

fn dashboard(document: &Value, report: &mut Report) {
    let uid = document["uid"].as_str().unwrap_or("");
    if uid.is_empty() || uid.len() > 40 {
        report.add("uid", "Grafana takes 1 to 40 characters", "shorten it; without one every import makes a new board");
    }
    let mut ids = BTreeSet::new();
    for (i, panel) in elements(&document["panels"]) {
        if !panel["id"].as_u64().is_some_and(|id| ids.insert(id)) {
            report.add(format!("panels[{i}].id"), "it is missing or there twice", "number the panels");
        }
        let is_row = panel["type"] == "row";
        if !is_row && !elements(&panel["targets"]).any(|(_, target)| target["expr"].is_string()) {
            report.add(format!("panels[{i}].targets"), "it shows nothing", "write a query, or remove the panel");
        }
        if !is_row && panel["datasource"]["uid"] != "${datasource}" {
            report.add(format!("panels[{i}].datasource"), "it is bound to one Grafana", "use `${datasource}`");
        }
    }
}
