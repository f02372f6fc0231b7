//! Database and cache as templates see them.

use serde::Serialize;

use super::docker_memory;
use crate::render::DatabaseTarget;
use crate::tier::{Eviction, TierSpec};

#[derive(Debug, Serialize)]
pub(super) struct DatabaseView {
    product: String,
    version: u32,
    vcpu: u32,
    memory: String,
    read_replicas: u32,
    max_connections: u32,
    pool_size: u32,
    /// Secret the files refer to now.
    secret: String,
    /// Secret of the database moved from.
    source_secret: String,
    /// Secret of the database moved to.
    target_secret: String,
    url_variable: String,
    url_key: String,
    read_url_variable: String,
    read_url_key: String,
    local_image: String,
    local_memory: String,
    /// Where the image keeps its data.
    local_data_path: String,
    pooler_image: String,
    pooler_memory: String,
    /// Server connections of the pooler: what is left of `max_connections` for one database.
    pooler_server_connections: u32,
    /// Client connections of the pooler.
    pooler_client_connections: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct CacheView {
    product: String,
    memory: String,
    eviction: Eviction,
    url_variable: String,
    local_image: String,
    local_memory: String,
    /// What Redis itself may hold there: three quarters, the rest is for copy-on-write and buffers.
    local_maxmemory: String,
    render_plan: String,
}

/// Memory of the pooler in `compose.yaml`.
const POOLER_MEMORY: &str = "64M";

/// Connections of the `compose.yaml` database, PostgreSQL's own default.
const LOCAL_MAX_CONNECTIONS: u32 = 100;

/// Of which so many are left for people, backups and health checks.
const LOCAL_RESERVED_CONNECTIONS: u32 = 20;

pub(super) fn database_view(spec: &TierSpec, database: DatabaseTarget) -> DatabaseView {
    let db = &spec.database;
    let [url, read_url] = database.secrets(spec);
    DatabaseView {
        product: db.engine.to_string(),
        version: db.version,
        vcpu: db.vcpu,
        memory: db.memory.to_string(),
        read_replicas: db.read_replicas,
        max_connections: db.max_connections,
        pool_size: db.pool_size,
        secret: url.name,
        source_secret: db.source.name.clone(),
        target_secret: db.target.name.clone(),
        url_variable: db.url_variable.clone(),
        url_key: url.key,
        read_url_variable: db.read_url_variable.clone(),
        read_url_key: read_url.key,
        local_image: db.local_image.clone(),
        local_memory: docker_memory(&spec.machine.database_memory),
        // The image of 18 and later keeps a folder a version below this one.
        local_data_path: format!("/var/lib/postgresql{}", if db.version >= 18 { "" } else { "/data" }),
        pooler_image: db.pooler_image.clone(),
        pooler_memory: POOLER_MEMORY.to_owned(),
        pooler_server_connections: LOCAL_MAX_CONNECTIONS - LOCAL_RESERVED_CONNECTIONS,
        pooler_client_connections: LOCAL_MAX_CONNECTIONS * 10,
    }
}

pub(super) fn cache_view(spec: &TierSpec) -> CacheView {
    let cache = &spec.cache;
    let maxmemory = cache.local_memory.mebibytes() * 3 / 4;
    CacheView {
        product: cache.product.clone(),
        memory: cache.memory.to_string(),
        eviction: cache.eviction,
        url_variable: cache.url_variable.clone(),
        local_image: cache.local_image.clone(),
        local_memory: docker_memory(&cache.local_memory),
        local_maxmemory: format!("{maxmemory}mb"),
        render_plan: cache.render_plan.clone(),
    }
}
