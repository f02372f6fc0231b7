//! Rules, their tests and the dashboard, as templates see them.

use serde::Serialize;

use crate::system::{Op, Severity};
use crate::tier::{Channels, ClusterProvider, Domain};
use crate::watch::{Origin, Panel, PanelRow, Reading, Scene, WatchRule, Watched, label_and_unit, panel_rows, short};

#[derive(Debug, Serialize)]
pub(crate) struct WatchView {
    /// Rules by where they come from.
    pub(crate) groups: Vec<GroupView>,
    /// The same rules by the steps their tests take.
    short_rules: Vec<RuleView>,
    long_rules: Vec<RuleView>,
    /// Rules that tell of metrics nobody exports.
    pub(crate) missing: Vec<MissingView>,
    /// How long such a metric must be gone.
    missing_for: String,
    /// When a test must not find them yet, and when it must, in minutes.
    missing_before_minutes: u64,
    missing_after_minutes: u64,
    /// Every metric of the rules once.
    pub(crate) metrics: Vec<MetricView>,
    /// Programs that report about themselves.
    pub(crate) programs: Vec<ProgramView>,
    channels: Channels,
    rows: Vec<RowView>,
    /// Identifier of the dashboard, the same every time.
    uid: String,
    /// URLs the probes ask, besides the proxy on the machine.
    public_urls: Vec<String>,
    on_google: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct GroupView {
    pub(crate) name: String,
    origin: Origin,
    pub(crate) rules: Vec<RuleView>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct RuleView {
    pub(crate) alert: String,
    origin: Origin,
    metric: &'static str,
    pub(crate) expr: String,
    pub(crate) lasting: String,
    pub(crate) severity: Severity,
    /// With the value's place, as Prometheus fills it.
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) runbook_url: String,
    /// The condition in words.
    condition: String,
    means: &'static str,
    from: &'static str,
    look: &'static str,
    /// The label of the test's series that the rule keeps.
    by_job: Option<String>,
    /// The summary its test expects.
    fired_summary: String,
    /// Series with a value that makes it fire, and with one that must not.
    firing: Vec<SeriesView>,
    quiet: Vec<SeriesView>,
    /// When it must not fire yet, and when it must, in minutes.
    before_minutes: u64,
    after_minutes: u64,
    /// Whether its test takes large steps.
    #[serde(skip)]
    is_long: bool,
}

#[derive(Debug, Clone, Serialize)]
struct SeriesView {
    series: String,
    values: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct MissingView {
    metric: &'static str,
    pub(crate) expr: String,
    severity: Severity,
    pub(crate) runbook_url: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct MetricView {
    pub(crate) name: &'static str,
    means: &'static str,
    from: &'static str,
    expr: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProgramView {
    pub(crate) name: String,
    port: Option<u16>,
    readiness: Option<String>,
}

#[derive(Debug, Serialize)]
struct RowView {
    id: u32,
    title: &'static str,
    y: u32,
    panels: Vec<PanelView>,
}

#[derive(Debug, Serialize)]
struct PanelView {
    id: u32,
    title: String,
    unit: String,
    x: u32,
    y: u32,
    targets: Vec<TargetView>,
    /// Values from which it matters, smallest first.
    thresholds: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct TargetView {
    id: char,
    expr: String,
    legend: String,
}

/// How long a metric may be missing: longer than a release.
const MISSING_FOR_MINUTES: u64 = 30;

/// From how long on a rule's test takes large steps, and how large; a week in minutes would take a minute a rule.
const LONG_MINUTES: u64 = 60;
const LONG_STEP_MINUTES: u64 = 15;

pub(crate) fn watch_view(watched: Watched, domains: &[Domain]) -> WatchView {
    let rules = watched.rules();
    let origins = [Origin::Trigger, Origin::Gate, Origin::Alert, Origin::Baseline];
    let group = |origin: Origin| {
        let mine: Vec<RuleView> =
            rules.iter().filter(|rule| rule.origin == origin).map(|rule| rule_view(watched, rule)).collect();
        let name = format!("{}-{}-{}", watched.system.slug(), watched.tier, group_word(origin));
        (!mine.is_empty()).then_some(GroupView { name, origin, rules: mine })
    };
    let mut readings: Vec<&'static Reading> = Vec::new();
    for rule in &rules {
        if !readings.iter().any(|reading| reading.metric == rule.reading.metric) {
            readings.push(rule.reading);
        }
    }
    let service = |name: &str| watched.spec.service(name);
    let groups: Vec<GroupView> = origins.into_iter().filter_map(group).collect();
    let all = || groups.iter().flat_map(|group| &group.rules).cloned();
    let (long_rules, short_rules) = all().partition(|rule| rule.is_long);
    WatchView {
        groups,
        short_rules,
        long_rules,
        missing: readings.iter().map(|reading| missing_view(watched, reading)).collect(),
        missing_for: format!("{MISSING_FOR_MINUTES}m"),
        missing_before_minutes: MISSING_FOR_MINUTES - 1,
        missing_after_minutes: MISSING_FOR_MINUTES + 1,
        metrics: readings
            .iter()
            .map(|reading| MetricView {
                name: reading.metric,
                means: reading.means,
                from: reading.from,
                expr: watched.value_expr(reading, "30d"),
            })
            .collect(),
        programs: watched
            .programs()
            .map(|name| ProgramView {
                name: name.to_owned(),
                port: service(name).and_then(|service| service.port),
                readiness: service(name).and_then(|s| s.health.as_ref()).map(|health| health.readiness.clone()),
            })
            .collect(),
        channels: watched.monitoring.channels,
        rows: rows(watched, &rules),
        uid: format!("{}-{}", watched.system.slug(), watched.tier),
        public_urls: domains.iter().map(|domain| format!("https://{}/", domain.host)).collect(),
        on_google: Scene::of(watched.spec) == Scene::Cluster
            && watched.spec.cluster.as_ref().is_none_or(|cluster| cluster.provider == ClusterProvider::Gke),
    }
}

fn group_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Trigger => "trigger",
        Origin::Gate => "gates",
        Origin::Alert => "alerts",
        Origin::Baseline => "baseline",
    }
}

fn rule_view(watched: Watched, rule: &WatchRule) -> RuleView {
    let reading = rule.reading;
    let (label, unit) = label_and_unit(reading.metric);
    let condition = format!("{label} {} {}{unit}", rule.op, short(rule.value));
    let summary =
        |value: &str| format!("{} {}: {label} is {value}{unit} ({condition})", watched.system.title, watched.tier);
    let beyond = beyond(rule);
    let fired_summary = summary(&format!("{beyond:.2}"));
    let minutes = rule.lasting.seconds() / 60;
    let expr = watched.expr(rule);
    let is_long = minutes >= LONG_MINUTES;
    let step = if is_long { LONG_STEP_MINUTES } else { 1 };
    // A rate needs a second sample, and an hour's increase an hour of them.
    let first = if reading.feeds.iter().any(|feed| feed.counts()) { step } else { 0 };
    let warm_up = if expr.contains("increase(") && expr.contains("[1h]") { 65 } else { 10 + step };
    let series = |value: f64| {
        let fill = |feed: &crate::watch::Feed| {
            let (series, values) = feed.fill(value, minutes + warm_up + step);
            SeriesView { series: watched.fill(&series, ""), values }
        };
        reading.feeds.iter().map(fill).collect()
    };
    RuleView {
        alert: rule.alert.clone(),
        origin: rule.origin,
        metric: reading.metric,
        lasting: rule.lasting.to_string(),
        severity: rule.severity,
        summary: summary("{{ $value | printf \"%.2f\" }}"),
        fired_summary,
        description: format!("{} For {} so far.", rule.description, rule.lasting),
        runbook_url: runbook_url(watched, &rule.alert),
        condition,
        means: reading.means,
        from: reading.from,
        look: reading.look,
        by_job: reading.by_job().then(|| watched.programs().next().unwrap_or("api").to_owned()),
        firing: series(beyond),
        quiet: series(within(rule)),
        // One step before it may fire; nothing is known of it before the first step.
        before_minutes: first + (minutes.div_ceil(step) * step).saturating_sub(step),
        is_long,
        after_minutes: (minutes + warm_up).div_ceil(step) * step,
        expr,
    }
}

/// A value that makes a rule fire: the threshold itself where it counts and is exact, otherwise one well beyond.
fn beyond(rule: &WatchRule) -> f64 {
    let value = rule.value;
    let found = match rule.op {
        Op::AtLeast | Op::AtMost if rule.reading.is_exact() => value,
        Op::AtLeast | Op::MoreThan if is_percent(rule) => value + (100.0 - value) / 2.0,
        Op::AtLeast | Op::MoreThan if value == 0.0 => 1.0,
        Op::AtLeast | Op::MoreThan => value * 1.2,
        Op::AtMost | Op::LessThan if value <= 1.0 => 0.0,
        Op::AtMost | Op::LessThan => value * 0.8,
    };
    // Two digits, as the summary has them.
    (found * 100.0).round() / 100.0
}

/// A value at which a rule must stay silent: the threshold itself where it does not count and is exact.
fn within(rule: &WatchRule) -> f64 {
    let value = rule.value;
    match rule.op {
        Op::MoreThan | Op::LessThan if rule.reading.is_exact() => value,
        Op::MoreThan | Op::AtLeast => value * 0.8,
        Op::LessThan | Op::AtMost if is_percent(rule) => value + (100.0 - value) / 2.0,
        Op::LessThan | Op::AtMost => value * 1.2,
    }
}

fn is_percent(rule: &WatchRule) -> bool {
    rule.reading.metric.ends_with("_pct")
}

fn missing_view(watched: Watched, reading: &'static Reading) -> MissingView {
    MissingView {
        metric: reading.metric,
        expr: format!("absent({})", watched.value_expr(reading, "30d")),
        severity: if reading.is_measured_once() { Severity::Notice } else { Severity::Ticket },
        runbook_url: runbook_url(watched, "MetricMissing"),
    }
}

/// The place in RUNBOOK.md: where the repository shows it, or the path when it is not known where that is.
pub(crate) fn runbook_url(watched: Watched, alert: &str) -> String {
    let path = format!("{}/monitoring/RUNBOOK.md#{}", watched.spec.deploy_path, alert.to_ascii_lowercase());
    match &watched.spec.repository {
        Some(repository) => format!("{}/blob/{}/{path}", repository.url, repository.branch),
        None => path,
    }
}

/// Grafana's grid has 24 columns; three panels a line.
const PANEL_WIDTH: u32 = 8;
const PANEL_HEIGHT: u32 = 8;

fn rows(watched: Watched, rules: &[WatchRule]) -> Vec<RowView> {
    let mut rows = vec![("What decides", deciding(watched, rules))];
    for PanelRow { title, when, panels } in panel_rows() {
        if when(watched.spec) {
            rows.push((title, panels.iter().map(|panel| panel_parts(watched, panel, rules)).collect()));
        }
    }
    let (mut id, mut y) = (0, 0);
    let mut next_id = || {
        id += 1;
        id
    };
    let mut views = Vec::new();
    for (title, panels) in rows.into_iter().filter(|(_, panels)| !panels.is_empty()) {
        let mut view = RowView { id: next_id(), title, y, panels: Vec::new() };
        y += 1;
        for (i, parts) in (0..).zip(panels) {
            let PanelParts { title, unit, targets, thresholds } = parts;
            let (x, line) = (i % 3 * PANEL_WIDTH, i / 3 * PANEL_HEIGHT);
            view.panels.push(PanelView { id: next_id(), title, unit, x, y: y + line, targets, thresholds });
        }
        y += PANEL_HEIGHT * u32::try_from(view.panels.len().div_ceil(3)).unwrap_or(1);
        views.push(view);
    }
    views
}

struct PanelParts {
    title: String,
    unit: String,
    targets: Vec<TargetView>,
    thresholds: Vec<f64>,
}

/// A panel for every metric that triggers, gates and alerts are about.
fn deciding(watched: Watched, rules: &[WatchRule]) -> Vec<PanelParts> {
    let mut panels: Vec<PanelParts> = Vec::new();
    for (i, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.origin != Origin::Baseline) {
        let metric = rule.reading.metric;
        if rules[..i].iter().any(|other| other.reading.metric == metric) {
            continue;
        }
        let (label, _) = label_and_unit(metric);
        let legend = label.clone();
        panels.push(PanelParts {
            title: capital(&label),
            unit: grafana_unit(metric).to_owned(),
            targets: vec![TargetView { id: 'A', expr: watched.value_expr(rule.reading, "30d"), legend }],
            thresholds: thresholds(metric, rules),
        });
    }
    panels
}

fn panel_parts(watched: Watched, panel: &Panel, rules: &[WatchRule]) -> PanelParts {
    let target = |(id, (expr, legend)): (char, &(&str, &str))| TargetView {
        id,
        expr: watched.fill(expr, "30d"),
        legend: (*legend).to_owned(),
    };
    PanelParts {
        title: panel.title.to_owned(),
        unit: panel.unit.to_owned(),
        targets: ('A'..).zip(panel.targets).map(target).collect(),
        thresholds: panel.metric.map_or_else(Vec::new, |metric| thresholds(metric, rules)),
    }
}

fn thresholds(metric: &str, rules: &[WatchRule]) -> Vec<f64> {
    let about = |rule: &&WatchRule| rule.reading.metric == metric && rule.windows.len() == 1;
    let mut values: Vec<f64> = rules.iter().filter(about).map(|rule| rule.value).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

fn grafana_unit(metric: &str) -> &'static str {
    const UNITS: [(&str, &str); 6] = [
        ("_pct", "percent"),
        ("_month_over_month", "percent"),
        ("_ms", "ms"),
        ("_s", "s"),
        ("_usd", "currencyUSD"),
        ("_minutes", "m"),
    ];
    UNITS.iter().find(|(suffix, _)| metric.ends_with(suffix)).map_or("short", |(_, unit)| unit)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}
