//! What templates see: one typed page, made from a tier's spec. Every field is always there, so that a name a template
//! gets wrong is an error and not an empty text.

mod edge;
mod machine;
mod pipeline;
mod service;
mod site;
mod stores;
mod tuning;
mod variables;
mod watch;

use k8s_templates::Quantity;
use serde::Serialize;

use edge::{DenoView, EdgeView, deno_view, edge_view};
use machine::{HelperView, MoveView, WatchersView, helper_view, move_view, watchers_view};
use pipeline::{PipelineView, pipeline_view};
use service::{CalledView, ServiceView, called, service_view};
use site::{CronView, SiteView, cron_view, site_view};
use stores::{CacheView, DatabaseView, cache_view, database_view};
use variables::{SecretView, VariableView, all_variables, secret_view, unique};

pub(crate) use tuning::cloud_sql_flags;
pub(crate) use variables::POOL_VARIABLE;
pub(crate) use watch::{WatchView, watch_view};

use crate::argocd;
use crate::render::DatabaseTarget;
use crate::system::SystemSpec;
use crate::tier::{Kind, Platform, Region, RequirementSet, Runtime, Service, TierSpec};
use crate::watch::Watched;

/// The page a template is filled from: a tier as one platform sees it, with only the services that run there.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// The system's short name.
    system: String,
    /// The same for platforms that refuse underscores.
    slug: String,
    /// Its name for people.
    title: String,
    /// The tier, e.g. `tier2`.
    tier: String,
    /// The tier's name for people.
    tier_title: String,
    /// The platforms the tier has files for.
    platforms: Vec<Platform>,
    /// Kubernetes namespace.
    namespace: Option<String>,
    /// Version of the application.
    version: String,
    /// How the images are built; none when there are none.
    build: Option<BuildView>,
    /// Numeric user it runs as.
    user_id: u32,
    /// Where the rendered folder is, from the application's root.
    deploy_path: String,
    /// Where the application's root is, from the rendered folder.
    app_root: String,
    /// Regions on Render; the first is home.
    render_regions: Vec<RegionView>,
    /// What keeps running in containers.
    services: Vec<ServiceView>,
    /// The first of them the world calls.
    first_web: Option<String>,
    /// What runs at set times.
    crons: Vec<CronView>,
    /// Files that are only sent, and what serverless platforms run.
    sites: Vec<SiteView>,
    /// Every variable once.
    variables: Vec<VariableView>,
    /// Every service another one calls.
    calls: Vec<CalledView>,
    /// Every secret key once, in the order of first use.
    secrets: Vec<SecretView>,
    /// The database, where there is one.
    database: Option<DatabaseView>,
    /// The cache, where there is one.
    cache: Option<CacheView>,
    /// Its name on Render.
    cache_name: String,
    /// Memory of the machine `compose.yaml` is for, in MiB.
    machine_memory_mib: Option<i128>,
    /// What else runs there: the proxy, and what watches.
    proxy: Option<HelperView>,
    watchers: Option<WatchersView>,
    /// The move from another machine, where this tier's takes the place of one.
    moved: Option<MoveView>,
    /// The tier before, where its files are all the way back there is to it.
    before: Option<BeforeView>,
    /// Files under `k8s/` that hold objects.
    k8s_files: Vec<String>,
    /// Regions of Vercel's functions; empty for its default.
    vercel_regions: Vec<String>,
    /// The app on Deno Deploy, where there is one.
    deno: Option<DenoView>,
    /// Cloudflare, where it stands before the tier.
    edge: Option<EdgeView>,
    /// What builds, tests and releases it.
    pipeline: PipelineView,
    /// The project on Google Cloud.
    project: Option<String>,
    /// How it is watched; only on the pages of what watches.
    watch: Option<WatchView>,
    /// The clusters of a tier in several regions; none where there is one, which `k8s/` is for.
    clusters: Vec<ClusterView>,
    /// Argo CD's Applications, one a cluster.
    applications: Vec<String>,
}

/// The tier that this one is the next of.
#[derive(Debug, Serialize)]
struct BeforeView {
    tier: String,
    deploy_path: String,
}

/// The cluster of a region.
#[derive(Debug, Serialize)]
struct ClusterView {
    /// What it is called.
    name: String,
    /// The folder that is applied there.
    folder: String,
}

/// How images are built.
#[derive(Debug, Serialize)]
struct BuildView {
    runtime: Runtime,
    base_image: Option<String>,
    /// Its folder from the application's root, with a slash behind; empty for the root itself.
    prefix: String,
    requirements_file: Option<String>,
    requirement_set: Option<RequirementSet>,
}

/// A region.
#[derive(Debug, Serialize)]
struct RegionView {
    name: String,
    /// What names there end with: `-eu`, or nothing when there is only one region.
    suffix: String,
    home: bool,
}

/// The user everything runs as. High, so that it is nobody's on the host.
pub(crate) const USER_ID: u32 = 10001;

/// What a page is made of.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) system: &'a SystemSpec,
    pub(crate) tier: &'a str,
    pub(crate) tier_title: &'a str,
    pub(crate) spec: &'a TierSpec,
    pub(crate) database: DatabaseTarget,
    /// Files under `k8s/` that hold objects.
    pub(crate) k8s_files: &'a [String],
}

/// Makes the page of a tier for a platform; for none, with all that runs.
pub(crate) fn page(subject: Subject, platform: Option<Platform>) -> Page {
    let Subject { system, tier, tier_title, spec, database, k8s_files } = subject;
    // A workflow releases what runs elsewhere.
    let here = |service: &&Service| {
        platform.is_none_or(|platform| platform == Platform::GithubActions || service.runs_on(platform))
    };
    let names: Vec<&str> = spec.services.iter().filter(here).map(|service| service.name.as_str()).collect();
    let variables: Vec<VariableView> = all_variables(spec, database)
        .into_iter()
        .filter(|variable| variable.used_by.iter().any(|user| names.contains(&user.as_str())))
        .collect();
    let secrets: Vec<SecretView> = variables.iter().filter_map(secret_view).collect();
    let secrets = unique(&secrets).cloned().collect();
    let slug = system.slug();
    let services = spec.services.iter().filter(here);
    Page {
        system: system.system.clone(),
        slug: slug.clone(),
        title: system.title.clone(),
        tier: tier.to_owned(),
        tier_title: tier_title.to_owned(),
        platforms: spec.platforms.clone(),
        namespace: spec.namespace.clone(),
        version: spec.version.clone(),
        build: spec.image_source().map(|source| BuildView {
            runtime: source.runtime,
            base_image: source.base_image.clone(),
            prefix: source.root.as_ref().map_or_else(String::new, |root| format!("{root}/")),
            requirements_file: source.requirements.as_ref().map(|requirements| requirements.file.clone()),
            requirement_set: source.requirements.as_ref().map(|requirements| requirements.set),
        }),
        user_id: USER_ID,
        deploy_path: spec.deploy_path.clone(),
        app_root: vec![".."; spec.deploy_path.split('/').count()].join("/"),
        render_regions: regions(&spec.regions.render),
        services: (0..)
            .zip(services.clone().filter_map(|service| Some((service, service.running()?))))
            .map(|(index, (service, running))| service_view(&slug, spec, index, service, running, &variables))
            .collect(),
        first_web: services.clone().find(|service| service.kind == Kind::Web).map(|service| service.name.clone()),
        crons: services
            .clone()
            .filter(|service| service.kind == Kind::Cron)
            .filter_map(|service| cron_view(&slug, spec, service, &variables))
            .collect(),
        sites: sites(&slug, spec, services, &variables),
        cache_name: format!("{slug}-cache"),
        pipeline: pipeline_view(spec, |platform| {
            let there = spec.services.iter().filter(|service| spec.has(platform) && service.runs_on(platform));
            sites(&slug, spec, there, &variables)
        }),
        calls: called(spec),
        variables,
        secrets,
        database: spec.database.as_ref().map(|db| database_view(&slug, spec, db, database)),
        cache: spec.cache.as_ref().map(cache_view),
        machine_memory_mib: spec.machine.as_ref().map(|machine| machine.memory.mebibytes()),
        proxy: spec.machine.as_ref().and_then(|machine| machine.proxy.as_ref()).map(helper_view),
        watchers: spec.machine.as_ref().and_then(|machine| machine.watchers.as_ref()).map(watchers_view),
        moved: system.tiers.get(tier).and_then(|tier| move_view(system, tier)),
        before: before(system, tier),
        k8s_files: k8s_files.to_vec(),
        vercel_regions: spec.regions.vercel.iter().map(|region| region.name.clone()).collect(),
        deno: deno_view(spec),
        edge: spec.cdn.as_ref().map(|cdn| edge_view(&slug, spec, cdn)),
        project: spec.google_cloud.as_ref().map(|google| google.project.clone()),
        watch: Watched::new(system, tier, spec)
            .filter(|_| matches!(platform, Some(Platform::Prometheus | Platform::CloudMonitoring)))
            .map(|watched| watch_view(watched, &spec.domains)),
        applications: argocd::applications(&slug, spec).into_iter().map(|(name, _)| name).collect(),
        clusters: clusters(&slug, spec),
    }
}

/// What is only sent, and what serverless platforms run.
fn sites<'a>(
    slug: &str,
    spec: &TierSpec,
    services: impl Iterator<Item = &'a Service>,
    variables: &[VariableView],
) -> Vec<SiteView> {
    let serverless = |service: &Service| service.kind.keeps_running() && service.running().is_none();
    services
        .filter(|service| service.kind == Kind::Static || serverless(service))
        .filter_map(|service| site_view(slug, spec, service, variables))
        .collect()
}

fn before(system: &SystemSpec, tier: &str) -> Option<BeforeView> {
    let here = system.tiers.get(tier)?.render.as_ref()?;
    if here.database.as_ref().is_some_and(|database| database.source.is_some()) {
        return None;
    }
    let earlier = system.tiers_in_order().take_while(|(name, _)| *name != tier);
    let (name, spec) = earlier.filter_map(|(name, tier)| Some((name, tier.render.as_ref()?))).last()?;
    Some(BeforeView { tier: name.to_owned(), deploy_path: spec.deploy_path.clone() })
}

fn clusters(slug: &str, spec: &TierSpec) -> Vec<ClusterView> {
    let regions = spec.regions.google_cloud.iter().filter(|_| spec.has(Platform::Kubernetes));
    let view = |region: &Region| ClusterView {
        name: format!("{slug}{}", region.suffix()),
        folder: format!("regions/{}", region.short_name()),
    };
    if spec.regions.google_cloud.len() > 1 { regions.map(view).collect() } else { Vec::new() }
}

fn regions(regions: &[Region]) -> Vec<RegionView> {
    let suffix = |region: &Region| match &region.short {
        Some(short) if regions.len() > 1 => format!("-{short}"),
        _ => String::new(),
    };
    (0..)
        .zip(regions)
        .map(|(i, region)| RegionView { name: region.name.clone(), suffix: suffix(region), home: i == 0 })
        .collect()
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
