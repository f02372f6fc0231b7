//! What a `system.yaml` must satisfy beyond its shape: names that are names, numbers that fit each other.

mod names;

use std::collections::BTreeSet;
use std::fmt;

use k8s_templates::{IntOrPercent, Quantity};
use serde::Serialize;

use names::Validator;

use crate::system::{Rule, SystemSpec, Tier};
use crate::tier::{Kind, Service, TierSpec, Variable};

/// A value of a `system.yaml` that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecProblem {
    /// Where, e.g. `tiers.tier2.render.services[0].scaling`.
    pub at: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.at, self.message, self.remedy)
    }
}

/// Connections a server keeps for superusers, monitoring and a migration.
const RESERVED_CONNECTIONS: u32 = 20;

/// Instance types of Render's services. The old names with a blank are still the ones its Blueprint schema has.
pub(crate) const RENDER_SERVICE_PLANS: [&str; 7] =
    ["free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra"];
/// Regions of Render.
const RENDER_REGIONS: [&str; 5] = ["oregon", "ohio", "frankfurt", "singapore", "virginia"];

/// All that is wrong with a system.
pub(crate) fn validate(system: &SystemSpec) -> Vec<SpecProblem> {
    let mut v = Validator { at: String::new(), problems: Vec::new() };
    // Folders and databases have underscores; where a platform refuses them, they become `-`.
    v.name("system", &system.slug());
    v.line("title", &system.title);
    if system.tiers.is_empty() {
        v.add("tiers", "there is no tier", "describe at least one");
    }
    tier_order(&mut v, system);
    for (name, tier) in &system.tiers {
        v.at = format!("tiers.{name}.");
        v.name("", name);
        tier_facts(&mut v, tier);
        if let Some(spec) = &tier.render {
            v.at.push_str("render.");
            tier_spec(&mut v, spec);
        }
    }
    v.at.clear();
    let known = |tier: &String| system.tiers.contains_key(tier);
    for (i, alert) in system.alerts.iter().enumerate() {
        let at = format!("alerts[{i}]");
        for tier in alert.tiers.iter().chain(&alert.to).filter(|t| !known(t)) {
            v.add(&at, format!("there is no tier `{tier}`"), "name one of `tiers`");
        }
        v.metric(&at, &alert.metric);
    }
    if let Some(tier) = system.status.tier.as_ref().filter(|tier| !known(tier)) {
        v.add("status.tier", format!("there is no tier `{tier}`"), "name one of `tiers`");
    }
    let projections = system.revenue.iter().flat_map(|revenue| &revenue.projections);
    for (i, p) in projections.enumerate() {
        let at = format!("revenue.projections[{i}]");
        if !known(&p.tier) {
            v.add(&at, format!("there is no tier `{}`", p.tier), "name one of `tiers`");
        }
        if p.revenue_usd_month - p.cost_usd_month != p.profit_usd_month {
            v.add(&at, "profit is not revenue less cost", "correct one of the three");
        }
    }
    v.problems
}

/// Every tier once, or some part would come in an order nobody chose.
fn tier_order(v: &mut Validator, system: &SystemSpec) {
    for (i, name) in system.tier_order.iter().enumerate() {
        let at = format!("tier_order[{i}]");
        if !system.tiers.contains_key(name) {
            v.add(&at, format!("there is no tier `{name}`"), "name one of `tiers`");
        }
        if system.tier_order[..i].contains(name) {
            v.add(&at, format!("`{name}` is there twice"), "remove one");
        }
    }
    for name in system.tiers.keys().filter(|name| !system.tier_order.contains(name)) {
        v.add(
            "tier_order",
            format!("the tier `{name}` is missing"),
            "add it where it belongs, the smallest tier first",
        );
    }
}

fn tier_facts(v: &mut Validator, tier: &Tier) {
    if let Some(users) = tier.users.filter(|users| users.min > users.max) {
        v.add("users", format!("from {} to {} is no range", users.min, users.max), "swap them");
    }
    v.line("name", &tier.name);
    if let Some(cost) = &tier.cost_usd_month {
        v.range("cost_usd_month.headline", cost.headline);
        for (i, item) in cost.items.iter().enumerate() {
            v.range(&format!("cost_usd_month.items[{i}].usd"), item.usd);
        }
    }
    if let Some(trigger) = &tier.trigger {
        if trigger.any_of.is_empty() {
            v.add("trigger.any_of", "there is no rule", "write one, or remove the trigger");
        }
        for (i, rule) in trigger.any_of.iter().enumerate() {
            if let Rule::Metric { metric, .. } = rule {
                v.metric(&format!("trigger.any_of[{i}]"), metric);
            }
        }
    }
    for (i, gate) in tier.gates.iter().enumerate() {
        if let Some(check) = &gate.check {
            v.metric(&format!("gates[{i}].check"), &check.metric);
        }
    }
}

fn tier_spec(v: &mut Validator, spec: &TierSpec) {
    v.name("namespace", &spec.namespace);
    if !is_version(&spec.version) {
        v.add("version", format!("`{}` is no version", spec.version), "use something like 2.0.0, never `latest`");
    }
    v.image("source.base_image", &spec.source.base_image);
    let path = &spec.source.deploy_path;
    let parts_ok = path.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    if !parts_ok {
        v.add("source.deploy_path", format!("`{path}` is no path within a repository"), "use e.g. deploy/tier2");
    }
    if !RENDER_REGIONS.contains(&spec.regions.render.as_str()) {
        let message = format!("Render has no region `{}`", spec.regions.render);
        v.add("regions.render", message, format!("use one of {}", RENDER_REGIONS.join(", ")));
    }
    v.name("regions.google_cloud", &spec.regions.google_cloud);
    if spec.services.len() > 50 {
        v.add("services", format!("{} services are too many for one tier", spec.services.len()), "split it");
    }
    if spec.services.is_empty() {
        v.add("services", "nothing runs", "describe at least one service");
    }
    let mut names = BTreeSet::new();
    for (i, service) in spec.services.iter().enumerate() {
        let at = format!("services[{i}]");
        if !names.insert(service.name.as_str()) {
            v.add(&at, format!("`{}` is there twice", service.name), "rename one");
        }
        service_spec(v, &at, service);
    }
    calls(v, spec);
    for (i, domain) in spec.domains.iter().enumerate() {
        let at = format!("domains[{i}]");
        let web = spec.services.iter().any(|s| s.name == domain.service && s.kind == Kind::Web);
        if !web {
            v.add(&at, format!("`{}` is no web service", domain.service), "name a service of kind web");
        }
        let labels = domain.host.split('.').count();
        let clean = domain.host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
        if labels < 2 || !clean || domain.host.split('.').any(str::is_empty) {
            v.add(&at, format!("`{}` is no host name", domain.host), "use something like api.example.com");
        }
    }
    environment(v, spec, &names);
    data_stores(v, spec);
    compose_memory(v, spec);
}

fn calls(v: &mut Validator, spec: &TierSpec) {
    for (i, service) in spec.services.iter().enumerate() {
        for callee in &service.calls {
            let at = format!("services[{i}].calls");
            match spec.service(callee) {
                None => v.add(&at, format!("there is no service `{callee}`"), "name one of `services`"),
                Some(other) if other.kind == Kind::Worker => {
                    v.add(
                        &at,
                        format!("`{callee}` is a worker, nobody can call it"),
                        "make it private, or use the queue",
                    );
                }
                Some(_) => {}
            }
        }
    }
}

fn service_spec(v: &mut Validator, at: &str, service: &Service) {
    v.name(&format!("{at}.name"), &service.name);
    v.line(&format!("{at}.purpose"), &service.purpose);
    // Compose publishes the n-th service n ports further.
    v.within(&format!("{at}.port"), u32::from(service.port), 1024, 65000);
    v.path(&format!("{at}.health.readiness"), &service.health.readiness);
    v.path(&format!("{at}.health.liveness"), &service.health.liveness);
    v.within(&format!("{at}.health.startup_seconds"), service.health.startup_seconds, 5, 1800);
    if service.command.is_empty() || service.command.iter().any(String::is_empty) {
        v.add(&format!("{at}.command"), "there is no program to start", "use e.g. [node, dist/main.js]");
    }
    let (requests, limits) = (&service.resources.requests, &service.resources.limits);
    for (name, request, limit) in [("cpu", &requests.cpu, &limits.cpu), ("memory", &requests.memory, &limits.memory)] {
        let at = format!("{at}.resources.requests.{name}");
        if request.is_zero() {
            v.add(&at, "it requests nothing, so its use can't be measured", "request something");
        }
        if request > limit {
            v.add(&at, format!("it requests {request} and may take {limit} at most"), "lower it or raise the limit");
        }
    }
    let scaling = &service.scaling;
    if scaling.min == 0 || scaling.min > scaling.max {
        let message = format!("at least {} and at most {} can't be", scaling.min, scaling.max);
        v.add(&format!("{at}.scaling"), message, "make min at least 1 and at most max");
    }
    v.within(&format!("{at}.scaling.cpu_percent"), scaling.cpu_percent, 1, 90);
    let gone = match service.max_unavailable {
        IntOrPercent::Int(count) => count,
        IntOrPercent::Percent(percent) => percent,
    };
    if gone == 0 {
        let at = format!("{at}.max_unavailable");
        v.add(&at, "it forbids every eviction: nodes can't be drained", "allow at least 1");
    }
    // Render waits 300 s at most.
    let stop = service.shutdown.pre_stop_seconds + service.shutdown.drain_seconds;
    v.within(&format!("{at}.shutdown"), stop, 1, 300);
    v.within(&format!("{at}.shutdown.drain_seconds"), service.shutdown.drain_seconds, 1, 300);
    plan(v, &format!("{at}.render_plan"), &service.render_plan);
    if service.render_plan == "free" {
        v.add(&format!("{at}.render_plan"), "`free` sleeps when idle and can't scale", "use `starter` or more");
    }
}

fn plan(v: &mut Validator, at: &str, plan: &str) {
    if !RENDER_SERVICE_PLANS.contains(&plan) {
        let message = format!("Render has no plan `{plan}`");
        v.add(at, message, format!("use one of {}", RENDER_SERVICE_PLANS.join(", ")));
    }
}

fn environment(v: &mut Validator, spec: &TierSpec, services: &BTreeSet<&str>) {
    // PORT is each service's own; the others come from database and cache.
    let mut seen = BTreeSet::from(["PORT"]);
    for (at, name) in [
        ("database.url_variable", &spec.database.url_variable),
        ("database.read_url_variable", &spec.database.read_url_variable),
        ("cache.url_variable", &spec.cache.url_variable),
    ] {
        v.variable(at, name);
        if !seen.insert(name) {
            v.add(at, format!("`{name}` is taken"), "use another name");
        }
    }
    for (i, variable) in spec.environment.iter().enumerate() {
        let at = format!("environment[{i}]");
        let Variable { name, purpose, value, secret, used_by } = variable;
        v.variable(&at, name);
        v.line(&format!("{at}.purpose"), purpose);
        if !seen.insert(name) {
            v.add(&at, format!("`{name}` is there twice"), "remove one");
        }
        match (value, secret) {
            (Some(value), None) => {
                if looks_secret(name, value) {
                    v.add(&at, format!("`{name}` is a secret in plain sight"), "use `secret: {name, key}`");
                }
                if value.contains(['\n', '\r', '\0']) {
                    v.add(&at, format!("the value of `{name}` has a line break"), "keep it on one line");
                }
            }
            (None, Some(secret)) => {
                v.name(&format!("{at}.secret.name"), &secret.name);
                v.key(&format!("{at}.secret.key"), &secret.key);
            }
            _ => v.add(&at, format!("`{name}` needs a value or a secret, and not both"), "keep one of them"),
        }
        for service in used_by.iter().filter(|service| !services.contains(service.as_str())) {
            v.add(&at, format!("there is no service `{service}`"), "name one of `services`");
        }
    }
}

fn data_stores(v: &mut Validator, spec: &TierSpec) {
    let database = &spec.database;
    for (at, secret) in [("database.source", &database.source), ("database.target", &database.target)] {
        v.name(&format!("{at}.name"), &secret.name);
        v.key(&format!("{at}.url_key"), &secret.url_key);
        v.key(&format!("{at}.read_url_key"), &secret.read_url_key);
    }
    if database.source.name == database.target.name {
        v.add("database.target.name", "it is the source's secret: switching would change nothing", "use another name");
    }
    if database.read_replicas > 0 && database.target.url_key == database.target.read_url_key {
        v.add("database.target.read_url_key", "there are replicas, and reads go to the primary", "use another key");
    }
    v.within("database.version", database.version, 13, 18);
    v.image("database.local_image", &database.local_image);
    v.image("database.pooler_image", &database.pooler_image);
    let pods: u32 = spec.services.iter().map(|s| s.scaling.max).fold(0, u32::saturating_add);
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
    let cache = &spec.cache;
    v.line("cache.product", &cache.product);
    v.name("cache.secret.name", &cache.secret.name);
    v.key("cache.secret.key", &cache.secret.key);
    v.image("cache.local_image", &cache.local_image);
    plan(v, "cache.render_plan", &cache.render_plan);
}

fn compose_memory(v: &mut Validator, spec: &TierSpec) {
    let services: i128 = spec.services.iter().map(|s| s.resources.limits.memory.bytes()).sum();
    let stores = spec.machine.database_memory.bytes() + spec.cache.local_memory.bytes();
    let mib = |bytes: i128| bytes >> 20;
    if services + stores > spec.machine.memory.bytes() {
        v.add(
            "machine.memory",
            format!(
                "the services may take {} MiB and the data stores {} MiB, the machine has {} MiB",
                mib(services),
                mib(stores),
                spec.machine.memory.mebibytes()
            ),
            "use a larger machine or lower the limits",
        );
    }
}

fn is_version(version: &str) -> bool {
    version.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && version != "latest"
        && version.len() <= 63
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Whether a value that should be public looks like a secret.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    k8s_templates::looks_secret(name, value).is_some()
}

/// A quantity known to be valid when the program is written.
pub(crate) fn quantity(text: &'static str) -> Quantity {
    Quantity::parse(text).expect("a constant quantity is valid")
}
