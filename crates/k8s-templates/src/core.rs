//! Namespace, ServiceAccount, ConfigMap, Service and Deployment.

use serde::{Deserialize, Serialize};

use crate::object::{Labels, Manifest, Metadata};
use crate::pod::PodTemplate;
use crate::quantity::{IntOrPercent, IntOrText};

/// A namespace; its pod security level is a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Namespace {
    /// `v1`.
    pub api_version: String,
    /// `Namespace`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
}

/// The identity pods run under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// `v1`.
    pub api_version: String,
    /// `ServiceAccount`.
    pub kind: String,
    /// Name and annotations (Workload Identity is one).
    pub metadata: Metadata,
    /// Whether pods get a token for the Kubernetes API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
}

/// Settings that are no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMap {
    /// `v1`.
    pub api_version: String,
    /// `ConfigMap`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// The settings.
    #[serde(default)]
    pub data: Labels,
}

/// A Service.
pub type Service = Manifest<ServiceSpec>;

/// What a Service selects and on which ports it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// `ClusterIP` and so on.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which pods.
    pub selector: Labels,
    /// Which ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the Service answers.
    pub port: u16,
    /// The pod's port, by number or name; absent means the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<IntOrText>,
    /// `TCP` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What is spoken, e.g. `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// A Deployment.
pub type Deployment = Manifest<DeploymentSpec>;

/// Which pods, and how they are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentSpec {
    /// How many pods; absent when an autoscaler owns the number, or every apply would reset it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How many old ReplicaSets stay for `kubectl rollout undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<u32>,
    /// After how long a rollout that does not move counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<u32>,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// How pods are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<DeploymentStrategy>,
    /// The pods.
    pub template: PodTemplate,
}

/// Selects by labels that must all be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// The labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub match_labels: Labels,
}

/// How a Deployment replaces its pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentStrategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// How many pods a rolling update may add and take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollingUpdate {
    /// How many may be missing.
    pub max_unavailable: IntOrPercent,
    /// How many may be extra.
    pub max_surge: IntOrPercent,
}

impl LabelSelector {
    /// Whether these labels are selected. An empty selector is taken to select nothing, because here it is always
    /// a mistake.
    pub fn selects(&self, labels: &Labels) -> bool {
        selects(&self.match_labels, labels)
    }
}

/// Whether every label of a non-empty `selector` is among `labels`.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
