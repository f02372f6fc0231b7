//! Files under `k8s/`: objects of known shape, which hold together as one set, and a kustomization that lists them.

use k8s_templates::Object;
use serde_json::Value;

use super::{Problem, Report, elements};
use crate::set::RenderedSet;
use crate::yaml;

const KUSTOMIZATION: &str = "k8s/kustomization.yaml";

pub(super) fn is_manifest(path: &str) -> bool {
    path.starts_with("k8s/") && path != KUSTOMIZATION && path.ends_with(".yaml")
}

pub(super) fn check_manifests(set: &RenderedSet, found: &mut Vec<Problem>) {
    let mut objects = Vec::new();
    let mut homes = Vec::new();
    for (path, bytes) in set.files().filter(|(path, _)| is_manifest(path)) {
        let mut report = Report { file: path, found };
        let documents = match yaml::documents(&String::from_utf8_lossy(bytes)) {
            Ok(documents) => documents,
            Err(error) => {
                report.add("", format!("it is no YAML: {error}"), "correct the template");
                continue;
            }
        };
        for document in documents {
            match Object::from_value(document) {
                Ok(object) => {
                    homes.push((object.title(), path));
                    objects.push(object);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
                    report.add("", format!("{error}{cause}"), "correct the template");
                }
            }
        }
    }
    for problem in k8s_templates::check(&objects) {
        let home = homes.iter().find(|(title, _)| *title == problem.object).map_or("k8s", |(_, path)| *path);
        found.push(Problem {
            file: home.to_owned(),
            path: format!("{} {}", problem.object, problem.path),
            message: problem.message,
            remedy: problem.remedy,
        });
    }
}

pub(super) fn check_kustomization(set: &RenderedSet, document: &Value, report: &mut Report) {
    let listed: Vec<&str> = elements(&document["resources"]).filter_map(|(_, v)| v.as_str()).collect();
    for (i, name) in listed.iter().enumerate() {
        if set.get(&format!("k8s/{name}")).is_none() {
            report.add(format!("resources[{i}]"), format!("there is no file `{name}`"), "remove the line");
        }
        if listed[..i].contains(name) {
            report.add(format!("resources[{i}]"), format!("`{name}` is there twice"), "remove one");
        }
    }
    for (path, _) in set.files().filter(|(path, _)| is_manifest(path)) {
        let name = path.trim_start_matches("k8s/");
        if !listed.contains(&name) {
            report.add("resources", format!("`{name}` is not listed and would never be applied"), "add it");
        }
    }
}
