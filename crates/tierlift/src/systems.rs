//! Finds systems and their playbooks on disk: `<playbooks>/<system>/system.yaml` and `<from>-to-<to>.yaml`.

use std::path::{Path, PathBuf};

use deploy_render::SystemSpec;
use runbook::{Failure, FailureKind};

/// A system and where its files are.
pub struct System {
    /// What its `system.yaml` says.
    pub spec: SystemSpec,
    /// The folder with its playbooks.
    pub dir: PathBuf,
}

impl System {
    /// Its `system.yaml`.
    pub fn file(&self) -> PathBuf {
        self.dir.join("system.yaml")
    }

    /// Refuses a tier the system does not have.
    ///
    /// # Errors
    /// `InvalidInput`, listing the tiers there are.
    pub fn require_tier(&self, tier: &str) -> Result<(), Failure> {
        let known: Vec<&str> = self.spec.tier_names().collect();
        if known.contains(&tier) {
            return Ok(());
        }
        Err(invalid(
            format!("tier {tier}"),
            format!("system {} has no such tier", self.spec.system),
            format!("use one of {}", known.join(", ")),
        ))
    }

    /// The playbook that leads to `to`, from `from` when several do.
    ///
    /// # Errors
    /// `InvalidInput` when none or several fit.
    pub fn playbook(&self, from: Option<&str>, to: &str) -> Result<PathBuf, Failure> {
        let transitions = self.transitions()?;
        let fitting: Vec<&(String, String, PathBuf)> =
            transitions.iter().filter(|(f, t, _)| t == to && from.is_none_or(|from| from == f)).collect();
        match fitting.as_slice() {
            [(_, _, path)] => Ok(path.clone()),
            [] => {
                let all = self.transitions_text()?;
                Err(invalid(
                    format!("system {}", self.spec.system),
                    match from {
                        Some(from) => format!("has no playbook from {from} to {to}"),
                        None => format!("has no playbook that leads to {to}"),
                    },
                    format!("there are playbooks for: {}", if all.is_empty() { "none" } else { &all }),
                ))
            }
            several => {
                let froms: Vec<&str> = several.iter().map(|(f, _, _)| f.as_str()).collect();
                Err(invalid(
                    format!("tier {to}"),
                    format!("several playbooks lead there, from {}", froms.join(", ")),
                    "say which with --from TIER".to_owned(),
                ))
            }
        }
    }

    /// `tier1 to tier2, ...`, for people; empty when there is no playbook.
    ///
    /// # Errors
    /// `InvalidInput` when its folder can't be read.
    pub fn transitions_text(&self) -> Result<String, Failure> {
        Ok(self.transitions()?.iter().map(|(f, t, _)| format!("{f} to {t}")).collect::<Vec<_>>().join(", "))
    }

    fn transitions(&self) -> Result<Vec<(String, String, PathBuf)>, Failure> {
        let mut found = Vec::new();
        for path in entries(&self.dir)? {
            let stem = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned);
            let yaml = path.extension().is_some_and(|e| e == "yaml");
            if let (true, Some((from, to))) = (yaml, stem.as_deref().and_then(|s| s.split_once("-to-"))) {
                found.push((from.to_owned(), to.to_owned(), path.clone()));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Every system below `playbooks`, by name.
///
/// # Errors
/// `InvalidInput` when the folder or a `system.yaml` can't be read.
pub fn all(playbooks: &Path) -> Result<Vec<System>, Failure> {
    let mut systems = Vec::new();
    for dir in entries(playbooks)? {
        let file = dir.join("system.yaml");
        if file.is_file() {
            systems.push(System { spec: SystemSpec::load(&file)?, dir });
        }
    }
    systems.sort_by(|a, b| a.spec.system.cmp(&b.spec.system));
    Ok(systems)
}

/// The named system, which must have the tier; without a name the only one that has it.
///
/// # Errors
/// `InvalidInput` when there is no such system or tier, or none was named and several have the tier.
pub fn with_tier(playbooks: &Path, name: Option<&str>, tier: &str) -> Result<System, Failure> {
    if let Some(name) = name {
        let system = one(playbooks, name)?;
        system.require_tier(tier)?;
        return Ok(system);
    }
    let mut systems = all(playbooks)?;
    let of = |system: &System| {
        format!("{} ({})", system.spec.system, system.spec.tier_names().collect::<Vec<_>>().join(", "))
    };
    let known = systems.iter().map(of).collect::<Vec<_>>().join(", ");
    systems.retain(|system| system.spec.tiers.contains_key(tier));
    match systems.len() {
        1 => Ok(systems.swap_remove(0)),
        0 => Err(invalid(
            format!("tier {tier}"),
            format!("no system below {} has it", playbooks.display()),
            match known.is_empty() {
                true => "give the folder that holds <system>/system.yaml with --playbooks DIR".to_owned(),
                false => format!("use a tier of {known}"),
            },
        )),
        _ => Err(invalid(
            format!("tier {tier}"),
            format!("{} systems have it", systems.len()),
            format!("say which with --system: {}", names(&systems)),
        )),
    }
}

/// The named system.
///
/// # Errors
/// `InvalidInput` when it does not exist.
pub fn one(playbooks: &Path, name: &str) -> Result<System, Failure> {
    let mut systems = all(playbooks)?;
    match systems.iter().position(|system| system.spec.system == name) {
        Some(at) => Ok(systems.swap_remove(at)),
        None => Err(invalid(
            format!("system {name}"),
            format!("not found below {}", playbooks.display()),
            format!("use one of {}", names(&systems)),
        )),
    }
}

fn names(systems: &[System]) -> String {
    systems.iter().map(|system| system.spec.system.as_str()).collect::<Vec<_>>().join(", ")
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        invalid(
            dir.display().to_string(),
            format!("cannot be read: {error}"),
            "run from the project's folder, or give the folder that holds <system>/system.yaml with --playbooks DIR"
                .to_owned(),
        )
    };
    std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(unreadable)
}

fn invalid(object: String, message: String, hint: String) -> Failure {
    Failure::new(FailureKind::InvalidInput, object, message, hint)
}
