//! `pg assess|copy|verify`: the engine's own pieces, without a playbook.

use std::time::Duration;

use pg_session::PgUrl;
use pgmigrate::{
    AssessOptions, Assessment, CopyOptions, Error, LeftOut, OnRefused, Repair, RepairFile, RepairReport, Selection,
    Verification, VerifyOptions,
};
use runbook::{Context, Failure};
use serde_json::json;

use crate::assess_text::{print_assessment, print_findings};
use crate::cli::{Global, Pair, PgCommand, SelectionArgs, VerifyArgs};
use crate::commands::{can_ask, confirm, database_url};
use crate::output::data;
use crate::signals::StopSignals;
use crate::style::{bytes, count, seconds};
use crate::{exit, screen, target_lock};

/// Runs one of them.
pub async fn run(global: &Global, command: PgCommand) -> Result<u8, Failure> {
    match command {
        PgCommand::Assess { pair, selection } => assess(global, &pair, &selection.into()).await,
        PgCommand::Copy { pair, selection, jobs, max_rate, max_source_sessions, split_mb, retry, on_refused, yes } => {
            let (source, target) = urls(&pair)?;
            let mut options = CopyOptions::new(source, target);
            options.jobs = jobs;
            options.selection = selection.into();
            options.max_rate = max_rate;
            options.max_source_sessions = max_source_sessions;
            options.split_bytes = split_mb.map(|mb| (mb as u64).saturating_mul(1024 * 1024));
            options.retry_for = Duration::from_secs(retry);
            options.on_refused = on_refused;
            copy(global, &options, yes).await
        }
        PgCommand::Verify(args) => verify(global, *args).await,
    }
}

impl From<SelectionArgs> for Selection {
    fn from(args: SelectionArgs) -> Self {
        let SelectionArgs { include, exclude, schema_only, data_only, map_schema, map_owner, conditions } = args;
        Self { include, exclude, schema_only, data_only, map_schema, map_owner, conditions }
    }
}

fn urls(pair: &Pair) -> Result<(PgUrl, PgUrl), Failure> {
    Ok((database_url(&pair.source, "--source")?, database_url(&pair.target, "--target")?))
}

async fn assess(global: &Global, pair: &Pair, selection: &Selection) -> Result<u8, Failure> {
    let (source, target) = urls(pair)?;
    let assessment = look(global, source, target, selection).await?;
    if global.json {
        data(format_args!("{}", json!({"event": "assessed", "assessment": assessment})));
    } else {
        print_assessment(&assessment);
    }
    Ok(if assessment.is_blocked() { exit::BLOCKED } else { exit::DONE })
}

async fn look(global: &Global, source: PgUrl, target: PgUrl, selection: &Selection) -> Result<Assessment, Failure> {
    let mut options = AssessOptions::new(source, target);
    options.selection = selection.clone();
    let cx = Context::detached("assess", screen(global));
    Ok(pgmigrate::assess(&options, &cx).await?)
}

async fn copy(global: &Global, options: &CopyOptions, yes: bool) -> Result<u8, Failure> {
    // Who has said yes already is not shown what would happen: the copy looks for itself, and stops for the same reasons.
    if !yes {
        let assessment = look(global, options.source.clone(), options.target.clone(), &options.selection).await?;
        if !global.json {
            print_assessment(&assessment);
        }
        // What is merely refused is decided by the copy itself.
        if assessment.is_blocked() && options.on_refused == OnRefused::Stop {
            if global.json {
                data(format_args!("{}", json!({"event": "assessed", "assessment": assessment})));
            }
            return Ok(exit::BLOCKED);
        }
        confirm(yes, "Copy now?")?;
    }
    let _lock = target_lock::take(&options.target).await?;
    let mut signals = StopSignals::listen()?;
    let screen = screen(global);
    let cx = Context::detached("copy", screen.clone());
    let report = tokio::select! {
        copied = pgmigrate::copy(options, &cx) => copied?,
        () = signals.next() => {
            screen.say_last("stopped. What is copied stays: the same command goes on from there");
            return Ok(exit::PAUSED);
        }
    };
    if global.json {
        data(format_args!("{}", json!({"event": "copied", "report": report})));
    } else {
        if yes {
            print_findings(&report.findings);
        }
        data(format_args!(
            "copied {} tables, {} rows, {} in {}",
            report.tables,
            count(report.rows),
            bytes(report.bytes),
            seconds(report.seconds)
        ));
        if let Some(accuracy) = report.accuracy {
            data(accuracy);
        }
    }
    print_left_out(global, &report.left_out);
    Ok(if report.left_out.is_empty() { exit::DONE } else { exit::BLOCKED })
}

async fn verify(global: &Global, args: VerifyArgs) -> Result<u8, Failure> {
    let (source, target) = urls(&args.pair)?;
    let mut options = VerifyOptions::new(source, target);
    let selection = Selection::from(args.selection);
    options.selection = (!selection.is_everything()).then_some(selection);
    options.jobs = args.jobs;
    options.limit = args.limit;
    let cx = Context::detached("verify", screen(global));
    if args.repair {
        can_ask(args.yes)?;
        return repair(global, options, args.yes, &cx).await;
    }
    // Made before the work, so that a name that cannot be used is refused at once.
    let file = args.repair_sql.as_deref().map(RepairFile::create).transpose()?;
    let Some(mut file) = file else {
        let verification = pgmigrate::verify(&options, &cx).await?;
        show_verification(global, &verification);
        return Ok(code(&verification));
    };
    let plan = Repair::plan(&options, &cx).await?;
    show_verification(global, plan.verification());
    if !plan.is_possible() {
        return Ok(code(plan.verification()));
    }
    let verification = plan.write_sql(&mut file, &cx).await?;
    if !global.json {
        data(format_args!("wrote {}", file.path().display()));
    }
    Ok(code(&verification))
}

async fn repair(global: &Global, options: VerifyOptions, yes: bool, cx: &Context) -> Result<u8, Failure> {
    let _lock = target_lock::take(&options.target).await?;
    let endpoint = options.target.endpoint();
    let plan = Repair::plan(&options, cx).await?;
    show_verification(global, plan.verification());
    if !plan.is_possible() {
        return Ok(code(plan.verification()));
    }
    // Before the question, though it is looked at again afterwards.
    let refusals = plan.refusals().await?;
    if !refusals.is_empty() {
        return Err(Error::Blocked(refusals).into());
    }
    if !global.json {
        for kept in plan.kept_still() {
            data(format_args!("kept still meanwhile: {kept}"));
        }
    }
    confirm(yes, &format!("Change {endpoint} so that it equals the source?"))?;
    let report = plan.apply(cx).await?;
    if global.json {
        data(format_args!("{}", json!({"event": "repaired", "report": report})));
    } else {
        print_repair(&report);
    }
    Ok(code(&report.verification))
}

fn code(verification: &Verification) -> u8 {
    if verification.is_equal() && verification.left_out.is_empty() { exit::DONE } else { exit::BLOCKED }
}

fn show_verification(global: &Global, verification: &Verification) {
    if global.json {
        data(format_args!("{}", json!({"event": "verified", "verification": verification})));
    } else {
        print_verification(verification);
    }
    print_left_out(global, &verification.left_out);
}

/// What a copy left out, and as the last line that it did.
fn print_left_out(global: &Global, left_out: &[LeftOut]) {
    if global.json || left_out.is_empty() {
        return; // JSON has it as `left_out`
    }
    for line in left_out {
        data(format_args!("{line}"));
    }
    data(format_args!(
        "incomplete: {} object(s) of the source are not on the target, by --on-refused skip",
        left_out.len()
    ));
}

fn print_verification(verification: &Verification) {
    print_differences(verification);
    let objects = match verification.large_objects {
        0 => String::new(),
        n => format!(", {} large objects", count(n)),
    };
    data(format_args!(
        "compared {} tables, {} rows{objects} in {}: {}",
        verification.tables,
        count(verification.rows),
        seconds(verification.seconds),
        if verification.is_equal() { "equal" } else { "different" }
    ));
}

fn print_differences(verification: &Verification) {
    for m in &verification.mismatches {
        data(format_args!("{m}"));
    }
    if verification.truncated {
        data(format_args!("... and more: only the first differences of each table are listed"));
    }
    for table in &verification.differing {
        data(format_args!("{table}"));
    }
}

fn print_repair(report: &RepairReport) {
    for name in &report.tables {
        data(format_args!("mended {name}"));
    }
    for failure in &report.failures {
        data(format_args!("{failure}"));
    }
    print_differences(&report.verification);
    data(format_args!(
        "compared what was touched once more: {}",
        if report.verification.is_equal() { "equal" } else { "what is listed above still differs" }
    ));
}
