//! The way in: Gateway and HTTPRoute (`gateway.networking.k8s.io/v1`), and what GKE adds to them.

mod api;

pub use api::{
    BackendPolicySpec, Gateway, GatewaySpec, GcpBackendPolicy, HealthCheckPolicy, HealthCheckPolicySpec, HttpRoute,
    HttpRouteSpec, ServiceExport,
};
pub(crate) use api::{CERTIFICATE_MAP, TargetRef};

use api::{
    Address, AllowedRoutes, BackendDefault, BackendRef, CertificateRef, Draining, HealthCheck, HealthCheckConfig,
    HealthCheckDefault, Listener, ParentRef, Redirect, RouteFilter, RouteNamespaces, RouteRule, Tls,
};

use crate::labels::metadata;
use crate::object::{Labels, Manifest, Object};

/// Where a system is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The system it belongs to.
    pub part_of: String,
    /// Who makes it real: the name of a GatewayClass.
    pub class: String,
    /// A reserved address, by name; none for whichever the class chooses.
    pub address: Option<String>,
    /// How it proves who it is.
    pub certificate: Certificate,
    /// Where it listens for what is sent on to HTTPS.
    pub http_port: u16,
    /// Where it listens.
    pub https_port: u16,
    /// Who answers.
    pub routes: Vec<Route>,
    /// Who the routes lead to, and who else has to know.
    pub reach: Reach,
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// A map of Google's Certificate Manager.
    Map(String),
    /// A ClusterIssuer of cert-manager, which keeps them in Secrets.
    Issuer(String),
}

/// Who routes lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Services of this cluster; the load balancer is nobody's in particular.
    Cluster,
    /// Services of this cluster; Google's load balancer asks the pods itself.
    Google,
    /// Services of every cluster of a fleet; Google's load balancer chooses the nearest that is well.
    GoogleFleet,
}

/// A service and the names it is reached under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service.
    pub service: String,
    /// The names.
    pub hosts: Vec<String>,
    /// The Service's port.
    pub port: u16,
    /// Where the load balancer asks whether a pod can work.
    pub health_path: String,
    /// How long a request, or a WebSocket, may last; none for the load balancer's half minute.
    pub timeout_seconds: Option<u32>,
    /// How long a pod that goes may finish what it has begun.
    pub drain_seconds: u32,
}

/// Gateway, redirect to HTTPS, a route a service, and for Google's load balancer how each service is asked and left.
pub fn entry(entry: &Entry) -> Vec<Object> {
    let mut objects = vec![gateway(entry), redirect(entry)];
    for route in &entry.routes {
        objects.push(service_route(entry, route));
        if entry.reach != Reach::Cluster {
            objects.push(health_check_policy(entry, route));
            objects.push(backend_policy(entry, route));
        }
    }
    objects
}

/// Makes a Service known to the other clusters of a fleet.
pub fn service_export(name: &str, namespace: &str, part_of: &str) -> Object {
    Object::ServiceExport(ServiceExport {
        api_version: "net.gke.io/v1".to_owned(),
        kind: "ServiceExport".to_owned(),
        metadata: metadata(name, namespace, part_of),
    })
}

/// Name of the listener for a host, and the Secret with its certificate.
fn listener_name(entry: &Entry, host: &str) -> String {
    match entry.certificate {
        Certificate::Map(_) => "https".to_owned(),
        Certificate::Issuer(_) => host.replace('.', "-"),
    }
}

fn gateway(entry: &Entry) -> Object {
    let mut metadata = metadata(&entry.name, &entry.namespace, &entry.part_of);
    let same_namespace = AllowedRoutes { namespaces: RouteNamespaces { from: "Same".to_owned() } };
    let listener = |name: String, port, protocol: &str, hostname, tls| Listener {
        name,
        port,
        protocol: protocol.to_owned(),
        hostname,
        tls,
        allowed_routes: same_namespace.clone(),
    };
    let mut listeners = vec![listener("http".to_owned(), entry.http_port, "HTTP", None, None)];
    match &entry.certificate {
        Certificate::Map(map) => {
            metadata.annotations = Labels::from([(CERTIFICATE_MAP.to_owned(), map.clone())]);
            listeners.push(listener("https".to_owned(), entry.https_port, "HTTPS", None, None));
        }
        Certificate::Issuer(issuer) => {
            metadata.annotations = Labels::from([("cert-manager.io/cluster-issuer".to_owned(), issuer.clone())]);
            for host in entry.routes.iter().flat_map(|route| &route.hosts) {
                let name = listener_name(entry, host);
                let secret = CertificateRef { name: format!("{name}-tls") };
                let tls = Tls { mode: "Terminate".to_owned(), certificate_refs: vec![secret] };
                listeners.push(listener(name, entry.https_port, "HTTPS", Some(host.clone()), Some(tls)));
            }
        }
    }
    let address = |name: &String| Address { kind: "NamedAddress".to_owned(), value: name.clone() };
    Object::Gateway(Manifest {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "Gateway".to_owned(),
        metadata,
        spec: GatewaySpec {
            gateway_class_name: entry.class.clone(),
            addresses: entry.address.iter().map(address).collect(),
            listeners,
        },
    })
}

fn http_route(entry: &Entry, name: &str, listeners: Vec<String>, hostnames: Vec<String>, rule: RouteRule) -> Object {
    let parent = |section_name| ParentRef { name: entry.name.clone(), section_name };
    Object::HTTPRoute(Manifest {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "HTTPRoute".to_owned(),
        metadata: metadata(name, &entry.namespace, &entry.part_of),
        spec: HttpRouteSpec { parent_refs: listeners.into_iter().map(parent).collect(), hostnames, rules: vec![rule] },
    })
}

fn redirect(entry: &Entry) -> Object {
    let redirect = Redirect { scheme: "https".to_owned(), status_code: 301 };
    let filter = RouteFilter { kind: "RequestRedirect".to_owned(), request_redirect: redirect };
    let rule = RouteRule { filters: vec![filter], backend_refs: Vec::new() };
    http_route(entry, &format!("{}-to-https", entry.name), vec!["http".to_owned()], Vec::new(), rule)
}

fn service_route(entry: &Entry, route: &Route) -> Object {
    let (group, kind) = backend(entry);
    let backend = BackendRef {
        group: (!group.is_empty()).then(|| group.to_owned()),
        kind: kind.to_owned(),
        name: route.service.clone(),
        port: route.port,
    };
    let mut listeners: Vec<String> = route.hosts.iter().map(|host| listener_name(entry, host)).collect();
    listeners.dedup();
    let rule = RouteRule { filters: Vec::new(), backend_refs: vec![backend] };
    http_route(entry, &route.service, listeners, route.hosts.clone(), rule)
}

/// Group and kind of what a route leads to.
fn backend(entry: &Entry) -> (&'static str, &'static str) {
    match entry.reach {
        Reach::GoogleFleet => ("net.gke.io", "ServiceImport"),
        Reach::Cluster | Reach::Google => ("", "Service"),
    }
}

fn target(entry: &Entry, route: &Route) -> TargetRef {
    let (group, kind) = backend(entry);
    TargetRef { group: group.to_owned(), kind: kind.to_owned(), name: route.service.clone() }
}

fn health_check_policy(entry: &Entry, route: &Route) -> Object {
    Object::HealthCheckPolicy(Manifest {
        api_version: "networking.gke.io/v1".to_owned(),
        kind: "HealthCheckPolicy".to_owned(),
        metadata: metadata(&route.service, &entry.namespace, &entry.part_of),
        spec: HealthCheckPolicySpec {
            default: HealthCheckDefault {
                check_interval_sec: 10,
                timeout_sec: 5,
                healthy_threshold: 1,
                unhealthy_threshold: 3,
                config: HealthCheckConfig {
                    kind: "HTTP".to_owned(),
                    http_health_check: HealthCheck {
                        port_specification: "USE_SERVING_PORT".to_owned(),
                        request_path: route.health_path.clone(),
                    },
                },
            },
            target_ref: target(entry, route),
        },
    })
}

fn backend_policy(entry: &Entry, route: &Route) -> Object {
    Object::GCPBackendPolicy(Manifest {
        api_version: "networking.gke.io/v1".to_owned(),
        kind: "GCPBackendPolicy".to_owned(),
        metadata: metadata(&route.service, &entry.namespace, &entry.part_of),
        spec: BackendPolicySpec {
            default: BackendDefault {
                timeout_sec: route.timeout_seconds,
                connection_draining: Draining { draining_timeout_sec: route.drain_seconds },
            },
            target_ref: target(entry, route),
        },
    })
}
