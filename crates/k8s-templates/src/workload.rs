//! A workload as an operator thinks of it, and the objects that make it run well.

use std::collections::BTreeMap;

use crate::autoscaling::{
    CrossVersionReference, Hpa, HpaBehavior, HpaPolicy, HpaRules, HpaSpec, Metric, MetricTarget, Pdb, PdbSpec,
    ResourceMetric,
};
use crate::core::{
    ConfigMap, Deployment, DeploymentSpec, DeploymentStrategy, LabelSelector, Namespace, RollingUpdate, Service,
    ServiceAccount, ServicePort, ServiceSpec,
};
use crate::object::{Labels, Manifest, Metadata, Object};
use crate::pod::{
    Capabilities, ConfigMapRef, Container, ContainerPort, EmptyDir, EnvFrom, EnvValueFrom, EnvVar, HttpGet, KeyRef,
    Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplate, Probe, Resources, SeccompProfile,
    SecurityContext, Sleep, TopologySpread, Volume, VolumeMount,
};
use crate::quantity::{IntOrPercent, IntOrText, Quantity};

/// Something that runs and keeps running: a web service or a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name, and that of every object made for it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The system it belongs to.
    pub part_of: String,
    /// The version that runs, for people and dashboards; no selector uses it.
    pub version: String,
    /// Annotations of its pods; a digest of its settings here makes a change of settings a rollout.
    pub pod_annotations: Labels,
    /// Its image with a tag or digest.
    pub image: String,
    /// Replaces the image's command when not empty.
    pub args: Vec<String>,
    /// Where it listens.
    pub port: Port,
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
    /// How many pods.
    pub scaling: Scaling,
    /// How many pods an eviction may take.
    pub max_unavailable: IntOrPercent,
    /// Where it is asked whether it is well.
    pub probes: Probes,
    /// Numeric user and group it runs as; not 0.
    pub user_id: u32,
    /// How long it keeps serving after it was taken out of the Service, so that load balancers notice.
    pub pre_stop_seconds: u32,
    /// How long it may then take to finish what it has begun.
    pub drain_seconds: u32,
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

/// Seconds between two questions of a probe.
const PROBE_PERIOD_SECONDS: u32 = 10;
/// A start is asked about more often, so that a fast one is noticed.
const STARTUP_PERIOD_SECONDS: u32 = 5;

/// The objects of a workload: ServiceAccount, Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget.
pub fn manifests(workload: &Workload) -> Vec<Object> {
    let mut objects = vec![Object::ServiceAccount(service_account(workload)), Object::Deployment(deployment(workload))];
    if let Some(port) = workload.port.service {
        objects.push(Object::Service(service(workload, port)));
    }
    if let Scaling::Cpu { min, max, percent } = workload.scaling {
        objects.push(Object::HorizontalPodAutoscaler(autoscaler(workload, min, max, percent)));
    }
    objects.push(Object::PodDisruptionBudget(disruption_budget(workload)));
    objects
}

/// A namespace that only admits pods of the restricted profile.
pub fn namespace(name: &str, part_of: &str) -> Object {
    let mut labels = common_labels(name, part_of);
    for mode in ["enforce", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    }
    Object::Namespace(Namespace {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        metadata: Metadata { name: Some(name.to_owned()), labels, ..Metadata::default() },
    })
}

/// A ConfigMap of settings that are no secrets.
pub fn config_map(name: &str, namespace: &str, part_of: &str, data: BTreeMap<String, String>) -> Object {
    Object::ConfigMap(ConfigMap {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        metadata: Metadata {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: common_labels(name, part_of),
            ..Metadata::default()
        },
        data,
    })
}

fn service_account(w: &Workload) -> ServiceAccount {
    ServiceAccount {
        api_version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        metadata: metadata(w),
        automount_service_account_token: Some(false),
    }
}

fn deployment(w: &Workload) -> Deployment {
    let mut pod_labels = common_labels(&w.name, &w.part_of);
    pod_labels.insert("app.kubernetes.io/version".to_owned(), w.version.clone());
    Manifest {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        metadata: metadata(w),
        spec: DeploymentSpec {
            replicas: match w.scaling {
                Scaling::Fixed(count) => Some(count),
                Scaling::Cpu { .. } => None,
            },
            revision_history_limit: Some(5),
            progress_deadline_seconds: Some(600),
            selector: selector(w),
            strategy: Some(DeploymentStrategy {
                kind: "RollingUpdate".to_owned(),
                rolling_update: Some(RollingUpdate {
                    max_unavailable: IntOrPercent::Int(0),
                    max_surge: IntOrPercent::Percent(25),
                }),
            }),
            template: PodTemplate {
                metadata: Metadata {
                    labels: pod_labels,
                    annotations: w.pod_annotations.clone(),
                    ..Metadata::default()
                },
                spec: pod(w),
            },
        },
    }
}

fn pod(w: &Workload) -> PodSpec {
    let spread = |key: &str| TopologySpread {
        max_skew: 1,
        topology_key: key.to_owned(),
        // Not DoNotSchedule: in an outage of a zone, pods in the wrong place beat pods nowhere.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: selector(w),
        // Otherwise the pods of the release that is going away decide where the new ones go.
        match_label_keys: vec!["pod-template-hash".to_owned()],
    };
    PodSpec {
        service_account_name: Some(w.name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(w.user_id),
            run_as_group: Some(w.user_id),
            fs_group: Some(w.user_id),
            seccomp_profile: Some(SeccompProfile { kind: "RuntimeDefault".to_owned() }),
        }),
        // Nodes with such processors are tainted; GKE itself adds the toleration to pods that ask for one.
        node_selector: w
            .gpu
            .iter()
            .map(|gpu| ("cloud.google.com/gke-accelerator".to_owned(), gpu.kind.clone()))
            .collect(),
        termination_grace_period_seconds: Some(w.pre_stop_seconds + w.drain_seconds),
        topology_spread_constraints: vec![spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
        containers: vec![container(w)],
        volumes: vec![Volume { name: "tmp".to_owned(), empty_dir: EmptyDir { size_limit: Some(w.tmp_size.clone()) } }],
    }
}

fn container(w: &Workload) -> Container {
    let probe = |path: &str, period: u32, failures: u32| Probe {
        http_get: HttpGet { path: path.to_owned(), port: IntOrText::Text("http".to_owned()) },
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
    };
    let shares =
        |s: &Shares| BTreeMap::from([("cpu".to_owned(), s.cpu.clone()), ("memory".to_owned(), s.memory.clone())]);
    let mut limits = shares(&w.limits);
    if let Some(gpu) = &w.gpu {
        // Only as a limit: a request would have to be the same.
        limits.insert("nvidia.com/gpu".to_owned(), Quantity::from(gpu.count));
    }
    Container {
        name: w.name.clone(),
        image: w.image.clone(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Vec::new(),
        args: w.args.clone(),
        ports: vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: w.port.number,
            protocol: Some("TCP".to_owned()),
        }],
        env_from: w
            .config_maps
            .iter()
            .map(|name| EnvFrom { config_map_ref: ConfigMapRef { name: name.clone() } })
            .collect(),
        env: w.env.iter().map(env_var).collect(),
        resources: Some(Resources { requests: shares(&w.requests), limits }),
        startup_probe: Some(probe(
            &w.probes.startup,
            STARTUP_PERIOD_SECONDS,
            w.probes.startup_seconds.div_ceil(STARTUP_PERIOD_SECONDS).max(1),
        )),
        readiness_probe: Some(probe(&w.probes.readiness, PROBE_PERIOD_SECONDS, 3)),
        liveness_probe: Some(probe(&w.probes.liveness, PROBE_PERIOD_SECONDS, 3)),
        lifecycle: Some(Lifecycle { pre_stop: LifecycleHandler { sleep: Sleep { seconds: w.pre_stop_seconds } } }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            privileged: None,
            capabilities: Some(Capabilities { drop: vec!["ALL".to_owned()], add: Vec::new() }),
        }),
        volume_mounts: vec![VolumeMount { name: "tmp".to_owned(), mount_path: "/tmp".to_owned() }],
    }
}

fn env_var(env: &Env) -> EnvVar {
    match &env.source {
        EnvSource::Value(value) => EnvVar { name: env.name.clone(), value: Some(value.clone()), value_from: None },
        EnvSource::Secret { name, key } => EnvVar {
            name: env.name.clone(),
            value: None,
            value_from: Some(EnvValueFrom {
                secret_key_ref: Some(KeyRef { name: name.clone(), key: key.clone(), optional: None }),
                config_map_key_ref: None,
            }),
        },
    }
}

fn service(w: &Workload, port: u16) -> Service {
    Manifest {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        metadata: metadata(w),
        spec: ServiceSpec {
            kind: Some("ClusterIP".to_owned()),
            selector: selector(w).match_labels,
            ports: vec![ServicePort {
                name: Some("http".to_owned()),
                port,
                target_port: Some(IntOrText::Text("http".to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("http".to_owned()),
            }],
        },
    }
}

fn autoscaler(w: &Workload, min: u32, max: u32, percent: u32) -> Hpa {
    let rules = |window, value, period| HpaRules {
        stabilization_window_seconds: window,
        policies: vec![HpaPolicy { kind: "Percent".to_owned(), value, period_seconds: period }],
    };
    Manifest {
        api_version: "autoscaling/v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        metadata: metadata(w),
        spec: HpaSpec {
            scale_target_ref: CrossVersionReference {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: w.name.clone(),
            },
            min_replicas: min,
            max_replicas: max,
            metrics: vec![Metric {
                kind: "Resource".to_owned(),
                resource: ResourceMetric {
                    name: "cpu".to_owned(),
                    target: MetricTarget { kind: "Utilization".to_owned(), average_utilization: percent },
                },
            }],
            // Up at once and doubling, down slowly: chat traffic comes in bursts, and a pod taken too early costs a
            // cold start.
            behavior: Some(HpaBehavior { scale_up: Some(rules(0, 100, 30)), scale_down: Some(rules(300, 20, 60)) }),
        },
    }
}

fn disruption_budget(w: &Workload) -> Pdb {
    Manifest {
        api_version: "policy/v1".to_owned(),
        kind: "PodDisruptionBudget".to_owned(),
        metadata: metadata(w),
        spec: PdbSpec {
            min_available: None,
            max_unavailable: Some(w.max_unavailable.clone()),
            selector: selector(w),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        },
    }
}

fn metadata(w: &Workload) -> Metadata {
    Metadata {
        name: Some(w.name.clone()),
        namespace: Some(w.namespace.clone()),
        labels: common_labels(&w.name, &w.part_of),
        annotations: Labels::new(),
    }
}

/// A selector can't be changed later, so it has only what never changes.
fn selector(w: &Workload) -> LabelSelector {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    LabelSelector { match_labels: Labels::from([label("name", &w.name), label("part-of", &w.part_of)]) }
}

fn common_labels(name: &str, part_of: &str) -> Labels {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    Labels::from([label("name", name), label("part-of", part_of), label("managed-by", "tierlift")])
}
