//! An assessment as a person reads it: what blocks first, then what will differ, then notes, sizes, time, what to do.

use pgmigrate::{Assessment, Forecast, Provider, TableFacts, grouped};
use runbook::{Finding, Severity};

use crate::output::{data, program};
use crate::style::{bytes, colour, count, paint, seconds, severity_colour, wrapped};

/// A finding's text is broken at this width; with its indent it fits a terminal of 100 columns.
const COLUMNS: usize = 92;

/// The largest tables are listed, the rest is summed up.
const TABLES: usize = 10;

/// Prints all of it.
pub fn print_assessment(assessment: &Assessment) {
    let on = colour();
    for (which, server) in [("source", &assessment.source), ("target", &assessment.target)] {
        data(format_args!(
            "{}  {}  PostgreSQL {}, {}, {}",
            paint(on, "1", which),
            server.endpoint,
            server.version,
            provider_name(server.provider),
            server.collation,
        ));
    }
    print_findings(&assessment.findings);
    print_tables(&assessment.tables, on);
    print_forecast(&assessment.forecast, on);
    print_summary(assessment, on);
}

/// Prints findings by severity, those that say the same of several objects once.
pub fn print_findings(findings: &[Finding]) {
    let on = colour();
    for (severity, title, meaning) in [
        (Severity::Blocks, "BLOCKS", "nothing is copied before this is settled"),
        (Severity::Changes, "CHANGES", "this will be different on the target"),
        (Severity::Note, "NOTES", "nothing to do for a copy"),
    ] {
        let alike: Vec<Finding> = grouped(findings).into_iter().filter(|f| f.severity == severity).collect();
        if alike.is_empty() {
            continue;
        }
        let title = paint(on, &format!("1;{}", severity_colour(severity)), title);
        data(format_args!("\n{title} ({}): {meaning}", alike.len()));
        let mut last = "";
        for finding in &alike {
            print_finding(finding, finding.object != last, on);
            last = &finding.object;
        }
    }
}

fn print_finding(finding: &Finding, with_object: bool, on: bool) {
    if with_object {
        for line in wrapped(&finding.object, COLUMNS) {
            data(format_args!("  {}", paint(on, "1", &line)));
        }
    }
    for line in wrapped(&finding.message, COLUMNS) {
        data(format_args!("      {line}"));
    }
    for (i, line) in wrapped(&finding.remedy, COLUMNS - 3).iter().enumerate() {
        data(format_args!("      {} {line}", if i == 0 { "->" } else { "  " }));
    }
}

fn print_tables(tables: &[TableFacts], on: bool) {
    if tables.is_empty() {
        data("\nThe source has no tables of the application.");
        return;
    }
    data(format_args!("\n{} ({}), largest first", paint(on, "1", "TABLES"), count(tables.len() as u64)));
    let shown = &tables[..tables.len().min(TABLES)];
    let width = shown.iter().map(|t| t.table.chars().count()).max().unwrap_or(0).clamp(20, 50);
    for table in shown {
        data(format_args!("  {:<width$} {:>14} rows {:>10}", table.table, count(table.rows), bytes(table.bytes)));
    }
    let rest = &tables[shown.len()..];
    if !rest.is_empty() {
        let (rows, size) = rest.iter().fold((0, 0), |(rows, size), t| (rows + t.rows, size + t.bytes));
        let name = format!("... and {} more", count(rest.len() as u64));
        data(format_args!("  {name:<width$} {:>14} rows {:>10}", count(rows), bytes(size)));
    }
}

fn print_forecast(forecast: &Forecast, on: bool) {
    let worst = forecast.worst_case().seconds.unwrap_or(forecast.seconds);
    data(format_args!(
        "\n{} about {} ({} at worst) for {} rows, {} on the way, with {} workers",
        paint(on, "1", "ESTIMATE"),
        seconds(forecast.seconds),
        seconds(worst),
        count(forecast.rows),
        bytes(forecast.bytes),
        forecast.jobs,
    ));
    data(format_args!(
        "  schema {}, rows {}, indexes {}, waiting for answers {}",
        seconds(forecast.schema_seconds),
        seconds(forecast.rows_seconds),
        seconds(forecast.index_seconds),
        seconds(forecast.round_trip_seconds),
    ));
    let reads = match forecast.source_bytes_per_second {
        Some(speed) => format!("{}/s measured", bytes(speed as u64)),
        None => "too little to measure its speed".to_owned(),
    };
    data(format_args!(
        "  source: {:.1} ms away, {reads}; target: {:.1} ms away, {}/s a worker assumed",
        forecast.source_round_trip_ms,
        forecast.target_round_trip_ms,
        bytes(forecast.target_bytes_per_second as u64),
    ));
}

fn print_summary(assessment: &Assessment, on: bool) {
    let findings = grouped(&assessment.findings);
    let of = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (blocks, changes, notes) = (of(Severity::Blocks), of(Severity::Changes), of(Severity::Note));
    let program = program();
    let (code, verdict) = match blocks {
        0 => ("32", "ready to copy".to_owned()),
        n => ("31", format!("blocked by {n}")),
    };
    data(format_args!("\n{}: {changes} changes, {notes} notes", paint(on, &format!("1;{code}"), &verdict)));
    let next = if blocks > 0 {
        format!("Settle what is listed under BLOCKS, then look again with {program} pg assess.")
    } else {
        format!("Read what will be different, then start with {program} pg copy; --json lists every object.")
    };
    data(next);
}

fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Supabase => "Supabase",
        Provider::Neon => "Neon",
        Provider::CloudSql => "Cloud SQL",
        Provider::AlloyDb => "AlloyDB",
        Provider::Plain => "no provider's",
    }
}
