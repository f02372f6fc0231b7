//! What a tier runs and where: platforms, sources, services, environment, data stores, regions, domains.

mod cluster;
mod edge;
mod service;
mod source;
mod stores;

use k8s_templates::Quantity;
use serde::{Deserialize, Serialize};

pub use cluster::{Cluster, ClusterGateway, ClusterProvider};
pub(crate) use edge::RATE_TIMES;
pub use edge::{CacheRule, Cdn, CdnPlan, Channel, Channels, Monitoring, RateLimit};
pub(crate) use service::Running;
pub use service::{Gpu, Health, Kind, Scaling, Service, ServiceResources, Shares, Shutdown};
pub use source::{RequirementSet, Requirements, Runtime, Source};
pub use stores::{
    Allowed, Cache, CacheProduct, Database, DatabaseSecret, Engine, Eviction, Index, Instance, Store, StoreProduct,
};

/// Everything the files of a tier are rendered from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// For which platforms there are files.
    pub platforms: Vec<Platform>,
    /// Kubernetes namespace; needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Version of the application, the tag of its images.
    pub version: String,
    /// Where its images are, without a name: `host/project/repository`; needed where there are images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Where in the application's repository the rendered folder is kept; build contexts and paths follow from it.
    pub deploy_path: String,
    /// The application's repository, for what fetches from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// What it is built from.
    pub sources: Vec<Source>,
    /// Where it runs, by platform.
    #[serde(default)]
    pub regions: Regions,
    /// The project on Google Cloud; needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google_cloud: Option<GoogleCloud>,
    /// The Kubernetes cluster; needed there. In several regions there is one in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// The app on Deno Deploy; needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deno: Option<DenoApp>,
    /// Under which names it is reached.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// What runs.
    pub services: Vec<Service>,
    /// Settings and secrets, besides what database and cache bring.
    #[serde(default)]
    pub environment: Vec<Variable>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The cache and queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Further data stores.
    #[serde(default)]
    pub stores: Vec<Store>,
    /// What stands between the world and the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdn: Option<Cdn>,
    /// How it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// The machine `compose.yaml` is for; needed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

/// Something files are rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Container images: Dockerfile and what its build must not see.
    Docker,
    /// One machine: compose.yaml and the configuration of what runs beside the services.
    Compose,
    /// Render: render.yaml.
    Render,
    /// Kubernetes: manifests and kustomization.
    Kubernetes,
    /// Cloud databases and caches, made by Config Connector.
    ConfigConnector,
    /// Argo CD: an Application.
    Argocd,
    /// Google Cloud Run: service.yaml and cloudbuild.yaml.
    CloudRun,
    /// Vercel: vercel.json.
    Vercel,
    /// Deno Deploy: deno.json.
    Deno,
    /// Cloudflare: cache and rate rules, wrangler.jsonc.
    Cloudflare,
    /// GitHub Actions: workflows.
    GithubActions,
    /// Prometheus, Alertmanager, Grafana.
    Prometheus,
    /// Google Cloud Monitoring: alert policies and dashboard.
    CloudMonitoring,
}

/// A Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Its URL over HTTPS.
    pub url: String,
    /// The branch that is released.
    pub branch: String,
}

/// Where it runs. The first region of a platform is home: what exists once is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regions {
    /// On Google Cloud.
    #[serde(default)]
    pub google_cloud: Vec<Region>,
    /// On Render.
    #[serde(default)]
    pub render: Vec<Region>,
    /// On Vercel.
    #[serde(default)]
    pub vercel: Vec<Region>,
    /// On Deno Deploy, where the organisation chooses them in the console.
    #[serde(default)]
    pub deno: Vec<Region>,
    /// Why these, where the guide does not say.
    #[serde(default)]
    pub note: String,
}

/// A region of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The platform's name for it.
    pub name: String,
    /// A short name, which tells what runs there from its like elsewhere; needed when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
}

/// A project on Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogleCloud {
    /// Its id.
    pub project: String,
    /// The network databases and caches are reached over.
    pub network: String,
}

/// An app on Deno Deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoApp {
    /// Its organisation.
    pub org: String,
    /// Its name.
    pub app: String,
    /// The file it starts with.
    pub entrypoint: String,
    /// Where it runs; chosen when the app is made, and in no file of Deno's.
    pub region: DenoRegion,
}

/// Where an app on Deno Deploy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenoRegion {
    /// The United States.
    Us,
    /// Europe.
    Eu,
    /// All of its regions.
    Global,
}

/// A name under which a service is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The name.
    pub host: String,
    /// The service.
    pub service: String,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// Its value, when it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value is kept, when it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Which services have it; empty means all.
    #[serde(default)]
    pub used_by: Vec<String>,
}

/// A key of a secret. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The secret.
    pub name: String,
    /// The key.
    pub key: String,
}

/// The machine `compose.yaml` is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its memory; all services together must fit.
    pub memory: Quantity,
    /// The tier whose machine this one takes the place of: what is kept there is moved here. None where it stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Memory of the database there; needed when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_memory: Option<Quantity>,
    /// nginx, before the services the world calls; needed when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Helper>,
    /// What watches, where Prometheus runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchers: Option<Watchers>,
}

/// A container beside the services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// Its image, pinned.
    pub image: String,
    /// What it may take.
    pub memory: Quantity,
}

/// Prometheus, and what it asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchers {
    /// Prometheus itself.
    pub prometheus: Helper,
    /// Who tells people.
    pub alertmanager: Helper,
    /// The machine.
    pub node_exporter: Helper,
    /// The database.
    pub postgres_exporter: Helper,
    /// The cache.
    pub redis_exporter: Helper,
    /// Whether users are answered.
    pub blackbox_exporter: Helper,
}

impl Machine {
    /// Every container beside services, database and cache, and where it is described.
    pub(crate) fn helpers(&self) -> Vec<(&'static str, &Helper)> {
        let mut helpers: Vec<(&'static str, &Helper)> = self.proxy.iter().map(|proxy| ("proxy", proxy)).collect();
        if let Some(watchers) = &self.watchers {
            helpers.extend([
                ("watchers.prometheus", &watchers.prometheus),
                ("watchers.alertmanager", &watchers.alertmanager),
                ("watchers.node_exporter", &watchers.node_exporter),
                ("watchers.postgres_exporter", &watchers.postgres_exporter),
                ("watchers.redis_exporter", &watchers.redis_exporter),
                ("watchers.blackbox_exporter", &watchers.blackbox_exporter),
            ]);
        }
        helpers
    }
}

impl Region {
    /// Its short name, or its own where it is the only one.
    pub(crate) fn short_name(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.name)
    }

    /// What names of its own resources end with, outside of the home region.
    pub(crate) fn suffix(&self) -> String {
        format!("-{}", self.short_name())
    }
}

impl SecretRef {
    /// Its name in a store that has no keys within a secret, as Google Secret Manager.
    pub(crate) fn store_name(&self) -> String {
        format!("{}-{}", self.name, self.key).replace('.', "-")
    }
}

impl TierSpec {
    /// The variables a service has besides what database and cache bring.
    pub fn variables_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.environment.iter().filter(move |v| v.used_by.is_empty() || v.used_by.iter().any(|s| s == service))
    }

    /// The variable by which others find a service.
    pub(crate) fn call_variable(service: &str) -> String {
        format!("{}_HOSTPORT", service.to_ascii_uppercase().replace('-', "_"))
    }

    /// A service by name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Whether there are files for a platform.
    pub fn has(&self, platform: Platform) -> bool {
        self.platforms.contains(&platform)
    }

    /// What a service is built from.
    pub fn source_of(&self, service: &Service) -> Option<&Source> {
        match &service.source {
            Some(name) => self.sources.iter().find(|source| source.name == *name),
            None => self.sources.first(),
        }
    }

    /// What the images are built from; none when there are none. Validation allows one such source a tier.
    pub(crate) fn image_source(&self) -> Option<&Source> {
        let service = self.services.iter().find(|service| service.runs_on(Platform::Docker))?;
        self.source_of(service).filter(|_| self.has(Platform::Docker))
    }

    /// The image of a service, tag included; its name alone when there is no registry.
    pub fn image(&self, service: &Service) -> String {
        match &self.registry {
            Some(registry) => format!("{registry}/{}:{}", service.name, self.version),
            None => format!("{}:{}", service.name, self.version),
        }
    }
}
