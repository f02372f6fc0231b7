//! `render`: a tier's files, checked, shown as a diff, or written.

use std::path::Path;

use deploy_render::{Before, Change, DatabaseTarget, FileDiff, OnDisk, Problem, RenderOptions, RenderedSet};
use runbook::{Failure, FailureKind};

use crate::cli::{Global, RenderArgs};
use crate::output::{data, talk};
use crate::style::{bytes, colour, paint};
use crate::{exit, systems};

/// Renders and checks; then writes, or only says what it would write.
pub fn run(global: &Global, args: &RenderArgs) -> Result<u8, Failure> {
    let system = systems::with_tier(&global.playbooks, args.system.as_deref(), &args.tier)?;
    let options = RenderOptions {
        database: DatabaseTarget::Target,
        templates_dir: args.templates.clone(),
        overlays_dir: args.overlays.clone(),
    };
    let set = deploy_render::render(&system.spec, &args.tier, &options)?;
    let problems = deploy_render::check(&set);
    if !problems.is_empty() {
        tell(global.json, "problem", &problems);
        return Err(Failure::new(
            FailureKind::Blocked,
            format!("tier {}", args.tier),
            format!("{} in the rendered files", counted(problems.len(), "problem")),
            "mend the tier's `render` section in system.yaml, or your templates; nothing was written",
        ));
    }
    let Some(out) = args.out.as_deref() else {
        if args.check {
            report(global.json, "checked", &set);
            return Ok(exit::DONE);
        }
        return Err(Failure::new(
            FailureKind::InvalidInput,
            "--out",
            "no folder was given",
            "say where the files go with --out DIR, or only look at them with --check",
        ));
    };
    let there = match deploy_render::on_disk(out)? {
        OnDisk::Ours(set) => set,
        OnDisk::Nothing | OnDisk::Empty | OnDisk::Foreign(_) => RenderedSet::default(),
    };
    let differences: Vec<FileDiff> =
        deploy_render::diff(&there, &set).into_iter().filter(|d| d.change != Change::Unchanged).collect();
    let for_good = deploy_render::one_way(&there, &set);
    if args.diff {
        print_diff(global.json, &differences);
    }
    tell(global.json, "one_way", &for_good);
    if args.diff {
        return Ok(if differences.is_empty() { exit::DONE } else { exit::PENDING });
    }
    if !for_good.is_empty() && !args.accept_irreversible {
        return Err(Failure::new(
            FailureKind::Blocked,
            format!("folder {}", out.display()),
            format!("{} that the platform refuses or never takes back", counted(for_good.len(), "change")),
            "leave those as they were, or say --accept-irreversible; nothing was written",
        ));
    }
    if args.check {
        report(global.json, "checked", &set);
        return Ok(exit::DONE);
    }
    write(global, &set, out)?;
    report(global.json, "written", &set);
    Ok(exit::DONE)
}

/// Keeps the set that was there below the state folder, and says where.
fn write(global: &Global, set: &RenderedSet, out: &Path) -> Result<(), Failure> {
    let before = Before::of(out)?;
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S%.3f").to_string();
    let keep = global.state_dir.join("previous-sets").join(stamp);
    let written = deploy_render::write(set, out, &keep, &before)?;
    if written.changed && before.state == deploy_render::State::Set {
        talk(format_args!("the files that were there are kept in {}", keep.display()));
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn tell(json: bool, event: &str, problems: &[Problem]) {
    for problem in problems {
        match json {
            true => data(format_args!("{}", serde_json::json!({"event": event, "problem": problem}))),
            false => talk(format_args!("{problem}")),
        }
    }
}

fn report(json: bool, what: &str, set: &RenderedSet) {
    if json {
        let files: Vec<&str> = set.files().map(|(path, _)| path).collect();
        data(format_args!("{}", serde_json::json!({"event": what, "files": files, "digest": set.digest()})));
        return;
    }
    for (path, content) in set.files() {
        data(format_args!("  {path:<40} {:>9}", bytes(content.len() as u64)));
    }
    data(format_args!("{} files {what}, {}", set.len(), bytes(set.total_bytes())));
}

fn print_diff(json: bool, differences: &[FileDiff]) {
    let on = colour();
    for difference in differences {
        if json {
            data(format_args!("{}", serde_json::json!({"event": "file", "file": difference})));
            continue;
        }
        for line in difference.unified.lines() {
            let code = match line.as_bytes().first() {
                Some(b'+') => "32",
                Some(b'-') => "31",
                Some(b'@') => "36",
                _ => "0",
            };
            data(format_args!("{}", paint(on && code != "0", code, line)));
        }
    }
}
