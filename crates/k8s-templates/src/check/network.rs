//! Policies that are for nobody, or let nobody through.

use super::{Report, Set};
use crate::core::LabelSelector;
use crate::network::{NetworkPolicy, PolicyPeer};

pub(super) fn check(set: &Set, policy: &NetworkPolicy, report: &mut Report) {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or("");
    let spec = &policy.spec;
    if is_nobody(set, namespace, &spec.pod_selector) {
        report.add("spec.podSelector", "it selects no pods", "use the labels of a pod template, or remove it");
    }
    for (kind, is_used) in [("Ingress", !spec.ingress.is_empty()), ("Egress", !spec.egress.is_empty())] {
        if is_used && !spec.policy_types.iter().any(|listed| listed == kind) {
            let message = format!("{kind} is not listed, so its rules mean nothing");
            report.add("spec.policyTypes", message, format!("add {kind}"));
        }
    }
    let from = spec.ingress.iter().map(|rule| ("ingress", "from", &rule.from));
    let to = spec.egress.iter().map(|rule| ("egress", "to", &rule.to));
    for (direction, list, peers) in from.chain(to) {
        if peers.is_empty() {
            let message = "it lets everybody through".to_owned();
            report.add(format!("spec.{direction}"), message, format!("name who, under `{list}`"));
        }
        for (i, peer) in peers.iter().enumerate() {
            check_peer(set, namespace, peer, &format!("spec.{direction}.{list}[{i}]"), report);
        }
    }
}

fn check_peer(set: &Set, namespace: &str, peer: &PolicyPeer, at: &str, report: &mut Report) {
    if let (None, Some(pods)) = (&peer.namespace_selector, &peer.pod_selector)
        && is_nobody(set, namespace, pods)
    {
        report.add(format!("{at}.podSelector"), "it selects no pods", "use the labels of a pod template");
    }
    if peer.ip_block.is_some() && (peer.namespace_selector.is_some() || peer.pod_selector.is_some()) {
        report.add(at, "it names addresses and pods at once", "make two of it");
    }
}

/// Whether a selector finds nothing here. An empty one is everybody, which is what a policy for all is made with.
fn is_nobody(set: &Set, namespace: &str, selector: &LabelSelector) -> bool {
    let is_here = |(home, template): (&str, &crate::pod::PodTemplate)| {
        home == namespace && selector.selects(&template.metadata.labels)
    };
    !selector.match_labels.is_empty() && !set.pods().any(is_here)
}
