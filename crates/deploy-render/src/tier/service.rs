//! What runs in a tier.

use k8s_templates::{IntOrPercent, Quantity};
use serde::{Deserialize, Serialize};

use super::Platform;
use crate::validate::quantity;

/// Something that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Who calls it, or when it runs.
    pub kind: Kind,
    /// What it is for.
    pub purpose: String,
    /// What it is built from; the first source where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The platforms it runs on; empty means all of the tier's.
    #[serde(default)]
    pub platforms: Vec<Platform>,
    /// The program and its arguments; what serverless platforms start they find by themselves.
    #[serde(default)]
    pub command: Vec<String>,
    /// The program that runs once before a release takes over, e.g. the schema's migration.
    #[serde(default)]
    pub pre_deploy: Vec<String>,
    /// Where it listens, also when only probes call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether answers stay open: WebSocket or server-sent events, which a proxy must not hold back or cut.
    #[serde(default)]
    pub streams: bool,
    /// Services it calls; each becomes a variable such as `AI_SERVICE_HOSTPORT`.
    #[serde(default)]
    pub calls: Vec<String>,
    /// How it is asked whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ServiceResources>,
    /// Space for files that may go with the instance, `/tmp`; little when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<Quantity>,
    /// Graphics processors each instance has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// How many run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How many may be missing during a node's drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// Requests one instance takes at a time, where the platform asks (Cloud Run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How it stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// When a cron service runs, as five fields in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How many pieces a job's work has; each runs with its own index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<u32>,
    /// How long a request of a serverless service, a cron run or a job may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Its instance type on Render.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_plan: Option<String>,
}

/// What every service has that runs in a container and keeps running. Validation sees to it that none of it is missing
/// on a platform that needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) port: u16,
    pub(crate) health: &'a Health,
    pub(crate) resources: &'a ServiceResources,
    pub(crate) scaling: &'a Scaling,
    pub(crate) max_unavailable: &'a IntOrPercent,
    pub(crate) shutdown: &'a Shutdown,
}

/// Graphics processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Which, as the provider names it, e.g. `nvidia-l4`.
    pub kind: String,
    /// How many an instance has.
    pub count: u32,
}

/// Who calls a service, or when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The world.
    Web,
    /// Other services.
    Private,
    /// Nobody: it takes work from a queue.
    Worker,
    /// Nobody: it runs at set times.
    Cron,
    /// Nobody: it runs once, when somebody starts it.
    Job,
    /// The world: files that are only sent.
    Static,
}

/// HTTP paths by which a service is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Whether it can work, database and cache included.
    pub readiness: String,
    /// Whether the process is alive; must not depend on anything else.
    pub liveness: String,
    /// How long its start may take.
    pub startup_seconds: u32,
}

/// What a service is promised and what it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceResources {
    /// Promised.
    pub requests: Shares,
    /// At most.
    pub limits: Shares,
}

/// CPU and memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Cores.
    pub cpu: Quantity,
    /// Bytes.
    pub memory: Quantity,
}

/// How many of a service run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// Percent of the requested CPU to stay near.
    pub cpu_percent: u32,
    /// Why these numbers, where the guide has none.
    #[serde(default)]
    pub note: String,
}

/// How a service stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long it keeps serving while load balancers notice.
    pub pre_stop_seconds: u32,
    /// How long it may then finish what it has begun.
    pub drain_seconds: u32,
}

impl Kind {
    /// Whether it is there to be called, or to take work, at any time.
    pub(crate) fn keeps_running(self) -> bool {
        matches!(self, Self::Web | Self::Private | Self::Worker)
    }
}

impl Service {
    /// Whether it runs on a platform of its tier.
    pub fn runs_on(&self, platform: Platform) -> bool {
        self.platforms.is_empty() || self.platforms.contains(&platform)
    }

    /// Size of its `/tmp`, the only place it can write to.
    pub(crate) fn scratch(&self) -> Quantity {
        self.scratch.clone().unwrap_or_else(|| quantity("64Mi"))
    }

    /// What it has as a container that keeps running; none for a cron job, a job, files, or a serverless service.
    pub(crate) fn running(&self) -> Option<Running<'_>> {
        Some(Running {
            port: self.port.filter(|_| self.kind.keeps_running())?,
            health: self.health.as_ref()?,
            resources: self.resources.as_ref()?,
            scaling: self.scaling.as_ref()?,
            max_unavailable: self.max_unavailable.as_ref()?,
            shutdown: self.shutdown.as_ref()?,
        })
    }
}
