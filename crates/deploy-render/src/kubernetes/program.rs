//! A service as a program in a container: image, settings, secrets, resources, and what runs beside it.

use std::collections::BTreeMap;

use k8s_templates::{Env, EnvSource, Gpu, Program, Shares, SqlProxy};

use super::{Home, SERVICE_PORT};
use crate::config_connector::replica_names;
use crate::context::POOL_VARIABLE;
use crate::render::{DatabaseTarget, USER_ID};
use crate::set::sha256;
use crate::tier::{Engine, Platform, SecretRef, Service, TierSpec};

/// Where the Cloud SQL Auth Proxy has the primary; the replicas follow.
const PROXY_PORT: u16 = 5432;

/// None when it says nothing of its resources, which validation refuses.
pub(super) fn program(home: &Home, service: &Service, settings: &BTreeMap<String, String>) -> Option<Program> {
    let resources = service.resources.as_ref()?;
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let digest = sha256(lines.as_bytes());
    let shares = |s: &crate::tier::Shares| Shares { cpu: s.cpu.clone(), memory: s.memory.clone() };
    Some(Program {
        name: service.name.clone(),
        namespace: home.namespace.to_owned(),
        part_of: home.part_of().to_owned(),
        version: home.spec.version.clone(),
        account: service.name.clone(),
        pod_annotations: BTreeMap::from([("tierlift.dev/settings-sha256".to_owned(), digest)]),
        image: home.spec.image(service),
        // The image starts the right program by itself.
        args: Vec::new(),
        config_maps: vec![settings_name(service)],
        env: env(home, service),
        requests: shares(&resources.requests),
        limits: shares(&resources.limits),
        gpu: service.gpu.as_ref().map(|gpu| Gpu { kind: gpu.kind.clone(), count: gpu.count }),
        sql_proxy: home.sql_proxy(),
        user_id: USER_ID,
        tmp_size: service.scratch(),
    })
}

pub(super) fn settings_name(service: &Service) -> String {
    format!("{}-settings", service.name)
}

/// A service's plain variables.
pub(super) fn settings(home: &Home, service: &Service) -> BTreeMap<String, String> {
    let plain = |v: &crate::tier::Variable| v.value.clone().map(|value| (v.name.clone(), value));
    let call = |name: &String| (TierSpec::call_variable(name), format!("{name}:{SERVICE_PORT}"));
    let mut data: BTreeMap<String, String> = home.spec.variables_of(&service.name).filter_map(plain).collect();
    data.extend(service.calls.iter().map(call));
    data.extend(service.port.map(|port| ("PORT".to_owned(), port.to_string())));
    if let Some(database) = &home.spec.database {
        data.insert(POOL_VARIABLE.to_owned(), database.pool_size.to_string());
    }
    data
}

/// A service's secrets, each with its variable.
pub(super) fn secrets(home: &Home, service: &Service) -> Vec<(String, SecretRef)> {
    let database = home.spec.database.iter().flat_map(|db| db.urls(home.database));
    let urls = database.map(|url| (url.variable.to_owned(), url.secret));
    let cache = home.spec.cache.iter().map(|cache| (cache.url_variable.clone(), cache.secret.clone()));
    let own = home.spec.variables_of(&service.name);
    let own = own.filter_map(|v| v.secret.clone().map(|secret| (v.name.clone(), secret)));
    urls.chain(cache).chain(own).collect()
}

fn env(home: &Home, service: &Service) -> Vec<Env> {
    let env = |(name, secret): (String, SecretRef)| Env {
        name,
        source: EnvSource::Secret { name: secret.name, key: secret.key },
    };
    secrets(home, service).into_iter().map(env).collect()
}

/// The port a service's pods have.
pub(super) fn pod_port(spec: &TierSpec, service: &str) -> Option<u16> {
    spec.service(service).filter(|service| service.runs_on(Platform::Kubernetes))?.port
}

impl Home<'_> {
    /// Beside programs of a tier that has Cloud SQL it also runs before they are switched to it, and waits: the switch then
    /// changes nothing but the name of the secret, and that the proxy runs is known before. Where Cloud SQL is what is moved
    /// from, it goes with the switch.
    pub(crate) fn sql_proxy(&self) -> Option<SqlProxy> {
        let google = self.google()?;
        let source = self.source_database().filter(|_| self.database == DatabaseTarget::Source);
        let mut databases = self.spec.database.iter().chain(source);
        let database = databases.find(|database| database.engine == Engine::CloudSql)?;
        let instance = database.instance.as_ref()?;
        let region = self.spec.regions.google_cloud.first()?;
        let names = [instance.name.clone()].into_iter().chain(replica_names(instance, database.read_replicas));
        let connection = |name| format!("{}:{}:{name}", google.project, region.name);
        Some(SqlProxy {
            image: instance.proxy_image.clone()?,
            instances: names.map(connection).zip(PROXY_PORT..).collect(),
        })
    }
}
