//! Database, cache, and whether everything fits on one machine.

use super::names::Validator;
use super::service::service_plan;
use crate::tier::{Cache, Database, Kind, Platform, TierSpec};

/// Connections a server keeps for superusers, monitoring and a migration.
const RESERVED_CONNECTIONS: u32 = 20;

/// Instance types Render sells for databases today. The guide's `starter` and `standard` are older ones, which a new
/// database can't have, and to which none can go back.
pub(crate) const RENDER_DATABASE_PLANS: [&str; 23] = [
    "free",
    "basic-256mb",
    "basic-1gb",
    "basic-4gb",
    "pro-4gb",
    "pro-8gb",
    "pro-16gb",
    "pro-32gb",
    "pro-64gb",
    "pro-128gb",
    "pro-192gb",
    "pro-256gb",
    "pro-384gb",
    "pro-512gb",
    "accelerated-16gb",
    "accelerated-32gb",
    "accelerated-64gb",
    "accelerated-128gb",
    "accelerated-256gb",
    "accelerated-384gb",
    "accelerated-512gb",
    "accelerated-768gb",
    "accelerated-1024gb",
];

pub(super) fn stores(v: &mut Validator, spec: &TierSpec) {
    if let Some(database) = &spec.database {
        database_spec(v, spec, database);
    }
    if let Some(cache) = &spec.cache {
        cache_spec(v, spec, cache);
    }
    for (i, store) in spec.stores.iter().enumerate() {
        v.name(&format!("stores[{i}].name"), &store.name);
        v.line(&format!("stores[{i}].purpose"), &store.purpose);
    }
    machine(v, spec);
}

fn database_spec(v: &mut Validator, spec: &TierSpec, database: &Database) {
    let secrets = database.source.iter().map(|secret| ("database.source", secret));
    for (at, secret) in secrets.chain([("database.target", &database.target)]) {
        v.name(&format!("{at}.name"), &secret.name);
        let keys = [("url_key", Some(&secret.url_key)), ("read_url_key", secret.read_url_key.as_ref())];
        for (name, key) in keys.into_iter().chain([("direct_url_key", secret.direct_url_key.as_ref())]) {
            if let Some(key) = key {
                v.key(&format!("{at}.{name}"), key);
            }
        }
    }
    let target = &database.target;
    if database.source.as_ref().is_some_and(|source| source.name == target.name) {
        v.add("database.target.name", "it is the source's secret: switching would change nothing", "use another name");
    }
    if database.read_replicas > 0 {
        if database.read_url_variable.is_none() {
            v.add("database.read_url_variable", "there are replicas, and nobody would read there", "name a variable");
        }
        if target.read_url_key.as_ref().is_none_or(|key| *key == target.url_key) {
            v.add("database.target.read_url_key", "there are replicas, and reads go to the primary", "use another key");
        }
    }
    if database.direct_url_variable.is_some() && target.direct_url_key.as_ref().is_none_or(|key| *key == target.url_key)
    {
        let remedy = "name the key with the URL that goes past the pooler";
        v.add("database.target.direct_url_key", "migrations would go through the pooler", remedy);
    }
    v.within("database.version", database.version, 13, 18);
    for (at, image) in
        [("database.local_image", &database.local_image), ("database.pooler_image", &database.pooler_image)]
    {
        if let Some(image) = image {
            v.image(at, image);
        }
    }
    if let Some(plan) = database.render_plan.as_ref().filter(|plan| !RENDER_DATABASE_PLANS.contains(&plan.as_str())) {
        let message = format!("Render sells no database `{plan}` today");
        v.add("database.render_plan", message, "use e.g. basic-256mb for the old `starter`, basic-1gb for `standard`");
    }
    if let Some(disk) = database.disk_gb.filter(|disk| database.render_plan.is_some() && *disk != 1 && disk % 5 != 0) {
        let message = format!("Render has no disk of {disk} GB");
        v.add("database.disk_gb", message, "use 1 or a multiple of 5; it can grow later and never shrink");
    }
    for (i, allowed) in database.allow_from.iter().enumerate() {
        let at = format!("database.allow_from[{i}]");
        v.line(&at, &allowed.description);
        if allowed.source.starts_with("0.0.0.0/0") || allowed.source.starts_with("::/0") {
            v.add(&at, "the whole world may connect", "name addresses");
        }
    }
    parameters(v, database);
    indexes(v, database);
    connections(v, spec, database);
}

/// They become SQL, flags and command lines.
fn parameters(v: &mut Validator, database: &Database) {
    for (name, value) in &database.parameters {
        let at = format!("database.parameters.{name}");
        name.split('.').for_each(|part| v.identifier(&at, part));
        if value.chars().any(|c| c.is_control() || c == '\'' || c == '\\') {
            v.add(
                &at,
                format!("`{value}` is no value of a parameter"),
                "leave quotes, backslashes and line breaks out",
            );
        }
        if name == "max_connections" {
            v.add(&at, "the pools are computed from database.max_connections", "say it there");
        }
    }
}

fn indexes(v: &mut Validator, database: &Database) {
    for (i, index) in database.indexes.iter().enumerate() {
        let at = format!("database.indexes[{i}]");
        v.identifier(&format!("{at}.name"), &index.name);
        if database.indexes[..i].iter().any(|other| other.name == index.name) {
            v.add(&format!("{at}.name"), format!("`{}` is there twice", index.name), "give it another name");
        }
        if index.table.split('.').count() > 2 {
            v.add(&format!("{at}.table"), format!("`{}` is no table", index.table), "use schema.table");
        }
        index.table.split('.').for_each(|part| v.identifier(&format!("{at}.table"), part));
        if index.columns.is_empty() {
            v.add(&format!("{at}.columns"), "an index has columns", "name at least one");
        }
        for (j, column) in index.columns.iter().enumerate() {
            v.identifier(&format!("{at}.columns[{j}]"), column.strip_suffix(" desc").unwrap_or(column));
        }
    }
}

fn connections(v: &mut Validator, spec: &TierSpec, database: &Database) {
    let scaling = spec.services.iter().filter_map(|service| service.scaling.as_ref());
    let pods: u32 = scaling.map(|scaling| scaling.max).fold(0, u32::saturating_add);
    let wanted = pods.saturating_mul(database.pool_size);
    let there = database.max_connections.saturating_sub(RESERVED_CONNECTIONS);
    if wanted > there {
        v.add(
            "database.pool_size",
            format!(
                "{pods} pods with {} connections each want {wanted}, the server leaves {there}",
                database.pool_size
            ),
            "lower pool_size or the services' scaling.max, or raise max_connections",
        );
    }
}

fn cache_spec(v: &mut Validator, spec: &TierSpec, cache: &Cache) {
    v.name("cache.secret.name", &cache.secret.name);
    v.key("cache.secret.key", &cache.secret.key);
    if let Some(image) = &cache.local_image {
        v.image("cache.local_image", image);
    }
    if let Some(plan) = cache.render_plan.as_ref().filter(|_| spec.has(Platform::Render)) {
        service_plan(v, "cache.render_plan", plan);
    }
}

/// What `compose.yaml` needs: images, and memory for all of them.
fn machine(v: &mut Validator, spec: &TierSpec) {
    let Some(machine) = spec.machine.as_ref().filter(|_| spec.has(Platform::Compose)) else { return };
    let needs = "compose.yaml has no other one to run";
    if let Some(database) = &spec.database {
        if database.local_image.is_none() {
            v.add("database.local_image", needs, "name the image that is the database there");
        }
        if machine.database_memory.is_none() {
            v.add("machine.database_memory", "the database may not take all of the machine's", "say how much it has");
        }
    }
    if let Some(cache) = &spec.cache
        && (cache.local_image.is_none() || cache.local_memory.is_none())
    {
        v.add("cache.local_image", needs, "name the image that is the cache there, and its local_memory");
    }
    for (at, helper) in machine.helpers() {
        v.image(&format!("machine.{at}.image"), &helper.image);
    }
    let called = |service: &crate::tier::Service| {
        service.runs_on(Platform::Compose) && matches!(service.kind, Kind::Web | Kind::Static)
    };
    if machine.proxy.is_none() && spec.services.iter().any(called) {
        v.add(
            "machine.proxy",
            "the world calls services, and nothing stands before them",
            "name nginx's image and memory",
        );
    }
    if machine.watchers.is_none() && spec.has(Platform::Prometheus) && !spec.has(Platform::Kubernetes) {
        v.add("machine.watchers", "Prometheus watches the machine, and nothing runs it", "name its images and memory");
    }
    let here = spec.services.iter().filter(|service| service.runs_on(Platform::Compose));
    let limit =
        |service: &crate::tier::Service| service.running().map(|running| running.resources.limits.memory.bytes());
    let services: i128 = here.filter_map(limit).sum();
    let database = machine.database_memory.iter();
    let cache = spec.cache.iter().filter_map(|cache| cache.local_memory.as_ref());
    let helpers = machine.helpers().into_iter().map(|(_, helper)| &helper.memory);
    let stores: i128 = database.chain(cache).chain(helpers).map(k8s_templates::Quantity::bytes).sum();
    let mib = |bytes: i128| bytes >> 20;
    if services + stores > machine.memory.bytes() {
        v.add(
            "machine.memory",
            format!(
                "the services may take {} MiB and what runs beside them {} MiB, the machine has {} MiB",
                mib(services),
                mib(stores),
                machine.memory.mebibytes()
            ),
            "use a larger machine or lower the limits",
        );
    }
}
