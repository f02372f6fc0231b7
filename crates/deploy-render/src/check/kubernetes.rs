//! Files for Kubernetes: objects of known shape, which hold together as one set, and kustomizations that list them.

use k8s_templates::Object;
use serde_json::Value;

use super::{Problem, Report, elements};
use crate::set::RenderedSet;
use crate::yaml;

/// Folders whose YAML is objects and kustomizations.
const FOLDERS: [&str; 4] = ["k8s/", "regions/", "config-connector/", "argocd/"];

/// Folders whose objects are applied one at a time, by hand or by what is there before all else.
const UNLISTED: [&str; 2] = ["k8s/jobs/", "argocd/"];

pub(super) fn is_kustomization(path: &str) -> bool {
    path.rsplit('/').next() == Some("kustomization.yaml")
}

pub(super) fn is_manifest(path: &str) -> bool {
    FOLDERS.iter().any(|folder| path.starts_with(folder)) && path.ends_with(".yaml") && !is_kustomization(path)
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
    for (path, _) in set.files().filter(|(path, _)| is_manifest(path)) {
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
        let is_unlisted = UNLISTED.iter().any(|unlisted| path.starts_with(unlisted));
        if !is_unlisted && set.get(&format!("{folder}/kustomization.yaml")).is_none() {
            let mut report = Report { file: path, found };
            report.add("", format!("there is no {folder}/kustomization.yaml that lists it"), "add one");
        }
    }
}

/// Every file of its folder is listed, once, and all that is listed is there.
pub(super) fn check_kustomization(set: &RenderedSet, document: &Value, report: &mut Report) {
    let folder = report.file.trim_end_matches("kustomization.yaml").to_owned();
    let listed: Vec<&str> = elements(&document["resources"]).filter_map(|(_, v)| v.as_str()).collect();
    for (i, name) in listed.iter().enumerate() {
        if set.get(&resource(&folder, name)).is_none() {
            report.add(format!("resources[{i}]"), format!("there is no file `{name}`"), "remove the line");
        }
        if listed[..i].contains(name) {
            report.add(format!("resources[{i}]"), format!("`{name}` is there twice"), "remove one");
        }
    }
    for (path, _) in set.files().filter(|(path, _)| is_manifest(path)) {
        let Some(name) = path.strip_prefix(&folder).filter(|name| !name.contains('/')) else { continue };
        if !listed.contains(&name) {
            report.add("resources", format!("`{name}` is not listed and would never be applied"), "add it");
        }
    }
    check_patches(set, document, report);
}

/// The file a resource is: a folder's is its kustomization.
fn resource(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if path.ends_with(".yaml") { path } else { format!("{path}/kustomization.yaml") }
}

/// A patch for an object that is not there is an error of kustomize's, and one for every object of a kind is a surprise.
fn check_patches(set: &RenderedSet, document: &Value, report: &mut Report) {
    let is_there = |kind: &str, name: &str| {
        let objects = set.files().filter(|(path, _)| is_manifest(path));
        objects
            .filter_map(|(_, bytes)| yaml::documents(&String::from_utf8_lossy(bytes)).ok())
            .flatten()
            .any(|object| object["kind"].as_str() == Some(kind) && object["metadata"]["name"].as_str() == Some(name))
    };
    for (i, patch) in elements(&document["patches"]) {
        let text = |key: &str| patch["target"][key].as_str().unwrap_or("");
        if !is_there(text("kind"), text("name")) {
            let message = format!("there is no {} `{}` to change", text("kind"), text("name"));
            report.add(format!("patches[{i}].target"), message, "name an object that is there");
        }
    }
}
