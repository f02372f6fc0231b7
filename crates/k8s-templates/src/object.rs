//! What every Kubernetes object has, and the closed list of kinds this crate knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::argocd::Application;
use crate::autoscaling::{Hpa, Pdb};
use crate::batch::{CronJob, Job};
use crate::config_connector::{
    AlloyDbCluster, AlloyDbInstance, IamPolicyMember, IamServiceAccount, RedisCluster, RedisInstance, SpannerDatabase,
    SpannerInstance, SqlDatabase, SqlInstance, SqlUser,
};
use crate::core::{ConfigMap, Deployment, Namespace, Service, ServiceAccount};
use crate::gateway::{Gateway, GcpBackendPolicy, HealthCheckPolicy, HttpRoute, ServiceExport};
use crate::network::NetworkPolicy;
use crate::secret::ExternalSecret;

/// Labels, annotations, selectors: sorted, so the same values give the same bytes.
pub type Labels = BTreeMap<String, String>;

/// Name, namespace and labels of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name; absent only in a pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace; absent for cluster-wide kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Labels,
}

/// An object of the usual shape: header, metadata, spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest<S> {
    /// Group and version, e.g. `apps/v1`.
    pub api_version: String,
    /// Kind, e.g. `Deployment`.
    pub kind: String,
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: S,
}

/// Why a value is no object of a kind known here.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The kind is not in the list.
    #[error("kind `{kind}` of apiVersion `{api_version}` is not known")]
    UnknownKind {
        /// Its apiVersion, empty when there is none.
        api_version: String,
        /// Its kind, empty when there is none.
        kind: String,
    },
    /// The kind is known, its content is not as the API has it.
    #[error("{kind} `{name}` is not as the API has it")]
    Shape {
        /// Its kind.
        kind: String,
        /// Its name, empty when there is none.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Declares the known kinds once: variant, type and apiVersion; the variant's name is the kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $api:literal,)*) => {
        /// One Kubernetes object.
        #[allow(clippy::large_enum_variant, reason = "a tier has some dozens of them; a box would only be in the way")]
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Object {
            $($(#[$doc])* $kind(kinds!(@type $kind)),)*
        }

        impl Object {
            /// Reads an object, refusing kinds and keys it does not know.
            ///
            /// # Errors
            /// When the kind is unknown or the content has the wrong shape.
            pub fn from_value(value: Value) -> Result<Self, ObjectError> {
                let text = |key: &str| value[key].as_str().unwrap_or("").to_owned();
                let (api_version, kind) = (text("apiVersion"), text("kind"));
                let name = value["metadata"]["name"].as_str().unwrap_or("").to_owned();
                match (api_version.as_str(), kind.as_str()) {
                    $(($api, stringify!($kind)) => serde_json::from_value(value)
                        .map(Self::$kind)
                        .map_err(|source| ObjectError::Shape { kind, name, source }),)*
                    _ => Err(ObjectError::UnknownKind { api_version, kind }),
                }
            }

            /// Its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &Metadata {
                match self {
                    $(Self::$kind(object) => &object.metadata,)*
                }
            }
        }
    };
    (@type HorizontalPodAutoscaler) => { Hpa };
    (@type PodDisruptionBudget) => { Pdb };
    (@type HTTPRoute) => { HttpRoute };
    (@type GCPBackendPolicy) => { GcpBackendPolicy };
    (@type IAMServiceAccount) => { IamServiceAccount };
    (@type IAMPolicyMember) => { IamPolicyMember };
    (@type SQLInstance) => { SqlInstance };
    (@type SQLDatabase) => { SqlDatabase };
    (@type SQLUser) => { SqlUser };
    (@type AlloyDBCluster) => { AlloyDbCluster };
    (@type AlloyDBInstance) => { AlloyDbInstance };
    (@type $kind:ident) => { $kind };
}

kinds! {
    /// A namespace.
    Namespace: "v1",
    /// The identity pods run under.
    ServiceAccount: "v1",
    /// Settings that are no secrets.
    ConfigMap: "v1",
    /// Pods, replaced a few at a time.
    Deployment: "apps/v1",
    /// A name and a port for a set of pods.
    Service: "v1",
    /// How many pods, from their load.
    HorizontalPodAutoscaler: "autoscaling/v2",
    /// How many pods an eviction may take.
    PodDisruptionBudget: "policy/v1",
    /// Which pods may talk to whom.
    NetworkPolicy: "networking.k8s.io/v1",
    /// Pods that run once.
    Job: "batch/v1",
    /// Jobs at set times.
    CronJob: "batch/v1",
    /// A Secret filled from a store.
    ExternalSecret: "external-secrets.io/v1",
    /// Where a system is reached from outside.
    Gateway: "gateway.networking.k8s.io/v1",
    /// Which Service answers for which names.
    HTTPRoute: "gateway.networking.k8s.io/v1",
    /// How Google's load balancer asks whether a pod can work.
    HealthCheckPolicy: "networking.gke.io/v1",
    /// How Google's load balancer treats connections.
    GCPBackendPolicy: "networking.gke.io/v1",
    /// Makes a Service known to the other clusters of a fleet.
    ServiceExport: "net.gke.io/v1",
    /// A Cloud SQL instance, or a replica of one.
    SQLInstance: "sql.cnrm.cloud.google.com/v1beta1",
    /// A database on a Cloud SQL instance.
    SQLDatabase: "sql.cnrm.cloud.google.com/v1beta1",
    /// A role on a Cloud SQL instance.
    SQLUser: "sql.cnrm.cloud.google.com/v1beta1",
    /// An AlloyDB cluster.
    AlloyDBCluster: "alloydb.cnrm.cloud.google.com/v1beta1",
    /// The primary of an AlloyDB cluster, or a pool of its replicas.
    AlloyDBInstance: "alloydb.cnrm.cloud.google.com/v1beta1",
    /// Memorystore for Redis.
    RedisInstance: "redis.cnrm.cloud.google.com/v1beta1",
    /// Memorystore for Redis Cluster.
    RedisCluster: "redis.cnrm.cloud.google.com/v1beta1",
    /// A Spanner instance.
    SpannerInstance: "spanner.cnrm.cloud.google.com/v1beta1",
    /// A database on a Spanner instance.
    SpannerDatabase: "spanner.cnrm.cloud.google.com/v1beta1",
    /// A service account of Google Cloud.
    IAMServiceAccount: "iam.cnrm.cloud.google.com/v1beta1",
    /// One role of somebody on Google Cloud.
    IAMPolicyMember: "iam.cnrm.cloud.google.com/v1beta1",
    /// What Argo CD keeps as a repository has it.
    Application: "argoproj.io/v1alpha1",
}

impl Object {
    /// Its name, empty when it has none.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or("")
    }

    /// Its namespace, empty when it has none.
    pub fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or("")
    }

    /// Kind and name as people say it: `Deployment api`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }
}
