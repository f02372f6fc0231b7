//! Cloudflare and Deno Deploy as templates see them.

use serde::Serialize;

use super::service::{command_line, domains};
use crate::tier::{Cdn, DenoRegion, Kind, Platform, Region, TierSpec};

/// What stands before a tier.
#[derive(Debug, Serialize)]
pub(super) struct EdgeView {
    zone: String,
    cache: Vec<CacheRuleView>,
    rate_limits: Vec<RateLimitView>,
    /// The names its load balancer answers for, each with its pools; none when there is none.
    balancers: Vec<BalancerView>,
}

/// A cache rule.
#[derive(Debug, Serialize)]
struct CacheRuleView {
    name: String,
    path_prefix: String,
    description: String,
    expression: String,
    edge_seconds: u64,
    /// Whether the rule itself keeps it so long; else the plan does not allow it, and the origin's header decides.
    edge_forced: bool,
    browser_seconds: Option<u64>,
    browser_forced: bool,
}

/// A rate limit.
#[derive(Debug, Serialize)]
struct RateLimitView {
    name: String,
    description: String,
    expression: String,
    requests: u32,
    period_seconds: u64,
    block_seconds: u64,
}

/// A name whose requests are shared among regions.
#[derive(Debug, Serialize)]
struct BalancerView {
    host: String,
    /// What a healthy pool answers 200 at.
    health_path: String,
    pools: Vec<PoolView>,
}

/// What a region has of a service.
#[derive(Debug, Serialize)]
struct PoolView {
    name: String,
    origin: String,
}

/// An app on Deno Deploy.
#[derive(Debug, Serialize)]
pub(super) struct DenoView {
    org: String,
    app: String,
    entrypoint: String,
    region: DenoRegion,
    /// Its folder in the repository, `.` for the repository's own.
    folder: String,
    /// What runs once before a release takes over; none for nothing.
    predeploy: Option<String>,
    /// The regions the guide names.
    wanted_regions: Vec<String>,
}

pub(super) fn edge_view(system: &str, spec: &TierSpec, cdn: &Cdn) -> EdgeView {
    let limits = cdn.plan.limits();
    let cache = cdn.cache.iter().map(|rule| {
        let browser = rule.browser_ttl.as_ref().map(crate::system::Span::seconds);
        CacheRuleView {
            name: rule.name.clone(),
            path_prefix: rule.path_prefix.clone(),
            description: match &rule.browser_ttl {
                Some(browser) => format!("{}: {} at the edge, {browser} in browsers", rule.name, rule.edge_ttl),
                None => format!("{}: {} at the edge", rule.name, rule.edge_ttl),
            },
            expression: expression(&rule.path_prefix, rule.anonymous_only),
            edge_seconds: rule.edge_ttl.seconds(),
            edge_forced: rule.edge_ttl.seconds() >= limits.edge_ttl_min,
            browser_seconds: browser,
            browser_forced: browser.is_some_and(|seconds| seconds >= limits.browser_ttl_min),
        }
    });
    let rate_limits = cdn.rate_limits.iter().map(|limit| RateLimitView {
        name: limit.name.clone(),
        description: format!("{}: {} requests in {} from one address", limit.name, limit.requests, limit.period),
        expression: expression(&limit.path_prefix, false),
        requests: limit.requests,
        period_seconds: limit.period.seconds(),
        block_seconds: limit.block_for.seconds(),
    });
    EdgeView {
        zone: cdn.zone.clone(),
        cache: cache.collect(),
        rate_limits: rate_limits.collect(),
        balancers: if cdn.load_balancer { balancers(system, spec) } else { Vec::new() },
    }
}

/// Only paths: the free plan matches nothing else in a rate limit. Validation lets no quote into a path.
fn expression(path_prefix: &str, anonymous_only: bool) -> String {
    let path = format!("starts_with(http.request.uri.path, \"{path_prefix}\")");
    if anonymous_only {
        format!("({path} and http.cookie eq \"\" and len(http.request.headers[\"authorization\"]) eq 0)")
    } else {
        format!("({path})")
    }
}

fn balancers(system: &str, spec: &TierSpec) -> Vec<BalancerView> {
    let short = |region: &Region| region.short.clone().unwrap_or_default();
    let web = spec.services.iter().filter(|s| s.kind == Kind::Web && s.runs_on(Platform::Render));
    let balancer = |service: &crate::tier::Service, host: String| {
        let pool = |region: &Region| {
            let name = format!("{system}-{}-{}", service.name, short(region));
            PoolView { origin: format!("{name}.onrender.com"), name }
        };
        let health_path = service.health.as_ref()?.readiness.clone();
        Some(BalancerView { host, health_path, pools: spec.regions.render.iter().map(pool).collect() })
    };
    web.flat_map(|service| domains(spec, service).into_iter().filter_map(move |host| balancer(service, host))).collect()
}

/// None when nothing runs there.
pub(super) fn deno_view(spec: &TierSpec) -> Option<DenoView> {
    let app = spec.deno.as_ref()?;
    let service = spec.services.iter().find(|s| s.kind == Kind::Web && s.runs_on(Platform::Deno))?;
    Some(DenoView {
        org: app.org.clone(),
        app: app.app.clone(),
        entrypoint: app.entrypoint.clone(),
        region: app.region,
        folder: spec.source_of(service)?.root.clone().unwrap_or_else(|| ".".to_owned()),
        predeploy: (!service.pre_deploy.is_empty()).then(|| command_line(&service.pre_deploy)),
        wanted_regions: spec.regions.deno.iter().map(|region| region.name.clone()).collect(),
    })
}
