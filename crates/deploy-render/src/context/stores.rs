//! Database and cache as templates see them.

use serde::Serialize;

use super::docker_memory;
use super::tuning::{ParameterView, cloud_sql_flags, parameters};
use crate::render::DatabaseTarget;
use crate::tier::{Allowed, Cache, Database, Engine, Eviction, Index, Platform, TierSpec};

#[derive(Debug, Serialize)]
pub(super) struct DatabaseView {
    product: String,
    version: u32,
    vcpu: Option<u32>,
    memory: Option<String>,
    disk_gb: Option<u32>,
    high_availability: bool,
    backup_days: Option<u32>,
    /// Its instance type, when it is one of Render's.
    render_plan: Option<String>,
    /// Its name there.
    render_name: String,
    allow_from: Vec<Allowed>,
    /// Every variable with one of its URLs.
    url_variables: Vec<String>,
    read_replicas: u32,
    /// Their names on Render; empty for none.
    replica_names: Vec<String>,
    max_connections: u32,
    pool_size: u32,
    /// Secret the files refer to now.
    secret: String,
    /// Secret of the database moved from; none when nothing moves.
    source_secret: Option<String>,
    /// Secret of the database moved to.
    target_secret: String,
    url_variable: String,
    url_key: String,
    read_url_variable: Option<String>,
    local_image: Option<String>,
    local_memory: Option<String>,
    /// Where the image keeps its data.
    local_data_path: String,
    pooler_image: Option<String>,
    pooler_memory: String,
    pool: PoolView,
    /// Indexes that the tier adds.
    indexes: Vec<IndexView>,
    /// Parameters of the server that differ from PostgreSQL's own.
    parameters: Vec<ParameterView>,
    /// Flags where it is Cloud SQL: name, value and why.
    cloud_sql_flags: Vec<(String, String, String)>,
}

/// An index, its names quoted.
#[derive(Debug, Serialize)]
struct IndexView {
    /// The index, which is in its table's schema.
    name: String,
    /// Its name alone, as `create index` takes it.
    bare_name: String,
    table: String,
    columns: String,
}

/// How many connections the pooler of `compose.yaml` has, and why.
#[derive(Debug, Serialize)]
struct PoolView {
    /// What PostgreSQL allows there.
    max_connections: u32,
    /// Left for people, backups, exporters and a migration.
    reserved: u32,
    /// The pool itself, and what is added for clients that waited.
    size: u32,
    reserve_size: u32,
    /// Processes there, and connections they open at most together.
    processes: u32,
    wanted: u32,
    /// Clients it takes: twice as many, for a restart's overlap.
    max_clients: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct CacheView {
    product: String,
    memory: Option<String>,
    eviction: Eviction,
    url_variable: String,
    local_image: Option<String>,
    local_memory: Option<String>,
    /// What Redis itself may hold there: three quarters, the rest is for copy-on-write and buffers.
    local_maxmemory: Option<String>,
    render_plan: Option<String>,
}

/// Memory of the pooler in `compose.yaml`.
const POOLER_MEMORY: &str = "64M";

/// Connections of the `compose.yaml` database, PostgreSQL's own default.
const LOCAL_MAX_CONNECTIONS: u32 = 100;

/// Of which so many are left for people, backups and health checks.
const LOCAL_RESERVED_CONNECTIONS: u32 = 20;

pub(super) fn database_view(system: &str, spec: &TierSpec, db: &Database, of: DatabaseTarget) -> DatabaseView {
    let secret = db.secret(of);
    DatabaseView {
        product: db.engine.to_string(),
        version: db.version,
        vcpu: db.vcpu,
        memory: db.memory.as_ref().map(ToString::to_string),
        disk_gb: db.disk_gb,
        high_availability: db.high_availability,
        backup_days: db.backup_days,
        render_plan: db.render_plan.clone(),
        render_name: format!("{system}-database"),
        allow_from: db.allow_from.clone(),
        url_variables: db.urls(of).iter().map(|url| url.variable.to_owned()).collect(),
        read_replicas: db.read_replicas,
        replica_names: (1..=db.read_replicas).map(|i| format!("{system}-database-replica-{i}")).collect(),
        max_connections: db.max_connections,
        pool_size: db.pool_size,
        secret: secret.name.clone(),
        source_secret: db.source.as_ref().map(|source| source.name.clone()),
        target_secret: db.target.name.clone(),
        url_variable: db.url_variable.clone(),
        url_key: secret.url_key.clone(),
        read_url_variable: db.read_url_variable.clone(),
        local_image: db.local_image.clone(),
        local_memory: spec.machine.as_ref().and_then(|machine| machine.database_memory.as_ref()).map(docker_memory),
        // The image of 18 and later keeps a folder a version below this one.
        local_data_path: format!("/var/lib/postgresql{}", if db.version >= 18 { "" } else { "/data" }),
        pooler_image: db.pooler_image.clone(),
        pooler_memory: POOLER_MEMORY.to_owned(),
        pool: pool(spec, db),
        indexes: db.indexes.iter().map(index_view).collect(),
        parameters: parameters(db),
        cloud_sql_flags: cloud_sql_flags(db).into_iter().map(|(name, (value, why))| (name, value, why)).collect(),
    }
}

fn index_view(index: &Index) -> IndexView {
    let quoted = |name: &str| format!("\"{name}\"");
    let table: Vec<String> = index.table.split('.').map(quoted).collect();
    let mut name = table.clone();
    name.pop();
    name.push(quoted(&index.name));
    let column = |column: &String| match column.strip_suffix(" desc") {
        Some(column) => format!("{} desc", quoted(column)),
        None => quoted(column),
    };
    IndexView {
        name: name.join("."),
        bare_name: quoted(&index.name),
        table: table.join("."),
        columns: index.columns.iter().map(column).collect::<Vec<_>>().join(", "),
    }
}

fn pool(spec: &TierSpec, db: &Database) -> PoolView {
    // What stands in for a service of a cloud has PostgreSQL's own default, not the service's.
    let max_connections = if db.engine == Engine::SelfHosted { db.max_connections } else { LOCAL_MAX_CONNECTIONS };
    let available = max_connections.saturating_sub(LOCAL_RESERVED_CONNECTIONS).max(1);
    let reserve_size = available / 10;
    let here = |service: &&crate::tier::Service| service.runs_on(Platform::Compose) && service.running().is_some();
    let processes = u32::try_from(spec.services.iter().filter(here).count()).unwrap_or(u32::MAX);
    let wanted = processes.saturating_mul(db.pool_size);
    PoolView {
        max_connections,
        reserved: LOCAL_RESERVED_CONNECTIONS,
        size: available - reserve_size,
        reserve_size,
        processes,
        wanted,
        max_clients: wanted.saturating_mul(2).max(100),
    }
}

pub(super) fn cache_view(cache: &Cache) -> CacheView {
    CacheView {
        product: cache.product.to_string(),
        memory: cache.memory.as_ref().map(ToString::to_string),
        eviction: cache.eviction,
        url_variable: cache.url_variable.clone(),
        local_image: cache.local_image.clone(),
        local_memory: cache.local_memory.as_ref().map(docker_memory),
        local_maxmemory: cache.local_memory.as_ref().map(|memory| format!("{}mb", memory.mebibytes() * 3 / 4)),
        render_plan: cache.render_plan.clone(),
    }
}
