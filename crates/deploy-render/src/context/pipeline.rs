//! What builds, tests and releases a tier, as templates see it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::site::SiteView;
use crate::tier::{ClusterProvider, Engine, Platform, Repository, Runtime, TierSpec};

/// Every action and program of the workflows: name in templates, what is called, the commit of its release, the release.
/// A commit can't be moved to something else as a tag can. `gh api repos/OWNER/NAME/commits/TAG` prints the commit of a
/// newer one.
const ACTIONS: [(&str, &str, &str, &str); 7] = [
    ("checkout", "actions/checkout", "de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6.0.2"),
    ("node", "actions/setup-node", "48b55a011bda9f5d6aeb4c2d9c7362e8dae4041e", "v6.4.0"),
    ("python", "actions/setup-python", "a309ff8b426b58ec0e2a45f0f869d46889d02405", "v6.2.0"),
    ("deno", "denoland/setup-deno", "e95548e56dfa95d4e1a28d6f422fafe75c4c26fb", "v2.0.3"),
    ("google_auth", "google-github-actions/auth", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093", "v3.0.0"),
    ("gcloud", "google-github-actions/setup-gcloud", "aa5489c8933f4cc7a4f7d45035b3b1440c9c10db", "v3.0.1"),
    ("gke", "google-github-actions/get-gke-credentials", "3da1e46a907576cefaa90c484278bb5b259dd395", "v3.0.0"),
];

/// Programs the workflows and cloudbuild.yaml run, at the releases they were written for.
const PROGRAMS: [(&str, &str); 4] = [
    ("vercel", "vercel@64.0.2"),
    ("wrangler", "wrangler@4.164.0"),
    ("docker", "docker:28.5.1-cli"),
    ("gcloud", "gcr.io/google.com/cloudsdktool/google-cloud-cli:550.0.0-slim"),
];

/// Everything of [`Page`](super::Page) that only pipelines need.
#[derive(Debug, Serialize)]
pub(super) struct PipelineView {
    actions: BTreeMap<&'static str, ActionView>,
    programs: BTreeMap<&'static str, &'static str>,
    /// What is tested, each once.
    sources: Vec<SourceView>,
    /// Where images go, up to the first slash; none when there are none.
    registry_host: Option<String>,
    registry_kind: RegistryKind,
    repository: Option<Repository>,
    google: Option<GoogleView>,
    /// Whether the cluster is one of Google's.
    is_gke: bool,
    /// What Vercel sends or runs.
    on_vercel: Vec<SiteView>,
    /// What Cloudflare sends.
    on_cloudflare: Vec<SiteView>,
}

/// An action, pinned.
#[derive(Debug, Serialize)]
struct ActionView {
    uses: String,
    release: &'static str,
}

/// Something that is tested.
#[derive(Debug, Serialize)]
struct SourceView {
    name: String,
    runtime: Runtime,
    root: Option<String>,
    /// Version of its language.
    version: Option<String>,
    build: Option<String>,
    requirements_file: Option<String>,
    base_image: Option<String>,
}

/// Who keeps the images.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum RegistryKind {
    /// Artifact Registry: no key, the workflow's own identity.
    Google,
    /// GitHub's: the workflow's own token.
    Github,
    /// Another one: a user and a key.
    Other,
}

/// A project on Google Cloud.
#[derive(Debug, Serialize)]
struct GoogleView {
    project: String,
    network: String,
    /// The first of its regions.
    region: Option<String>,
    /// The instance's connection name, where the database is Cloud SQL.
    sql_connection: Option<String>,
}

pub(super) fn pipeline_view(spec: &TierSpec, sites_on: impl Fn(Platform) -> Vec<SiteView>) -> PipelineView {
    let action = |(name, what, commit, release): (&'static str, &str, &str, &'static str)| {
        (name, ActionView { uses: format!("{what}@{commit}"), release })
    };
    let registry_host = spec.registry.as_ref().and_then(|registry| registry.split('/').next()).map(str::to_owned);
    let sources = spec.sources.iter().map(|source| SourceView {
        name: source.name.clone(),
        runtime: source.runtime,
        root: source.root.clone(),
        version: source.language_version().map(str::to_owned),
        build: source.build.clone(),
        requirements_file: source.requirements.as_ref().map(|requirements| requirements.file.clone()),
        base_image: source.base_image.clone(),
    });
    let region = spec.regions.google_cloud.first().map(|region| region.name.clone());
    PipelineView {
        actions: ACTIONS.into_iter().map(action).collect(),
        programs: PROGRAMS.into(),
        sources: sources.collect(),
        registry_kind: match registry_host.as_deref() {
            Some(host) if host.ends_with(".pkg.dev") => RegistryKind::Google,
            Some("ghcr.io") => RegistryKind::Github,
            _ => RegistryKind::Other,
        },
        registry_host,
        repository: spec.repository.clone(),
        google: spec.google_cloud.as_ref().map(|google| GoogleView {
            project: google.project.clone(),
            network: google.network.clone(),
            sql_connection: region.as_ref().and_then(|region| sql_connection(spec, &google.project, region)),
            region,
        }),
        on_vercel: sites_on(Platform::Vercel),
        on_cloudflare: sites_on(Platform::Cloudflare),
        is_gke: spec.has(Platform::Kubernetes)
            && spec.google_cloud.is_some()
            && spec.cluster.as_ref().is_none_or(|cluster| cluster.provider == ClusterProvider::Gke),
    }
}

/// The connection name of the database's instance; none when it is not Cloud SQL.
fn sql_connection(spec: &TierSpec, project: &str, region: &str) -> Option<String> {
    let database = spec.database.as_ref().filter(|database| database.engine == Engine::CloudSql)?;
    Some(format!("{project}:{region}:{}", database.instance.as_ref()?.name))
}
