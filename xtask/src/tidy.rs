//! Which crate may depend on which, asserted from `cargo metadata`, so that the layout in docs/architecture.md holds.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// Our crates and which of ours each may depend on. Tests (`acceptance`) may use everything.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("runbook", &[]),
    ("pg-session", &[]),
    ("pg-sandbox", &[]),
    ("k8s-templates", &[]),
    ("pgmigrate", &["pg-session", "runbook"]),
    ("vector-backfill", &["pg-session", "runbook"]),
    ("deploy-render", &["k8s-templates", "runbook"]),
    ("tierlift", &["runbook", "pg-session", "pgmigrate", "vector-backfill", "deploy-render"]),
    ("xtask", &["tierlift", "pg-sandbox"]),
];

/// Crates that only the edge may use: they print, draw, or erase error types.
const EDGE_ONLY: &[&str] = &["clap", "clap_complete", "indicatif", "anyhow"];
const EDGE: &[&str] = &["tierlift", "xtask", "acceptance"];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// Prints nothing when all is well.
pub fn run() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")?;
    let problems = problems(&metadata);
    if !problems.is_empty() {
        bail!("dependency rules broken:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn problems(metadata: &Metadata) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let ours: Vec<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut problems = Vec::new();
    for package in metadata.packages.iter().filter(|p| p.name != "acceptance") {
        let Some(allowed) = rules.get(package.name.as_str()) else {
            problems.push(format!("{}: a crate without a rule; add it to xtask/src/tidy.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let dev_server = name == "pg-sandbox" && dependency.kind.as_deref() == Some("dev");
            if ours.contains(&name) && !allowed.contains(&name) && !dev_server {
                problems.push(format!("{} may not depend on {name}", package.name));
            }
            if EDGE_ONLY.contains(&name) && !EDGE.contains(&package.name.as_str()) {
                problems.push(format!("{} may not depend on {name}: only the edge prints", package.name));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(package: &str, dependency: &str, kind: Option<&str>, expect: Option<&str>) {
        let empty = |name: &str| Package { name: name.into(), dependencies: Vec::new() };
        let metadata = Metadata {
            packages: vec![
                Package {
                    name: package.into(),
                    dependencies: vec![Dependency { name: dependency.into(), kind: kind.map(Into::into) }],
                },
                empty("runbook"),
                empty("pg-sandbox"),
                empty("pgmigrate"),
                empty("vector-backfill"),
            ],
        };
        let found = problems(&metadata);
        assert_eq!(found.first().map(String::as_str), expect, "{package} -> {dependency}");
    }

    #[test]
    fn rules_hold() {
        check("pgmigrate", "runbook", None, None);
        check("pgmigrate", "pg-sandbox", Some("dev"), None);
        check("acceptance", "pgmigrate", None, None);
        check("tierlift", "clap", None, None);
        check("pgmigrate", "vector-backfill", None, Some("pgmigrate may not depend on vector-backfill"));
        check("pgmigrate", "pg-sandbox", None, Some("pgmigrate may not depend on pg-sandbox"));
        check("runbook", "clap", None, Some("runbook may not depend on clap: only the edge prints"));
        check("newcrate", "serde", None, Some("newcrate: a crate without a rule; add it to xtask/src/tidy.rs"));
    }
}
