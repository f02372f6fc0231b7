//! `tiers`: what each system's tiers are for and cost, and where their guide contradicts itself.

use runbook::Failure;

use crate::cli::{Global, TiersArgs};
use crate::output::data;
use crate::style::{colour, paint};
use crate::{exit, systems};

/// Prints every tier of every system, or of one.
pub fn run(global: &Global, args: &TiersArgs) -> Result<u8, Failure> {
    let chosen = match &args.system {
        Some(name) => vec![systems::one(&global.playbooks, name)?],
        None => systems::all(&global.playbooks)?,
    };
    for system in &chosen {
        if global.json {
            data(format_args!("{}", serde_json::to_string(&system.spec).expect("a system has string keys only")));
        } else {
            print(system)?;
        }
    }
    Ok(exit::DONE)
}

fn print(system: &systems::System) -> Result<(), Failure> {
    let colour = colour();
    let spec = &system.spec;
    data(format_args!("{}  {}", paint(colour, "1", &spec.system), spec.title));
    let width = spec.tier_names().map(str::len).max().unwrap_or(0).max(8);
    data(format_args!("  {:<width$} {:>14} {:>14}  focus", "tier", "users", "$/month"));
    for (name, tier) in spec.tiers_in_order() {
        let users = tier.users.map_or_else(|| "-".to_owned(), |users| users.to_string());
        let cost = tier.cost_usd_month.as_ref().map_or_else(|| "-".to_owned(), |cost| cost.headline.to_string());
        data(format_args!("  {name:<width$} {users:>14} {cost:>14}  {}", tier.key_focus));
    }
    for (name, tier) in spec.tiers_in_order() {
        data(format_args!("\n{}  {}", paint(colour, "1", name), tier.name));
        if let Some(architecture) = &tier.architecture {
            data(format_args!("  {architecture}"));
        }
        for (component, what) in &tier.components {
            data(format_args!("  {component:<12} {what}"));
        }
        if let Some(trigger) = &tier.trigger {
            data(format_args!("  outgrown     {}", trigger.text));
        }
        for gate in &tier.gates {
            data(format_args!("  gate         {}", gate.text));
        }
        for conflict in tier.all_conflicts() {
            data(format_args!("  {}     {conflict}", paint(colour, "33", "conflict")));
        }
        for finding in &tier.findings {
            data(format_args!("  {}      {finding}", paint(colour, "33", "finding")));
        }
    }
    let transitions = system.transitions_text()?;
    if !transitions.is_empty() {
        data(format_args!("\n  playbooks    {transitions}"));
    }
    Ok(())
}
