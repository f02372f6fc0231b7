//! `compose.yaml`: images, limits, health, ports, and names that must be somewhere.

use k8s_templates::looks_secret;
use serde_json::Value;

use super::{Report, elements, entries, unpinned};
use crate::set::RenderedSet;

pub(super) fn check(set: &RenderedSet, document: &Value, report: &mut Report) {
    let mut memory = 0;
    for (name, service) in entries(&document["services"]) {
        let at = format!("services.{name}");
        match service["image"].as_str() {
            Some(image) => {
                if let Some(message) = unpinned(image) {
                    report.add(format!("{at}.image"), message, "pin a version or a digest");
                }
            }
            None => report.add(format!("{at}.image"), "it has no image", "name one with a version"),
        }
        if !service["healthcheck"]["test"].is_array() {
            report.add(format!("{at}.healthcheck"), "nothing asks whether it is well", "add a health check");
        }
        let limit = &service["deploy"]["resources"]["limits"]["memory"];
        match limit.as_str().and_then(mebibytes) {
            Some(mib) => memory += mib,
            None => report.add(
                format!("{at}.deploy.resources.limits.memory"),
                "it may take all of the machine's memory",
                "set a limit such as 512M",
            ),
        }
        check_ports(&at, service, report);
        check_references(document, &at, service, report);
        check_environment(&at, service, report);
        check_mounts(set, &at, service, report);
    }
    for (name, secret) in entries(&document["secrets"]) {
        if secret["file"].as_str().is_none() {
            report.add(format!("secrets.{name}"), "its value is not in a file", "use `file:`");
        }
    }
    if let Some(machine) = document["x-machine"]["memory_mib"].as_u64()
        && memory > machine
    {
        let message = format!("the services may take {memory} MiB together, the machine has {machine}");
        report.add("x-machine.memory_mib", message, "lower the limits or use a larger machine");
    }
}

fn check_ports(at: &str, service: &Value, report: &mut Report) {
    for (i, port) in elements(&service["ports"]) {
        let text = port.as_str().unwrap_or("");
        if !text.starts_with("127.0.0.1:") && !text.starts_with("[::1]:") {
            report.add(
                format!("{at}.ports[{i}]"),
                format!("`{}` is open to the network, past the machine's firewall", port_text(port)),
                "start it with 127.0.0.1:",
            );
        }
    }
}

fn port_text(port: &Value) -> String {
    port.as_str().map_or_else(|| port.to_string(), str::to_owned)
}

fn check_references(document: &Value, at: &str, service: &Value, report: &mut Report) {
    let mut named = |kind: &str, path: String, name: &str| {
        if document[kind].get(name).is_none() {
            report.add(path, format!("there is no `{name}` under `{kind}`"), format!("add it under `{kind}`"));
        }
    };
    for (name, _) in entries(&service["depends_on"]) {
        named("services", format!("{at}.depends_on"), name);
    }
    for (i, name) in elements(&service["depends_on"]) {
        named("services", format!("{at}.depends_on[{i}]"), name.as_str().unwrap_or(""));
    }
    for (i, secret) in elements(&service["secrets"]) {
        let name = secret.as_str().or(secret["source"].as_str()).unwrap_or("");
        named("secrets", format!("{at}.secrets[{i}]"), name);
    }
    for (i, name) in elements(&service["networks"]) {
        named("networks", format!("{at}.networks[{i}]"), name.as_str().unwrap_or(""));
    }
    for (i, volume) in elements(&service["volumes"]) {
        let source = volume.as_str().unwrap_or("").split(':').next().unwrap_or("");
        if !source.is_empty() && !source.starts_with(['.', '/', '$', '~']) {
            named("volumes", format!("{at}.volumes[{i}]"), source);
        }
    }
}

fn check_environment(at: &str, service: &Value, report: &mut Report) {
    let secrets: Vec<&str> =
        elements(&service["secrets"]).filter_map(|(_, s)| s.as_str().or(s["target"].as_str())).collect();
    for (name, value) in entries(&service["environment"]) {
        let value = value.as_str().unwrap_or("");
        let path = format!("{at}.environment.{name}");
        if let Some(file) = value.strip_prefix("/run/secrets/") {
            if !secrets.contains(&file) {
                let message = format!("the service does not get the secret `{file}`");
                report.add(path, message, format!("add it under {at}.secrets"));
            }
        } else if let Some(why) = looks_secret(name, value) {
            report.add(path, format!("`{name}` {why}"), "make it a secret that is a file");
        }
    }
}

/// Files of the set that are mounted must be in the set.
fn check_mounts(set: &RenderedSet, at: &str, service: &Value, report: &mut Report) {
    for (i, volume) in elements(&service["volumes"]) {
        let source = volume.as_str().unwrap_or("").split(':').next().unwrap_or("");
        if let Some(file) = source.strip_prefix("./")
            && set.get(file).is_none()
        {
            report.add(format!("{at}.volumes[{i}]"), format!("there is no file `{file}`"), "render it, or remove it");
        }
    }
}

/// Docker's sizes, in MiB rounded up.
pub(super) fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let shift = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    Some((number << shift).div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn reads_sizes_as_docker_does() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(mebibytes(text), expect, "{text}");
        check("512M", Some(512));
        check("2g", Some(2048));
        check("2GiB", Some(2048));
        check("1", Some(1));
        check("64mb", Some(64));
        check("x", None);
        check("", None);
    }
}
