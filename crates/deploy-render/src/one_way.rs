//! Changes between two sets that can't be taken back by putting the old files back, or that the platform refuses.
//!
//! What a platform never lets go back is data ([`FIELDS`]): a field that is fixed once the object exists, a disk that
//! never shrinks, a version that only rises. Restoring the files does not restore what they made; so each such change
//! is shown, and needs a word of the operator.

use std::collections::BTreeMap;

use k8s_templates::Quantity;
use serde_json::Value;

use crate::check::{Problem, elements, entries};
use crate::set::RenderedSet;
use crate::validate::{RENDER_DATABASE_PLANS, RENDER_SERVICE_PLANS};
use crate::yaml;

/// What may not happen to a field.
#[derive(Clone, Copy)]
enum Rule {
    /// It is what it was made with.
    Fixed,
    /// A number or quantity that may only grow.
    OnlyGrows,
    /// A version that may only rise, and does not fall again.
    OnlyRises,
    /// A plan of a key value store: up is for good, down is refused.
    KeyValuePlan,
    /// A plan of a database: one that is no longer sold can't be had again.
    DatabasePlan,
    /// A list of named things: one that goes is destroyed.
    KeepsNames,
}

use Rule::{DatabasePlan, Fixed, KeepsNames, KeyValuePlan, OnlyGrows, OnlyRises};

/// Kind of thing, JSON pointer of the field, what may not happen to it, and why.
const FIELDS: &[(&str, &str, Rule, &str)] = &[
    ("Render database", "/diskSizeGB", OnlyGrows, "Render never shrinks a disk"),
    ("Render database", "/plan", DatabasePlan, "Render does not sell it any more"),
    ("Render database", "/region", Fixed, "Render never moves a database"),
    ("Render database", "/databaseName", Fixed, "Render makes it once"),
    ("Render database", "/user", Fixed, "Render makes it once"),
    (
        "Render database",
        "/postgresMajorVersion",
        OnlyRises,
        "an upgraded data folder is not read by the version before",
    ),
    ("Render database", "/readReplicas", KeepsNames, "Render destroys a replica that is no longer listed"),
    ("Render key value store", "/plan", KeyValuePlan, "Render never gives a key value store a smaller plan"),
    ("Render key value store", "/region", Fixed, "Render never moves it"),
    ("Render service", "/region", Fixed, "Render never moves a service"),
    ("Render service", "/type", Fixed, "Render never changes a service's type"),
    ("Render service", "/disk/sizeGB", OnlyGrows, "Render never shrinks a disk"),
    ("Render service", "/disk/name", Fixed, "Render deletes a disk, and its files, that is no longer there"),
    ("compose service", "/image", OnlyRises, "an upgraded data folder is not read by the version before"),
    ("Deployment", "/spec/selector", Fixed, "Kubernetes refuses another selector"),
    ("StatefulSet", "/spec/selector", Fixed, "Kubernetes refuses another selector"),
    ("StatefulSet", "/spec/serviceName", Fixed, "Kubernetes refuses another one"),
    ("StatefulSet", "/spec/volumeClaimTemplates", Fixed, "Kubernetes refuses others"),
    ("Service", "/spec/clusterIP", Fixed, "Kubernetes refuses another one"),
    ("Job", "/spec/template", Fixed, "Kubernetes refuses another template: the job must be deleted first"),
    ("Job", "/spec/completionMode", Fixed, "Kubernetes refuses another one"),
    ("PersistentVolumeClaim", "/spec/storageClassName", Fixed, "Kubernetes refuses another one"),
    ("PersistentVolumeClaim", "/spec/accessModes", Fixed, "Kubernetes refuses others"),
    ("PersistentVolumeClaim", "/spec/resources/requests/storage", OnlyGrows, "a volume never shrinks"),
    ("SQLInstance", "/spec/region", Fixed, "Cloud SQL never moves an instance"),
    ("SQLInstance", "/spec/databaseVersion", OnlyRises, "Cloud SQL never goes back a version"),
    ("SQLInstance", "/spec/settings/diskSize", OnlyGrows, "Cloud SQL never shrinks a disk"),
    ("SQLInstance", "/spec/settings/diskType", Fixed, "Cloud SQL never changes a disk's type"),
    ("SQLDatabase", "/spec/charset", Fixed, "a database keeps its encoding"),
    ("SQLDatabase", "/spec/collation", Fixed, "a database keeps its collation"),
    ("AlloyDBCluster", "/spec/location", Fixed, "AlloyDB never moves a cluster"),
    ("AlloyDBCluster", "/spec/databaseVersion", OnlyRises, "AlloyDB never goes back a version"),
    ("AlloyDBInstance", "/spec/instanceType", Fixed, "AlloyDB never changes an instance's type"),
    ("AlloyDBInstance", "/spec/instanceTypeRef", Fixed, "AlloyDB never changes an instance's type"),
    ("RedisCluster", "/spec/location", Fixed, "Memorystore never moves a cluster"),
    ("RedisInstance", "/spec/region", Fixed, "Memorystore never moves an instance"),
    ("RedisInstance", "/spec/tier", Fixed, "Memorystore never changes an instance's tier"),
    ("RedisInstance", "/spec/connectMode", Fixed, "Memorystore never changes how an instance is reached"),
    ("RedisInstance", "/spec/redisVersion", OnlyRises, "Memorystore never goes back a version"),
    ("SpannerInstance", "/spec/config", Fixed, "moving a Spanner instance is an operation of its own"),
];

/// Kinds with data that deleting the object would delete, unless it says that it is to be abandoned.
const HOLDS_DATA: &[&str] = &[
    "PersistentVolumeClaim",
    "SQLInstance",
    "SQLDatabase",
    "AlloyDBCluster",
    "AlloyDBInstance",
    "RedisInstance",
    "RedisCluster",
    "SpannerInstance",
    "SpannerDatabase",
];

const KEEP_THE_OLD: &str = "leave it as it was, or make a second one and move there; to do it all the same: --accept-irreversible, in a \
                            playbook `accept_irreversible: true`";

/// What applying `after` where `before` was applied would do for good: file, object and field, why, what to do instead.
/// A file that is no YAML is [`check`](crate::check())'s to report.
pub fn one_way(before: &RenderedSet, after: &RenderedSet) -> Vec<Problem> {
    let (old, new) = (things(before), things(after));
    let mut found = Vec::new();
    for ((kind, name), (old_file, old)) in &old {
        let mut add = |file: &str, path: &str, message: String| {
            let dotted = path.trim_start_matches('/').replace('/', ".");
            let path = format!("{kind} {name} {dotted}").trim_end().to_owned();
            found.push(Problem { file: file.to_owned(), path, message, remedy: KEEP_THE_OLD.to_owned() });
        };
        let Some((file, new)) = new.get(&(kind.clone(), name.clone())) else {
            if HOLDS_DATA.contains(&kind.as_str()) && !is_abandoned(old) {
                add(old_file, "", "it would be deleted with its data".to_owned());
            }
            continue;
        };
        for (_, path, rule, why) in FIELDS.iter().filter(|(of, ..)| of == kind) {
            let (old, new) = (old.pointer(path).unwrap_or(&Value::Null), new.pointer(path).unwrap_or(&Value::Null));
            if let Some(what) = broken(*rule, old, new) {
                add(file, path, format!("{what}: {why}"));
            }
        }
    }
    found
}

/// What a platform keeps of each set: by kind and name, its file and itself.
type Things = BTreeMap<(String, String), (String, Value)>;

fn things(set: &RenderedSet) -> Things {
    let mut things = Things::new();
    for (path, bytes) in set.files().filter(|(path, _)| path.ends_with(".yaml")) {
        let Ok(documents) = yaml::documents(&String::from_utf8_lossy(bytes)) else { continue };
        for document in documents {
            let mut add = |kind: &str, name: &str, thing: &Value| {
                things.insert((kind.to_owned(), name.to_owned()), (path.to_owned(), thing.clone()));
            };
            match path {
                "render.yaml" => blueprint(&document, &mut add),
                "compose.yaml" => {
                    let databases = |(_, service): &(&str, &Value)| postgres_major(&service["image"]).is_some();
                    entries(&document["services"])
                        .filter(databases)
                        .for_each(|(name, it)| add("compose service", name, it));
                }
                _ => {
                    if let (Some(kind), Some(name)) = (document["kind"].as_str(), document["metadata"]["name"].as_str())
                    {
                        let namespace = document["metadata"]["namespace"].as_str();
                        add(
                            kind,
                            &namespace.map_or_else(|| name.to_owned(), |home| format!("{home}/{name}")),
                            &document,
                        );
                    }
                }
            }
        }
    }
    things
}

fn blueprint(document: &Value, add: &mut impl FnMut(&str, &str, &Value)) {
    let name = |thing: &Value| thing["name"].as_str().unwrap_or("").to_owned();
    for (_, database) in elements(&document["databases"]) {
        add("Render database", &name(database), database);
    }
    for (_, service) in elements(&document["services"]) {
        let is_store = matches!(service["type"].as_str(), Some("keyvalue" | "redis"));
        add(if is_store { "Render key value store" } else { "Render service" }, &name(service), service);
    }
}

fn is_abandoned(object: &Value) -> bool {
    object["metadata"]["annotations"]["cnrm.cloud.google.com/deletion-policy"] == "abandon"
}

/// What happens, if the rule does not allow it.
fn broken(rule: Rule, old: &Value, new: &Value) -> Option<String> {
    if old == new || old.is_null() {
        return None;
    }
    let from_to = || format!("it goes from {} to {}", shown(old), shown(new));
    let up_or_down = |falls: bool| format!("{}{}", from_to(), if falls { ", which is refused" } else { " for good" });
    match rule {
        Fixed => Some(from_to()),
        // Without a size it has the smallest there is.
        OnlyGrows => (size(new) < size(old)).then(from_to),
        OnlyRises => (version(new) != version(old)).then(|| up_or_down(version(new) < version(old))),
        KeyValuePlan => Some(up_or_down(plan_rank(new) < plan_rank(old))),
        DatabasePlan => old.as_str().is_some_and(|plan| !RENDER_DATABASE_PLANS.contains(&plan)).then(from_to),
        KeepsNames => {
            let gone: Vec<&str> = names(old).filter(|name| names(new).all(|kept| kept != *name)).collect();
            (!gone.is_empty()).then(|| format!("{} goes", gone.join(", ")))
        }
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    elements(list).filter_map(|(_, entry)| entry["name"].as_str())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Object(_) | Value::Array(_) => "one definition".to_owned(),
        other => format!("`{other}`"),
    }
}

fn size(value: &Value) -> Option<i128> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Quantity::parse(&text).ok().map(|quantity| quantity.millis())
}

/// The major version in `POSTGRES_17`, `REDIS_7_2`, `17` or an image of PostgreSQL.
fn version(value: &Value) -> Option<u64> {
    if value.as_str().is_some_and(|text| text.contains(':')) {
        return postgres_major(value);
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// Of an image like `postgres:17.6-bookworm` or `pgvector/pgvector:0.8.2-pg18`.
fn postgres_major(image: &Value) -> Option<u64> {
    let (name, tag) = image.as_str()?.rsplit_once(':')?;
    let digits = match name.rsplit('/').next()? {
        "postgres" => tag,
        "pgvector" => tag.split_once("pg")?.1,
        _ => return None,
    };
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn plan_rank(plan: &Value) -> Option<usize> {
    RENDER_SERVICE_PLANS.iter().position(|(name, _)| Some(*name) == plan.as_str())
}
