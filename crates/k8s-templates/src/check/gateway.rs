//! The way in: routes that lead nowhere, listeners without a certificate.

use super::{Report, Set};
use crate::gateway::{CERTIFICATE_MAP, Gateway, HttpRoute, TargetRef};
use crate::object::Object;

pub(super) fn check_gateway(gateway: &Gateway, report: &mut Report) {
    let listeners = &gateway.spec.listeners;
    if listeners.is_empty() {
        report.add("spec.listeners", "it listens nowhere", "add a listener");
    }
    for (i, listener) in listeners.iter().enumerate() {
        let at = format!("spec.listeners[{i}]");
        if listeners[..i].iter().any(|other| other.name == listener.name) {
            report.add(format!("{at}.name"), format!("`{}` is there twice", listener.name), "rename one");
        }
        let has_certificate = listener.tls.as_ref().is_some_and(|tls| !tls.certificate_refs.is_empty());
        if listener.protocol == "HTTPS"
            && !has_certificate
            && !gateway.metadata.annotations.contains_key(CERTIFICATE_MAP)
        {
            report.add(
                format!("{at}.tls"),
                "it speaks HTTPS and has no certificate",
                format!("name one, or a map of them in the annotation {CERTIFICATE_MAP}"),
            );
        }
    }
}

pub(super) fn check_route(set: &Set, route: &HttpRoute, report: &mut Report) {
    let namespace = route.metadata.namespace.as_deref().unwrap_or("");
    for (i, parent) in route.spec.parent_refs.iter().enumerate() {
        let at = format!("spec.parentRefs[{i}]");
        let Some(Object::Gateway(gateway)) = set.find("Gateway", namespace, &parent.name) else {
            let message = format!("there is no Gateway `{}`", parent.name);
            report.add(format!("{at}.name"), message, "name one that is there");
            continue;
        };
        if !gateway.spec.listeners.iter().any(|listener| listener.name == parent.section_name) {
            report.add(
                format!("{at}.sectionName"),
                format!("Gateway {} has no listener `{}`", parent.name, parent.section_name),
                "name one of its listeners",
            );
        }
    }
    for (i, rule) in route.spec.rules.iter().enumerate() {
        if rule.backend_refs.is_empty() && rule.filters.is_empty() {
            report.add(format!("spec.rules[{i}]"), "it leads nowhere", "name a backend");
        }
        for (j, backend) in rule.backend_refs.iter().enumerate() {
            let at = format!("spec.rules[{i}].backendRefs[{j}]");
            let target = TargetRef {
                group: backend.group.clone().unwrap_or_default(),
                kind: backend.kind.clone(),
                name: backend.name.clone(),
            };
            check_backend(set, namespace, &target, &format!("{at}.name"), report);
            if let Some(Object::Service(service)) = set.find("Service", namespace, &backend.name)
                && !service.spec.ports.iter().any(|port| port.port == backend.port)
            {
                report.add(
                    format!("{at}.port"),
                    format!("Service {} has no port {}", backend.name, backend.port),
                    "name one of its ports",
                );
            }
        }
    }
}

/// What a policy of Google's load balancer is for.
pub(super) fn check_target(set: &Set, object: &Object, target: &TargetRef, report: &mut Report) {
    check_backend(set, object.namespace(), target, "spec.targetRef.name", report);
}

pub(super) fn check_export(set: &Set, object: &Object, report: &mut Report) {
    if set.find("Service", object.namespace(), object.name()).is_none() {
        report.add("metadata.name", "there is no Service of this name", "name it as the Service it is for");
    }
}

/// A Service, or the import of one that is exported here as in every cluster of the fleet.
fn check_backend(set: &Set, namespace: &str, target: &TargetRef, at: &str, report: &mut Report) {
    let source = match (target.group.as_str(), target.kind.as_str()) {
        ("net.gke.io", "ServiceImport") => "ServiceExport",
        ("", "Service") => "Service",
        (group, kind) => {
            let message = format!("kind `{kind}` of group `{group}` is not known");
            return report.add(at, message, "lead to a Service");
        }
    };
    if set.find(source, namespace, &target.name).is_none() {
        report.add(at, format!("there is no {source} `{}`", target.name), "name one that is there");
    }
}
