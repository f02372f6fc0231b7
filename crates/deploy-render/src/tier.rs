//! What a tier runs: services, resources, environment, database, cache, regions, domains.

use std::fmt;

use k8s_templates::{IntOrPercent, Quantity};
use serde::{Deserialize, Serialize};

/// Everything the files of a tier are rendered from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Version of the application, the tag of its images.
    pub version: String,
    /// Where its images are, without a name: `host/project/repository`.
    pub registry: String,
    /// What it is built from.
    pub source: Source,
    /// Where it runs, by platform.
    pub regions: Regions,
    /// Under which names it is reached.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// What runs.
    pub services: Vec<Service>,
    /// Settings and secrets, besides what database and cache bring.
    #[serde(default)]
    pub environment: Vec<Variable>,
    /// The database.
    pub database: Database,
    /// The cache and queue.
    pub cache: Cache,
    /// The machine `compose.yaml` is for.
    pub machine: Machine,
}

/// What an application is built from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// How it is built and started.
    pub runtime: Runtime,
    /// The image it is built on, pinned.
    pub base_image: String,
    /// Where in the application's repository the rendered folder is kept; build contexts and paths follow from it.
    pub deploy_path: String,
}

/// How an application is built and started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Node.js with NestJS: `npm ci`, `npm run build`, `node dist/...`.
    Nestjs,
}

/// Where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regions {
    /// On Google Cloud.
    pub google_cloud: String,
    /// On Render.
    pub render: String,
    /// Why these, where the guide does not say.
    #[serde(default)]
    pub note: String,
}

/// A name under which a service is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The name.
    pub host: String,
    /// The service.
    pub service: String,
}

/// Something that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Who calls it.
    pub kind: Kind,
    /// What it is for.
    pub purpose: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it listens, also when only probes call it.
    pub port: u16,
    /// Services it calls; each becomes a variable such as `AI_SERVICE_HOSTPORT`.
    #[serde(default)]
    pub calls: Vec<String>,
    /// How it is asked whether it is well.
    pub health: Health,
    /// What it may take.
    pub resources: ServiceResources,
    /// How many run.
    pub scaling: Scaling,
    /// How many may be missing during a node's drain.
    pub max_unavailable: IntOrPercent,
    /// How it stops.
    pub shutdown: Shutdown,
    /// Its instance type on Render.
    pub render_plan: String,
}

/// Who calls a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The world.
    Web,
    /// Other services.
    Private,
    /// Nobody: it takes work from a queue.
    Worker,
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

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// Its value, when it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value is kept, when it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Which services have it; empty means all.
    #[serde(default)]
    pub used_by: Vec<String>,
}

/// A key of a secret. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The secret.
    pub name: String,
    /// The key.
    pub key: String,
}

/// The database of a tier, and the one it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Which product.
    pub engine: Engine,
    /// Major version of PostgreSQL.
    pub version: u32,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory.
    pub memory: Quantity,
    /// How many replicas serve reads.
    pub read_replicas: u32,
    /// Connections the server allows.
    pub max_connections: u32,
    /// Connections each process of a service may open.
    pub pool_size: u32,
    /// Variable with the URL for reading and writing.
    pub url_variable: String,
    /// Variable with the URL for reading only.
    pub read_url_variable: String,
    /// Secret with the URLs of the database moved from.
    pub source: DatabaseSecret,
    /// Secret with the URLs of the database moved to.
    pub target: DatabaseSecret,
    /// The image that stands in for it in `compose.yaml`, pinned.
    pub local_image: String,
    /// The image of the connection pooler in `compose.yaml`, pinned.
    pub pooler_image: String,
}

/// Which product a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Google Cloud SQL for PostgreSQL.
    CloudSql,
    /// Google AlloyDB for PostgreSQL.
    Alloydb,
}

/// A secret with the URLs of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSecret {
    /// The secret.
    pub name: String,
    /// Key of the URL for reading and writing.
    pub url_key: String,
    /// Key of the URL for reading only; the same key where there is no replica.
    pub read_url_key: String,
}

/// The cache and queue of a tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Which product, for people.
    pub product: String,
    /// How much it holds.
    pub memory: Quantity,
    /// What it does when it is full.
    pub eviction: Eviction,
    /// Variable with its URL.
    pub url_variable: String,
    /// Secret with its URL.
    pub secret: SecretRef,
    /// The image that stands in for it in `compose.yaml`, pinned.
    pub local_image: String,
    /// Memory of that stand-in.
    pub local_memory: Quantity,
    /// Its instance type on Render.
    pub render_plan: String,
}

/// What a full cache does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Refuse writes; what a queue needs, since an evicted job is a lost job.
    Noeviction,
    /// Forget what was not used for longest.
    AllkeysLru,
    /// The same, among keys that expire anyway.
    VolatileLru,
}

/// The machine `compose.yaml` is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its memory; all services together must fit.
    pub memory: Quantity,
    /// Memory of the database there.
    pub database_memory: Quantity,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudSql => "Cloud SQL",
            Self::Alloydb => "AlloyDB",
        })
    }
}

impl TierSpec {
    /// The variables a service has besides what database and cache bring.
    pub fn variables_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.environment.iter().filter(move |v| v.used_by.is_empty() || v.used_by.iter().any(|s| s == service))
    }

    /// The variable by which others find a service.
    pub(crate) fn call_variable(service: &str) -> String {
        format!("{}_HOSTPORT", service.to_ascii_uppercase().replace('-', "_"))
    }

    /// A service by name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The image of a service, tag included.
    pub fn image(&self, service: &Service) -> String {
        format!("{}/{}:{}", self.registry, service.name, self.version)
    }
}
