//! Secrets from the cluster's store.

use std::collections::BTreeMap;

use k8s_templates::{Object, external_secret};

use super::{Home, program};
use crate::render::DatabaseTarget;
use crate::tier::SecretRef;

/// One ExternalSecret a Secret that services refer to; none where Secrets are made by hand. Both databases' are always
/// there: pods of before a switch may start again in the middle of it, and of after it when it is undone.
pub(super) fn of_services(home: &Home) -> Vec<Object> {
    let databases = [DatabaseTarget::Source, DatabaseTarget::Target];
    let homes = databases.map(|database| Home { database, ..*home });
    let wanted = homes.iter().flat_map(|home| home.services().flat_map(|service| program::secrets(home, service)));
    external_secrets(home, home.namespace, wanted.map(|(_, secret)| secret))
}

/// ExternalSecrets of a namespace that fill these keys.
pub(crate) fn external_secrets(home: &Home, namespace: &str, wanted: impl Iterator<Item = SecretRef>) -> Vec<Object> {
    let Some(store) = &home.cluster.secret_store else { return Vec::new() };
    let mut secrets: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for secret in wanted {
        let remote = secret.store_name();
        secrets.entry(secret.name).or_default().insert(secret.key, remote);
    }
    let object = |(name, keys): (String, BTreeMap<String, String>)| {
        external_secret(&name, namespace, home.part_of(), store, keys)
    };
    secrets.into_iter().map(object).collect()
}
