//! A workload as an operator thinks of it, and the objects that make it run well.

mod objects;
mod pod;
mod task;

use crate::object::{Labels, Object};
use crate::quantity::{IntOrPercent, Quantity};

pub use objects::{config_map, namespace, service_account};
pub use task::{Task, When, task};

/// Something that runs and keeps running: a web service or a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// What runs.
    pub program: Program,
    /// Whether a task of [`When::BeforeRelease`] comes first.
    pub waits: bool,
    /// Where it listens.
    pub port: Port,
    /// How many pods.
    pub scaling: Scaling,
    /// How many pods an eviction may take.
    pub max_unavailable: IntOrPercent,
    /// Where it is asked whether it is well.
    pub probes: Probes,
    /// How long it keeps serving after it was taken out of the Service, so that load balancers notice.
    pub pre_stop_seconds: u32,
    /// How long it may then take to finish what it has begun.
    pub drain_seconds: u32,
}

/// A program in a container, whether it keeps running or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name, and that of every object made for it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The system it belongs to.
    pub part_of: String,
    /// The version that runs, for people and dashboards; no selector uses it.
    pub version: String,
    /// The ServiceAccount it runs under.
    pub account: String,
    /// Annotations of its pods; a digest of its settings here makes a change of settings a rollout.
    pub pod_annotations: Labels,
    /// Its image with a tag or digest.
    pub image: String,
    /// Replaces the image's command when not empty.
    pub args: Vec<String>,
    /// ConfigMaps taken whole as environment.
    pub config_maps: Vec<String>,
    /// Single variables.
    pub env: Vec<Env>,
    /// Promised.
    pub requests: Shares,
    /// At most.
    pub limits: Shares,
    /// Graphics processors of each pod.
    pub gpu: Option<Gpu>,
    /// What connects it to Cloud SQL.
    pub sql_proxy: Option<SqlProxy>,
    /// Numeric user and group it runs as; not 0.
    pub user_id: u32,
    /// Size of its writable `/tmp`; everything else is read-only.
    pub tmp_size: Quantity,
}

/// Where a workload listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The container's port.
    pub number: u16,
    /// Where the Service answers; none when nobody calls it and only probes use the port.
    pub service: Option<u16>,
}

/// CPU and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Cores.
    pub cpu: Quantity,
    /// Bytes.
    pub memory: Quantity,
}

/// Graphics processors of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Which, as GKE names it, e.g. `nvidia-l4`.
    pub kind: String,
    /// How many.
    pub count: u32,
}

/// The Cloud SQL Auth Proxy beside a program, which finds the instances at 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProxy {
    /// Its image with a tag or digest.
    pub image: String,
    /// Instances, as `project:region:name`, and the port each one has here.
    pub instances: Vec<(String, u16)>,
}

/// How many pods run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scaling {
    /// Always so many.
    Fixed(u32),
    /// As many as keep the CPU use near a share of what is requested.
    Cpu {
        /// Never fewer.
        min: u32,
        /// Never more.
        max: u32,
        /// Percent of the request.
        percent: u32,
    },
}

/// HTTP paths of the three probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// Until it first answers, the other two wait.
    pub startup: String,
    /// How long the start may take.
    pub startup_seconds: u32,
    /// May depend on the database: a pod that can't work gets no traffic.
    pub readiness: String,
    /// Must not depend on anything else: a restart would not mend it.
    pub liveness: String,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: EnvSource,
}

/// Where a variable's value comes from. A secret is only ever a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvSource {
    /// A plain value.
    Value(String),
    /// A key of a Secret.
    Secret {
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
}

/// The objects of a workload: Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget. Its ServiceAccount,
/// which it may share with tasks, is made by [`service_account`].
pub fn manifests(workload: &Workload) -> Vec<Object> {
    let mut objects = vec![objects::deployment(workload)];
    if let Some(port) = workload.port.service {
        objects.push(objects::service(&workload.program, port));
    }
    if let Scaling::Cpu { min, max, percent } = workload.scaling {
        objects.push(objects::autoscaler(&workload.program, min, max, percent));
    }
    objects.push(objects::disruption_budget(workload));
    objects
}
