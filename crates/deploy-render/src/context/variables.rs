//! Variables and secrets as templates see them.

use serde::Serialize;

use crate::render::DatabaseTarget;
use crate::tier::{Kind, SecretRef, TierSpec, Variable};

#[derive(Debug, Clone, Serialize)]
pub(super) struct VariableView {
    pub(super) name: String,
    pub(super) purpose: String,
    /// None for a secret.
    pub(super) value: Option<String>,
    /// None for a plain value.
    pub(super) secret: Option<SecretRef>,
    /// Services that have it.
    pub(super) used_by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SecretView {
    pub(super) variable: String,
    pub(super) name: String,
    pub(super) key: String,
    /// Its name in Google Secret Manager.
    pub(super) store_name: String,
    /// Its name in `compose.yaml`.
    pub(super) id: String,
    /// The file it is in there.
    pub(super) file: String,
}

/// Where `compose.yaml` finds secrets as files; beside the rendered folder, which only holds what was rendered.
const SECRETS_DIR: &str = "${SECRETS_DIR:-../secrets}";

/// The variable with the size of a process's connection pool.
pub(crate) const POOL_VARIABLE: &str = "DATABASE_POOL_SIZE";

/// Every variable of the tier: the database's, the cache's, then the spec's own.
pub(super) fn all_variables(spec: &TierSpec, database: DatabaseTarget) -> Vec<VariableView> {
    let everybody: Vec<String> = spec.services.iter().map(|s| s.name.clone()).collect();
    // Files that are only sent have no use for a database.
    let programs: Vec<String> =
        spec.services.iter().filter(|s| s.kind != Kind::Static).map(|s| s.name.clone()).collect();
    let of_store = |name: &str, purpose: &str, secret: SecretRef| VariableView {
        name: name.to_owned(),
        purpose: purpose.to_owned(),
        value: None,
        secret: Some(secret),
        used_by: programs.clone(),
    };
    let mut variables = Vec::new();
    if let Some(db) = &spec.database {
        variables.extend(db.urls(database).into_iter().map(|url| of_store(url.variable, url.purpose, url.secret)));
    }
    if let Some(cache) = &spec.cache {
        variables.push(of_store(&cache.url_variable, "URL of the cache and queue", cache.secret.clone()));
    }
    if let Some(db) = &spec.database {
        variables.push(VariableView {
            name: POOL_VARIABLE.to_owned(),
            purpose: "database connections each process opens at most".to_owned(),
            value: Some(db.pool_size.to_string()),
            secret: None,
            used_by: programs.clone(),
        });
    }
    variables.extend(spec.environment.iter().map(|v| {
        let Variable { name, purpose, value, secret, used_by } = v.clone();
        VariableView {
            name,
            purpose,
            value,
            secret,
            used_by: if used_by.is_empty() { everybody.clone() } else { used_by },
        }
    }));
    variables
}

/// Each file once: two variables may share a key (no replica at the source).
pub(super) fn unique(secrets: &[SecretView]) -> impl Iterator<Item = &SecretView> {
    secrets.iter().enumerate().filter(|(i, s)| !secrets[..*i].iter().any(|other| other.id == s.id)).map(|(_, s)| s)
}

pub(super) fn secret_view(variable: &VariableView) -> Option<SecretView> {
    let secret = variable.secret.as_ref()?;
    Some(SecretView {
        variable: variable.name.clone(),
        name: secret.name.clone(),
        key: secret.key.clone(),
        store_name: secret.store_name(),
        id: format!("{}_{}", secret.name, secret.key).replace(['-', '.'], "_"),
        file: format!("{SECRETS_DIR}/{}/{}", secret.name, secret.key),
    })
}
