//! The way in: the domains of the web services.

use k8s_templates::{Certificate, Entry, Object, Reach, Route, entry as entry_objects};

use super::{Home, SERVICE_PORT};
use crate::tier::Kind;

/// Gateway and routes; nothing when no service here has a domain.
pub(super) fn entry(home: &Home) -> Vec<Object> {
    let gateway = &home.cluster.gateway;
    let routes: Vec<Route> = home
        .services()
        .filter(|service| service.kind == Kind::Web)
        .filter_map(|service| {
            let running = service.running()?;
            let domains = home.spec.domains.iter().filter(|domain| domain.service == service.name);
            Some(Route {
                service: service.name.clone(),
                hosts: domains.map(|domain| domain.host.clone()).collect(),
                port: SERVICE_PORT,
                health_path: running.health.readiness.clone(),
                timeout_seconds: service.timeout_seconds,
                drain_seconds: running.shutdown.drain_seconds,
            })
        })
        .filter(|route| !route.hosts.is_empty())
        .collect();
    let certificate = match (&gateway.certificate_map, &gateway.certificate_issuer) {
        (Some(map), _) => Certificate::Map(map.clone()),
        (None, Some(issuer)) => Certificate::Issuer(issuer.clone()),
        // Validation sees to it that there is one where there is a domain.
        (None, None) => return Vec::new(),
    };
    if routes.is_empty() {
        return Vec::new();
    }
    entry_objects(&Entry {
        name: home.system.slug(),
        namespace: home.namespace.to_owned(),
        part_of: home.part_of().to_owned(),
        class: gateway.class.clone(),
        address: gateway.address.clone(),
        certificate,
        http_port: gateway.http_port,
        https_port: gateway.https_port,
        routes,
        reach: match (home.cluster.is_google(), home.is_spread()) {
            (true, true) => Reach::GoogleFleet,
            (true, false) => Reach::Google,
            (false, _) => Reach::Cluster,
        },
    })
}
