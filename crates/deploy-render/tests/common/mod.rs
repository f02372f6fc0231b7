//! What the tests of this crate share.
#![allow(dead_code, reason = "every test file uses its own part of it")]

pub mod programs;

use std::path::{Path, PathBuf};

use deploy_render::{DatabaseTarget, RenderOptions, SystemSpec};

/// The systems of the project, by name.
pub const SYSTEMS: [&str; 5] = ["chatbot_saas", "iitj", "jumbo", "oviya", "pitchey"];

/// A system's own system.yaml.
pub fn system_file(system: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks").join(system).join("system.yaml")
}

/// A system as it is.
pub fn system(name: &str) -> SystemSpec {
    SystemSpec::load(&system_file(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// Its text.
pub fn oviya_text() -> String {
    system_text("oviya")
}

/// The text of a system's file.
pub fn system_text(name: &str) -> String {
    std::fs::read_to_string(system_file(name)).unwrap()
}

/// Oviya as it is.
pub fn oviya() -> SystemSpec {
    system("oviya")
}

/// Built-in templates.
pub fn options(database: DatabaseTarget) -> RenderOptions {
    RenderOptions { database, templates_dir: None, overlays_dir: None }
}

/// Every file below a folder.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
