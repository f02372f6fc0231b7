//! `pg assess|copy|verify`: the engine's own pieces, without a playbook.

use pg_session::PgUrl;
use pgmigrate::{AssessOptions, Assessment, CopyOptions, Selection, Verification, VerifyOptions};
use runbook::{Context, Failure, Finding};
use serde_json::json;

use crate::cli::{Global, Pair, PgCommand, SelectionArgs};
use crate::commands::{confirm, database_url};
use crate::output::data;
use crate::reporter::severity_word;
use crate::style::{bytes, count, seconds};
use crate::{exit, screen, target_lock};

/// Runs one of them.
pub async fn run(global: &Global, command: PgCommand) -> Result<u8, Failure> {
    match command {
        PgCommand::Assess { pair, selection } => assess(global, &pair, &selection.into()).await,
        PgCommand::Copy { pair, selection, jobs, max_rate, max_source_sessions, yes } => {
            let (source, target) = urls(&pair)?;
            let mut options = CopyOptions::new(source, target);
            options.jobs = jobs;
            options.selection = selection.into();
            options.max_rate = max_rate;
            options.max_source_sessions = max_source_sessions;
            copy(global, &options, yes).await
        }
        PgCommand::Verify { pair, selection, jobs } => verify(global, &pair, selection.into(), jobs).await,
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
        if assessment.is_blocked() {
            if global.json {
                data(format_args!("{}", json!({"event": "assessed", "assessment": assessment})));
            }
            return Ok(exit::BLOCKED);
        }
        confirm(yes, "Copy now?")?;
    }
    let _lock = target_lock::take(&options.target).await?;
    let report = pgmigrate::copy(options, &Context::detached("copy", screen(global))).await?;
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
    }
    Ok(exit::DONE)
}

async fn verify(global: &Global, pair: &Pair, selection: Selection, jobs: Option<usize>) -> Result<u8, Failure> {
    let (source, target) = urls(pair)?;
    let mut options = VerifyOptions::new(source, target);
    options.jobs = jobs;
    options.selection = (!selection.is_everything()).then_some(selection);
    let verification = pgmigrate::verify(&options, &Context::detached("verify", screen(global))).await?;
    if global.json {
        data(format_args!("{}", json!({"event": "verified", "verification": verification})));
    } else {
        print_verification(&verification);
    }
    Ok(if verification.is_equal() { exit::DONE } else { exit::BLOCKED })
}

fn print_assessment(assessment: &Assessment) {
    for (which, facts) in [("source", &assessment.source), ("target", &assessment.target)] {
        data(format_args!("{which}  {}  PostgreSQL {}  {:?}", facts.endpoint, facts.version, facts.provider));
    }
    for table in &assessment.tables {
        data(format_args!("  {:<40} {:>14} rows {:>10}", table.table, count(table.rows), bytes(table.bytes)));
    }
    print_findings(&assessment.findings);
}

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        data(format_args!("{}  {}: {}", severity_word(finding.severity), finding.object, finding.message));
        data(format_args!("         {}", finding.remedy));
    }
}

fn print_verification(verification: &Verification) {
    for m in &verification.mismatches {
        data(format_args!("{m}"));
    }
    if verification.truncated {
        data(format_args!("... and more: only the first differences of each table are listed"));
    }
    data(format_args!(
        "compared {} tables, {} rows in {}: {}",
        verification.tables,
        count(verification.rows),
        seconds(verification.seconds),
        match verification.mismatches.len() {
            0 => "equal".to_owned(),
            n => format!("{n} differences"),
        }
    ));
}
