//! Argo CD's Application (`argoproj.io/v1alpha1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::labels::metadata;
use crate::object::{Manifest, Object};

/// An Application.
pub type Application = Manifest<ApplicationSpec>;

/// What is kept where, as which repository has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationSpec {
    pub(crate) project: String,
    pub(crate) source: Source,
    pub(crate) destination: BTreeMap<String, String>,
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) revision_history_limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Source {
    #[serde(rename = "repoURL")]
    pub(crate) repo_url: String,
    pub(crate) target_revision: String,
    pub(crate) path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SyncPolicy {
    pub(crate) automated: Automated,
    pub(crate) sync_options: Vec<String>,
    pub(crate) retry: Retry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Automated {
    pub(crate) prune: bool,
    pub(crate) self_heal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Retry {
    pub(crate) limit: u32,
    pub(crate) backoff: Backoff,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Backoff {
    pub(crate) duration: String,
    pub(crate) factor: u32,
    pub(crate) max_duration: String,
}

/// What Argo CD shall keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub name: String,
    /// The system it belongs to.
    pub part_of: String,
    /// The repository's URL.
    pub repository: String,
    /// The branch that is released.
    pub branch: String,
    /// Folder with a kustomization, in the repository.
    pub path: String,
    /// The cluster, as Argo CD knows it; none for its own.
    pub cluster: Option<String>,
    /// The namespace.
    pub namespace: String,
}

/// The Application for it, in Argo CD's own namespace. Without the finalizer that would delete everything with it.
pub fn application(delivery: &Delivery) -> Object {
    let (key, cluster) = match &delivery.cluster {
        Some(name) => ("name", name.as_str()),
        None => ("server", "https://kubernetes.default.svc"),
    };
    let destination = [(key, cluster), ("namespace", delivery.namespace.as_str())];
    Object::Application(Manifest {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Application".to_owned(),
        metadata: metadata(&delivery.name, "argocd", &delivery.part_of),
        spec: ApplicationSpec {
            project: "default".to_owned(),
            source: Source {
                repo_url: delivery.repository.clone(),
                target_revision: delivery.branch.clone(),
                path: delivery.path.clone(),
            },
            destination: destination.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            sync_policy: SyncPolicy {
                automated: Automated { prune: true, self_heal: true },
                sync_options: ["ServerSideApply=true", "PruneLast=true"].map(str::to_owned).to_vec(),
                retry: Retry {
                    limit: 5,
                    backoff: Backoff { duration: "10s".to_owned(), factor: 2, max_duration: "3m".to_owned() },
                },
            },
            revision_history_limit: 10,
        },
    })
}
