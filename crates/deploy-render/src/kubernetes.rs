//! A tier's services as Kubernetes objects, in the files they go to.

use std::collections::BTreeMap;

use k8s_templates::{
    Env, EnvSource, Gpu, Object, Port, Probes, Scaling, Shares, Workload, config_map, manifests, namespace,
};

use crate::context::POOL_VARIABLE;
use crate::render::{DatabaseTarget, USER_ID};
use crate::set::sha256;
use crate::tier::{Kind, Platform, Running, Service, TierSpec};

/// Where every Service answers, whatever port its pods have.
const SERVICE_PORT: u16 = 80;

/// File name and objects, in the order they are applied.
pub(crate) fn files(system: &str, spec: &TierSpec, database: DatabaseTarget) -> Vec<(String, Vec<Object>)> {
    // Validation sees to it that a tier on Kubernetes has a namespace.
    let Some(home) = &spec.namespace else { return Vec::new() };
    let mut files = vec![("namespace.yaml".to_owned(), vec![namespace(home, system)])];
    for service in spec.services.iter().filter(|service| service.runs_on(Platform::Kubernetes)) {
        let Some(running) = service.running() else { continue };
        let data = settings(spec, service, running.port);
        let workload = workload(system, home, spec, service, running, env(spec, service, database), &data);
        let mut objects = vec![config_map(&settings_name(service), home, system, data)];
        objects.extend(manifests(&workload));
        files.push((format!("{}.yaml", service.name), objects));
    }
    files
}

/// A service's plain variables.
fn settings(spec: &TierSpec, service: &Service, port: u16) -> BTreeMap<String, String> {
    let plain = |v: &crate::tier::Variable| v.value.clone().map(|value| (v.name.clone(), value));
    let call = |name: &String| (TierSpec::call_variable(name), format!("{name}:{SERVICE_PORT}"));
    let mut data: BTreeMap<String, String> = spec.variables_of(&service.name).filter_map(plain).collect();
    data.extend(service.calls.iter().map(call));
    data.insert("PORT".to_owned(), port.to_string());
    if let Some(database) = &spec.database {
        data.insert(POOL_VARIABLE.to_owned(), database.pool_size.to_string());
    }
    data
}

fn settings_name(service: &Service) -> String {
    format!("{}-settings", service.name)
}

fn workload(
    system: &str,
    namespace: &str,
    spec: &TierSpec,
    service: &Service,
    running: Running,
    env: Vec<Env>,
    settings: &BTreeMap<String, String>,
) -> Workload {
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let digest = sha256(lines.as_bytes());
    let shares = |s: &crate::tier::Shares| Shares { cpu: s.cpu.clone(), memory: s.memory.clone() };
    Workload {
        name: service.name.clone(),
        namespace: namespace.to_owned(),
        part_of: system.to_owned(),
        version: spec.version.clone(),
        pod_annotations: BTreeMap::from([("tierlift.dev/settings-sha256".to_owned(), digest)]),
        image: spec.image(service),
        // The image starts the right program by itself.
        args: Vec::new(),
        port: Port {
            number: running.port,
            service: match service.kind {
                Kind::Web | Kind::Private => Some(SERVICE_PORT),
                _ => None,
            },
        },
        config_maps: vec![settings_name(service)],
        env,
        requests: shares(&running.resources.requests),
        limits: shares(&running.resources.limits),
        gpu: service.gpu.as_ref().map(|gpu| Gpu { kind: gpu.kind.clone(), count: gpu.count }),
        scaling: Scaling::Cpu {
            min: running.scaling.min,
            max: running.scaling.max,
            percent: running.scaling.cpu_percent,
        },
        max_unavailable: running.max_unavailable.clone(),
        probes: Probes {
            startup: running.health.liveness.clone(),
            startup_seconds: running.health.startup_seconds,
            readiness: running.health.readiness.clone(),
            liveness: running.health.liveness.clone(),
        },
        user_id: USER_ID,
        pre_stop_seconds: running.shutdown.pre_stop_seconds,
        drain_seconds: running.shutdown.drain_seconds,
        tmp_size: service.scratch(),
    }
}

/// A service's secrets.
fn env(spec: &TierSpec, service: &Service, database: DatabaseTarget) -> Vec<Env> {
    let urls = spec.database.iter().flat_map(|db| db.urls(database)).map(|url| (url.variable, url.secret));
    let cache = spec.cache.iter().map(|cache| (cache.url_variable.as_str(), cache.secret.clone()));
    let own = spec.variables_of(&service.name).filter_map(|v| v.secret.clone().map(|secret| (v.name.as_str(), secret)));
    urls.chain(cache)
        .chain(own)
        .map(|(name, secret)| Env {
            name: name.to_owned(),
            source: EnvSource::Secret { name: secret.name, key: secret.key },
        })
        .collect()
}
