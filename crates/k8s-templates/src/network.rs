//! NetworkPolicy: which pods may talk to whom. What no policy lets through is dropped.

use serde::{Deserialize, Serialize};

use crate::core::LabelSelector;
use crate::labels::{metadata, selector};
use crate::object::{Labels, Manifest, Object};
use crate::quantity::IntOrText;

/// A NetworkPolicy.
pub type NetworkPolicy = Manifest<NetworkPolicySpec>;

/// Which pods it is for, and what they may receive and send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPolicySpec {
    pub(crate) pod_selector: LabelSelector,
    pub(crate) policy_types: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ingress: Vec<Ingress>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) egress: Vec<Egress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ingress {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) from: Vec<PolicyPeer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<PolicyPort>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Egress {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) to: Vec<PolicyPeer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<PolicyPort>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PolicyPeer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_selector: Option<LabelSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod_selector: Option<LabelSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ip_block: Option<IpBlock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IpBlock {
    pub(crate) cidr: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) except: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PolicyPort {
    pub(crate) protocol: String,
    pub(crate) port: IntOrText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_port: Option<u16>,
}

/// Traffic that is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// From or to whom.
    pub peers: Vec<Peer>,
    /// On which TCP ports of the receiving end, each from and to.
    pub ports: Vec<(u16, u16)>,
}

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The pods of a workload in the same namespace.
    Workload(String),
    /// Every pod of a namespace.
    Namespace(String),
    /// Addresses, without those of the second list.
    Addresses(&'static str, &'static [&'static str]),
}

/// Addresses that are never on the internet: those of networks, of other pods, and of the node itself.
pub const PRIVATE_ADDRESSES: &[&str] =
    &["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];

/// Nothing in and nothing out, for every pod of a namespace that no other policy speaks of.
pub fn deny_all(namespace: &str, part_of: &str) -> Object {
    let every_pod = LabelSelector { match_labels: Labels::new() };
    policy("default-deny", namespace, part_of, both_ways(every_pod, Vec::new(), Vec::new()))
}

/// Names can be looked up, by every pod of a namespace. `google`: also at the addresses where GKE answers on the node
/// itself (NodeLocal DNSCache and Cloud DNS).
pub fn allow_dns(namespace: &str, part_of: &str, google: bool) -> Object {
    let label =
        |key: &str, value: &str| LabelSelector { match_labels: Labels::from([(key.to_owned(), value.to_owned())]) };
    let pods = |app: &str| PolicyPeer {
        namespace_selector: Some(label("kubernetes.io/metadata.name", "kube-system")),
        pod_selector: Some(label("k8s-app", app)),
        ip_block: None,
    };
    let mut to = vec![pods("kube-dns")];
    if google {
        // Dataplane V2 sends what is meant for the node's address to this pod.
        to.push(pods("node-local-dns"));
        to.extend(["169.254.20.10/32", "169.254.169.254/32"].map(|cidr| addresses(cidr, &[])));
    }
    let ports = ["UDP", "TCP"].map(|protocol| PolicyPort {
        protocol: protocol.to_owned(),
        port: IntOrText::Int(53),
        end_port: None,
    });
    let spec = NetworkPolicySpec {
        pod_selector: LabelSelector { match_labels: Labels::new() },
        policy_types: vec!["Egress".to_owned()],
        ingress: Vec::new(),
        egress: vec![Egress { to, ports: ports.to_vec() }],
    };
    policy("allow-dns", namespace, part_of, spec)
}

/// What the pods of one workload may receive and send.
pub fn network_policy(name: &str, namespace: &str, part_of: &str, ingress: &[Opening], egress: &[Opening]) -> Object {
    let peers = |opening: &Opening| opening.peers.iter().map(|peer| policy_peer(peer, part_of)).collect();
    let ingress = ingress.iter().map(|opening| Ingress { from: peers(opening), ports: ports(opening) }).collect();
    let egress = egress.iter().map(|opening| Egress { to: peers(opening), ports: ports(opening) }).collect();
    policy(name, namespace, part_of, both_ways(selector(name, part_of), ingress, egress))
}

fn both_ways(pod_selector: LabelSelector, ingress: Vec<Ingress>, egress: Vec<Egress>) -> NetworkPolicySpec {
    let policy_types = vec!["Ingress".to_owned(), "Egress".to_owned()];
    NetworkPolicySpec { pod_selector, policy_types, ingress, egress }
}

fn policy(name: &str, namespace: &str, part_of: &str, spec: NetworkPolicySpec) -> Object {
    Object::NetworkPolicy(Manifest {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "NetworkPolicy".to_owned(),
        metadata: metadata(name, namespace, part_of),
        spec,
    })
}

fn ports(opening: &Opening) -> Vec<PolicyPort> {
    let port = |(first, last): &(u16, u16)| PolicyPort {
        protocol: "TCP".to_owned(),
        port: IntOrText::Int(i64::from(*first)),
        end_port: (last > first).then_some(*last),
    };
    opening.ports.iter().map(port).collect()
}

fn policy_peer(peer: &Peer, part_of: &str) -> PolicyPeer {
    match peer {
        Peer::Workload(name) => PolicyPeer { pod_selector: Some(selector(name, part_of)), ..PolicyPeer::default() },
        Peer::Namespace(name) => {
            let label = ("kubernetes.io/metadata.name".to_owned(), name.clone());
            let namespace = LabelSelector { match_labels: Labels::from([label]) };
            PolicyPeer { namespace_selector: Some(namespace), ..PolicyPeer::default() }
        }
        Peer::Addresses(cidr, except) => addresses(cidr, except),
    }
}

fn addresses(cidr: &str, except: &[&str]) -> PolicyPeer {
    let except = except.iter().map(|cidr| (*cidr).to_owned()).collect();
    PolicyPeer { ip_block: Some(IpBlock { cidr: cidr.to_owned(), except }), ..PolicyPeer::default() }
}
