//! What templates see: one typed page, made from a tier's spec. Every field is always there, so that a name a template
//! gets wrong is an error and not an empty text.

use k8s_templates::Quantity;
use serde::Serialize;

use crate::render::DatabaseTarget;
use crate::system::SystemSpec;
use crate::tier::{Eviction, Kind, Runtime, SecretRef, Service, TierSpec, Variable};

/// The page a template is filled from.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// The system's short name.
    system: String,
    /// Its name for people.
    title: String,
    /// The tier, e.g. `tier2`.
    tier: String,
    /// The tier's name for people.
    tier_title: String,
    /// Kubernetes namespace.
    namespace: String,
    /// Version of the application.
    version: String,
    /// How it is built and started.
    runtime: Runtime,
    /// The image it is built on.
    base_image: String,
    /// Numeric user it runs as.
    user_id: u32,
    /// Where the rendered folder is, from the application's root.
    deploy_path: String,
    /// Where the application's root is, from the rendered folder.
    app_root: String,
    /// Region on Google Cloud.
    google_cloud_region: String,
    /// Region on Render.
    render_region: String,
    /// What runs.
    services: Vec<ServiceView>,
    /// Every variable once.
    variables: Vec<VariableView>,
    /// Every service another one calls.
    calls: Vec<CalledView>,
    /// Every secret key once, in the order of first use.
    secrets: Vec<SecretView>,
    /// The database.
    database: DatabaseView,
    /// The cache.
    cache: CacheView,
    /// Its name on Render.
    cache_name: String,
    /// Memory of the machine `compose.yaml` is for, in MiB.
    machine_memory_mib: i128,
    /// Files under `k8s/` that hold objects.
    k8s_files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    name: String,
    kind: Kind,
    purpose: String,
    image: String,
    command: Vec<String>,
    /// The command as one line, quoted for a shell where needed.
    command_line: String,
    port: u16,
    readiness: String,
    liveness: String,
    startup_seconds: u32,
    /// One-line program that exits 0 when the service is alive.
    probe_script: String,
    cpus: String,
    /// Memory limit as Docker writes it.
    memory: String,
    /// Address and ports `compose.yaml` publishes it at.
    publish: String,
    /// Its name on Render, where names are the whole workspace's.
    render_name: String,
    min: u32,
    max: u32,
    cpu_percent: u32,
    stop_seconds: u32,
    render_plan: String,
    domains: Vec<String>,
    /// Services it calls.
    calls: Vec<CallView>,
    /// Plain variables, PORT included.
    variables: Vec<VariableView>,
    /// Secrets, those of database and cache included.
    secrets: Vec<SecretView>,
    /// Secrets but those of database and cache.
    own_secrets: Vec<SecretView>,
    /// Names of its secrets in `compose.yaml`, each once.
    secret_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CalledView {
    variable: String,
    hostport: String,
    /// Services that call it.
    used_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CallView {
    variable: String,
    kind: Kind,
    /// Name and port in `compose.yaml`.
    hostport: String,
    render_name: String,
}

#[derive(Debug, Clone, Serialize)]
struct VariableView {
    name: String,
    purpose: String,
    /// None for a secret.
    value: Option<String>,
    /// None for a plain value.
    secret: Option<SecretRef>,
    /// Services that have it.
    used_by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct SecretView {
    variable: String,
    name: String,
    key: String,
    /// Its name in `compose.yaml`.
    id: String,
    /// The file it is in there.
    file: String,
}

#[derive(Debug, Serialize)]
struct DatabaseView {
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
struct CacheView {
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

/// The user everything runs as. High, so that it is nobody's on the host.
pub(crate) const USER_ID: u32 = 10001;
/// Where `compose.yaml` finds secrets as files; beside the rendered folder, which only holds what was rendered.
const SECRETS_DIR: &str = "${SECRETS_DIR:-../secrets}";
/// Memory of the pooler in `compose.yaml`.
const POOLER_MEMORY: &str = "64M";
/// Connections of the `compose.yaml` database, PostgreSQL's own default.
const LOCAL_MAX_CONNECTIONS: u32 = 100;
/// Of which so many are left for people, backups and health checks.
const LOCAL_RESERVED_CONNECTIONS: u32 = 20;

/// Makes the page of a tier.
pub(crate) fn page(
    system: &SystemSpec,
    tier: &str,
    tier_title: &str,
    spec: &TierSpec,
    database: DatabaseTarget,
    k8s_files: Vec<String>,
) -> Page {
    let variables = all_variables(spec, database);
    let secrets: Vec<SecretView> = variables.iter().filter_map(secret_view).collect();
    let secrets = unique(&secrets).cloned().collect();
    Page {
        system: system.system.clone(),
        title: system.title.clone(),
        tier: tier.to_owned(),
        tier_title: tier_title.to_owned(),
        namespace: spec.namespace.clone(),
        version: spec.version.clone(),
        runtime: spec.source.runtime,
        base_image: spec.source.base_image.clone(),
        user_id: USER_ID,
        deploy_path: spec.source.deploy_path.clone(),
        app_root: vec![".."; spec.source.deploy_path.split('/').count()].join("/"),
        google_cloud_region: spec.regions.google_cloud.clone(),
        render_region: spec.regions.render.clone(),
        services: (0..)
            .zip(&spec.services)
            .map(|(index, service)| service_view(&system.system, spec, index, service, &variables))
            .collect(),
        cache_name: format!("{}-cache", system.system),
        calls: called(spec),
        variables,
        secrets,
        database: database_view(spec, database),
        cache: cache_view(spec),
        machine_memory_mib: spec.machine.memory.mebibytes(),
        k8s_files,
    }
}

/// Every variable of the tier: the database's, the cache's, then the spec's own.
fn all_variables(spec: &TierSpec, database: DatabaseTarget) -> Vec<VariableView> {
    let everybody: Vec<String> = spec.services.iter().map(|s| s.name.clone()).collect();
    let of_store = |name: &str, purpose: &str, secret: SecretRef| VariableView {
        name: name.to_owned(),
        purpose: purpose.to_owned(),
        value: None,
        secret: Some(secret),
        used_by: everybody.clone(),
    };
    let db = &spec.database;
    let [url, read_url] = database.secrets(spec);
    let mut variables = vec![
        of_store(&db.url_variable, "URL of the database, for reading and writing", url),
        of_store(&db.read_url_variable, "URL of the database, for reading only", read_url),
        of_store(&spec.cache.url_variable, "URL of the cache and queue", spec.cache.secret.clone()),
    ];
    variables.push(VariableView {
        name: POOL_VARIABLE.to_owned(),
        purpose: "database connections each process opens at most".to_owned(),
        value: Some(db.pool_size.to_string()),
        secret: None,
        used_by: everybody.clone(),
    });
    variables.extend(spec.environment.iter().map(|v| {
        let Variable { name, purpose, value, secret, used_by } = v.clone();
        VariableView { name, purpose, value, secret, used_by: if used_by.is_empty() { everybody.clone() } else { used_by } }
    }));
    variables
}

/// The variable with the size of a process's connection pool.
pub(crate) const POOL_VARIABLE: &str = "DATABASE_POOL_SIZE";

fn service_view(
    system: &str,
    spec: &TierSpec,
    index: u16,
    service: &Service,
    variables: &[VariableView],
) -> ServiceView {
    let mine = |v: &&VariableView| v.used_by.contains(&service.name);
    let mut plain = vec![VariableView {
        name: "PORT".to_owned(),
        purpose: "where it listens".to_owned(),
        value: Some(service.port.to_string()),
        secret: None,
        used_by: vec![service.name.clone()],
    }];
    plain.extend(variables.iter().filter(mine).filter(|v| v.value.is_some()).cloned());
    let secrets: Vec<SecretView> = variables.iter().filter(mine).filter_map(secret_view).collect();
    ServiceView {
        name: service.name.clone(),
        kind: service.kind,
        purpose: service.purpose.clone(),
        image: spec.image(service),
        command: service.command.clone(),
        command_line: service.command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "),
        port: service.port,
        readiness: service.health.readiness.clone(),
        liveness: service.health.liveness.clone(),
        startup_seconds: service.health.startup_seconds,
        probe_script: probe_script(spec.source.runtime, service),
        cpus: cores(&service.resources.limits.cpu),
        memory: docker_memory(&service.resources.limits.memory),
        publish: format!("127.0.0.1:{}:{}", service.port + index, service.port),
        render_name: format!("{system}-{}", service.name),
        min: service.scaling.min,
        max: service.scaling.max,
        cpu_percent: service.scaling.cpu_percent,
        stop_seconds: service.shutdown.pre_stop_seconds + service.shutdown.drain_seconds,
        render_plan: service.render_plan.clone(),
        domains: spec.domains.iter().filter(|d| d.service == service.name).map(|d| d.host.clone()).collect(),
        calls: service.calls.iter().filter_map(|name| spec.service(name)).map(|callee| call_view(system, callee)).collect(),
        variables: plain,
        own_secrets: secrets.iter().filter(|s| spec.environment.iter().any(|v| v.name == s.variable)).cloned().collect(),
        secret_ids: unique(&secrets).map(|secret| secret.id.clone()).collect(),
        secrets,
    }
}

/// Services that others call.
fn called(spec: &TierSpec) -> Vec<CalledView> {
    let callers = |name: &String| {
        spec.services.iter().filter(|s| s.calls.contains(name)).map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    spec.services
        .iter()
        .map(|service| CalledView {
            variable: TierSpec::call_variable(&service.name),
            hostport: format!("{}:{}", service.name, service.port),
            used_by: callers(&service.name),
        })
        .filter(|called| !called.used_by.is_empty())
        .collect()
}

/// Each file once: two variables may share a key (no replica at the source).
fn unique(secrets: &[SecretView]) -> impl Iterator<Item = &SecretView> {
    secrets.iter().enumerate().filter(|(i, s)| !secrets[..*i].iter().any(|other| other.id == s.id)).map(|(_, s)| s)
}

fn call_view(system: &str, service: &Service) -> CallView {
    CallView {
        variable: TierSpec::call_variable(&service.name),
        kind: service.kind,
        hostport: format!("{}:{}", service.name, service.port),
        render_name: format!("{system}-{}", service.name),
    }
}

fn secret_view(variable: &VariableView) -> Option<SecretView> {
    let secret = variable.secret.as_ref()?;
    Some(SecretView {
        variable: variable.name.clone(),
        name: secret.name.clone(),
        key: secret.key.clone(),
        id: format!("{}_{}", secret.name, secret.key).replace(['-', '.'], "_"),
        file: format!("{SECRETS_DIR}/{}/{}", secret.name, secret.key),
    })
}

fn database_view(spec: &TierSpec, database: DatabaseTarget) -> DatabaseView {
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

fn cache_view(spec: &TierSpec) -> CacheView {
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

/// A program that exits 0 when the service answers; the images have no curl.
fn probe_script(runtime: Runtime, service: &Service) -> String {
    match runtime {
        Runtime::Nestjs => format!(
            "fetch('http://127.0.0.1:{}{}').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))",
            service.port, service.health.liveness
        ),
    }
}

/// Memory as Docker writes it, whose `M` is a mebibyte.
fn docker_memory(quantity: &Quantity) -> String {
    format!("{}M", quantity.mebibytes())
}

/// Cores as a decimal number, as Docker writes them.
fn cores(quantity: &Quantity) -> String {
    let (whole, rest) = (quantity.millis() / 1000, quantity.millis() % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

/// A word as a POSIX shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
