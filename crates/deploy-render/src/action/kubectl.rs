//! kubectl, always with the context that was named, and the objects it speaks of.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use runbook::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::program::{Ended, Program};
use crate::yaml;

/// Who the server says changed a field.
pub(super) const FIELD_MANAGER: &str = "tierlift";

/// How much longer than kubectl itself we wait: what it says of its own timeout says more.
const PATIENCE: Duration = Duration::from_secs(10);

/// kubectl with a context.
#[derive(Clone)]
pub(super) struct Kubectl {
    pub(super) program: String,
    pub(super) context: String,
    pub(super) timeout: Duration,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Id {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// None for an object of the whole cluster, and for one that goes to the context's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Kubectl {
    /// `kubectl ARGS` without a context: for what is read from files only.
    pub(super) fn offline(&self, args: &[&str]) -> Program {
        let argv = std::iter::once(self.program.as_str()).chain(args.iter().copied()).map(str::to_owned).collect();
        let program = Program::new(argv, self.timeout + PATIENCE).whole_output();
        // Differences are read here and not by a person, so they must look as documented.
        program.variable("KUBECTL_EXTERNAL_DIFF", None).variable("LC_ALL", Some("C"))
    }

    /// `kubectl --context NAME ARGS`.
    pub(super) fn program(&self, args: &[&str]) -> Program {
        let mut all = vec!["--context", self.context.as_str()];
        all.extend(args);
        self.offline(&all)
    }

    /// The same, with less than the whole time left.
    pub(super) fn within(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Whether the kubeconfig has the context.
    pub(super) async fn knows_context(&self) -> Result<bool, Failure> {
        let args = ["config", "get-contexts", &self.context, "--output", "name"];
        Ok(self.offline(&args).run(None).await?.is_success())
    }

    /// The objects a kustomization makes; nobody but the file system is asked.
    pub(super) async fn build(&self, kustomization: &str) -> Result<Vec<Value>, Failure> {
        let ended = self.offline(&["kustomize", kustomization]).run(None).await?;
        let ended = ended.success("correct the kustomization")?;
        let text = String::from_utf8_lossy(ended.output()?);
        yaml::documents(&text).map_err(|error| {
            let message = format!("what kubectl made of it can't be read: {error}");
            Failure::new(runbook::FailureKind::Failed, format!("kustomization {kustomization}"), message, "report this")
        })
    }

    /// The objects that exist of those that `what` (`-k DIR` or `-f FILE`) names.
    pub(super) async fn get(&self, what: [&str; 2], more: &[&str]) -> Result<Vec<Value>, Failure> {
        let mut args = vec!["get", what[0], what[1], "--output", "json", "--ignore-not-found"];
        args.extend(more);
        let ended = self.program(&args).run(None).await?;
        let ended =
            ended.success("look whether the cluster can be reached, knows these kinds and lets you read them")?;
        let output = ended.output()?;
        if output.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let mut answer: Value = serde_json::from_slice(output).map_err(|error| {
            Failure::from_error(runbook::FailureKind::Failed, "answer of kubectl get", &error, "report this")
        })?;
        match answer["kind"] == "List" {
            true => Ok(answer["items"].take().as_array().cloned().unwrap_or_default()),
            false => Ok(vec![answer]),
        }
    }

    /// What applying would change on the server: exit code 0 nothing, 1 something, more is an error.
    pub(super) async fn diff(&self, kustomization: &str) -> Result<Ended, Failure> {
        let args = ["diff", "--server-side", "--field-manager", FIELD_MANAGER, "-k", kustomization];
        self.program(&args).run(None).await
    }

    /// Waits until what runs is what the object says.
    pub(super) async fn rollout(&self, id: &Id) -> Result<(), Failure> {
        let (name, timeout) =
            (format!("{}/{}", id.kind.to_lowercase(), id.name), format!("{}s", self.timeout.as_secs()));
        let mut args = vec!["rollout", "status", &name, "--timeout", &timeout];
        if let Some(namespace) = &id.namespace {
            args.extend(["--namespace", namespace]);
        }
        let ended = self.program(&args).run(None).await?;
        ended.success("look at its pods: kubectl describe, kubectl logs").map(drop).map_err(|mut failure| {
            failure.object = id.to_string();
            failure
        })
    }
}

impl Id {
    /// Of a manifest or of an object read from the server; none when it has no kind or name.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            api_version: text(&object["apiVersion"])?,
            kind: text(&object["kind"])?,
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"])?,
        })
    }

    /// Whether a live object is the one that a manifest means.
    pub(super) fn is(&self, live: &Self) -> bool {
        self.group() == live.group()
            && self.kind == live.kind
            && self.name == live.name
            && (self.namespace.is_none() || self.namespace == live.namespace)
    }

    /// Its API group; empty for the core one.
    pub(super) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The file's name by which `kubectl diff` calls it.
    pub(super) fn diff_name(&self) -> String {
        let version = self.api_version.replacen('/', ".", 1);
        format!("{version}.{}.{}.{}", self.kind, self.namespace.as_deref().unwrap_or_default(), self.name)
    }

    /// Just enough of a manifest to get or delete it.
    pub(super) fn manifest(&self) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata})
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Several objects as one.
pub(super) fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// An object as it can be sent back: without what the server alone writes.
pub(super) fn sendable(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for server_own in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"] {
            metadata.remove(server_own);
        }
    }
    object
}

/// Whether a kustomization is in a folder.
pub(super) fn has_kustomization(folder: &Path) -> bool {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().any(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(api: &str, kind: &str, namespace: Value, name: &str) -> Value {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
    }

    #[test]
    fn objects_are_called_as_kubectl_calls_them() {
        let check = |object: Value, name: &str, title: &str| {
            let id = Id::of(&object).unwrap();
            assert_eq!((id.diff_name().as_str(), id.to_string().as_str()), (name, title));
            assert_eq!(Id::of(&id.manifest()).unwrap(), id);
        };
        check(named("v1", "ConfigMap", json!("a"), "x.y"), "v1.ConfigMap.a.x.y", "ConfigMap a/x.y");
        check(named("apps/v1", "Deployment", json!("a"), "api"), "apps.v1.Deployment.a.api", "Deployment a/api");
        check(named("v1", "Namespace", Value::Null, "a"), "v1.Namespace..a", "Namespace a");
        assert_eq!(Id::of(&json!({"kind": "Job", "metadata": {"generateName": "x-"}})), None);
    }

    #[test]
    fn a_live_object_is_found_by_group_kind_namespace_and_name() {
        let id = |api: &str, namespace: Option<&str>| Id {
            api_version: api.to_owned(),
            kind: "Service".to_owned(),
            namespace: namespace.map(str::to_owned),
            name: "x".to_owned(),
        };
        let check = |wanted: Id, live: Id, expect: bool| assert_eq!(wanted.is(&live), expect, "{wanted} {live}");
        check(id("v1", Some("a")), id("v1", Some("a")), true);
        check(id("v1", None), id("v1", Some("a")), true);
        check(id("v1", Some("a")), id("v1", Some("b")), false);
        check(id("v1", Some("a")), id("serving.knative.dev/v1", Some("a")), false);
    }
}
