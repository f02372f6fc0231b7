//! A plan as a person reads it.

use runbook::{Effect, Plan, StepPreview, UsdRange};

use crate::output::{data, program};
use crate::reporter::severity_word;
use crate::style::{bytes, colour, count, dollars, paint, seconds, severity_colour, wrapped};

/// A finding's text is broken at this width; with its indent it fits a terminal of 100 columns.
const FINDING_COLUMNS: usize = 84;

/// Prints the head of a plan, then every step with what it would change, its estimate, its findings and its undo.
pub fn print_plan(plan: &Plan, previews: &[StepPreview]) {
    print_head(plan);
    let program = program();
    let on = colour();
    for (i, step) in plan.steps.iter().enumerate() {
        let seen = previews.get(i);
        let effect = match (step.effect, seen.is_some_and(|s| s.done)) {
            (_, true) => "already done",
            (Effect::ReadOnly, _) => "read-only",
            (Effect::Reversible, _) => "reversible",
            (Effect::Irreversible, _) => "IRREVERSIBLE",
        };
        data(format_args!("\n{:>2}  {}  {} ({effect})", i + 1, paint(on, "1", &step.id), step.title));
        for change in &step.changes {
            data(format_args!("      {change}"));
        }
        let mut estimate = Vec::new();
        estimate.extend(step.rows.map(|rows| format!("{} rows", count(rows))));
        estimate.extend(step.bytes.map(bytes));
        estimate.extend(step.worst_case_ms.map(|ms| format!("at most {}", seconds(ms as f64 / 1000.0))));
        if !estimate.is_empty() {
            data(format_args!("      estimate: {}", estimate.join(", ")));
        }
        if !step.undo.is_empty() {
            data(format_args!("      undo: {}", step.undo));
        }
        for finding in seen.iter().flat_map(|s| pgmigrate::grouped(&s.preview.findings)) {
            let word = paint(on, severity_colour(finding.severity), severity_word(finding.severity));
            let text = format!("{}: {}; {}", finding.object, finding.message, finding.remedy);
            let mut lines = wrapped(&text, FINDING_COLUMNS).into_iter();
            data(format_args!("      {word} {}", lines.next().unwrap_or_default()));
            for line in lines {
                data(format_args!("              {line}"));
            }
        }
    }
    data("");
    if let Some(i) = plan.irreversible_from {
        data(format_args!("There is no way back from step {} on.", plan.steps[i].id));
    } else {
        data(format_args!("Every step can be undone: {program} rollback RUN."));
    }
    data(format_args!(
        "Worst case {}. Valid until {}.",
        seconds(plan.worst_case_ms as f64 / 1000.0),
        plan.expires_at.strftime("%F %T UTC")
    ));
}

/// Prints which plan it is, between which databases, at what cost.
pub fn print_head(plan: &Plan) {
    let on = colour();
    let digest = plan.digest();
    data(format_args!(
        "{}  {} {} -> {}",
        paint(on, "1", &format!("plan {}", &digest[..12])),
        plan.system,
        plan.from,
        plan.to
    ));
    for which in ["source", "target"] {
        let fact = |name: &str| plan.fingerprint.get(&format!("{which} {name}"));
        if let (Some(endpoint), Some(version)) = (fact("endpoint"), fact("version")) {
            data(format_args!("  {which:<8} {endpoint}  PostgreSQL {version}"));
        }
    }
    if let Some(cost) = &plan.cost {
        data(format_args!("  cost     {} -> {} a month", range(&cost.before), range(&cost.after)));
    }
}

fn range(range: &UsdRange) -> String {
    dollars(range.low_cents as f64 / 100.0, Some(range.high_cents as f64 / 100.0))
}
