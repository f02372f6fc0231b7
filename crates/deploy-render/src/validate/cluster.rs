//! Kubernetes: the cluster, its way in, and what Config Connector makes beside it.

use k8s_templates::IntOrPercent;

use super::names::Validator;
use crate::kubernetes::{FILE_NAMES, google_account_id};
use crate::system::SystemSpec;
use crate::tier::{CacheProduct, Cluster, Database, Engine, Instance, Kind, Platform, Service, StoreProduct, TierSpec};

/// Google's load balancers for one cluster and for a fleet of them.
const GOOGLE_CLASSES: [&str; 2] = ["gke-l7-global-external-managed", "gke-l7-global-external-managed-mc"];

pub(super) fn kubernetes(v: &mut Validator, system: &SystemSpec, spec: &TierSpec) {
    if let Some(instance) = spec.database.as_ref().and_then(|database| database.instance.as_ref()) {
        database_instance(v, spec, instance);
    }
    if spec.has(Platform::ConfigConnector) {
        config_connector(v, spec);
    }
    let Some(cluster) = spec.cluster.as_ref().filter(|_| spec.has(Platform::Kubernetes)) else { return };
    way_in(v, spec, cluster);
    for (i, service) in spec.services.iter().enumerate() {
        if service.runs_on(Platform::Kubernetes) && service.kind != Kind::Static {
            service_here(v, &format!("services[{i}]"), system, spec, cluster, service);
        }
    }
}

fn way_in(v: &mut Validator, spec: &TierSpec, cluster: &Cluster) {
    let gateway = &cluster.gateway;
    let names = [
        ("gateway.class", Some(&gateway.class)),
        ("gateway.namespace", gateway.namespace.as_ref()),
        ("gateway.address", gateway.address.as_ref()),
        ("gateway.certificate_map", gateway.certificate_map.as_ref()),
        ("gateway.certificate_issuer", gateway.certificate_issuer.as_ref()),
        ("secret_store", cluster.secret_store.as_ref()),
        ("monitoring_namespace", cluster.monitoring_namespace.as_ref()),
    ];
    for (at, name) in names {
        if let Some(name) = name {
            v.name(&format!("cluster.{at}"), name);
        }
    }
    if gateway.certificate_map.is_some() == gateway.certificate_issuer.is_some() {
        let message = "there must be one place certificates come from";
        v.add("cluster.gateway", message, "name a certificate_map (Google) or a certificate_issuer (cert-manager)");
    }
    if !cluster.is_google() {
        if gateway.namespace.is_none() {
            let message = "nothing could get through to the pods";
            v.add("cluster.gateway.namespace", message, "name the namespace the gateway's pods run in");
        }
        for (at, is_there) in
            [("address", gateway.address.is_some()), ("certificate_map", gateway.certificate_map.is_some())]
        {
            if is_there {
                v.add(&format!("cluster.gateway.{at}"), "only Google has such a thing", "remove it");
            }
        }
        return;
    }
    if spec.google_cloud.is_none() {
        v.add("google_cloud", "a cluster of Google's is in a project", "name the project");
    }
    if spec.regions.google_cloud.is_empty() {
        v.add("regions.google_cloud", "a cluster of Google's is in a region", "name the region");
    }
    let expected = GOOGLE_CLASSES[usize::from(spec.regions.google_cloud.len() > 1)];
    if gateway.class != expected {
        let message = format!("`{}` does not lead to {} region(s)", gateway.class, spec.regions.google_cloud.len());
        v.add("cluster.gateway.class", message, format!("use {expected}"));
    }
}

fn service_here(
    v: &mut Validator,
    at: &str,
    system: &SystemSpec,
    spec: &TierSpec,
    cluster: &Cluster,
    service: &Service,
) {
    let name = &service.name;
    if FILE_NAMES.contains(&name.as_str()) {
        v.add(&format!("{at}.name"), format!("there is another file `{name}.yaml` under k8s/"), "use another name");
    }
    let account = google_account_id(system, name);
    if cluster.is_google() && account.len() > 30 {
        let message = format!("its Google service account `{account}` has more than 30 characters");
        v.add(&format!("{at}.name"), message, "use a shorter one");
    }
    if service.kind == Kind::Web && !spec.domains.iter().any(|domain| domain.service == *name) {
        v.add("domains", format!("nobody outside could reach `{name}`"), "add a domain for it, or make it private");
    }
    if service.kind.keeps_running() {
        all_at_once(v, at, service);
        return;
    }
    for (part, is_there) in
        [("resources", service.resources.is_some()), ("timeout_seconds", service.timeout_seconds.is_some())]
    {
        if !is_there {
            v.add(&format!("{at}.{part}"), "what runs and ends on Kubernetes needs it", "add it");
        }
    }
    if let Some(pieces) = service.completions {
        v.within(&format!("{at}.completions"), pieces, 1, 10_000);
        if service.kind != Kind::Job {
            v.add(&format!("{at}.completions"), "only a job has pieces", "make it kind job, or remove it");
        }
    }
}

/// A drain of one node must leave somebody to answer.
fn all_at_once(v: &mut Validator, at: &str, service: &Service) {
    let (Some(scaling), Some(gone)) = (&service.scaling, &service.max_unavailable) else { return };
    let all = matches!(gone, IntOrPercent::Int(count) if *count > 1 && *count >= scaling.min);
    if all || matches!(gone, IntOrPercent::Percent(100)) {
        let message = format!("all {} may be gone at once", scaling.min);
        v.add(&format!("{at}.max_unavailable"), message, "allow fewer, or raise scaling.min");
    }
}

fn database_instance(v: &mut Validator, spec: &TierSpec, instance: &Instance) {
    let at = "database.instance";
    v.name(&format!("{at}.name"), &instance.name);
    v.name(&format!("{at}.database"), &instance.database);
    v.name(&format!("{at}.user"), &instance.user);
    v.name(&format!("{at}.password.name"), &instance.password.name);
    v.key(&format!("{at}.password.key"), &instance.password.key);
    if let Some(image) = &instance.proxy_image {
        v.image(&format!("{at}.proxy_image"), image);
        if spec.database.as_ref().is_some_and(|database| database.engine != Engine::CloudSql) {
            v.add(&format!("{at}.proxy_image"), "it connects to Cloud SQL only", "remove it");
        }
    }
}

fn config_connector(v: &mut Validator, spec: &TierSpec) {
    if spec.cluster.as_ref().is_some_and(|cluster| !cluster.is_google()) {
        v.add("cluster.provider", "Config Connector runs in a cluster of Google's", "use gke");
    }
    if let Some(database) = &spec.database
        && matches!(database.engine, Engine::CloudSql | Engine::Alloydb)
    {
        google_database(v, database);
    }
    if let Some(cache) = &spec.cache {
        let made = matches!(cache.product, CacheProduct::Memorystore | CacheProduct::MemorystoreCluster);
        if made && cache.memory.is_none() {
            v.add("cache.memory", "Config Connector makes it, of some size", "say how much it holds");
        }
        if cache.product == CacheProduct::MemorystoreCluster && cache.shards.is_none() {
            v.add("cache.shards", "a cluster has shards", "say how many; three survive the loss of a zone best");
        }
    }
    for (i, store) in spec.stores.iter().enumerate().filter(|(_, store)| store.product == StoreProduct::Spanner) {
        if store.place.is_none() {
            v.add(&format!("stores[{i}].place"), "it keeps its data somewhere", "use e.g. regional-us-central1");
        }
        let units = store.processing_units.unwrap_or(0);
        if units == 0 || units % 100 != 0 || (units > 1000 && units % 1000 != 0) {
            let message = format!("Spanner has no size of {units}");
            v.add(&format!("stores[{i}].processing_units"), message, "use hundreds up to 1000, then thousands");
        }
    }
}

fn google_database(v: &mut Validator, database: &Database) {
    for (part, is_there) in [
        ("instance", database.instance.is_some()),
        ("vcpu", database.vcpu.is_some()),
        ("memory", database.memory.is_some()),
        ("backup_days", database.backup_days.is_some()),
    ] {
        if !is_there {
            v.add(&format!("database.{part}"), "Config Connector makes it, and needs it", "add it");
        }
    }
    if let Some(days) = database.backup_days {
        v.within("database.backup_days", days, 1, 365);
    }
    let Some((vcpu, memory)) = database.vcpu.zip(database.memory.as_ref()) else { return };
    if database.engine == Engine::Alloydb {
        if !matches!(vcpu, 1 | 2 | 4 | 8 | 16 | 32 | 64 | 96 | 128) {
            v.add("database.vcpu", format!("AlloyDB has no machine of {vcpu} CPUs"), "use e.g. 2, 4, 8 or 16");
        }
        return;
    }
    let per_cpu = memory.mebibytes() / i128::from(vcpu.max(1));
    if !(vcpu == 1 || vcpu % 2 == 0 && (2..=96).contains(&vcpu)) {
        v.add("database.vcpu", format!("Cloud SQL has no machine of {vcpu} CPUs"), "use 1, or an even number up to 96");
    }
    if memory.mebibytes() % 256 != 0 || !(922..=6656).contains(&per_cpu) {
        let message = format!("Cloud SQL has no machine of {vcpu} CPUs and {memory}");
        v.add("database.memory", message, "use a multiple of 256Mi, from 0.9 to 6.5 GiB for each CPU");
    }
    if database.disk_gb.is_some_and(|disk| disk < 10) {
        v.add("database.disk_gb", "Cloud SQL has no disk below 10 GB", "use 10 or more");
    }
}
