//! The arguments of `kubectl.apply`, read strictly: the context is always named.

use std::path::PathBuf;

use runbook::Failure;
use serde::Deserialize;
use serde_json::Value;

use super::super::{seconds, unusable};
use super::{KUBECTL_APPLY, Kubectl, KubectlApply};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    context: String,
    kustomization: PathBuf,
    timeout_seconds: u64,
    #[serde(default = "kubectl")]
    kubectl: String,
}

fn kubectl() -> String {
    "kubectl".to_owned()
}

const HINT: &str = "give it context, kustomization and timeout_seconds; see docs/actions.md";

impl KubectlApply {
    pub(in super::super) fn parse(with: &Value) -> Result<Self, Failure> {
        let said = Arguments::deserialize(with).map_err(|error| unusable(KUBECTL_APPLY, error, HINT))?;
        for (key, text) in [("context", &said.context), ("kubectl", &said.kubectl)] {
            if text.trim().is_empty() || text.starts_with('-') || text.contains('\0') {
                return Err(unusable(KUBECTL_APPLY, format!("{key} is `{text}`"), HINT));
            }
        }
        let whole_path = std::path::absolute(&said.kustomization)
            .map_err(|error| unusable(KUBECTL_APPLY, format!("kustomization: {error}"), "name its folder"))?;
        if said.kustomization.to_string_lossy().contains("://") || whole_path.to_str().is_none() {
            return Err(unusable(KUBECTL_APPLY, "kustomization is no folder", "name a folder of this machine"));
        }
        let timeout = seconds(KUBECTL_APPLY, said.timeout_seconds)?;
        let kubectl = Kubectl { program: said.kubectl, context: said.context, timeout };
        Ok(Self { kubectl, kustomization: whole_path })
    }
}
