//! Pods: selectors, images, resources, probes, references, privileges.

use super::secrets::{self, looks_secret};
use super::{Report, Set};
use crate::core::Deployment;
use crate::pod::{Container, EnvVar, KeyRef, PodSpec, PodTemplate, Probe};
use crate::quantity::IntOrText;

/// Labels that change with a release.
const CHANGING_LABELS: [&str; 3] = ["app.kubernetes.io/version", "version", "pod-template-hash"];

pub(super) fn check_deployment(set: &Set, deployment: &Deployment, report: &mut Report) {
    let spec = &deployment.spec;
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or("");
    if !spec.selector.selects(&spec.template.metadata.labels) {
        report.add(
            "spec.selector.matchLabels",
            "it does not select its own pods",
            "use labels that are in spec.template.metadata.labels",
        );
    }
    if let Some(label) = CHANGING_LABELS.iter().find(|label| spec.selector.match_labels.contains_key(**label)) {
        report.add(
            "spec.selector.matchLabels",
            format!("`{label}` changes with a release, and a selector can't be changed: the next apply would fail"),
            "select by labels that never change",
        );
    }
    for other in set.selected(namespace, &spec.selector.match_labels) {
        if other.metadata.name != deployment.metadata.name {
            let name = other.metadata.name.as_deref().unwrap_or("");
            report.add(
                "spec.selector.matchLabels",
                format!("it also selects the pods of Deployment {name}"),
                "give each its own app.kubernetes.io/name",
            );
        }
    }
    for (i, spread) in spec.template.spec.topology_spread_constraints.iter().enumerate() {
        if !spread.label_selector.selects(&spec.template.metadata.labels) {
            report.add(
                format!("spec.template.spec.topologySpreadConstraints[{i}].labelSelector"),
                "it counts pods that are not these",
                "use labels that are in spec.template.metadata.labels",
            );
        }
    }
    check_template(set, namespace, "spec.template", &spec.template, report);
    for (i, container) in spec.template.spec.containers.iter().enumerate() {
        if container.readiness_probe.is_none() {
            report.add(
                format!("spec.template.spec.containers[{i}].readinessProbe"),
                "there is none: pods get traffic before they can serve it",
                "add one",
            );
        }
    }
}

/// Pods, whoever makes them; `at` is where their template is.
pub(super) fn check_template(set: &Set, namespace: &str, at: &str, template: &PodTemplate, report: &mut Report) {
    let pod = &template.spec;
    let at = format!("{at}.spec");
    check_pod(set, namespace, pod, &at, report);
    let sidecars =
        (0..).zip(&pod.init_containers).map(|(i, container)| (format!("{at}.initContainers[{i}]"), container));
    for (path, container) in sidecars.clone() {
        if container.restart_policy.as_deref() == Some("Always") && container.startup_probe.is_none() {
            report.add(
                format!("{path}.startupProbe"),
                "there is none: the containers start before the sidecar can serve them",
                "add one",
            );
        }
    }
    let containers = (0..).zip(&pod.containers).map(|(i, container)| (format!("{at}.containers[{i}]"), container));
    for (path, container) in sidecars.chain(containers) {
        check_container(container, &path, report);
        check_environment(set, namespace, container, &path, report);
        check_privileges(pod, container, &at, &path, report);
    }
}

fn check_pod(set: &Set, namespace: &str, pod: &PodSpec, at: &str, report: &mut Report) {
    if pod.containers.is_empty() {
        report.add(format!("{at}.containers"), "there is no container", "add one");
    }
    if let Some(name) = &pod.service_account_name
        && set.find("ServiceAccount", namespace, name).is_none()
    {
        report.add(
            format!("{at}.serviceAccountName"),
            format!("there is no ServiceAccount `{name}`"),
            "add it, or name one that is there",
        );
    }
    // 30 s is the API's default.
    let grace = pod.termination_grace_period_seconds.unwrap_or(30);
    let pause = pod.containers.iter().filter_map(|c| c.lifecycle.as_ref()).map(|l| l.pre_stop.sleep.seconds).max();
    if let Some(pause) = pause
        && pause >= grace
    {
        report.add(
            format!("{at}.terminationGracePeriodSeconds"),
            format!("preStop takes {pause} s of the {grace} s until the pod is killed, nothing is left to finish in"),
            "make it longer than preStop plus the longest request",
        );
    }
}

fn check_container(container: &Container, path: &str, report: &mut Report) {
    if let Some(message) = image_problem(&container.image) {
        report.add(format!("{path}.image"), message, "pin a version or a digest");
    }
    let resources = container.resources.clone().unwrap_or_default();
    for (name, request) in &resources.requests {
        if let Some(limit) = resources.limits.get(name)
            && request > limit
        {
            report.add(
                format!("{path}.resources.requests.{name}"),
                format!("it requests {request} and may take {limit} at most"),
                "lower the request or raise the limit",
            );
        }
    }
    if !resources.limits.contains_key("memory") {
        report.add(
            format!("{path}.resources.limits"),
            "it has no memory limit: a leak takes the whole node down",
            "set limits.memory",
        );
    }
    let probes = [
        ("startupProbe", &container.startup_probe),
        ("readinessProbe", &container.readiness_probe),
        ("livenessProbe", &container.liveness_probe),
    ];
    for (name, probe) in probes {
        if let Some(probe) = probe {
            check_probe(container, probe, &format!("{path}.{name}"), report);
        }
    }
}

fn check_probe(container: &Container, probe: &Probe, path: &str, report: &mut Report) {
    if !has_port(container, &probe.http_get.port) {
        report.add(
            format!("{path}.httpGet.port"),
            format!("the container has no port {}", port_text(&probe.http_get.port)),
            "name a port that is in the container's `ports`",
        );
    }
    if !probe.http_get.path.starts_with('/') {
        report.add(format!("{path}.httpGet.path"), "it does not start with `/`", "start it with `/`");
    }
}

fn check_environment(set: &Set, namespace: &str, container: &Container, path: &str, report: &mut Report) {
    for (i, from) in container.env_from.iter().enumerate() {
        let name = &from.config_map_ref.name;
        if set.config_map(namespace, name).is_none() {
            report.add(
                format!("{path}.envFrom[{i}].configMapRef.name"),
                format!("there is no ConfigMap `{name}`"),
                "add it, or name one that is there",
            );
        }
    }
    for (i, env) in container.env.iter().enumerate() {
        let path = format!("{path}.env[{i}]");
        if container.env[..i].iter().any(|other| other.name == env.name) {
            report.add(format!("{path}.name"), format!("`{}` is there twice", env.name), "remove one");
        }
        check_variable(set, namespace, env, &path, report);
    }
}

fn check_variable(set: &Set, namespace: &str, env: &EnvVar, path: &str, report: &mut Report) {
    if let Some(value) = &env.value
        && let Some(why) = looks_secret(&env.name, value)
    {
        report.add(format!("{path}.value"), format!("`{}` {why}", env.name), secrets::REMEDY);
    }
    let Some(from) = &env.value_from else { return };
    if env.value.is_some() {
        report.add(path, format!("`{}` has a value and a reference", env.name), "keep one of them");
    }
    if let Some(KeyRef { name, key, optional }) = &from.config_map_key_ref
        && *optional != Some(true)
        && !set.config_map(namespace, name).is_some_and(|config| config.data.contains_key(key))
    {
        report.add(
            format!("{path}.valueFrom.configMapKeyRef"),
            format!("there is no key `{key}` in a ConfigMap `{name}`"),
            "add it, or name one that is there",
        );
    }
    if let Some(KeyRef { name, key, optional }) = &from.secret_key_ref
        && *optional != Some(true)
        && secrets::is_missing(set, namespace, name, key)
    {
        report.add(
            format!("{path}.valueFrom.secretKeyRef"),
            format!("no ExternalSecret fills the key `{key}` of a Secret `{name}`"),
            "add it, or name one that is filled",
        );
    }
}

fn check_privileges(pod: &PodSpec, container: &Container, at: &str, path: &str, report: &mut Report) {
    let user = pod.security_context.as_ref();
    if user.and_then(|c| c.run_as_non_root) != Some(true) || user.and_then(|c| c.run_as_user) == Some(0) {
        report.add(
            format!("{at}.securityContext"),
            "the pod may run as root",
            "set runAsNonRoot: true and a runAsUser other than 0",
        );
    }
    let own = container.security_context.as_ref();
    if own.and_then(|c| c.privileged) == Some(true) {
        report.add(format!("{path}.securityContext.privileged"), "it is as good as root on the node", "remove it");
    }
    if own.and_then(|c| c.allow_privilege_escalation) != Some(false) {
        report.add(
            format!("{path}.securityContext.allowPrivilegeEscalation"),
            "it may gain privileges it was not started with",
            "set it to false",
        );
    }
    let dropped = own.and_then(|c| c.capabilities.as_ref()).map(|c| c.drop.as_slice()).unwrap_or_default();
    if !dropped.iter().any(|c| c == "ALL") {
        report.add(format!("{path}.securityContext.capabilities.drop"), "it keeps capabilities", "drop ALL");
    }
    for (i, mount) in container.volume_mounts.iter().enumerate() {
        if !pod.volumes.iter().any(|volume| volume.name == mount.name) {
            report.add(
                format!("{path}.volumeMounts[{i}].name"),
                format!("there is no volume `{}`", mount.name),
                "add it under `volumes`",
            );
        }
    }
}

/// Whether the container has a port, by number or by name.
pub(super) fn has_port(container: &Container, wanted: &IntOrText) -> bool {
    container.ports.iter().any(|port| match wanted {
        IntOrText::Int(number) => i64::from(port.container_port) == *number,
        IntOrText::Text(name) => port.name.as_deref() == Some(name),
    })
}

/// A port as people write it.
pub(super) fn port_text(port: &IntOrText) -> String {
    match port {
        IntOrText::Int(number) => number.to_string(),
        IntOrText::Text(name) => format!("`{name}`"),
    }
}

/// Why an image is not pinned, if it is not.
fn image_problem(image: &str) -> Option<String> {
    if image.contains("@sha256:") {
        return None;
    }
    // A colon before the last slash belongs to the registry's port.
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None => Some(format!("`{image}` has no tag, which means `:latest`")),
        Some((_, "latest")) => Some(format!("`{image}` is another image tomorrow")),
        Some(_) => None,
    }
}
