//! Redis and Spanner of Google Cloud.

use std::collections::BTreeMap;

use super::api::{
    RedisAof, RedisClusterPersistence, RedisClusterSpec, RedisInstanceSpec, RedisNetwork, RedisPersistence,
    SpannerDatabaseSpec, SpannerInstanceSpec,
};
use super::{Place, Reference};
use crate::object::Object;
use crate::quantity::Quantity;

/// A cache and queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// How much it holds, in all its shards.
    pub memory: Quantity,
    /// How many shards; 1 for an instance.
    pub shards: u32,
    /// What it does when it is full, as Redis says it.
    pub eviction: String,
}

/// Nodes of a Redis cluster: type, and what one holds in MiB.
const NODES: [(&str, i128); 4] = [
    ("REDIS_SHARED_CORE_NANO", 1_434),
    ("REDIS_STANDARD_SMALL", 6_656),
    ("REDIS_HIGHMEM_MEDIUM", 13_312),
    ("REDIS_HIGHMEM_XLARGE", 59_392),
];

impl Redis {
    fn configs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("maxmemory-policy".to_owned(), self.eviction.clone())])
    }
}

/// Memorystore for Redis: a primary and a standby, reached with a password from within the network.
pub fn redis_instance(place: &Place, redis: &Redis) -> Object {
    let gib = redis.memory.mebibytes().div_euclid(1024) + i128::from(redis.memory.mebibytes() % 1024 > 0);
    let spec = RedisInstanceSpec {
        region: redis.region.clone(),
        tier: "STANDARD_HA".to_owned(),
        memory_size_gb: u32::try_from(gib).unwrap_or(u32::MAX),
        redis_version: "REDIS_7_2".to_owned(),
        authorized_network_ref: place.network(),
        connect_mode: "PRIVATE_SERVICE_ACCESS".to_owned(),
        auth_enabled: true,
        redis_configs: redis.configs(),
        // What is queued outlives the loss of both nodes, but for the last hour.
        persistence_config: RedisPersistence {
            persistence_mode: "RDB".to_owned(),
            rdb_snapshot_period: "ONE_HOUR".to_owned(),
        },
    };
    Object::RedisInstance(place.object("RedisInstance", &redis.name, spec))
}

/// Memorystore for Redis Cluster: shards of the smallest node that holds a shard's share, each with a replica.
pub fn redis_cluster(place: &Place, redis: &Redis) -> Object {
    let share = redis.memory.mebibytes() / i128::from(redis.shards.max(1));
    let node = NODES.iter().find(|(_, holds)| *holds >= share).unwrap_or(&NODES[NODES.len() - 1]);
    let spec = RedisClusterSpec {
        project_ref: Reference::External(place.project.clone()),
        location: redis.region.clone(),
        node_type: node.0.to_owned(),
        shard_count: redis.shards,
        replica_count: 1,
        psc_configs: vec![RedisNetwork { network_ref: place.network() }],
        redis_configs: redis.configs(),
        persistence_config: RedisClusterPersistence {
            mode: "AOF".to_owned(),
            aof_config: RedisAof { append_fsync: "EVERYSEC".to_owned() },
        },
        deletion_protection_enabled: true,
    };
    Object::RedisCluster(place.object("RedisCluster", &redis.name, spec))
}

/// A database of Spanner on an instance of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanner {
    /// The instance's name.
    pub name: String,
    /// The database's name.
    pub database: String,
    /// Where it keeps its data, e.g. `nam-eur-asia1` or `regional-us-central1`.
    pub config: String,
    /// Its size; 1000 are a node.
    pub processing_units: u32,
}

/// A Spanner instance and its database.
pub fn spanner(place: &Place, spanner: &Spanner) -> Vec<Object> {
    // Several regions are sold with the largest edition only.
    let edition = if spanner.config.starts_with("regional-") { "ENTERPRISE" } else { "ENTERPRISE_PLUS" };
    let instance = SpannerInstanceSpec {
        config: spanner.config.clone(),
        display_name: spanner.name.clone(),
        edition: edition.to_owned(),
        processing_units: spanner.processing_units,
        default_backup_schedule_type: "AUTOMATIC".to_owned(),
    };
    let database = SpannerDatabaseSpec {
        instance_ref: Reference::Name(spanner.name.clone()),
        enable_drop_protection: true,
        version_retention_period: "7d".to_owned(),
    };
    vec![
        Object::SpannerInstance(place.object("SpannerInstance", &spanner.name, instance)),
        Object::SpannerDatabase(place.object("SpannerDatabase", &spanner.database, database)),
    ]
}
