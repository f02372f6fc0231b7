//! The Kubernetes cluster a tier runs on.

use serde::{Deserialize, Serialize};

/// A Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Who runs it.
    pub provider: ClusterProvider,
    /// The way in.
    pub gateway: ClusterGateway,
    /// The ClusterSecretStore that External Secrets reads from; none when Secrets are made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<String>,
    /// The namespace of what collects metrics; none when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_namespace: Option<String>,
}

/// Who runs a Kubernetes cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterProvider {
    /// Google.
    Gke,
    /// DigitalOcean.
    Digitalocean,
    /// Linode.
    Linode,
}

/// How requests get into a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterGateway {
    /// The GatewayClass.
    pub class: String,
    /// The namespace its pods run in; none when it is a load balancer outside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A reserved global address, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The map of Google's Certificate Manager with the certificates of the domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_map: Option<String>,
    /// The ClusterIssuer of cert-manager that gets the certificates of the domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_issuer: Option<String>,
    /// Where it listens for HTTP.
    #[serde(default = "http")]
    pub http_port: u16,
    /// Where it listens for HTTPS.
    #[serde(default = "https")]
    pub https_port: u16,
}

fn http() -> u16 {
    80
}

fn https() -> u16 {
    443
}

impl Cluster {
    /// Whether it is Google's, with Google's load balancer, identities and metadata server.
    pub(crate) fn is_google(&self) -> bool {
        self.provider == ClusterProvider::Gke
    }
}
