//! Platforms of the web: Cloudflare's limits, and what Vercel, Deno Deploy, Cloud Run and GitHub Actions can't do.

use super::names::Validator;
use crate::system::Span;
use crate::tier::{Cdn, ClusterProvider, DenoRegion, Kind, Platform, RATE_TIMES, Service, TierSpec};

/// Cloud Run asks a new instance for so long at most.
const CLOUD_RUN_STARTUP_SECONDS: u32 = 240;

pub(super) fn web(v: &mut Validator, spec: &TierSpec) {
    if let Some(cdn) = &spec.cdn {
        edge(v, spec, cdn);
    }
    vercel(v, spec);
    deno(v, spec);
    cloud_run(v, spec);
    releases(v, spec);
    toolchains(v, spec);
}

fn edge(v: &mut Validator, spec: &TierSpec, cdn: &Cdn) {
    let limits = cdn.plan.limits();
    v.host("cdn.zone", &cdn.zone);
    if cdn.cache.is_empty() && cdn.rate_limits.is_empty() && !cdn.load_balancer {
        v.add("cdn", "it has no rule, so nothing would be rendered", "add a rule of `cache` or `rate_limits`");
    }
    for (at, count, most) in [
        ("cdn.cache", cdn.cache.len(), limits.cache_rules),
        ("cdn.rate_limits", cdn.rate_limits.len(), limits.rate_limits),
    ] {
        if count > most {
            v.add(at, format!("the plan has {most} of such rules, here are {count}"), "join some, or raise cdn.plan");
        }
    }
    for (i, rule) in cdn.cache.iter().enumerate() {
        let at = format!("cdn.cache[{i}]");
        v.name(&format!("{at}.name"), &rule.name);
        v.path(&format!("{at}.path_prefix"), &rule.path_prefix);
        if rule.path_prefix == "/" && !rule.anonymous_only {
            let message = "it would keep every answer, those to one user for all others too";
            v.add(&format!("{at}.path_prefix"), message, "name a path, or set anonymous_only");
        }
        if let Some(browser) = rule.browser_ttl.as_ref().filter(|ttl| ttl.seconds() > rule.edge_ttl.seconds()) {
            let message = format!("browsers would keep {browser} what the edge forgets after {}", rule.edge_ttl);
            v.add(&format!("{at}.browser_ttl"), message, "make it at most edge_ttl: a browser can't be purged");
        }
    }
    for (i, limit) in cdn.rate_limits.iter().enumerate() {
        let at = format!("cdn.rate_limits[{i}]");
        v.name(&format!("{at}.name"), &limit.name);
        v.path(&format!("{at}.path_prefix"), &limit.path_prefix);
        if limit.requests == 0 {
            v.add(&format!("{at}.requests"), "it would refuse everybody", "allow at least 1");
        }
        rate_time(v, &format!("{at}.period"), &limit.period, limits.period_max);
        rate_time(v, &format!("{at}.block_for"), &limit.block_for, limits.block_max);
    }
    if cdn.load_balancer && spec.regions.render.len().max(spec.regions.google_cloud.len()) < 2 {
        v.add("cdn.load_balancer", "there is only one region to send requests to", "add a region, or remove it");
    }
}

/// A time Cloudflare counts over or refuses for: one of its list, and not beyond what the plan has.
fn rate_time(v: &mut Validator, at: &str, time: &Span, most: u64) {
    if !RATE_TIMES.contains(&time.seconds()) || time.seconds() > most {
        let times: Vec<String> = RATE_TIMES.iter().filter(|t| **t <= most).map(ToString::to_string).collect();
        let remedy = format!("use one of {} seconds, or raise cdn.plan", times.join(", "));
        v.add(at, format!("the plan has no {time}"), remedy);
    }
}

fn there(spec: &TierSpec, platform: Platform) -> impl Iterator<Item = (usize, &Service)> {
    let there = spec.has(platform);
    spec.services.iter().enumerate().filter(move |(_, service)| there && service.runs_on(platform))
}

fn vercel(v: &mut Validator, spec: &TierSpec) {
    let mut sites = 0;
    for (i, service) in there(spec, Platform::Vercel) {
        let at = format!("services[{i}]");
        match service.kind {
            Kind::Web | Kind::Static => sites += 1,
            Kind::Cron => v.add(
                &format!("{at}.platforms"),
                format!("Vercel's cron jobs call a path, `{}` starts a program", service.name),
                "run it elsewhere",
            ),
            _ => v.add(
                &format!("{at}.platforms"),
                format!("Vercel runs nothing that nobody calls, like `{}`", service.name),
                "run it elsewhere",
            ),
        }
        let functions = spec.source_of(service).and_then(|source| source.functions.as_ref());
        if service.kind == Kind::Web && service.timeout_seconds.is_some() && functions.is_none() {
            let message = "Vercel limits the time of files, and which become functions is not said";
            v.add(&format!("{at}.timeout_seconds"), message, "give its source `functions`, e.g. app/api/**/*");
        }
    }
    if spec.has(Platform::Vercel) && sites != 1 {
        let message = format!("{sites} services run on Vercel, and there is one vercel.json");
        v.add("services", message, "give one of them the platform, and the others another one");
    }
}

fn deno(v: &mut Validator, spec: &TierSpec) {
    let Some(app) = spec.deno.as_ref().filter(|_| spec.has(Platform::Deno)) else { return };
    v.name("deno.org", &app.org);
    v.name("deno.app", &app.app);
    v.folder("deno.entrypoint", &app.entrypoint);
    if there(spec, Platform::Deno).filter(|(_, service)| service.kind == Kind::Web).count() != 1 {
        v.add("services", "an app on Deno Deploy is one web service", "give exactly one web service the platform");
    }
    if spec.regions.deno.len() > 1 && app.region != DenoRegion::Global {
        let message = "several regions are wanted, and the app would run in one part of the world";
        v.add("deno.region", message, "use `global`, or name one region");
    }
}

fn cloud_run(v: &mut Validator, spec: &TierSpec) {
    let regions = spec.regions.google_cloud.len();
    if spec.has(Platform::CloudRun) && regions > 1 {
        let message = format!("Cloud Run's files are for one region, and here are {regions}");
        v.add("regions.google_cloud", message, "keep one, or run it on kubernetes");
    }
    for (i, service) in there(spec, Platform::CloudRun) {
        let at = format!("services[{i}]");
        if !service.kind.keeps_running() && service.kind != Kind::Static {
            let message =
                format!("`{}` is no service of Cloud Run, and nothing is rendered for its jobs", service.name);
            v.add(&format!("{at}.platforms"), message, "run it elsewhere");
        }
        if !service.pre_deploy.is_empty() {
            let message = "Cloud Run starts nothing before a release";
            v.add(&format!("{at}.pre_deploy"), message, "run it as a step of its own, and remove it here");
        }
        if let Some(health) = service.health.as_ref().filter(|h| h.startup_seconds > CLOUD_RUN_STARTUP_SECONDS) {
            let message = format!("Cloud Run waits {CLOUD_RUN_STARTUP_SECONDS} s, not {}", health.startup_seconds);
            v.add(&format!("{at}.health.startup_seconds"), message, "start faster, or run it elsewhere");
        }
        if service.timeout_seconds.is_some_and(|seconds| seconds > 3600) {
            v.add(&format!("{at}.timeout_seconds"), "Cloud Run ends a request after 3600 s", "use at most 3600");
        }
        if service.concurrency.is_some_and(|requests| requests == 0 || requests > 1000) {
            v.add(&format!("{at}.concurrency"), "an instance takes 1 to 1000 requests at a time", "use such a number");
        }
    }
}

/// The workflow reaches one cluster of Google's; Argo CD comes from within any.
fn releases(v: &mut Validator, spec: &TierSpec) {
    let applied = spec.has(Platform::GithubActions) && spec.has(Platform::Kubernetes) && !spec.has(Platform::Argocd);
    let is_gke = spec.cluster.as_ref().is_some_and(|cluster| cluster.provider == ClusterProvider::Gke);
    if applied && (!is_gke || spec.google_cloud.is_none() || spec.regions.google_cloud.len() != 1) {
        let message = "the workflow would build images and apply no manifests: it reaches a single cluster on GKE only";
        v.add("platforms", message, "add argocd, which applies them from within each cluster");
    }
}

fn toolchains(v: &mut Validator, spec: &TierSpec) {
    for (i, source) in spec.sources.iter().enumerate() {
        let at = format!("sources[{i}].toolchain");
        match source.language_version() {
            Some(version) if version.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {}
            Some(version) => v.add(&at, format!("`{version}` is no version"), "use something like 22.22.0"),
            None if spec.has(Platform::GithubActions) => {
                v.add(&at, "the workflow would test it with whatever version is newest", "name the version");
            }
            None => {}
        }
        if let Some(hashed) = &source.hashed {
            v.folder(&format!("sources[{i}].hashed"), hashed);
        }
        if let Some(functions) = &source.functions {
            v.line(&format!("sources[{i}].functions"), functions);
        }
    }
}
