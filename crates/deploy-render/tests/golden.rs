//! The rendered files of Oviya, byte for byte. `UPDATE_GOLDEN=1 cargo test -p deploy-render` writes them anew; review the
//! difference before committing it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{options, oviya};
use deploy_render::{DatabaseTarget, RenderedSet, check, diff, render};

#[test]
fn tier2_for_the_source() {
    golden("tier2", DatabaseTarget::Source, "oviya-tier2-source");
}

#[test]
fn tier2_for_the_target() {
    golden("tier2", DatabaseTarget::Target, "oviya-tier2-target");
}

#[test]
fn tier3_for_the_target() {
    golden("tier3", DatabaseTarget::Target, "oviya-tier3-target");
}

#[test]
fn the_same_values_give_the_same_bytes() {
    for tier in ["tier2", "tier3"] {
        let once = render(&oviya(), tier, &options(DatabaseTarget::Target)).unwrap();
        let again = render(&oviya(), tier, &options(DatabaseTarget::Target)).unwrap();
        assert_eq!(once, again);
        assert_eq!(once.digest(), again.digest());
    }
}

#[test]
fn nothing_is_wrong_with_what_is_rendered() {
    for tier in ["tier2", "tier3"] {
        for database in [DatabaseTarget::Source, DatabaseTarget::Target] {
            let set = render(&oviya(), tier, &options(database)).unwrap();
            assert_eq!(check(&set), [], "{tier} {database:?}");
        }
    }
}

#[test]
fn the_switch_only_changes_the_name_of_the_secret() {
    let source = render(&oviya(), "tier2", &options(DatabaseTarget::Source)).unwrap();
    let target = render(&oviya(), "tier2", &options(DatabaseTarget::Target)).unwrap();
    let diffs = diff(&source, &target);
    let mut changed = Vec::new();
    for file in diffs.iter().filter(|file| !file.unified.is_empty()) {
        changed.push(file.path.as_str());
        for line in file.unified.lines().skip(2).filter(|line| line.starts_with(['+', '-'])) {
            let line = line.replace('_', "-");
            // The source has no replica, so its reads use the key for writing.
            let about_the_secret =
                line.contains("oviya-database-tier") || line.contains("key: read-url") || line.contains("key: url");
            assert!(about_the_secret, "{}: {line}", file.path);
        }
    }
    assert_eq!(
        changed,
        [".env.example", "ROLLBACK.md", "compose.yaml", "k8s/api.yaml", "k8s/worker.yaml", "render.yaml"]
    );
}

fn golden(tier: &str, database: DatabaseTarget, name: &str) {
    let set = render(&oviya(), tier, &options(database)).unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        update(&set, &dir);
    }
    for (path, bytes) in set.files() {
        let golden = fs::read(dir.join(path)).unwrap_or_default();
        let difference = similar::TextDiff::from_lines(&text(&golden), &text(bytes)).unified_diff().to_string();
        assert!(golden == bytes, "{name}/{path} differs; UPDATE_GOLDEN=1 accepts it:\n{difference}");
    }
    let rendered: BTreeSet<PathBuf> = set.files().map(|(path, _)| dir.join(path)).collect();
    let there: BTreeSet<PathBuf> = common::files_below(&dir).into_iter().collect();
    assert_eq!(rendered, there, "files that are no longer rendered");
}

fn update(set: &RenderedSet, dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).unwrap();
    }
    for (path, bytes) in set.files() {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
