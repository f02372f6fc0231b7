//! A tier's services as Kubernetes objects, in the files they go to.

use std::collections::BTreeMap;

use k8s_templates::{
    Env, EnvSource, Object, Port, Probes, Scaling, Shares, Workload, config_map, manifests, namespace,
};

use crate::context::POOL_VARIABLE;
use crate::render::{DatabaseTarget, USER_ID};
use crate::set::sha256;
use crate::tier::{Kind, Service, TierSpec};
use crate::validate::quantity;

/// Where every Service answers, whatever port its pods have.
const SERVICE_PORT: u16 = 80;

/// File name and objects, in the order they are applied.
pub(crate) fn files(system: &str, spec: &TierSpec, database: DatabaseTarget) -> Vec<(String, Vec<Object>)> {
    let mut files = vec![("namespace.yaml".to_owned(), vec![namespace(&spec.namespace, system)])];
    for service in &spec.services {
        let data = settings(spec, service);
        let workload = workload(system, spec, service, database, &data);
        let mut objects = vec![config_map(&settings_name(service), &spec.namespace, system, data)];
        objects.extend(manifests(&workload));
        files.push((format!("{}.yaml", service.name), objects));
    }
    files
}

/// A service's plain variables.
fn settings(spec: &TierSpec, service: &Service) -> BTreeMap<String, String> {
    let plain = |v: &crate::tier::Variable| v.value.clone().map(|value| (v.name.clone(), value));
    let call = |name: &String| (TierSpec::call_variable(name), format!("{name}:{SERVICE_PORT}"));
    let mut data: BTreeMap<String, String> = spec.variables_of(&service.name).filter_map(plain).collect();
    data.extend(service.calls.iter().map(call));
    data.insert("PORT".to_owned(), service.port.to_string());
    data.insert(POOL_VARIABLE.to_owned(), spec.database.pool_size.to_string());
    data
}

fn settings_name(service: &Service) -> String {
    format!("{}-settings", service.name)
}

fn workload(
    system: &str,
    spec: &TierSpec,
    service: &Service,
    database: DatabaseTarget,
    settings: &BTreeMap<String, String>,
) -> Workload {
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let digest = sha256(lines.as_bytes());
    let shares = |s: &crate::tier::Shares| Shares { cpu: s.cpu.clone(), memory: s.memory.clone() };
    Workload {
        name: service.name.clone(),
        namespace: spec.namespace.clone(),
        part_of: system.to_owned(),
        version: spec.version.clone(),
        pod_annotations: BTreeMap::from([("tierlift.dev/settings-sha256".to_owned(), digest)]),
        image: spec.image(service),
        // The image starts the right program by itself.
        args: Vec::new(),
        port: Port {
            number: service.port,
            service: match service.kind {
                Kind::Web | Kind::Private => Some(SERVICE_PORT),
                Kind::Worker => None,
            },
        },
        config_maps: vec![settings_name(service)],
        env: secrets(spec, service, database),
        requests: shares(&service.resources.requests),
        limits: shares(&service.resources.limits),
        scaling: Scaling::Cpu {
            min: service.scaling.min,
            max: service.scaling.max,
            percent: service.scaling.cpu_percent,
        },
        max_unavailable: service.max_unavailable.clone(),
        probes: Probes {
            startup: service.health.liveness.clone(),
            startup_seconds: service.health.startup_seconds,
            readiness: service.health.readiness.clone(),
            liveness: service.health.liveness.clone(),
        },
        user_id: USER_ID,
        pre_stop_seconds: service.shutdown.pre_stop_seconds,
        drain_seconds: service.shutdown.drain_seconds,
        tmp_size: quantity("64Mi"),
    }
}

fn secrets(spec: &TierSpec, service: &Service, database: DatabaseTarget) -> Vec<Env> {
    let [url, read_url] = database.secrets(spec);
    let stores = [
        (&spec.database.url_variable, url),
        (&spec.database.read_url_variable, read_url),
        (&spec.cache.url_variable, spec.cache.secret.clone()),
    ];
    let own = spec.variables_of(&service.name).filter_map(|v| v.secret.clone().map(|secret| (&v.name, secret)));
    stores
        .into_iter()
        .chain(own)
        .map(|(name, secret)| Env {
            name: name.clone(),
            source: EnvSource::Secret { name: secret.name, key: secret.key },
        })
        .collect()
}
