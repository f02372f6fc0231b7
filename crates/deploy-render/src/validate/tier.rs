//! A tier's `render`: what its platforms need, and whether its parts fit each other.

use std::collections::BTreeSet;

use super::names::Validator;
use super::{looks_secret, service, stores, web};
use crate::tier::{Kind, Platform, Region, Runtime, Source, TierSpec, Variable};

/// Regions of Render.
const RENDER_REGIONS: [&str; 5] = ["oregon", "ohio", "frankfurt", "singapore", "virginia"];

pub(super) fn tier_spec(v: &mut Validator, spec: &TierSpec) {
    if spec.platforms.is_empty() {
        v.add("platforms", "there is none, so nothing would be rendered", "name at least one");
    }
    if !is_version(&spec.version) {
        v.add("version", format!("`{}` is no version", spec.version), "use something like 2.0.0, never `latest`");
    }
    v.folder("deploy_path", &spec.deploy_path);
    if let Some(namespace) = &spec.namespace {
        v.name("namespace", namespace);
    }
    platforms(v, spec);
    sources(v, spec);
    regions(v, spec);
    if spec.services.len() > 50 {
        v.add("services", format!("{} services are too many for one tier", spec.services.len()), "split it");
    }
    if spec.services.is_empty() {
        v.add("services", "nothing runs", "describe at least one service");
    }
    let mut names = BTreeSet::new();
    for (i, item) in spec.services.iter().enumerate() {
        let at = format!("services[{i}]");
        if !names.insert(item.name.as_str()) {
            v.add(&at, format!("`{}` is there twice", item.name), "rename one");
        }
        service::service(v, &at, spec, item);
    }
    calls(v, spec);
    domains(v, spec);
    if let Some(google) = &spec.google_cloud {
        project(v, &google.project);
    }
    environment(v, spec, &names);
    stores::stores(v, spec);
    web::web(v, spec);
}

/// What a platform can't do without.
fn platforms(v: &mut Validator, spec: &TierSpec) {
    let needs = [
        (Platform::CloudMonitoring, "google_cloud", spec.google_cloud.is_some(), "name the project"),
        (Platform::Compose, "machine", spec.machine.is_some(), "say how much memory the machine has"),
        (Platform::Compose, "platforms", spec.has(Platform::Docker), "add docker, which builds the images"),
        (Platform::Render, "platforms", spec.has(Platform::Docker), "add docker, which builds the images"),
        (Platform::Render, "regions.render", !spec.regions.render.is_empty(), "name a region of Render"),
        (Platform::Kubernetes, "platforms", spec.has(Platform::Docker), "add docker, which builds the images"),
        (Platform::Kubernetes, "namespace", spec.namespace.is_some(), "name the namespace"),
        (Platform::Kubernetes, "registry", spec.registry.is_some(), "say where the images are"),
        (Platform::Kubernetes, "cluster", spec.cluster.is_some(), "say who runs it and how one gets in"),
        (Platform::ConfigConnector, "platforms", spec.has(Platform::Kubernetes), "add kubernetes, where it runs"),
        (Platform::ConfigConnector, "google_cloud", spec.google_cloud.is_some(), "name the project"),
        (Platform::ConfigConnector, "regions.google_cloud", !spec.regions.google_cloud.is_empty(), "name a region"),
        (Platform::Argocd, "platforms", spec.has(Platform::Kubernetes), "add kubernetes, which it applies"),
        (Platform::Argocd, "repository", spec.repository.is_some(), "name the repository and its branch"),
        (Platform::CloudRun, "registry", spec.registry.is_some(), "say where the images are"),
        (Platform::CloudRun, "google_cloud", spec.google_cloud.is_some(), "name the project"),
        (Platform::CloudRun, "regions.google_cloud", !spec.regions.google_cloud.is_empty(), "name a region"),
        (Platform::Deno, "deno", spec.deno.is_some(), "name its organisation, app and entry point"),
        (
            Platform::GithubActions,
            "repository",
            spec.repository.is_some(),
            "name its URL and the branch that is released",
        ),
        (Platform::Cloudflare, "cdn", spec.cdn.is_some(), "name its zone and rules"),
    ];
    for (platform, at, is_there, remedy) in needs {
        if spec.has(platform) && !is_there {
            v.add(at, format!("{} can't do without it", word(platform)), remedy);
        }
    }
    let watched = spec.has(Platform::Prometheus) || spec.has(Platform::CloudMonitoring);
    if watched && spec.monitoring.is_none() {
        v.add("monitoring", "the rules need it", "say for how long triggers and gates must hold");
    }
    for (i, platform) in spec.platforms.iter().enumerate() {
        if spec.platforms[..i].contains(platform) {
            v.add(&format!("platforms[{i}]"), format!("{} is there twice", word(*platform)), "remove one");
        }
    }
}

/// A platform as it is written.
pub(super) fn word(platform: Platform) -> String {
    let value = serde_json::to_value(platform).unwrap_or_default();
    value.as_str().unwrap_or("a platform").to_owned()
}

fn sources(v: &mut Validator, spec: &TierSpec) {
    for (i, source) in spec.sources.iter().enumerate() {
        let at = format!("sources[{i}]");
        v.name(&format!("{at}.name"), &source.name);
        if spec.sources[..i].iter().any(|other| other.name == source.name) {
            v.add(&at, format!("`{}` is there twice", source.name), "rename one");
        }
        if let Some(image) = &source.base_image {
            v.image(&format!("{at}.base_image"), image);
        }
        if let Some(root) = &source.root {
            v.folder(&format!("{at}.root"), root);
        }
        if let Some(publish) = &source.publish {
            v.folder(&format!("{at}.publish"), publish);
        }
        if let Some(requirements) = &source.requirements {
            v.folder(&format!("{at}.requirements.file"), &requirements.file);
        }
        if let Some(build) = &source.build {
            v.line(&format!("{at}.build"), build);
        }
    }
    if !spec.has(Platform::Docker) {
        return;
    }
    let built = |service: &&crate::tier::Service| service.runs_on(Platform::Docker);
    let mut found: Vec<&Source> = spec.services.iter().filter(built).filter_map(|s| spec.source_of(s)).collect();
    found.dedup_by_key(|source| &source.name);
    if found.len() > 1 {
        let message =
            format!("images are built from `{}` and `{}`, there is one Dockerfile", found[0].name, found[1].name);
        v.add("services", message, "give what runs elsewhere its own `platforms`");
    }
    for source in found.iter().take(1) {
        let i = spec.sources.iter().position(|other| other.name == source.name).unwrap_or(0);
        if source.base_image.is_none() {
            v.add(&format!("sources[{i}].base_image"), "an image is built from it", "name the image it is built on");
        }
        if source.runtime == Runtime::Fastapi && source.requirements.is_none() {
            v.add(&format!("sources[{i}].requirements"), "nothing would be installed", "name the set and its file");
        }
    }
}

fn regions(v: &mut Validator, spec: &TierSpec) {
    for (i, region) in spec.regions.render.iter().enumerate() {
        if !RENDER_REGIONS.contains(&region.name.as_str()) {
            let message = format!("Render has no region `{}`", region.name);
            v.add(&format!("regions.render[{i}]"), message, format!("use one of {}", RENDER_REGIONS.join(", ")));
        }
    }
    let lists = [
        ("google_cloud", &spec.regions.google_cloud),
        ("render", &spec.regions.render),
        ("vercel", &spec.regions.vercel),
        ("deno", &spec.regions.deno),
    ];
    for (platform, list) in lists {
        for (i, region) in list.iter().enumerate() {
            let at = format!("regions.{platform}[{i}]");
            v.name(&at, &region.name);
            short_name(v, &at, region, &list[..i], list.len());
        }
    }
}

fn short_name(v: &mut Validator, at: &str, region: &Region, before: &[Region], count: usize) {
    match &region.short {
        Some(short) => {
            v.name(&format!("{at}.short"), short);
            if before.iter().any(|other| other.short.as_ref() == Some(short)) {
                v.add(at, format!("the short name `{short}` is taken"), "use another one");
            }
        }
        None if count > 1 => {
            v.add(at, "there are several regions, and what runs there would have one name", "give each a `short` name");
        }
        None => {}
    }
}

fn calls(v: &mut Validator, spec: &TierSpec) {
    for (i, service) in spec.services.iter().enumerate() {
        for callee in &service.calls {
            let at = format!("services[{i}].calls");
            match spec.service(callee) {
                None => v.add(&at, format!("there is no service `{callee}`"), "name one of `services`"),
                Some(other) if !matches!(other.kind, Kind::Web | Kind::Private) => {
                    v.add(
                        &at,
                        format!("`{callee}` is a {}, nobody can call it", kind_word(other.kind)),
                        "make it private, or use the queue",
                    );
                }
                Some(_) => {}
            }
        }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Web => "web service",
        Kind::Private => "private service",
        Kind::Worker => "worker",
        Kind::Cron => "cron job",
        Kind::Job => "job",
        Kind::Static => "set of files",
    }
}

/// Rules of Google Cloud's Resource Manager.
fn project(v: &mut Validator, id: &str) {
    let is_fine = (6..=30).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_fine {
        let message = format!("`{id}` can be no project's id");
        v.add("google_cloud.project", message, "6 to 30 lower-case letters, digits and hyphens, a letter first");
    }
}

fn domains(v: &mut Validator, spec: &TierSpec) {
    for (i, domain) in spec.domains.iter().enumerate() {
        let at = format!("domains[{i}]");
        let reached = |kind: Kind| matches!(kind, Kind::Web | Kind::Static);
        if !spec.services.iter().any(|s| s.name == domain.service && reached(s.kind)) {
            v.add(&at, format!("`{}` is no web service", domain.service), "name a service of kind web or static");
        }
        v.host(&at, &domain.host);
    }
}

fn environment(v: &mut Validator, spec: &TierSpec, services: &BTreeSet<&str>) {
    // PORT is each service's own; the others come from database and cache.
    let mut seen = BTreeSet::from(["PORT"]);
    let database = spec.database.as_ref();
    let of_stores = [
        ("database.url_variable", database.map(|db| &db.url_variable)),
        ("database.read_url_variable", database.and_then(|db| db.read_url_variable.as_ref())),
        ("database.direct_url_variable", database.and_then(|db| db.direct_url_variable.as_ref())),
        ("cache.url_variable", spec.cache.as_ref().map(|cache| &cache.url_variable)),
    ];
    for (at, name) in of_stores.into_iter().filter_map(|(at, name)| Some((at, name?))) {
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

fn is_version(version: &str) -> bool {
    version.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && version != "latest"
        && version.len() <= 63
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
