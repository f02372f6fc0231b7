//! Secrets where anybody can read them.

use super::{Report, Set};
use crate::core::ConfigMap;
use crate::object::Object;
use crate::secret::ExternalSecret;

/// What to do about a secret in plain sight.
pub(super) const REMEDY: &str = "put it in a Secret and refer to it with secretKeyRef";

/// Ends of names whose values are secrets.
const SECRET_ENDS: [&str; 9] =
    ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIALS", "SIGNING_KEY"];

pub(super) fn check_config_map(config: &ConfigMap, report: &mut Report) {
    for (key, value) in &config.data {
        if let Some(why) = looks_secret(key, value) {
            report.add(format!("data.{key}"), format!("`{key}` {why}"), REMEDY);
        }
    }
}

pub(super) fn check_external(secret: &ExternalSecret, report: &mut Report) {
    let data = &secret.spec.data;
    if data.is_empty() {
        report.add("spec.data", "it fills nothing", "name a key, or remove it");
    }
    for (i, entry) in data.iter().enumerate() {
        if data[..i].iter().any(|other| other.secret_key == entry.secret_key) {
            let message = format!("`{}` is there twice", entry.secret_key);
            report.add(format!("spec.data[{i}].secretKey"), message, "remove one");
        }
    }
}

/// Whether Secrets come from ExternalSecrets and none of them fills this key. Where there is no ExternalSecret at all,
/// Secrets are made by hand and nothing can be said.
pub(super) fn is_missing(set: &Set, namespace: &str, name: &str, key: &str) -> bool {
    let in_namespace = |object: &&Object| object.namespace() == namespace;
    let mut externals = set.objects.iter().filter(in_namespace).filter_map(|object| match object {
        Object::ExternalSecret(secret) => Some(&secret.spec),
        _ => None,
    });
    let mut any = false;
    let found = externals.by_ref().any(|spec| {
        any = true;
        spec.target.name == name && spec.data.iter().any(|entry| entry.secret_key == key)
    });
    any && !found
}

/// Why a plain value under this name looks like a secret, if it does.
pub fn looks_secret(name: &str, value: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    if !value.is_empty() && SECRET_ENDS.iter().any(|end| name.ends_with(end)) {
        return Some("is the name of a secret, and its value is in plain sight");
    }
    if url_has_password(value) {
        return Some("has a password in its URL, in plain sight");
    }
    if value.contains("PRIVATE KEY-----") {
        return Some("holds a private key, in plain sight");
    }
    None
}

/// Whether a value is a URL of the form `scheme://user:password@host`.
fn url_has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    authority.rsplit_once('@').is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, p)| !p.is_empty()))
}
