//! Objects of everything this crate makes, and how to break one of them.
#![allow(dead_code)] // no test file needs all of it

use std::collections::BTreeMap;

use k8s_templates::{
    Certificate, Delivery, Entry, Env, EnvSource, Identity, IntOrPercent, Object, Opening, Peer, Place, Port, Postgres,
    Probes, Program, Quantity, Reach, Redis, Route, Scaling, Shares, Spanner, SqlProxy, Task, When, Workload,
    allow_dns, alloydb, application, cloud_sql, config_map, deny_all, entry, external_secret, identity, manifests,
    namespace, network_policy, redis_cluster, redis_instance, service_account, service_export, spanner, task,
};
use serde_json::Value;

pub fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

pub fn program(name: &str) -> Program {
    Program {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        part_of: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        account: "api".to_owned(),
        pod_annotations: BTreeMap::new(),
        image: format!("registry.example.com:5000/shop/{name}:1.2.3"),
        args: Vec::new(),
        config_maps: vec!["settings".to_owned()],
        env: vec![Env {
            name: "DATABASE_URL".to_owned(),
            source: EnvSource::Secret { name: "shop-database".to_owned(), key: "url".to_owned() },
        }],
        requests: Shares { cpu: quantity("500m"), memory: quantity("512Mi") },
        limits: Shares { cpu: quantity("2000m"), memory: quantity("2Gi") },
        gpu: None,
        sql_proxy: Some(SqlProxy {
            image: "example.com/cloud-sql-proxy:2.25.4".to_owned(),
            instances: vec![("shop:region:main".to_owned(), 5432)],
        }),
        user_id: 10001,
        tmp_size: quantity("64Mi"),
    }
}

pub fn workload() -> Workload {
    Workload {
        program: program("api"),
        waits: true,
        port: Port { number: 3000, service: Some(80) },
        scaling: Scaling::Cpu { min: 5, max: 20, percent: 70 },
        max_unavailable: IntOrPercent::Int(1),
        probes: Probes {
            startup: "/live".to_owned(),
            startup_seconds: 60,
            readiness: "/ready".to_owned(),
            liveness: "/live".to_owned(),
        },
        pre_stop_seconds: 10,
        drain_seconds: 50,
    }
}

/// A workload with all that is around it.
pub fn objects(workload: &Workload) -> Vec<Object> {
    let settings = BTreeMap::from([("LOG_LEVEL".to_owned(), "info".to_owned())]);
    let ingress = Opening { peers: vec![Peer::Namespace("gateway".to_owned())], ports: vec![(3000, 3000)] };
    let egress = Opening { peers: vec![Peer::Workload("api".to_owned())], ports: vec![(3000, 3010)] };
    let store_key = ("url".to_owned(), "shop-database-url".to_owned());
    let mut objects = vec![
        namespace("shop", "shop"),
        config_map("settings", "shop", "shop", settings),
        service_account("api", "shop", "shop", Some("shop-api@shop.iam.gserviceaccount.com")),
        deny_all("shop", "shop"),
        allow_dns("shop", "shop", true),
        network_policy("api", "shop", "shop", &[ingress], &[egress]),
        external_secret("shop-database", "shop", "shop", "store", [store_key]),
    ];
    objects.extend(manifests(workload));
    objects
}

pub fn way_in(reach: Reach, certificate: Certificate) -> Vec<Object> {
    entry(&Entry {
        name: "shop".to_owned(),
        namespace: "shop".to_owned(),
        part_of: "shop".to_owned(),
        class: "class".to_owned(),
        address: None,
        certificate,
        http_port: 80,
        https_port: 443,
        routes: vec![Route {
            service: "api".to_owned(),
            hosts: vec!["api.example.com".to_owned()],
            port: 80,
            health_path: "/ready".to_owned(),
            timeout_seconds: Some(3600),
            drain_seconds: 50,
        }],
        reach,
    })
}

pub fn tasks() -> Vec<Object> {
    let pieces = When::Started { pieces: 8, at_a_time: 2 };
    let whens =
        [("migrate", When::BeforeRelease), ("backfill", pieces), ("tidy", When::Schedule("0 3 * * *".to_owned()))];
    let task = |(name, when)| task(&Task { program: program(name), when, timeout_seconds: 600 });
    whens.map(task).to_vec()
}

pub fn cloud() -> Vec<Object> {
    let place = Place {
        project: "shop".to_owned(),
        network: "default".to_owned(),
        namespace: "shop-infra".to_owned(),
        part_of: "shop".to_owned(),
    };
    let server = |name: &str| Postgres {
        name: name.to_owned(),
        region: "us-central1".to_owned(),
        version: 18,
        vcpu: 4,
        memory: quantity("16Gi"),
        disk_gb: Some(100),
        high_availability: true,
        backup_days: 14,
        flags: BTreeMap::from([("max_connections".to_owned(), "500".to_owned())]),
        replicas: 2,
        database: "shop".to_owned(),
        user: "shop".to_owned(),
        password: ("owner".to_owned(), "password".to_owned()),
    };
    let redis = Redis {
        name: "cache".to_owned(),
        region: "us-central1".to_owned(),
        memory: quantity("15Gi"),
        shards: 3,
        eviction: "noeviction".to_owned(),
    };
    let global = Spanner {
        name: "global".to_owned(),
        database: "shop".to_owned(),
        config: "nam-eur-asia1".to_owned(),
        processing_units: 1000,
    };
    let who = Identity {
        id: "shop-api".to_owned(),
        account: ("shop".to_owned(), "api".to_owned()),
        roles: vec!["cloudsql.client"],
    };
    let mut objects = vec![redis_instance(&place, &redis), redis_cluster(&place, &redis)];
    objects.extend(cloud_sql(&place, &server("main")));
    objects.extend(alloydb(&place, &server("alloy")));
    objects.extend(spanner(&place, &global));
    objects.extend(identity(&place, &who));
    objects
}

/// Everything this crate makes.
pub fn everything() -> Vec<Object> {
    let mut objects = objects(&workload());
    objects.extend(tasks());
    objects.extend(way_in(Reach::Google, Certificate::Map("shop".to_owned())));
    objects.push(service_export("api", "shop", "shop"));
    objects.extend(cloud());
    objects.push(application(&Delivery {
        name: "shop".to_owned(),
        part_of: "shop".to_owned(),
        repository: "https://example.com/shop".to_owned(),
        branch: "main".to_owned(),
        path: "deploy/k8s".to_owned(),
        cluster: None,
        namespace: "shop".to_owned(),
    }));
    objects
}

pub fn values(workload: &Workload) -> Vec<Value> {
    objects(workload).iter().map(|object| serde_json::to_value(object).unwrap()).collect()
}

/// Sets a value, or removes it when the new one is null.
pub fn set_at(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = &key.replace("~1", "/");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {parent}"));
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(key)),
        (Value::Object(map), value) => drop(map.insert(key.to_owned(), value)),
        (Value::Array(list), value) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
}

pub fn read(values: Vec<Value>) -> Vec<Object> {
    values.into_iter().map(|value| Object::from_value(value).unwrap_or_else(|e| panic!("{e:?}"))).collect()
}
