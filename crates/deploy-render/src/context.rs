//! What templates see: one typed page, made from a tier's spec. Every field is always there, so that a name a template
//! gets wrong is an error and not an empty text.

mod service;
mod stores;
mod variables;

use k8s_templates::Quantity;
use serde::Serialize;

use service::{CalledView, ServiceView, called, service_view};
use stores::{CacheView, DatabaseView, cache_view, database_view};
use variables::{SecretView, VariableView, all_variables, secret_view, unique};

pub(crate) use variables::POOL_VARIABLE;

use crate::render::DatabaseTarget;
use crate::system::SystemSpec;
use crate::tier::{Runtime, TierSpec};

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

/// The user everything runs as. High, so that it is nobody's on the host.
pub(crate) const USER_ID: u32 = 10001;

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

/// Memory as Docker writes it, whose `M` is a mebibyte.
fn docker_memory(quantity: &Quantity) -> String {
    format!("{}M", quantity.mebibytes())
}

/// A word as a POSIX shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
