//! How a tier is watched: its trigger, its gates, the system's alerts and a baseline every tier has, as rules over metrics
//! that exporters really have. Prometheus' files, the dashboard and Google's policies are made from the same rules.

mod baseline;
mod feed;
pub(crate) mod google;
mod panels;
mod readings;

use crate::system::{Op, Rule, Severity, Span, SystemSpec};
use crate::tier::{Monitoring, Platform, TierSpec};

pub(crate) use feed::{Feed, short};
pub(crate) use panels::{Panel, PanelRow};
pub(crate) use readings::{Reading, reading};

/// Where a tier's programs run, as far as exporters differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// In Kubernetes.
    Cluster,
    /// On one machine, with compose.yaml.
    Machine,
    /// With somebody who runs the programs for us and lets nobody scrape.
    Hosted,
}

impl Scene {
    /// A tier that has Kubernetes and compose.yaml runs in the first; the second is there to fall back on.
    pub(crate) fn of(spec: &TierSpec) -> Self {
        if spec.has(Platform::Kubernetes) {
            Self::Cluster
        } else if spec.has(Platform::Compose) {
            Self::Machine
        } else {
            Self::Hosted
        }
    }
}

/// Where a rule comes from; its group in the rules' file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The tier's trigger: it is outgrown.
    Trigger,
    /// A gate of the tier, missed.
    Gate,
    /// An alert of the guide.
    Alert,
    /// What every tier has.
    Baseline,
}

/// When somebody is told.
#[derive(Debug)]
pub(crate) struct WatchRule {
    /// Its name, unique in the tier.
    pub(crate) alert: String,
    pub(crate) origin: Origin,
    pub(crate) reading: &'static Reading,
    /// It fires while this holds.
    pub(crate) op: Op,
    pub(crate) value: f64,
    pub(crate) lasting: Span,
    pub(crate) severity: Severity,
    /// What it means.
    pub(crate) description: String,
    /// How far uptime looks back; both must be missed when there are two.
    pub(crate) windows: Vec<&'static str>,
}

/// The rows of the dashboard.
pub(crate) fn panel_rows() -> &'static [PanelRow] {
    panels::ROWS
}

/// How far uptime looks back where nothing else is said: what a month's promise is about.
const MONTH: &str = "30d";

/// What a tier is watched with: its system, its name, its spec and how long rules must hold.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) system: &'a SystemSpec,
    pub(crate) tier: &'a str,
    pub(crate) spec: &'a TierSpec,
    pub(crate) monitoring: &'a Monitoring,
}

impl<'a> Watched<'a> {
    /// None when nothing watches the tier.
    pub(crate) fn new(system: &'a SystemSpec, tier: &'a str, spec: &'a TierSpec) -> Option<Self> {
        let monitoring = spec.monitoring.as_ref()?;
        let watches = [Platform::Prometheus, Platform::CloudMonitoring];
        watches.iter().any(|platform| spec.has(*platform)).then_some(Self { system, tier, spec, monitoring })
    }

    /// Every rule: trigger, gates, alerts, baseline.
    pub(crate) fn rules(self) -> Vec<WatchRule> {
        let mut rules = self.trigger();
        rules.extend(self.gates());
        rules.extend(self.alerts());
        rules.extend(baseline::rules(self.spec, &rules));
        rules
    }

    fn trigger(self) -> Vec<WatchRule> {
        let Some(trigger) = self.system.tiers.get(self.tier).and_then(|tier| tier.trigger.as_ref()) else {
            return Vec::new();
        };
        let next = match self.next_tier() {
            Some(next) => {
                format!("Prepare {next}: `tierlift migrate --system {} --to {next} --dry-run`.", self.system.system)
            }
            None => "There is no larger tier yet.".to_owned(),
        };
        let rule = |rule: &Rule| {
            let Rule::Metric { metric, op, value, lasting } = rule else { return None };
            Some(WatchRule {
                alert: format!("Outgrown{}{}", camel(metric), threshold(*op, *value)),
                origin: Origin::Trigger,
                reading: reading(metric, self.spec)?,
                op: *op,
                value: *value,
                lasting: lasting.clone().unwrap_or_else(|| self.monitoring.trigger_for.clone()),
                severity: Severity::Ticket,
                description: format!("{} is outgrown: {}. {next}", self.tier, trigger.text),
                windows: vec![MONTH],
            })
        };
        trigger.any_of.iter().filter_map(rule).collect()
    }

    /// A gate is missed while its comparison does not hold.
    fn gates(self) -> Vec<WatchRule> {
        let gates = self.system.tiers.get(self.tier).map_or(&[][..], |tier| &tier.gates);
        let rule = |gate: &crate::system::Gate| {
            let check = gate.check.as_ref()?;
            // How many users a tier carries is what a load test says, not how many are there tonight.
            let metric = if check.metric == "concurrent_users" { "load_test_users" } else { check.metric.as_str() };
            let op = check.op.negated();
            Some(WatchRule {
                alert: format!("Gate{}{}", camel(metric), threshold(op, check.value)),
                origin: Origin::Gate,
                reading: reading(metric, self.spec)?,
                op,
                value: check.value,
                lasting: check.lasting.clone().unwrap_or_else(|| self.monitoring.gate_for.clone()),
                severity: Severity::Ticket,
                description: format!("A gate of {} is missed: {}.", self.tier, gate.text),
                windows: vec![MONTH],
            })
        };
        gates.iter().filter_map(rule).collect()
    }

    fn alerts(self) -> Vec<WatchRule> {
        let mine =
            |alert: &&crate::system::Alert| alert.tiers.is_empty() || alert.tiers.iter().any(|tier| tier == self.tier);
        let rule = |alert: &crate::system::Alert| {
            Some(WatchRule {
                alert: format!("{}{}", camel(&alert.metric), threshold(alert.op, alert.threshold)),
                origin: Origin::Alert,
                reading: reading(&alert.metric, self.spec)?,
                op: alert.op,
                value: alert.threshold,
                lasting: alert.lasting.clone(),
                severity: alert.severity,
                description: alert.message.clone(),
                windows: vec![MONTH],
            })
        };
        self.system.alerts.iter().filter(mine).filter_map(rule).collect()
    }

    /// The tier after this one, where it can be rendered.
    fn next_tier(self) -> Option<&'a str> {
        let mut names = self.system.tier_names().skip_while(|name| *name != self.tier);
        names.nth(1)
    }

    /// What the dollar names in a reading's texts stand for, filled in.
    pub(crate) fn fill(self, text: &str, window: &str) -> String {
        let programs: Vec<&str> = self.programs().collect();
        let namespace = match Scene::of(self.spec) {
            Scene::Cluster => self.spec.namespace.as_deref(),
            Scene::Machine | Scene::Hosted => None,
        };
        let scope = namespace.map_or_else(String::new, |namespace| format!("namespace=\"{namespace}\""));
        let join = |matcher: String| if scope.is_empty() { matcher } else { format!("{scope},{matcher}") };
        let job = programs.first().copied().unwrap_or("api");
        text.replace("$app", &join(format!("job=~\"{}\"", programs.join("|"))))
            .replace("$labels", &join(format!("job=\"{job}\"")))
            .replace("{$scope}", &if scope.is_empty() { String::new() } else { format!("{{{scope}}}") })
            .replace("$scope,", &if scope.is_empty() { String::new() } else { format!("{scope},") })
            .replace("$system", &self.system.system)
            .replace("$window", window)
    }

    /// What answers requests or takes work, and reports about itself.
    pub(crate) fn programs(self) -> impl Iterator<Item = &'a str> {
        let here = |service: &&crate::tier::Service| match Scene::of(self.spec) {
            Scene::Cluster => service.runs_on(Platform::Kubernetes),
            Scene::Machine => service.runs_on(Platform::Compose),
            Scene::Hosted => true,
        };
        self.spec.services.iter().filter(|s| s.kind.keeps_running()).filter(here).map(|s| s.name.as_str())
    }

    /// The reading's value, as PromQL.
    pub(crate) fn value_expr(self, reading: &Reading, window: &str) -> String {
        self.fill(reading.expr, window)
    }

    /// The rule's condition, as PromQL.
    pub(crate) fn expr(self, rule: &WatchRule) -> String {
        let one =
            |window: &&str| format!("{} {} {}", self.value_expr(rule.reading, window), rule.op, short(rule.value));
        match rule.windows.as_slice() {
            [window] => one(window),
            windows => windows.iter().map(|window| format!("({})", one(window))).collect::<Vec<_>>().join(" and "),
        }
    }
}

/// `response_time_p95_ms` as `ResponseTimeP95Ms`.
pub(crate) fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('_').map(word).collect()
}

/// `> 1.5` as `Above1_5`.
fn threshold(op: Op, value: f64) -> String {
    let word = match op {
        Op::AtLeast => "From",
        Op::MoreThan => "Above",
        Op::AtMost => "UpTo",
        Op::LessThan => "Below",
    };
    format!("{word}{}", short(value).replace('.', "_"))
}

/// A metric's name without its unit, and the unit as people write it.
pub(crate) fn label_and_unit(metric: &str) -> (String, &'static str) {
    const UNITS: [(&str, &str); 7] = [
        ("_pct", "%"),
        ("_ms", " ms"),
        ("_s", " s"),
        ("_usd", " US$"),
        ("_minutes", " min"),
        ("_days", " days"),
        ("_pct_month_over_month", "% a month"),
    ];
    let found = UNITS.iter().find_map(|(suffix, unit)| Some((metric.strip_suffix(suffix)?, *unit)));
    let (name, unit) = found.unwrap_or((metric, ""));
    (name.replace('_', " "), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_rules_after_what_they_watch() {
        let check = |metric: &str, op: Op, value: f64, expect: &str| {
            assert_eq!(format!("{}{}", camel(metric), threshold(op, value)), expect);
        };
        check("active_users", Op::AtLeast, 4000.0, "ActiveUsersFrom4000");
        check("response_time_p95_ms", Op::MoreThan, 1500.0, "ResponseTimeP95MsAbove1500");
        check("uptime_pct", Op::AtMost, 99.95, "UptimePctUpTo99_95");
        check("uptime_pct", Op::LessThan, 99.0, "UptimePctBelow99");
    }

    #[test]
    fn tells_units_from_names() {
        let check = |metric: &str, label: &str, unit: &str| {
            assert_eq!(label_and_unit(metric), (label.to_owned(), unit), "{metric}");
        };
        check("response_time_p95_ms", "response time p95", " ms");
        check("memory_pct", "memory", "%");
        check("active_users", "active users", "");
        check("user_growth_pct_month_over_month", "user growth", "% a month");
    }
}
