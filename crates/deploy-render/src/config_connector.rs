//! What Config Connector makes on Google Cloud for a tier: database, cache, stores, and who the programs are there. Its objects have a namespace of
//! their own, so that nobody who releases the programs can touch them.

use k8s_templates::{
    Identity, Object, Place, Postgres, Redis, Spanner, alloydb, cloud_sql, identity, namespace, redis_cluster,
    redis_instance, spanner,
};

use crate::context::cloud_sql_flags;
use crate::kubernetes::{Files, Home, Kustomization, external_secrets, google_account_id};
use crate::render::DatabaseTarget;
use crate::tier::{CacheProduct, Database, Engine, Instance, Platform, Region, Service, StoreProduct};

/// The folder.
const FOLDER: &str = "config-connector";

/// Names of the replicas of an instance, as Cloud SQL has them.
pub(crate) fn replica_names(instance: &Instance, count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(|number| Postgres::replica_name(&instance.name, number))
}

/// Adds the files of a tier that has the platform, and the kustomization that lists them.
pub(crate) fn add_files(home: &Home, files: &mut Files) {
    let spec = home.spec;
    let Some(google) = spec.google_cloud.as_ref().filter(|_| spec.has(Platform::ConfigConnector)) else { return };
    let place = Place {
        project: google.project.clone(),
        network: google.network.clone(),
        namespace: format!("{}-infra", home.namespace),
        part_of: home.part_of().to_owned(),
    };
    let parts = [
        ("namespace", vec![namespace(&place.namespace, home.part_of())]),
        ("database", database(home, &place)),
        ("cache", cache(home, &place)),
        ("stores", stores(home, &place)),
        ("identities", identities(home, &place)),
    ];
    let mut names = Vec::new();
    for (name, objects) in parts.into_iter().filter(|(_, objects)| !objects.is_empty()) {
        files.objects.push((format!("{FOLDER}/{name}.yaml"), objects));
        names.push(format!("{name}.yaml"));
    }
    files.kustomizations.push((format!("{FOLDER}/kustomization.yaml"), Kustomization::of(names)));
}

fn home_region<'a>(home: &Home<'a>) -> Option<&'a Region> {
    home.spec.regions.google_cloud.first()
}

fn database(home: &Home, place: &Place) -> Vec<Object> {
    let Some(database) = &home.spec.database else { return Vec::new() };
    let make = match database.engine {
        Engine::CloudSql => cloud_sql,
        Engine::Alloydb => alloydb,
        Engine::Supabase | Engine::Neon | Engine::RenderPostgres | Engine::SelfHosted => return Vec::new(),
    };
    let Some(server) = postgres(home, database) else { return Vec::new() };
    let password = database.instance.iter().map(|instance| instance.password.clone());
    let mut objects = external_secrets(home, &place.namespace, password);
    objects.extend(make(place, &server));
    objects
}

/// None when it lacks something, which validation refuses.
fn postgres(home: &Home, database: &Database) -> Option<Postgres> {
    let instance = database.instance.as_ref()?;
    let flags = match database.engine {
        Engine::CloudSql => cloud_sql_flags(database).into_iter().map(|(name, (value, _))| (name, value)).collect(),
        _ => {
            let mut flags = database.parameters.clone();
            flags.insert("max_connections".to_owned(), database.max_connections.to_string());
            flags
        }
    };
    Some(Postgres {
        name: instance.name.clone(),
        region: home_region(home)?.name.clone(),
        version: database.version,
        vcpu: database.vcpu?,
        memory: database.memory.clone()?,
        disk_gb: database.disk_gb,
        high_availability: database.high_availability,
        backup_days: database.backup_days?,
        flags,
        replicas: database.read_replicas,
        database: instance.database.clone(),
        user: instance.user.clone(),
        password: (instance.password.name.clone(), instance.password.key.clone()),
    })
}

/// One in every region: a queue on another continent is no cache.
fn cache(home: &Home, place: &Place) -> Vec<Object> {
    let Some(cache) = &home.spec.cache else { return Vec::new() };
    let make = match cache.product {
        CacheProduct::Memorystore => redis_instance,
        CacheProduct::MemorystoreCluster => redis_cluster,
        CacheProduct::RenderKeyValue | CacheProduct::Upstash | CacheProduct::RedisCloud | CacheProduct::SelfHosted => {
            return Vec::new();
        }
    };
    let Some(memory) = &cache.memory else { return Vec::new() };
    let regions = home.spec.regions.google_cloud.iter().enumerate();
    let redis = regions.map(|(i, region)| Redis {
        name: format!("{}-cache{}", home.system.slug(), if i == 0 { String::new() } else { region.suffix() }),
        region: region.name.clone(),
        memory: memory.clone(),
        shards: cache.shards.unwrap_or(1),
        eviction: cache.eviction.to_string(),
    });
    redis.map(|redis| make(place, &redis)).collect()
}

/// One a service, with what its pods need: the proxy reaches Cloud SQL, Spanner's library its database.
fn identities(home: &Home, place: &Place) -> Vec<Object> {
    let mut roles = Vec::new();
    // The right to connect to the database moved from is also needed when the move is undone.
    if (Home { database: DatabaseTarget::Source, ..*home }).sql_proxy().is_some() {
        roles.push("cloudsql.client");
    }
    if home.spec.stores.iter().any(|store| store.product == StoreProduct::Spanner) {
        roles.push("spanner.databaseUser");
    }
    let of = |service: &Service| {
        let id = google_account_id(home.system, &service.name);
        let account = (home.namespace.to_owned(), service.name.clone());
        identity(place, &Identity { id, account, roles: roles.clone() })
    };
    home.services().flat_map(of).collect()
}

fn stores(home: &Home, place: &Place) -> Vec<Object> {
    let spanners = home.spec.stores.iter().filter(|store| store.product == StoreProduct::Spanner);
    let spanner_of = |store: &crate::tier::Store| {
        Some(Spanner {
            name: format!("{}-{}", home.system.slug(), store.name),
            database: home.system.slug(),
            config: store.place.clone()?,
            processing_units: store.processing_units?,
        })
    };
    spanners.filter_map(spanner_of).flat_map(|store| spanner(place, &store)).collect()
}
