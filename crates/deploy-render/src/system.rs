//! `playbooks/<system>/system.yaml`: a system, its tiers, what they cost and when they are outgrown.

mod figures;
mod load;
mod span;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use figures::{Op, Range, Users};
pub use load::SpecError;
pub use span::{Span, SpanError};

use crate::tier::TierSpec;

/// A system as its `system.yaml` describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemSpec {
    /// Short name, also the folder's.
    pub system: String,
    /// Name for people.
    pub title: String,
    /// What it is and where it stands.
    pub status: Status,
    /// The variable by which its programs tell the tiers apart, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The names of the tiers, the smallest first: a mapping has no order of its own.
    pub tier_order: Vec<String>,
    /// The tiers by name.
    pub tiers: BTreeMap<String, Tier>,
    /// Alert rules the guide wants, tier by tier or on the way to the next.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// The guide's figures that belong to no single tier.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// What customers pay and what that brings in, where the guide says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Revenue>,
    /// Where to ask, by tier.
    #[serde(default)]
    pub support: Vec<Support>,
    /// Where the guide contradicts itself, beyond what a single tier says.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// What is wrong or missing in the guide, beyond what a single tier says.
    #[serde(default)]
    pub findings: Vec<String>,
    /// What the guide says to do next.
    #[serde(default)]
    pub next_steps: Vec<String>,
}

/// Where the system stands today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// In a word or two.
    pub label: String,
    /// The tier it is at, where the guide says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What is there.
    #[serde(default)]
    pub has: Vec<String>,
    /// What is missing.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// The variable by which a system's programs tell the tiers apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Its name.
    pub variable: String,
    /// The values the programs handle; any other would silently be taken for the least of them.
    pub handled: Vec<String>,
}

/// A tier: for how many users, at what cost, made of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Name for people.
    pub name: String,
    /// For how many users, where the guide says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
    /// When, as the guide plans it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<String>,
    /// US dollars a month, where the guide says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd_month: Option<Cost>,
    /// What it is about.
    pub key_focus: String,
    /// What it must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// What talks to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Which product plays which part: hosting, database, cache and so on.
    #[serde(default)]
    pub components: BTreeMap<String, String>,
    /// Services by name, where the guide splits the system.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    /// The steps to get here from the tier below.
    #[serde(default)]
    pub upgrades: Vec<String>,
    /// What users notice.
    #[serde(default)]
    pub new_features: Vec<String>,
    /// What it can't do.
    #[serde(default)]
    pub limitations: Vec<String>,
    /// The guide's figures.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// What to watch.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Files the guide asks for.
    #[serde(default)]
    pub files: Vec<String>,
    /// When it is outgrown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// What it must pass.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Where the guide contradicts itself.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// What is wrong in the guide, and what is done instead.
    #[serde(default)]
    pub findings: Vec<String>,
    /// What to render; a tier without it can't be rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render: Option<TierSpec>,
}

/// What a tier costs a month: the guide's headline and its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The figure the guide leads with.
    pub headline: Range,
    /// What it is made of; empty where the guide does not say.
    #[serde(default)]
    pub items: Vec<CostItem>,
}

/// One item of a tier's cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostItem {
    /// What is paid for.
    pub name: String,
    /// US dollars a month.
    pub usd: Range,
}

/// When a tier is outgrown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// In the guide's words.
    pub text: String,
    /// As rules, any of which is enough.
    pub any_of: Vec<Rule>,
}

/// One rule of a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "a rule is {metric, op, value, for} or {manual}")]
pub enum Rule {
    /// A metric passes a value.
    Metric {
        /// Which, with its unit last.
        metric: String,
        /// How it is compared.
        op: Op,
        /// With what.
        value: f64,
        /// For how long without a break; `monitoring.trigger_for` where nobody says.
        #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
        lasting: Option<Span>,
    },
    /// A person decides.
    Manual {
        /// About what.
        manual: String,
    },
}

/// Something a tier must pass: always a text, a number where the guide has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// In the guide's words.
    pub text: String,
    /// As a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<GateCheck>,
}

/// A gate as a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateCheck {
    /// Which metric, with its unit last.
    pub metric: String,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: f64,
    /// For how long without a break; `monitoring.gate_for` where nobody says.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Span>,
}

/// An alert rule: while a tier runs, or on the way from one tier to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// The tiers it watches; empty means all.
    #[serde(default)]
    pub tiers: Vec<String>,
    /// The tier to prepare, when it says that those are outgrown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Which metric, with its unit last.
    pub metric: String,
    /// How it is compared.
    pub op: Op,
    /// Where it fires.
    pub threshold: f64,
    /// For how long without a break.
    #[serde(rename = "for")]
    pub lasting: Span,
    /// How soon somebody must look.
    pub severity: Severity,
    /// What it says, and what to do.
    pub message: String,
    /// Why it waits so long, where the guide does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How soon somebody must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Now, also at night.
    Page,
    /// In working hours.
    Ticket,
    /// At the next review.
    Notice,
}

/// What customers pay and what that brings in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revenue {
    /// What is sold.
    pub plans: Vec<Plan>,
    /// What that brings in, tier by tier.
    pub projections: Vec<Projection>,
    /// When income meets cost.
    pub break_even: String,
    /// When it exceeds it.
    pub profitable: String,
}

/// Something that is sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// US dollars a month.
    pub price_usd_month: f64,
    /// What it has.
    pub features: Vec<String>,
}

/// Income and cost of a tier at its upper end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// The tier.
    pub tier: String,
    /// Users.
    pub users: u64,
    /// Percent of them who pay.
    pub conversion_pct: f64,
    /// How many that is.
    pub paid: u64,
    /// US dollars a month.
    pub revenue_usd_month: i64,
    /// US dollars a month.
    pub cost_usd_month: i64,
    /// US dollars a month.
    pub profit_usd_month: i64,
}

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// From which tier on.
    pub tier: String,
    /// Who.
    pub name: String,
    /// Where.
    pub url: String,
}

impl Tier {
    /// Where the guide contradicts itself about this tier: what is written down, and what its sums show.
    pub fn all_conflicts(&self) -> Vec<String> {
        let mut conflicts = Vec::new();
        if let Some(cost) = &self.cost_usd_month
            && !cost.items.is_empty()
            && cost.sum() != cost.headline
        {
            let (sum, headline) = (cost.sum(), cost.headline);
            conflicts.push(format!("the cost items sum to ${sum} a month, the headline says ${headline}"));
        }
        conflicts.extend(self.conflicts.iter().cloned());
        conflicts
    }
}

impl Cost {
    /// What the items sum to.
    pub fn sum(&self) -> Range {
        Range {
            min: self.items.iter().map(|item| item.usd.min).sum(),
            max: self.items.iter().map(|item| item.usd.max).sum(),
        }
    }
}
