//! Every rendered file, read back: is it what it claims to be, and does it hold together?
//!
//! Works on bytes, not on the spec, so that a user's own template is held to the same rules.

mod blueprint;
mod cloud_monitoring;
mod compose;
mod data_plane;
mod dockerfile;
mod env_example;
mod kubernetes;
mod monitoring;
mod pipeline;
mod plain_secrets;
mod web;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::set::RenderedSet;
use crate::yaml;

/// Something wrong with a rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where in it; empty when all of it is meant.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {} ({})", self.message, self.remedy)
    }
}

/// Looks at every file of a set and lists what is wrong, file by file.
pub fn check(set: &RenderedSet) -> Vec<Problem> {
    let mut found = Vec::new();
    for (path, bytes) in set.files() {
        let mut report = Report { file: path, found: &mut found };
        let Ok(text) = std::str::from_utf8(bytes) else {
            report.add("", "it is no UTF-8 text", "correct the template");
            continue;
        };
        plain_secrets::check(text, &mut report);
        match path {
            "compose.yaml" => with_document(text, &mut report, |document, report| {
                compose::check(set, document, report);
            }),
            "cloudbuild.yaml" => with_document(text, &mut report, pipeline::check_build),
            _ if path.starts_with("cloudrun/") => with_document(text, &mut report, pipeline::check_cloud_run),
            _ if path.starts_with(".github/workflows/") => with_document(text, &mut report, pipeline::check_workflow),
            "vercel.json" => with_json(text, &mut report, web::check_vercel),
            "deno.json" => with_json(text, &mut report, web::check_deno),
            "cloudflare/cache-rules.json" | "cloudflare/rate-limits.json" => {
                with_json(text, &mut report, web::check_rules);
            }
            "render.yaml" => with_document(text, &mut report, blueprint::check),
            _ if kubernetes::is_kustomization(path) => with_document(text, &mut report, |document, report| {
                kubernetes::check_kustomization(set, document, report);
            }),
            "Dockerfile" => dockerfile::check(text, &mut report),
            "docker/pgbouncer.ini" => data_plane::pgbouncer(set, text, &mut report),
            "docker/redis.conf" => data_plane::redis(set, text, &mut report),
            "docker/nginx.conf" => data_plane::nginx(set, text, &mut report),
            "postgres/tuning.sql" => data_plane::tuning(set, text, &mut report),
            "postgres/indexes.sql" => data_plane::indexes(set, text, &mut report),
            _ if path.starts_with("cloud-monitoring/") => cloud_monitoring::check(path, text, &mut report),
            _ if path.starts_with("monitoring/") => monitoring::check(set, path, text, &mut report),
            ".env.example" => env_example::check(text, &mut report),
            // The objects of all files are one set of objects: below.
            _ if kubernetes::is_manifest(path) => {}
            _ if path.ends_with(".yaml") || path.ends_with(".yml") => with_document(text, &mut report, |_, _| {}),
            _ if path.ends_with(".json") => with_json(text, &mut report, |_, _| {}),
            _ => {}
        }
    }
    kubernetes::check_manifests(set, &mut found);
    found
}

/// Collects problems of one file.
struct Report<'a> {
    file: &'a str,
    found: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.found.push(Problem {
            file: self.file.to_owned(),
            path: path.into(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}

/// Reads a file that must be JSON.
fn with_json(text: &str, report: &mut Report, check: impl FnOnce(&Value, &mut Report)) {
    match serde_json::from_str(text) {
        Ok(document) => check(&document, report),
        Err(error) => report.add("", format!("it is no JSON: {error}"), "correct the template"),
    }
}

/// Reads a file that must be exactly one YAML mapping.
fn with_document(text: &str, report: &mut Report, check: impl FnOnce(&Value, &mut Report)) {
    match yaml::documents(text) {
        Err(error) => report.add("", format!("it is no YAML: {error}"), "correct the template"),
        Ok(documents) => match documents.as_slice() {
            [document] if document.is_object() => check(document, report),
            _ => report.add("", "it is not one mapping", "correct the template"),
        },
    }
}

/// The entries of a mapping, or nothing.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The elements of a list, or nothing.
pub(crate) fn elements(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

/// Why an image is not pinned, if it is not.
fn unpinned(image: &str) -> Option<String> {
    let name = image.rsplit('/').next().unwrap_or(image);
    if image.contains("@sha256:") {
        return None;
    }
    match name.split_once(':') {
        None => Some(format!("`{image}` has no tag, which means `:latest`")),
        Some((_, "latest" | "")) => Some(format!("`{image}` is another image tomorrow")),
        Some(_) => None,
    }
}
