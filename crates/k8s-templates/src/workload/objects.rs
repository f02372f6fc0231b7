//! What is made for a workload besides its pods.

use std::collections::BTreeMap;

use super::{Program, Scaling, Workload, pod};
use crate::autoscaling::{
    ContainerResource, CrossVersionReference, HpaBehavior, HpaPolicy, HpaRules, HpaSpec, Metric, MetricTarget, PdbSpec,
};
use crate::core::{
    ConfigMap, DeploymentSpec, DeploymentStrategy, Namespace, RollingUpdate, ServiceAccount, ServicePort, ServiceSpec,
};
use crate::labels::{common_labels, metadata, selector};
use crate::object::{Labels, Manifest, Metadata, Object};
use crate::quantity::{IntOrPercent, IntOrText};

/// Annotation by which pods of a ServiceAccount act as a service account of Google Cloud.
const GOOGLE_ACCOUNT: &str = "iam.gke.io/gcp-service-account";

/// Annotation by which Argo CD applies one thing after another, and waits for each to be well; absent means 0.
pub(super) const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";

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
        metadata: metadata(name, namespace, part_of),
        data,
    })
}

/// The identity pods run under, and the Google service account they then are, if any. It gets no token for the
/// Kubernetes API; Google's metadata server does not need one.
pub fn service_account(name: &str, namespace: &str, part_of: &str, google_account: Option<&str>) -> Object {
    let mut metadata = metadata(name, namespace, part_of);
    if let Some(account) = google_account {
        metadata.annotations = Labels::from([(GOOGLE_ACCOUNT.to_owned(), account.to_owned())]);
    }
    Object::ServiceAccount(ServiceAccount {
        api_version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        metadata,
        automount_service_account_token: Some(false),
    })
}

pub(super) fn program_metadata(program: &Program) -> Metadata {
    metadata(&program.name, &program.namespace, &program.part_of)
}

pub(super) fn deployment(w: &Workload) -> Object {
    let mut metadata = program_metadata(&w.program);
    if w.waits {
        metadata.annotations.insert(SYNC_WAVE.to_owned(), "2".to_owned());
    }
    let rolling_update = RollingUpdate { max_unavailable: IntOrPercent::Int(0), max_surge: IntOrPercent::Percent(25) };
    Object::Deployment(Manifest {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        metadata,
        spec: DeploymentSpec {
            replicas: match w.scaling {
                Scaling::Fixed(count) => Some(count),
                Scaling::Cpu { .. } => None,
            },
            revision_history_limit: Some(5),
            // Longer than the start may take, or every slow start would be a failed rollout.
            progress_deadline_seconds: Some(600.max(w.probes.startup_seconds + 300)),
            selector: selector(&w.program.name, &w.program.part_of),
            strategy: Some(DeploymentStrategy {
                kind: "RollingUpdate".to_owned(),
                rolling_update: Some(rolling_update),
            }),
            template: pod::that_keeps_running(w),
        },
    })
}

pub(super) fn service(program: &Program, port: u16) -> Object {
    Object::Service(Manifest {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        metadata: program_metadata(program),
        spec: ServiceSpec {
            kind: Some("ClusterIP".to_owned()),
            selector: selector(&program.name, &program.part_of).match_labels,
            ports: vec![ServicePort {
                name: Some("http".to_owned()),
                port,
                target_port: Some(IntOrText::Text("http".to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("http".to_owned()),
            }],
        },
    })
}

pub(super) fn autoscaler(program: &Program, min: u32, max: u32, percent: u32) -> Object {
    let rules = |window, value, period| HpaRules {
        stabilization_window_seconds: window,
        policies: vec![HpaPolicy { kind: "Percent".to_owned(), value, period_seconds: period }],
    };
    let resource = ContainerResource {
        container: program.name.clone(),
        name: "cpu".to_owned(),
        target: MetricTarget { kind: "Utilization".to_owned(), average_utilization: percent },
    };
    Object::HorizontalPodAutoscaler(Manifest {
        api_version: "autoscaling/v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        metadata: program_metadata(program),
        spec: HpaSpec {
            scale_target_ref: CrossVersionReference {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: program.name.clone(),
            },
            min_replicas: min,
            max_replicas: max,
            metrics: vec![Metric { kind: "ContainerResource".to_owned(), container_resource: resource }],
            // Up at once and doubling, down slowly: chat traffic comes in bursts, and a pod taken too early costs a
            // cold start.
            behavior: Some(HpaBehavior { scale_up: Some(rules(0, 100, 30)), scale_down: Some(rules(300, 20, 60)) }),
        },
    })
}

pub(super) fn disruption_budget(w: &Workload) -> Object {
    Object::PodDisruptionBudget(Manifest {
        api_version: "policy/v1".to_owned(),
        kind: "PodDisruptionBudget".to_owned(),
        metadata: program_metadata(&w.program),
        spec: PdbSpec {
            min_available: None,
            max_unavailable: Some(w.max_unavailable.clone()),
            selector: selector(&w.program.name, &w.program.part_of),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        },
    })
}
