//! What stands between the world and a tier, and how the tier is watched.

use serde::{Deserialize, Serialize};

use crate::system::Span;

/// A content delivery network; Cloudflare is the one known here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cdn {
    /// What is paid for; it limits how many rules there may be.
    pub plan: CdnPlan,
    /// The zone, a domain of one's own.
    pub zone: String,
    /// What is kept at the edge, and for how long.
    #[serde(default)]
    pub cache: Vec<CacheRule>,
    /// How often one address may ask.
    #[serde(default)]
    pub rate_limits: Vec<RateLimit>,
    /// Whether it shares requests among the regions and leaves out those that do not answer.
    #[serde(default)]
    pub load_balancer: bool,
}

/// A plan of Cloudflare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CdnPlan {
    /// Free.
    Free,
    /// Pro.
    Pro,
    /// Business or Enterprise.
    Business,
}

/// What is kept at the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheRule {
    /// Its name.
    pub name: String,
    /// How the paths begin.
    pub path_prefix: String,
    /// For how long the edge keeps an answer.
    pub edge_ttl: Span,
    /// For how long a browser keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser_ttl: Option<Span>,
    /// Whether only those who sent no cookie and no Authorization get a kept answer; what may differ from user to user
    /// must say so.
    #[serde(default)]
    pub anonymous_only: bool,
}

/// What a plan of Cloudflare allows, in seconds where it is a time. As its documentation has it in 2026.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CdnLimits {
    /// The shortest time a rule can keep an answer at the edge; for a shorter one the origin's own header decides.
    pub(crate) edge_ttl_min: u64,
    /// The same in browsers.
    pub(crate) browser_ttl_min: u64,
    /// Rules that keep answers.
    pub(crate) cache_rules: usize,
    /// Rules that count requests.
    pub(crate) rate_limits: usize,
    /// The longest time requests are counted over.
    pub(crate) period_max: u64,
    /// The longest time an address is refused.
    pub(crate) block_max: u64,
}

/// The times Cloudflare counts over and refuses for, in seconds.
pub(crate) const RATE_TIMES: [u64; 20] =
    [10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, 600, 900, 1200, 1800, 2400, 3600, 86_400];

impl CdnPlan {
    /// What it allows.
    pub(crate) fn limits(self) -> CdnLimits {
        let limits = |edge_ttl_min, cache_rules, rate_limits, period_max, block_max| CdnLimits {
            edge_ttl_min,
            browser_ttl_min: 120,
            cache_rules,
            rate_limits,
            period_max,
            block_max,
        };
        match self {
            Self::Free => limits(7200, 10, 1, 10, 10),
            Self::Pro => limits(3600, 25, 2, 60, 3600),
            Self::Business => limits(1800, 50, 5, 600, 86_400),
        }
    }
}

/// How often one address may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Its name.
    pub name: String,
    /// How the paths begin.
    pub path_prefix: String,
    /// So many requests.
    pub requests: u32,
    /// In this time.
    pub period: Span,
    /// For how long an address that asks more often is refused.
    pub block_for: Span,
}

/// How a tier is watched. The rules are the tier's trigger and gates and the system's alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// For how long a trigger must hold, where its rule does not say.
    pub trigger_for: Span,
    /// For how long a gate must be missed, where it does not say.
    pub gate_for: Span,
    /// Why so long.
    pub note: String,
    /// Who is told, by how soon somebody must look.
    pub channels: Channels,
}

/// Where alerts go, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// For what can't wait until morning.
    pub page: Channel,
    /// For working hours.
    pub ticket: Channel,
    /// For the next review.
    pub notice: Channel,
}

/// A way to tell somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// PagerDuty, which wakes people.
    Pagerduty,
    /// Opsgenie, which wakes people.
    Opsgenie,
    /// A channel of Slack.
    Slack,
}
