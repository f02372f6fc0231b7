//! `render`: a tier's files, checked, shown as a diff, or written.

use std::path::Path;

use deploy_render::{Before, Change, DatabaseTarget, FileDiff, OnDisk, Problem, RenderOptions, RenderedSet};
use runbook::{Failure, FailureKind};

use crate::cli::{Global, RenderArgs};
use crate::output::{data, talk};
use crate::style::{bytes, colour, paint};
use crate::{exit, systems};

/// Renders and checks, or takes a set that was kept; then writes, or only says what it would write.
pub fn run(global: &Global, args: &RenderArgs) -> Result<u8, Failure> {
    let set = match (&args.kept, &args.tier) {
        (Some(kept), _) => kept_set(kept)?,
        (None, Some(tier)) => rendered_set(global, args, tier)?,
        (None, None) => {
            return Err(missing("--tier", "no tier was given", "name one with --tier; `tierlift tiers` lists them"));
        }
    };
    let Some(out) = args.out.as_deref() else {
        if args.check {
            report(global.json, "checked", &set);
            return Ok(exit::DONE);
        }
        let hint = "say where the files go with --out DIR, or only look at them with --check";
        return Err(missing("--out", "no folder was given", hint));
    };
    let there = deploy_render::there(out, &set).map_err(nothing_was_written)?;
    let differences: Vec<FileDiff> =
        deploy_render::diff(&there, &set).into_iter().filter(|d| d.change != Change::Unchanged).collect();
    let for_good = deploy_render::one_way(&there, &set);
    if args.diff {
        print_diff(global.json, &differences);
    }
    tell(global.json, "one_way", &for_good);
    if args.diff || args.check {
        tell_foreign(global.json, out)?;
    }
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
    let changed = write(global, &set, out).map_err(nothing_was_written)?;
    report(global.json, if changed { "written" } else { "there already" }, &set);
    Ok(exit::DONE)
}

fn missing(option: &str, message: &str, hint: &str) -> Failure {
    Failure::new(FailureKind::InvalidInput, option, message, hint)
}

/// A tier's files, without a problem in them.
fn rendered_set(global: &Global, args: &RenderArgs, tier: &str) -> Result<RenderedSet, Failure> {
    let system = systems::with_tier(&global.playbooks, args.system.as_deref(), tier)?;
    let options = RenderOptions {
        database: DatabaseTarget::Target,
        templates_dir: args.templates.clone(),
        overlays_dir: args.overlays.clone(),
    };
    let set = deploy_render::render(&system.spec, tier, &options)?;
    let problems = deploy_render::check(&set);
    if problems.is_empty() {
        return Ok(set);
    }
    tell(global.json, "problem", &problems);
    Err(Failure::new(
        FailureKind::Blocked,
        format!("tier {tier}"),
        format!("{} in the rendered files", counted(problems.len(), "problem")),
        "mend the tier's `render` section in system.yaml, or your templates; nothing was written",
    ))
}

/// A set as it was kept. It was there before, so today's rules are not asked about it.
fn kept_set(kept: &Path) -> Result<RenderedSet, Failure> {
    let object = format!("folder {}", kept.display());
    let hint = "name a folder that `render` said it kept the files in, unchanged";
    match deploy_render::on_disk(kept).map_err(nothing_was_written)? {
        OnDisk::Ours(set) => Ok(set),
        OnDisk::Foreign(foreign) => Err(missing(&object, &format!("it is no kept set: {foreign}"), hint)),
        OnDisk::Nothing | OnDisk::Empty => Err(missing(&object, "there are no files in it", hint)),
    }
}

/// A folder is replaced as a whole or not at all, so what the file system refuses is a folder that can't be used.
fn nothing_was_written(error: impl Into<Failure>) -> Failure {
    let mut failure = error.into();
    if failure.kind == FailureKind::Failed {
        failure.kind = FailureKind::InvalidInput;
    }
    failure
}

/// That writing would be refused, and why.
fn tell_foreign(json: bool, out: &Path) -> Result<(), Failure> {
    if let OnDisk::Foreign(foreign) = deploy_render::on_disk(out).map_err(nothing_was_written)? {
        match json {
            true => {
                data(format_args!("{}", serde_json::json!({"event": "foreign", "folder": out, "foreign": foreign})))
            }
            false => talk(format_args!(
                "{} would not be replaced: it holds what tierlift did not write: {foreign}",
                out.display()
            )),
        }
    }
    Ok(())
}

/// Keeps the set that was there below the state folder, and says where. False when the same set was there.
fn write(global: &Global, set: &RenderedSet, out: &Path) -> Result<bool, Failure> {
    let before = Before::of(out)?;
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S%.3f").to_string();
    let keep = global.state_dir.join("previous-sets").join(stamp);
    let written = deploy_render::write(set, out, &keep, &before)?;
    if written.changed && before.state == deploy_render::State::Set {
        talk(format_args!("the files that were there are kept in {}", keep.display()));
        talk(format_args!("the way back: tierlift render --out {} --kept {}", quoted(out), quoted(&keep)));
    }
    Ok(written.changed)
}

/// A path as a POSIX shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
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
        for (i, line) in difference.unified.lines().enumerate() {
            let code = match line.as_bytes().first() {
                // The names of the file, whose lines begin as those that come and go do.
                _ if i < 2 => "1",
                Some(b'+') => "32",
                Some(b'-') => "31",
                Some(b'@') => "36",
                _ => "0",
            };
            data(format_args!("{}", paint(on && code != "0", code, line)));
        }
    }
}
