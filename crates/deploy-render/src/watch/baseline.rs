//! What every tier is watched for, whatever its guide says: that what is measured is still measured, that stores answer
//! and have room, and that the error budget of a promised uptime is not burnt within days.

use super::{Origin, Scene, WatchRule, reading, short};
use crate::system::{Op, Severity, Span};
use crate::tier::{CacheProduct, Eviction, TierSpec};

/// A rule of the baseline.
struct Row {
    alert: &'static str,
    metric: &'static str,
    op: Op,
    value: f64,
    lasting: &'static str,
    severity: Severity,
    when: fn(&TierSpec) -> bool,
    description: &'static str,
}

fn scraped(spec: &TierSpec) -> bool {
    Scene::of(spec) != Scene::Hosted
}

fn on_machine(spec: &TierSpec) -> bool {
    Scene::of(spec) == Scene::Machine
}

fn in_cluster(spec: &TierSpec) -> bool {
    Scene::of(spec) == Scene::Cluster
}

fn has_database(spec: &TierSpec) -> bool {
    scraped(spec) && spec.database.is_some()
}

fn has_replicas(spec: &TierSpec) -> bool {
    scraped(spec) && spec.database.as_ref().is_some_and(|database| database.read_replicas > 0)
}

pub(super) fn has_pooler(spec: &TierSpec) -> bool {
    on_machine(spec) && spec.database.as_ref().is_some_and(|database| database.pooler_image.is_some())
}

fn has_cache(spec: &TierSpec) -> bool {
    scraped(spec) && spec.cache.as_ref().is_some_and(|cache| cache.product != CacheProduct::Upstash)
}

fn cache_refuses(spec: &TierSpec) -> bool {
    has_cache(spec) && spec.cache.as_ref().is_some_and(|cache| cache.eviction == Eviction::Noeviction)
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    Row { alert: "TargetDown", metric: "target_up", op: Op::LessThan, value: 1.0, lasting: "5m", severity: Severity::Page, when: scraped,
        description: "A target can't be scraped: it is down, or nobody would notice if it were." },
    Row { alert: "EndpointDown", metric: "endpoint_up", op: Op::LessThan, value: 1.0, lasting: "3m", severity: Severity::Page, when: on_machine,
        description: "The service does not answer: users see errors." },
    Row { alert: "CertificateExpires", metric: "certificate_days", op: Op::LessThan, value: 14.0, lasting: "1h", severity: Severity::Ticket, when: |spec| on_machine(spec) && !spec.domains.is_empty(),
        description: "A certificate runs out in less than two weeks; whatever renews it has failed." },
    Row { alert: "DiskNearlyFull", metric: "disk_free_pct", op: Op::LessThan, value: 15.0, lasting: "30m", severity: Severity::Ticket, when: on_machine,
        description: "A disk is nearly full; the database stops when it is." },
    Row { alert: "DiskFull", metric: "disk_free_pct", op: Op::LessThan, value: 5.0, lasting: "5m", severity: Severity::Page, when: on_machine,
        description: "A disk is as good as full; the database stops when it is." },
    Row { alert: "PodsUnavailable", metric: "pods_unavailable", op: Op::MoreThan, value: 0.0, lasting: "15m", severity: Severity::Ticket, when: in_cluster,
        description: "Pods that are wanted have not been available for longer than a rollout takes." },
    Row { alert: "PodsRestart", metric: "pod_restarts_1h", op: Op::MoreThan, value: 3.0, lasting: "15m", severity: Severity::Ticket, when: in_cluster,
        description: "A container starts again and again." },
    Row { alert: "AutoscalerAtMaximum", metric: "autoscaler_pct", op: Op::AtLeast, value: 100.0, lasting: "30m", severity: Severity::Ticket, when: in_cluster,
        description: "An autoscaler has reached its maximum and can't follow the load." },
    Row { alert: "DatabaseDown", metric: "database_up", op: Op::LessThan, value: 1.0, lasting: "2m", severity: Severity::Page, when: has_database,
        description: "The database does not answer." },
    Row { alert: "DatabaseConnectionsNearLimit", metric: "database_connections_pct", op: Op::MoreThan, value: 80.0, lasting: "10m", severity: Severity::Ticket, when: has_database,
        description: "The database's connections are nearly used up; at the limit new ones are refused." },
    Row { alert: "DatabaseTransactionTooOld", metric: "database_oldest_transaction_s", op: Op::MoreThan, value: 3600.0, lasting: "5m", severity: Severity::Ticket, when: has_database,
        description: "A transaction has been open for an hour; nothing that died since can be vacuumed." },
    Row { alert: "DatabaseDeadlocks", metric: "database_deadlocks_5m", op: Op::MoreThan, value: 5.0, lasting: "15m", severity: Severity::Notice, when: has_database,
        description: "Transactions deadlock again and again." },
    Row { alert: "ReplicationBehind", metric: "replication_lag_s", op: Op::MoreThan, value: 30.0, lasting: "5m", severity: Severity::Ticket, when: has_replicas,
        description: "A replica is behind: who reads there sees the past." },
    Row { alert: "PoolerClientsWait", metric: "pooler_waiting", op: Op::MoreThan, value: 0.0, lasting: "5m", severity: Severity::Ticket, when: has_pooler,
        description: "Requests wait for a database connection." },
    Row { alert: "CacheDown", metric: "cache_up", op: Op::LessThan, value: 1.0, lasting: "2m", severity: Severity::Page, when: has_cache,
        description: "The cache does not answer." },
    Row { alert: "CacheNearlyFull", metric: "cache_memory_pct", op: Op::MoreThan, value: 85.0, lasting: "10m", severity: Severity::Page, when: cache_refuses,
        description: "The cache evicts nothing, since a queue lives in it: once it is full, it refuses every write." },
];

/// The baseline of a tier, and of each uptime it promises how fast the budget may burn.
pub(super) fn rules(spec: &TierSpec, promised: &[WatchRule]) -> Vec<WatchRule> {
    let mut rules: Vec<WatchRule> =
        ROWS.iter().filter(|row| (row.when)(spec)).filter_map(|row| rule(row, spec)).collect();
    for gate in promised.iter().filter(|rule| rule.origin == Origin::Gate && rule.reading.metric == "uptime_pct") {
        rules.extend(BURNS.iter().map(|burn| burn.rule(gate)));
    }
    rules
}

fn rule(row: &Row, spec: &TierSpec) -> Option<WatchRule> {
    Some(WatchRule {
        alert: row.alert.to_owned(),
        origin: Origin::Baseline,
        reading: reading(row.metric, spec)?,
        op: row.op,
        value: row.value,
        lasting: span(row.lasting),
        severity: row.severity,
        description: row.description.to_owned(),
        windows: vec![super::MONTH],
    })
}

/// How fast an error budget burns: so many times faster than it may over a month, seen in a long window, and in a short
/// one so that the alert ends soon after the trouble.
struct Burn {
    alert: &'static str,
    times: f64,
    windows: [&'static str; 2],
    lasting: &'static str,
    severity: Severity,
    description: &'static str,
}

/// The two speeds of Google's workbook on reliability: 2 % of a month's budget in an hour, 5 % in six.
static BURNS: [Burn; 2] = [
    Burn {
        alert: "UptimeBudgetBurnsFast",
        times: 14.4,
        windows: ["1h", "5m"],
        lasting: "2m",
        severity: Severity::Page,
        description: "At this speed the month's error budget is used up in two days.",
    },
    Burn {
        alert: "UptimeBudgetBurns",
        times: 6.0,
        windows: ["6h", "30m"],
        lasting: "15m",
        severity: Severity::Ticket,
        description: "At this speed the month's error budget is used up in five days.",
    },
];

impl Burn {
    fn rule(&self, gate: &WatchRule) -> WatchRule {
        WatchRule {
            alert: self.alert.to_owned(),
            origin: Origin::Baseline,
            reading: gate.reading,
            op: Op::LessThan,
            value: 100.0 - self.times * (100.0 - gate.value),
            lasting: span(self.lasting),
            severity: self.severity,
            description: format!("{} The promise is {}%.", self.description, short(gate.value)),
            windows: self.windows.to_vec(),
        }
    }
}

/// A length of time known to be one when the program is written.
fn span(text: &str) -> Span {
    Span::try_from(text.to_owned()).expect("a constant length of time is valid")
}
