//! What a `system.yaml` must satisfy beyond its shape: names that are names, numbers that fit each other.

mod cluster;
mod names;
mod service;
mod stores;
mod tier;
mod web;

use std::fmt;

use k8s_templates::Quantity;
use serde::Serialize;

use names::Validator;

use crate::system::{Rule, SystemSpec, Tier};
use crate::tier::{Engine, Eviction, Platform, TierSpec};

/// A value of a `system.yaml` that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecProblem {
    /// Where, e.g. `tiers.tier2.render.services[0].scaling`.
    pub at: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.at, self.message, self.remedy)
    }
}

pub(crate) use service::{RENDER_SERVICE_PLANS, is_service_plan};
pub(crate) use stores::RENDER_DATABASE_PLANS;

/// All that is wrong with a system.
pub(crate) fn validate(system: &SystemSpec) -> Vec<SpecProblem> {
    let mut v = Validator { at: String::new(), problems: Vec::new() };
    // Folders and databases have underscores; where a platform refuses them, they become `-`.
    v.name("system", &system.slug());
    v.line("title", &system.title);
    if system.tiers.is_empty() {
        v.add("tiers", "there is no tier", "describe at least one");
    }
    tier_order(&mut v, system);
    for (name, tier) in &system.tiers {
        v.at = format!("tiers.{name}.");
        v.name("", name);
        tier_facts(&mut v, tier);
        if let Some(spec) = &tier.render {
            v.at.push_str("render.");
            tier::tier_spec(&mut v, spec);
            cluster::kubernetes(&mut v, system, spec);
            selector(&mut v, system, spec);
            replaced_machine(&mut v, system, name, spec);
        }
    }
    v.at.clear();
    let known = |tier: &String| system.tiers.contains_key(tier);
    for (i, alert) in system.alerts.iter().enumerate() {
        let at = format!("alerts[{i}]");
        for tier in alert.tiers.iter().chain(&alert.to).filter(|t| !known(t)) {
            v.add(&at, format!("there is no tier `{tier}`"), "name one of `tiers`");
        }
        v.metric(&at, &alert.metric);
    }
    if let Some(tier) = system.status.tier.as_ref().filter(|tier| !known(tier)) {
        v.add("status.tier", format!("there is no tier `{tier}`"), "name one of `tiers`");
    }
    let projections = system.revenue.iter().flat_map(|revenue| &revenue.projections);
    for (i, p) in projections.enumerate() {
        let at = format!("revenue.projections[{i}]");
        if !known(&p.tier) {
            v.add(&at, format!("there is no tier `{}`", p.tier), "name one of `tiers`");
        }
        if p.revenue_usd_month - p.cost_usd_month != p.profit_usd_month {
            v.add(&at, "profit is not revenue less cost", "correct one of the three");
        }
    }
    v.problems
}

/// A value the programs do not know would silently be taken for the least of those they do.
fn selector(v: &mut Validator, system: &SystemSpec, spec: &TierSpec) {
    let Some(selector) = &system.selector else { return };
    let variable = spec.environment.iter().enumerate().find(|(_, variable)| variable.name == selector.variable);
    let Some((i, variable)) = variable else {
        let message = format!("`{}` is missing, by which the programs tell the tiers apart", selector.variable);
        return v.add("environment", message, "add it with the tier's value");
    };
    if !variable.value.as_ref().is_some_and(|value| selector.handled.contains(value)) {
        let message = format!("the programs do not handle this value of `{}`", selector.variable);
        let remedy =
            format!("use one of {}, or teach the programs and add it to `selector`", selector.handled.join(", "));
        v.add(&format!("environment[{i}]"), message, remedy);
    }
}

/// A move between machines has two, and a database on each that is the machine's own.
fn replaced_machine(v: &mut Validator, system: &SystemSpec, name: &str, spec: &TierSpec) {
    let Some(replaced) = spec.machine.as_ref().and_then(|machine| machine.replaces.as_ref()) else { return };
    let at = "machine.replaces";
    let before = system.tier_order.iter().take_while(|tier| *tier != name).any(|tier| tier == replaced);
    let there = system.tiers.get(replaced).and_then(|tier| tier.render.as_ref());
    match there.filter(|there| before && there.has(Platform::Compose)) {
        None => v.add(at, format!("no tier before has a machine `{replaced}`"), "name one with platform compose"),
        Some(there) => {
            let own = |spec: &TierSpec| spec.database.as_ref().is_some_and(|db| db.engine == Engine::SelfHosted);
            if !own(spec) || !own(there) {
                v.add(at, "there is no database on both machines to be moved", "remove it, or use self_hosted");
            }
            if spec.cache.as_ref().is_some_and(|cache| cache.eviction == Eviction::Noeviction) {
                v.add(
                    at,
                    "Redis starts empty there, and nothing in this one may be lost",
                    "drain its queues, or use one that stays",
                );
            }
        }
    }
}

/// Every tier once, or some part would come in an order nobody chose.
fn tier_order(v: &mut Validator, system: &SystemSpec) {
    for (i, name) in system.tier_order.iter().enumerate() {
        let at = format!("tier_order[{i}]");
        if !system.tiers.contains_key(name) {
            v.add(&at, format!("there is no tier `{name}`"), "name one of `tiers`");
        }
        if system.tier_order[..i].contains(name) {
            v.add(&at, format!("`{name}` is there twice"), "remove one");
        }
    }
    for name in system.tiers.keys().filter(|name| !system.tier_order.contains(name)) {
        v.add(
            "tier_order",
            format!("the tier `{name}` is missing"),
            "add it where it belongs, the smallest tier first",
        );
    }
}

fn tier_facts(v: &mut Validator, tier: &Tier) {
    if let Some(users) = tier.users.filter(|users| users.min > users.max) {
        v.add("users", format!("from {} to {} is no range", users.min, users.max), "swap them");
    }
    v.line("name", &tier.name);
    if let Some(cost) = &tier.cost_usd_month {
        v.range("cost_usd_month.headline", cost.headline);
        for (i, item) in cost.items.iter().enumerate() {
            v.range(&format!("cost_usd_month.items[{i}].usd"), item.usd);
        }
    }
    if let Some(trigger) = &tier.trigger {
        if trigger.any_of.is_empty() {
            v.add("trigger.any_of", "there is no rule", "write one, or remove the trigger");
        }
        for (i, rule) in trigger.any_of.iter().enumerate() {
            if let Rule::Metric { metric, .. } = rule {
                v.metric(&format!("trigger.any_of[{i}]"), metric);
            }
        }
    }
    for (i, gate) in tier.gates.iter().enumerate() {
        if let Some(check) = &gate.check {
            v.metric(&format!("gates[{i}].check"), &check.metric);
        }
    }
}

/// Whether a value that should be public looks like a secret.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    k8s_templates::looks_secret(name, value).is_some()
}

/// A quantity known to be valid when the program is written.
pub(crate) fn quantity(text: &'static str) -> Quantity {
    Quantity::parse(text).expect("a constant quantity is valid")
}
