//! Services: what each kind needs on the platforms it runs on.

use k8s_templates::{IntOrPercent, Quantity};

use super::names::Validator;
use super::quantity;
use super::tier::word;
use crate::tier::{Kind, Platform, Running, Service, TierSpec};

/// Instance types of Render's services and their memory. The names with a blank are the ones its Blueprint schema has.
pub(crate) const RENDER_SERVICE_PLANS: [(&str, &str); 7] = [
    ("free", "512Mi"),
    ("starter", "512Mi"),
    ("standard", "2Gi"),
    ("pro", "4Gi"),
    ("pro plus", "8Gi"),
    ("pro max", "16Gi"),
    ("pro ultra", "32Gi"),
];

/// Platforms that run containers which keep running.
const CONTAINER_PLATFORMS: [Platform; 5] =
    [Platform::Docker, Platform::Compose, Platform::Render, Platform::Kubernetes, Platform::CloudRun];

/// Whether Render sells an instance type of that name.
pub(crate) fn is_service_plan(plan: &str) -> bool {
    RENDER_SERVICE_PLANS.iter().any(|(name, _)| *name == plan)
}

pub(super) fn service(v: &mut Validator, at: &str, spec: &TierSpec, service: &Service) {
    v.name(&format!("{at}.name"), &service.name);
    v.line(&format!("{at}.purpose"), &service.purpose);
    for platform in service.platforms.iter().filter(|platform| !spec.has(**platform)) {
        let message = format!("the tier has nothing for {}", word(*platform));
        v.add(&format!("{at}.platforms"), message, "add it to the tier's `platforms`");
    }
    if spec.source_of(service).is_none() {
        let name = service.source.as_deref().unwrap_or("its first source");
        v.add(&format!("{at}.source"), format!("there is no source `{name}`"), "name one of `sources`");
    }
    let contained = CONTAINER_PLATFORMS.iter().any(|platform| spec.has(*platform) && service.runs_on(*platform));
    if contained && service.kind != Kind::Static {
        if service.command.is_empty() || service.command.iter().any(String::is_empty) {
            v.add(&format!("{at}.command"), "there is no program to start", "use e.g. [node, dist/main.js]");
        }
        if service.kind.keeps_running() {
            for (part, is_there) in [
                ("port", service.port.is_some()),
                ("health", service.health.is_some()),
                ("resources", service.resources.is_some()),
                ("scaling", service.scaling.is_some()),
                ("max_unavailable", service.max_unavailable.is_some()),
                ("shutdown", service.shutdown.is_some()),
            ] {
                if !is_there {
                    v.add(&format!("{at}.{part}"), "a container that keeps running needs it", "add it");
                }
            }
        }
    }
    if let Some(running) = service.running() {
        keeps_running(v, at, running);
    }
    match (&service.schedule, service.kind) {
        (None, Kind::Cron) => v.add(&format!("{at}.schedule"), "it says not when it runs", "add five fields, in UTC"),
        (Some(_), kind) if kind != Kind::Cron => {
            v.add(&format!("{at}.schedule"), "only a cron job runs at set times", "make it kind cron, or remove it");
        }
        (Some(schedule), _) => v.schedule(&format!("{at}.schedule"), schedule),
        (None, _) => {}
    }
    if let Some(gpu) = &service.gpu {
        v.name(&format!("{at}.gpu.kind"), &gpu.kind);
        v.within(&format!("{at}.gpu.count"), gpu.count, 1, 8);
    }
    if spec.has(Platform::Render) && service.runs_on(Platform::Render) && service.kind != Kind::Static {
        render_plan(v, at, service);
    }
}

fn keeps_running(v: &mut Validator, at: &str, running: Running) {
    let Running { port, health, resources, scaling, max_unavailable, shutdown } = running;
    // Compose publishes the n-th service n ports further.
    v.within(&format!("{at}.port"), u32::from(port), 1024, 65000);
    v.path(&format!("{at}.health.readiness"), &health.readiness);
    v.path(&format!("{at}.health.liveness"), &health.liveness);
    v.within(&format!("{at}.health.startup_seconds"), health.startup_seconds, 5, 1800);
    let (requests, limits) = (&resources.requests, &resources.limits);
    for (name, request, limit) in [("cpu", &requests.cpu, &limits.cpu), ("memory", &requests.memory, &limits.memory)] {
        let at = format!("{at}.resources.requests.{name}");
        if request.is_zero() {
            v.add(&at, "it requests nothing, so its use can't be measured", "request something");
        }
        if request > limit {
            v.add(&at, format!("it requests {request} and may take {limit} at most"), "lower it or raise the limit");
        }
    }
    if scaling.min == 0 || scaling.min > scaling.max {
        let message = format!("at least {} and at most {} can't be", scaling.min, scaling.max);
        v.add(&format!("{at}.scaling"), message, "make min at least 1 and at most max");
    }
    v.within(&format!("{at}.scaling.cpu_percent"), scaling.cpu_percent, 1, 90);
    let (IntOrPercent::Int(gone) | IntOrPercent::Percent(gone)) = *max_unavailable;
    if gone == 0 {
        let at = format!("{at}.max_unavailable");
        v.add(&at, "it forbids every eviction: nodes can't be drained", "allow at least 1");
    }
    // Render waits 300 s at most.
    let stop = shutdown.pre_stop_seconds + shutdown.drain_seconds;
    v.within(&format!("{at}.shutdown"), stop, 1, 300);
    v.within(&format!("{at}.shutdown.drain_seconds"), shutdown.drain_seconds, 1, 300);
}

fn render_plan(v: &mut Validator, at: &str, service: &Service) {
    let at = format!("{at}.render_plan");
    let Some(plan) = service.render_plan.as_deref() else {
        return v.add(&at, "Render would choose one by itself", "name its instance type");
    };
    let Some((_, memory)) = RENDER_SERVICE_PLANS.iter().find(|(name, _)| *name == plan) else {
        return service_plan(v, &at, plan);
    };
    if plan == "free" && service.scaling.as_ref().is_some_and(|scaling| scaling.max > 1) {
        v.add(&at, "`free` sleeps when idle and can't scale", "use `starter` or more, or make scaling.max 1");
    }
    if plan == "free" && !matches!(service.kind, Kind::Web) {
        v.add(&at, "only a web service can be `free`", "use `starter` or more");
    }
    let memory: Quantity = quantity(memory);
    if let Some(resources) = service.resources.as_ref().filter(|resources| resources.limits.memory > memory) {
        let needed = &resources.limits.memory;
        let enough = RENDER_SERVICE_PLANS.iter().find(|(_, memory)| quantity(memory) >= *needed);
        let remedy = match enough {
            Some((name, _)) => format!("use `{name}` or more, or lower resources.limits.memory"),
            None => "lower resources.limits.memory, or choose another platform".to_owned(),
        };
        v.add(&at, format!("`{plan}` has {memory} of memory, the service may take {needed}"), remedy);
    }
}

/// Refuses a plan Render does not sell.
pub(super) fn service_plan(v: &mut Validator, at: &str, plan: &str) {
    if !is_service_plan(plan) {
        let known: Vec<&str> = RENDER_SERVICE_PLANS.iter().map(|(name, _)| *name).collect();
        v.add(at, format!("Render has no plan `{plan}`"), format!("use one of {}", known.join(", ")));
    }
}
