//! `render.yaml`: rules of Render that its schema does not have.

use k8s_templates::looks_secret;
use serde_json::Value;

use super::{Report, elements};
use crate::validate::{RENDER_DATABASE_PLANS, RENDER_SERVICE_PLANS, is_service_plan};

pub(super) fn check(document: &Value, report: &mut Report) {
    if document["previews"]["generation"] != "off" {
        report.add(
            "previews.generation",
            "every pull request would start a paid copy",
            "set it to \"off\", or choose previews on purpose",
        );
    }
    check_databases(document, report);
    let mut names: Vec<&str> = Vec::new();
    for (i, service) in elements(&document["services"]) {
        let at = format!("services[{i}]");
        let name = service["name"].as_str().unwrap_or("");
        if name.is_empty() || names.contains(&name) {
            report.add(format!("{at}.name"), format!("`{name}` is missing or there twice"), "give it its own name");
        }
        names.push(name);
        if service["runtime"] == "static" {
            continue;
        }
        check_plan(&at, service, report);
        match service["type"].as_str().unwrap_or("") {
            "keyvalue" | "redis" => check_allow_list(&at, service, report),
            "web" | "worker" | "pserv" | "cron" => check_service(document, &at, service, report),
            other => report.add(
                format!("{at}.type"),
                format!("Render has no type `{other}`"),
                "use web, worker, pserv, cron or keyvalue",
            ),
        }
    }
}

fn check_databases(document: &Value, report: &mut Report) {
    for (i, database) in elements(&document["databases"]) {
        check_database(&format!("databases[{i}]"), database, report);
    }
}

fn check_plan(at: &str, service: &Value, report: &mut Report) {
    let plan = service["plan"].as_str().unwrap_or("");
    if !is_service_plan(plan) {
        let known: Vec<&str> = RENDER_SERVICE_PLANS.iter().map(|(name, _)| *name).collect();
        let remedy = format!("use one of {}", known.join(", "));
        report.add(format!("{at}.plan"), format!("Render has no plan `{plan}`"), remedy);
    }
}

fn check_database(at: &str, database: &Value, report: &mut Report) {
    let plan = database["plan"].as_str().unwrap_or("");
    if !RENDER_DATABASE_PLANS.contains(&plan) {
        let message = format!("Render sells no database `{plan}` today");
        report.add(
            format!("{at}.plan"),
            message,
            "use e.g. basic-256mb for the old `starter`, basic-1gb for `standard`",
        );
    }
    if let Some(disk) = database["diskSizeGB"].as_u64().filter(|disk| *disk != 1 && disk % 5 != 0) {
        let message = format!("Render has no disk of {disk} GB");
        report.add(format!("{at}.diskSizeGB"), message, "use 1 or a multiple of 5; it can grow later and never shrink");
    }
    if database["readReplicas"].as_array().is_some_and(Vec::is_empty) {
        report.add(format!("{at}.readReplicas"), "an empty list destroys all replicas", "remove the line");
    }
    check_allow_list(at, database, report);
}

fn check_allow_list(at: &str, service: &Value, report: &mut Report) {
    match service["ipAllowList"].as_array() {
        None => report.add(format!("{at}.ipAllowList"), "it must be there", "use [] to let nobody in from outside"),
        Some(list) => {
            if list.iter().any(|entry| entry["source"] == "0.0.0.0/0") {
                report.add(format!("{at}.ipAllowList"), "the whole world may connect", "name addresses, or use []");
            }
        }
    }
}

fn check_service(document: &Value, at: &str, service: &Value, report: &mut Report) {
    let free = service["plan"] == "free";
    let scaling = &service["scaling"];
    if service["type"] == "web" && service["healthCheckPath"].as_str().is_none_or(|path| !path.starts_with('/')) {
        report.add(
            format!("{at}.healthCheckPath"),
            "without it a release that can't work gets traffic",
            "name a path that answers 200 when the service can work",
        );
    }
    if free && !service["maxShutdownDelaySeconds"].is_null() {
        report.add(format!("{at}.maxShutdownDelaySeconds"), "the free plan refuses it", "remove it or change the plan");
    }
    if !scaling.is_null() {
        let (min, max) = (scaling["minInstances"].as_u64(), scaling["maxInstances"].as_u64());
        if min > max || min.is_none_or(|min| min == 0) {
            report.add(
                format!("{at}.scaling"),
                "minInstances must be at least 1 and at most maxInstances",
                "swap them",
            );
        }
        if free {
            report.add(format!("{at}.scaling"), "the free plan can't scale", "remove it or change the plan");
        }
        if !service["disk"].is_null() {
            report.add(format!("{at}.disk"), "a service with a disk can't scale", "remove one of them");
        }
        if !service["numInstances"].is_null() {
            report.add(format!("{at}.numInstances"), "autoscaling owns the number", "remove it");
        }
    }
    if service["type"] == "cron" && service["schedule"].as_str().is_none() {
        report.add(format!("{at}.schedule"), "it says not when it runs", "add five fields, in UTC");
    }
    for (i, variable) in elements(&service["envVars"]) {
        check_variable(document, &format!("{at}.envVars[{i}]"), variable, report);
    }
}

fn check_variable(document: &Value, at: &str, variable: &Value, report: &mut Report) {
    let key = variable["key"].as_str().unwrap_or("");
    if variable["sync"] == false && !variable["value"].is_null() {
        report.add(at, format!("`{key}` is asked for and has a value in plain sight"), "remove the value");
    }
    if let Some(value) = variable["value"].as_str()
        && let Some(why) = looks_secret(key, value)
    {
        report.add(at, format!("`{key}` {why}"), "use `sync: false`");
    }
    let lists = [("fromService", "services"), ("fromDatabase", "databases")];
    for (reference, list) in lists {
        let Some(wanted) = variable[reference]["name"].as_str() else { continue };
        let target = elements(&document[list]).find(|(_, target)| target["name"] == wanted).map(|(_, target)| target);
        match target {
            None => report.add(format!("{at}.{reference}"), format!("there is no `{wanted}` under `{list}`"), "add it"),
            Some(target) if list == "services" && target["type"] != variable[reference]["type"] => {
                report.add(format!("{at}.{reference}.type"), format!("`{wanted}` is of another type"), "use its type");
            }
            Some(_) => {}
        }
    }
}
