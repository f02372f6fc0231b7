//! The way back of `kubectl.apply`: what existed is replaced by what it was, what did not exist is deleted.

use runbook::{Context, Failure, FailureKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::kubectl::{FIELD_MANAGER, Id, list};
use super::super::{process, run_file};
use super::{Before, KubectlApply, hex, kept_file};

impl KubectlApply {
    /// Needs neither the kustomization nor its folder: a step before this one may have taken them away again.
    ///
    /// # Errors
    /// When the kept objects are not there or the server refuses; doing it again then goes on.
    pub(super) async fn put_back(&self, cx: &Context, before: &Before) -> Result<(), Failure> {
        self.kept(cx, before)?;
        let record = process::record_path(cx);
        if before.kept_objects > 0 {
            let file = kept_file(cx, &before.digest)?;
            let args = ["replace", "--field-manager", FIELD_MANAGER, "-f", &file.to_string_lossy()];
            let ended = self.kubectl.program(&args).run(record.as_deref()).await?;
            ended.success("put right what the server complains about, then roll back again")?;
        }
        self.delete_created(cx, &before.missing).await?;
        self.wait_for_rollouts(before.ready.iter()).await
    }

    /// The kept objects are whole.
    pub(super) fn kept(&self, cx: &Context, before: &Before) -> Result<(), Failure> {
        let file = kept_file(cx, &before.digest)?;
        match run_file::read(&file)? {
            Some(bytes) if hex(&Sha256::digest(&bytes)) == before.digest => Ok(()),
            _ => Err(Failure::new(
                FailureKind::Failed,
                format!("file {}", file.display()),
                "it does not hold the objects that were in the cluster before the step",
                "restore the file from a copy, or put the objects back by hand",
            )),
        }
    }

    async fn delete_created(&self, cx: &Context, missing: &[Id]) -> Result<(), Failure> {
        let (left, created): (Vec<&Id>, Vec<&Id>) = missing.iter().partition(|id| is_left(id));
        for id in left {
            cx.note(format!("{id} is left in place, with whatever it holds; delete it by hand if nothing needs it"));
        }
        if created.is_empty() {
            return Ok(());
        }
        let file = run_file::path(cx, "kubectl", "-created.json")?;
        let write = |ids: &[&Id]| {
            let manifests: Vec<Value> = ids.iter().map(|id| id.manifest()).collect();
            run_file::write(&file, list(&manifests).to_string().as_bytes())
        };
        write(&created)?;
        let name = file.to_string_lossy();
        let there = self.kubectl.get(["-f", &name], &["--show-managed-fields"]).await?;
        let ours = |id: &Id| there.iter().any(|live| Id::of(live).is_some_and(|live| id.is(&live)) && is_ours(live));
        let theirs = |id: &Id| there.iter().any(|live| Id::of(live).is_some_and(|live| id.is(&live)) && !is_ours(live));
        for id in created.iter().filter(|id| theirs(id)) {
            cx.note(format!("{id} was made by somebody else since, and is left in place"));
        }
        // What others need comes first in a kustomization, so it goes last.
        let doomed: Vec<&Id> = created.into_iter().rev().filter(|id| ours(id)).collect();
        if doomed.is_empty() {
            return Ok(());
        }
        write(&doomed)?;
        let timeout = format!("{}s", self.kubectl.timeout.as_secs());
        let args = ["delete", "--ignore-not-found", "--timeout", &timeout, "-f", &name];
        let ended = self.kubectl.program(&args).run(process::record_path(cx).as_deref()).await?;
        ended.success("look what keeps it (finalizers), then roll back again").map(drop)
    }
}

/// Whether deleting it would take data or other people's objects along: a namespace, a volume, a kind of objects, and
/// what stands for a resource of the cloud (Config Connector), which would be deleted there.
pub(super) fn is_left(id: &Id) -> bool {
    ["Namespace", "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition"].contains(&id.kind.as_str())
        || id.group().ends_with(".cnrm.cloud.google.com")
}

/// Whether tierlift's apply made or changed it.
fn is_ours(live: &Value) -> bool {
    let managers = live["metadata"]["managedFields"].as_array();
    managers.is_some_and(|all| all.iter().any(|m| m["manager"] == FIELD_MANAGER && m["operation"] == "Apply"))
}
