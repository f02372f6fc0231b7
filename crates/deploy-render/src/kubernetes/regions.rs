//! A tier in several regions: an overlay for the cluster of each.

use std::collections::BTreeMap;

use k8s_templates::{Labels, Object};
use serde::Serialize;

use super::{Files, Home};
use crate::tier::Region;

/// `kustomization.yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<LabelRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LabelRule {
    pairs: Labels,
    /// Selectors can't be changed, and a move between regions must not need it.
    include_selectors: bool,
    include_templates: bool,
}

#[derive(Debug, Serialize)]
struct Patch {
    target: BTreeMap<&'static str, String>,
    /// A JSON patch, which is YAML too.
    patch: String,
}

/// Label with the region.
const REGION_LABEL: &str = "tierlift.dev/region";

impl Kustomization {
    /// Nothing but resources.
    pub(crate) fn of(resources: Vec<String>) -> Self {
        Self {
            api_version: "kustomize.config.k8s.io/v1beta1",
            kind: "Kustomization",
            resources,
            labels: Vec::new(),
            patches: Vec::new(),
        }
    }
}

/// The way in is made once, in the home region, whose cluster configures the load balancer of all.
pub(super) fn add_overlays(home: &Home, entry: Vec<Object>, files: &mut Files) {
    let mut entry = Some(entry).filter(|entry| !entry.is_empty());
    for (i, region) in home.spec.regions.google_cloud.iter().enumerate() {
        let folder = format!("regions/{}", region.short_name());
        let mut kustomization = Kustomization::of(vec!["../../k8s".to_owned()]);
        if let Some(entry) = entry.take() {
            kustomization.resources.push("entry.yaml".to_owned());
            files.objects.push((format!("{folder}/entry.yaml"), entry));
        }
        kustomization.labels = vec![LabelRule {
            pairs: Labels::from([(REGION_LABEL.to_owned(), region.name.clone())]),
            include_selectors: false,
            include_templates: true,
        }];
        if i > 0 {
            kustomization.patches = cache_patch(home, region).into_iter().collect();
        }
        files.kustomizations.push((format!("{folder}/kustomization.yaml"), kustomization));
    }
}

/// Each region has a cache of its own, so its URL is another one.
fn cache_patch(home: &Home, region: &Region) -> Option<Patch> {
    let secret = &home.spec.cache.as_ref()?.secret;
    home.cluster.secret_store.as_ref()?;
    let key = format!("{}{}", secret.store_name(), region.suffix());
    let change = serde_json::json!([{"op": "replace", "path": "/spec/data/0/remoteRef/key", "value": key}]);
    let target = [("kind", "ExternalSecret"), ("name", secret.name.as_str())];
    Some(Patch { target: target.map(|(key, value)| (key, value.to_owned())).into(), patch: change.to_string() })
}
