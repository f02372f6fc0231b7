//! `kubectl.apply` applies a kustomization to a cluster, waits for what runs, and can put back what was there.

mod arguments;
mod undo;

use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;
use runbook::{Action, Check, Context, Effect, Estimate, Failure, FailureKind, Finding, Inspect, Preview};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::kubectl::{FIELD_MANAGER, Id, Kubectl, has_kustomization, list, sendable};
use super::program::{NOT_FOUND, NOT_FOUND_REMEDY};
use super::{blocks, from_before, process, run_file, to_before};

/// Name of the action.
pub(super) const KUBECTL_APPLY: &str = "kubectl.apply";

/// A kustomization and the cluster it goes to.
pub(super) struct KubectlApply {
    kubectl: Kubectl,
    /// Its folder, as a whole path: anything else could be taken for a URL.
    kustomization: PathBuf,
}

/// What was in the cluster; the objects themselves are in the run's folder, because they are many and may be long.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    /// SHA-256 of the kept objects.
    digest: String,
    /// How many they are.
    kept_objects: usize,
    /// The objects that did not exist.
    missing: Vec<Id>,
    /// Those that were fully rolled out, and so will be again.
    ready: Vec<Id>,
}

/// What a kustomization wants, next to what there is.
struct Compared {
    wanted: Vec<Id>,
    live: Vec<Value>,
}

impl Compared {
    fn live_ids(&self) -> Vec<Id> {
        self.live.iter().filter_map(Id::of).collect()
    }

    fn missing(&self) -> Vec<Id> {
        let live = self.live_ids();
        self.wanted.iter().filter(|wanted| !live.iter().any(|live| wanted.is(live))).cloned().collect()
    }
}

impl KubectlApply {
    fn folder(&self) -> std::borrow::Cow<'_, str> {
        self.kustomization.to_string_lossy()
    }

    fn object(&self) -> String {
        format!("kustomization {}", self.kustomization.display())
    }

    /// What is wrong before any cluster is asked.
    async fn tool_problems(&self) -> Result<Vec<Finding>, Failure> {
        let kubectl = &self.kubectl;
        if kubectl.offline(&[]).find().is_none() {
            return Ok(vec![blocks(format!("program {}", kubectl.program), NOT_FOUND, NOT_FOUND_REMEDY)]);
        }
        if !kubectl.knows_context().await? {
            let remedy = "see `kubectl config get-contexts`; the kubeconfig is the one that kubectl itself would use";
            return Ok(vec![blocks(format!("context {}", kubectl.context), "is not in the kubeconfig", remedy)]);
        }
        Ok(Vec::new())
    }

    /// What is wrong with the manifests.
    fn manifest_problems(objects: &[Value]) -> Vec<Finding> {
        let has = |object: &Value, key: &str| object[key].as_object().is_some_and(|map| !map.is_empty());
        let mut found = Vec::new();
        for object in objects {
            let Some(id) = Id::of(object) else {
                let kind = object["kind"].as_str().unwrap_or("object").to_owned();
                let remedy = "give it apiVersion, kind and metadata.name: without a name it can't be put back";
                found.push(blocks(kind, "it has no name of its own", remedy));
                continue;
            };
            if id.kind == "Secret" && (has(object, "data") || has(object, "stringData")) {
                let remedy = "use an ExternalSecret, or make the secret by other means and only refer to it";
                found.push(blocks(id.to_string(), "it holds its values in plain sight", remedy));
            }
        }
        found
    }

    /// Builds the manifests and refuses those that can't be applied.
    async fn wanted(&self) -> Result<Vec<Id>, Failure> {
        if !has_kustomization(&self.kustomization) {
            let hint = "render it there by a step before this one, or name its folder";
            return Err(Failure::new(FailureKind::Blocked, self.object(), "there is no kustomization", hint));
        }
        let objects = self.kubectl.build(&self.folder()).await?;
        if let Some(found) = Self::manifest_problems(&objects).into_iter().next() {
            return Err(Failure::new(FailureKind::Blocked, found.object, found.message, found.remedy));
        }
        Ok(objects.iter().filter_map(Id::of).collect())
    }

    async fn compare(&self, wanted: Vec<Id>) -> Result<Compared, Failure> {
        let live = self.kubectl.get(["-k", &self.folder()], &[]).await?;
        Ok(Compared { wanted, live })
    }

    /// The names of objects that applying would change; or why the server would refuse.
    async fn differences(&self) -> Result<Result<Vec<String>, Finding>, Failure> {
        let ended = self.kubectl.diff(&self.folder()).await?;
        match ended.code() {
            Some(0 | 1) => {
                let text = String::from_utf8_lossy(ended.output()?).into_owned();
                let heads = text.lines().filter_map(|line| line.strip_prefix("diff "));
                Ok(Ok(heads.filter_map(|head| head.rsplit('/').next()).map(str::to_owned).collect()))
            }
            _ => {
                let failure =
                    ended.failure("look whether the cluster can be reached and lets you change these objects");
                match failure.causes.iter().find(|line| line.contains("conflict")) {
                    Some(line) => {
                        let remedy =
                            "take the field out of the manifest, or let its owner give it up; nothing is forced";
                        Ok(Err(blocks(self.object(), format!("another manager owns a field: {line}"), remedy)))
                    }
                    None => Err(failure),
                }
            }
        }
    }

    /// Adds what the cluster says would change, and returns how it would be undone.
    async fn preview_against_cluster(
        &self,
        objects: &[Value],
        changes: &mut Vec<String>,
        findings: &mut Vec<Finding>,
    ) -> Result<String, Failure> {
        let compared = self.compare(objects.iter().filter_map(Id::of).collect()).await?;
        changes.extend(self.changes(&compared, findings).await?);
        let (left, deleted): (Vec<Id>, Vec<Id>) = compared.missing().into_iter().partition(undo::is_left);
        let mut undo =
            format!("replace {} object(s) by what they are now, delete {}", compared.live.len(), deleted.len());
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(Id::to_string).collect();
            undo += &format!("; left in place with what they hold: {}", left.join(", "));
        }
        Ok(undo)
    }

    /// One line for each object that would change.
    async fn changes(&self, compared: &Compared, findings: &mut Vec<Finding>) -> Result<Vec<String>, Failure> {
        let missing = compared.missing();
        let mut lines: Vec<String> = missing.iter().map(|id| format!("create {id}")).collect();
        let live = compared.live_ids();
        if missing.iter().any(|id| id.kind == "Namespace") {
            // The server can't tell what it would do in a namespace that is not there.
            lines.extend(live.iter().map(|id| format!("apply {id} (not compared: a namespace is not there yet)")));
            return Ok(lines);
        }
        match self.differences().await? {
            Ok(names) => {
                let changed = live.iter().filter(|id| names.contains(&id.diff_name()));
                let before = lines.len();
                lines.extend(changed.map(|id| format!("change {id}")));
                let unchanged = live.len() - (lines.len() - before);
                if unchanged > 0 {
                    lines.push(format!("leave {unchanged} object(s) unchanged"));
                }
            }
            Err(conflict) => findings.push(conflict),
        }
        Ok(lines)
    }

    /// Whether everything is in the cluster as the manifests want it.
    async fn is_applied(&self, compared: &Compared) -> Result<bool, Failure> {
        if !compared.missing().is_empty() {
            return Ok(false);
        }
        // A conflict is not "applied"; applying will say what it is.
        Ok(self.differences().await?.is_ok_and(|names| names.is_empty()))
    }

    /// Keeps what there is, under a name that says what it is: a later look can't take its place.
    fn keep(&self, cx: &Context, compared: &Compared) -> Result<Before, Failure> {
        let objects: Vec<Value> = compared.live.iter().cloned().map(sendable).collect();
        let text = format!("{:#}\n", list(&objects));
        let digest = hex(&Sha256::digest(text.as_bytes()));
        run_file::write(&kept_file(cx, &digest)?, text.as_bytes())?;
        let ready = compared.live.iter().filter(|object| is_rolled_out(object)).filter_map(Id::of).collect();
        Ok(Before { digest, kept_objects: objects.len(), missing: compared.missing(), ready })
    }

    /// Waits for each of these that runs something, all within the step's time.
    async fn wait_for_rollouts<'a>(&self, ids: impl Iterator<Item = &'a Id>) -> Result<(), Failure> {
        let started = Instant::now();
        for id in ids.filter(|id| id.group() == "apps" && ROLLED_OUT.contains(&id.kind.as_str())) {
            let left = self.kubectl.timeout.saturating_sub(started.elapsed());
            // kubectl takes zero for "for ever".
            self.kubectl.within(left.max(std::time::Duration::from_secs(1))).rollout(id).await?;
        }
        Ok(())
    }
}

/// Kinds with a rollout to wait for.
const ROLLED_OUT: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

fn kept_file(cx: &Context, digest: &str) -> Result<PathBuf, Failure> {
    run_file::path(cx, "kubectl", &format!("-{}.json", digest.get(..16).unwrap_or(digest)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether all of a workload's pods are there, new and ready. A workload that was not, must not keep an undo waiting.
fn is_rolled_out(object: &Value) -> bool {
    let status = &object["status"];
    let seen = status["observedGeneration"].as_u64() >= object["metadata"]["generation"].as_u64();
    let count = |key: &str| status[key].as_u64().unwrap_or(0);
    let wanted = match object["kind"].as_str() {
        Some("DaemonSet") => return seen && count("numberAvailable") >= count("desiredNumberScheduled"),
        Some("Deployment") => object["spec"]["replicas"].as_u64().unwrap_or(1),
        Some("StatefulSet") => object["spec"]["replicas"].as_u64().unwrap_or(1),
        _ => return false,
    };
    seen && count("updatedReplicas") >= wanted && count("readyReplicas") >= wanted
}

#[async_trait]
impl Inspect for KubectlApply {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let (context, folder) = (&self.kubectl.context, self.folder());
        let mut findings = self.tool_problems().await?;
        let mut undo = "replace what was there by what it was, delete what was not there".to_owned();
        let mut changes = Vec::new();
        if !has_kustomization(&self.kustomization) {
            changes.push(format!(
                "apply the kustomization in {folder} to context {context}: it is not there yet, an earlier step must write \
                 it, so nothing can be compared"
            ));
        } else if findings.is_empty() {
            let objects = self.kubectl.build(&folder).await?;
            findings = Self::manifest_problems(&objects);
            changes.push(format!("apply {folder}, as it is now, to context {context}"));
            // The server can't be asked about an object without a name, and need not be about the others then.
            if findings.is_empty() {
                undo =
                    self.preview_against_cluster(&objects, &mut changes, &mut findings).await.map_err(unreachable)?;
            }
        }
        let estimate = Estimate { rows: None, bytes: None, seconds: Some(2.0 * self.kubectl.timeout.as_secs_f64()) };
        Ok(Preview { changes, undo, estimate, findings })
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        if cx.run_dir().is_none() {
            // What the preview has found to be in the way is said there.
            if !has_kustomization(&self.kustomization) || !self.tool_problems().await?.is_empty() {
                return Ok(Check::Pending { before: Value::Null });
            }
            let objects = self.kubectl.build(&self.folder()).await?;
            if !Self::manifest_problems(&objects).is_empty() {
                return Ok(Check::Pending { before: Value::Null });
            }
        }
        process::refuse_outlived(cx)?;
        let compared = self.compare(self.wanted().await?).await?;
        if self.is_applied(&compared).await? {
            return Ok(Check::Done);
        }
        let before = if cx.run_dir().is_some() { to_before(&self.keep(cx, &compared)?)? } else { Value::Null };
        Ok(Check::Pending { before })
    }
}

/// In a preview a cluster that does not answer is the operator's to see to.
fn unreachable(mut failure: Failure) -> Failure {
    failure.kind = FailureKind::InvalidInput;
    failure
}

#[async_trait]
impl Action for KubectlApply {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        process::refuse_outlived(cx)?;
        let before: Before = from_before(before)?;
        // Without what was there, nothing could be put back: look that it is kept before anything changes.
        self.kept(cx, &before)?;
        let wanted = self.wanted().await?;
        let folder = self.folder();
        let args = ["apply", "--server-side", "--field-manager", FIELD_MANAGER, "-k", &folder];
        let ended = self.kubectl.program(&args).run(process::record_path(cx).as_deref()).await?;
        ended.success("put right what the server complains about, then make a new plan")?;
        Ok(json!({
            "context": self.kubectl.context,
            "applied_objects": wanted.len(),
            "existed_objects": before.kept_objects,
            "created_objects": before.missing.len(),
            "previous_digest": before.digest,
        }))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        let compared = self.compare(self.wanted().await?).await?;
        if let Some(missing) = compared.missing().first() {
            let hint = "find out who removed it, then resume the run";
            return Err(Failure::new(FailureKind::Failed, missing.to_string(), "it is not in the cluster", hint));
        }
        // Of those that are replaced by hand (OnDelete) kubectl can't tell.
        let by_hand = |object: &&Value| object["spec"]["updateStrategy"]["type"] == "OnDelete";
        let ids: Vec<Id> = compared.live.iter().filter(|object| !by_hand(object)).filter_map(Id::of).collect();
        self.wait_for_rollouts(ids.iter()).await
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        process::refuse_outlived(cx)?;
        self.put_back(cx, &from_before(before)?).await
    }
}
