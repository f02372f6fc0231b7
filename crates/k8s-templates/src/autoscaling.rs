//! HorizontalPodAutoscaler (`autoscaling/v2`) and PodDisruptionBudget (`policy/v1`).

use serde::{Deserialize, Serialize};

use crate::core::LabelSelector;
use crate::object::Manifest;
use crate::quantity::IntOrPercent;

/// A HorizontalPodAutoscaler.
pub type Hpa = Manifest<HpaSpec>;

/// What is scaled, between which bounds, by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaSpec {
    /// What is scaled.
    pub scale_target_ref: CrossVersionReference,
    /// Never fewer.
    #[serde(default = "one")]
    pub min_replicas: u32,
    /// Never more.
    pub max_replicas: u32,
    /// By what.
    pub metrics: Vec<Metric>,
    /// How fast up and down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HpaBehavior>,
}

/// The API's own default for `minReplicas`.
fn one() -> u32 {
    1
}

/// Another object, by version, kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrossVersionReference {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What the autoscaler looks at; only the resources of one container are known here, so that a sidecar that idles does
/// not hide a program that is busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// `ContainerResource`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which resource.
    pub container_resource: ContainerResource,
}

/// A resource of a container and how much of it should be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerResource {
    /// Which container.
    pub container: String,
    /// `cpu` or `memory`.
    pub name: String,
    /// How much.
    pub target: MetricTarget,
}

/// A share of what the pods request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricTarget {
    /// `Utilization`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Percent of the request.
    pub average_utilization: u32,
}

/// How fast pods are added and taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaBehavior {
    /// Adding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<HpaRules>,
    /// Taking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<HpaRules>,
}

/// The rules of one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaRules {
    /// How long the load must agree before anything happens.
    pub stabilization_window_seconds: u32,
    /// At most how many in what time.
    pub policies: Vec<HpaPolicy>,
}

/// At most `value` pods (or percent) in `period_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaPolicy {
    /// `Pods` or `Percent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many.
    pub value: u32,
    /// In what time.
    pub period_seconds: u32,
}

/// A PodDisruptionBudget.
pub type Pdb = Manifest<PdbSpec>;

/// How many pods an eviction may take, or must leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PdbSpec {
    /// How many must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_available: Option<IntOrPercent>,
    /// How many may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// Which pods.
    pub selector: LabelSelector,
    /// Whether pods that never became ready may go too; without `AlwaysAllow` a crash loop blocks a node drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_pod_eviction_policy: Option<String>,
}
