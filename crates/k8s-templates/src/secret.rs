//! ExternalSecret (`external-secrets.io/v1`): a Secret that the External Secrets operator fills from a store.

use serde::{Deserialize, Serialize};

use crate::labels::metadata;
use crate::object::{Manifest, Object};

/// An ExternalSecret.
pub type ExternalSecret = Manifest<ExternalSecretSpec>;

/// Which Secret, from where, how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalSecretSpec {
    pub(crate) refresh_interval: String,
    pub(crate) secret_store_ref: StoreRef,
    pub(crate) target: SecretTarget,
    pub(crate) data: Vec<SecretData>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoreRef {
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretTarget {
    pub(crate) name: String,
    pub(crate) creation_policy: String,
    pub(crate) deletion_policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretData {
    pub(crate) secret_key: String,
    pub(crate) remote_ref: RemoteRef,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RemoteRef {
    pub(crate) key: String,
}

/// A Secret filled from a ClusterSecretStore: its keys, each with the name of the secret in the store.
pub fn external_secret(
    name: &str,
    namespace: &str,
    part_of: &str,
    store: &str,
    keys: impl IntoIterator<Item = (String, String)>,
) -> Object {
    let data = |(secret_key, key)| SecretData { secret_key, remote_ref: RemoteRef { key } };
    Object::ExternalSecret(Manifest {
        api_version: "external-secrets.io/v1".to_owned(),
        kind: "ExternalSecret".to_owned(),
        metadata: metadata(name, namespace, part_of),
        spec: ExternalSecretSpec {
            refresh_interval: "1h".to_owned(),
            secret_store_ref: StoreRef { kind: "ClusterSecretStore".to_owned(), name: store.to_owned() },
            target: SecretTarget {
                name: name.to_owned(),
                creation_policy: "Owner".to_owned(),
                // A secret that is gone from the store by mistake does not take the running pods with it.
                deletion_policy: "Retain".to_owned(),
            },
            data: keys.into_iter().map(data).collect(),
        },
    })
}
