//! Who may talk to a service, and whom it may talk to.

use k8s_templates::{Opening, PRIVATE_ADDRESSES, Peer};

use super::{Home, program::pod_port};
use crate::tier::{CacheProduct, Engine, Kind, Platform, Service, StoreProduct};

/// Where Google's load balancers and their health checks come from.
const GOOGLE_FRONT_ENDS: [&str; 2] = ["130.211.0.0/22", "35.191.0.0/16"];

/// Networks of one's own, where databases and caches are.
const NETWORKS: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/// Where a store is.
#[derive(Clone, Copy)]
enum Side {
    /// In a network of one's own.
    Inside,
    /// On the internet.
    Outside,
}

pub(super) fn ingress(home: &Home, service: &Service) -> Vec<Opening> {
    let Some(port) = service.port else { return Vec::new() };
    let mut peers = Vec::new();
    if home.spec.domains.iter().any(|domain| domain.service == service.name) && service.kind == Kind::Web {
        match &home.cluster.gateway.namespace {
            Some(namespace) => peers.push(Peer::Namespace(namespace.clone())),
            None => peers.extend(GOOGLE_FRONT_ENDS.map(|cidr| Peer::Addresses(cidr, &[]))),
        }
    }
    let callers = home.services().filter(|caller| caller.calls.contains(&service.name));
    peers.extend(callers.map(|caller| Peer::Workload(caller.name.clone())));
    if home.spec.has(Platform::Prometheus) {
        peers.extend(home.cluster.monitoring_namespace.iter().cloned().map(Peer::Namespace));
    }
    // A rule with nobody in it lets everybody in.
    if peers.is_empty() { Vec::new() } else { vec![Opening { peers, ports: vec![(port, port)] }] }
}

pub(super) fn egress(home: &Home, service: &Service) -> Vec<Opening> {
    let mut openings = Vec::new();
    for callee in &service.calls {
        if let Some(port) = pod_port(home.spec, callee) {
            openings.push(Opening { peers: vec![Peer::Workload(callee.clone())], ports: vec![(port, port)] });
        }
    }
    let stores = stores(home);
    let on = |side: Side| {
        let here = stores.iter().filter(|(there, _)| {
            matches!((side, there), (Side::Inside, Side::Inside) | (Side::Outside, Side::Outside))
        });
        let mut ports: Vec<(u16, u16)> = here.map(|(_, ports)| *ports).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    };
    let inside = on(Side::Inside);
    if !inside.is_empty() {
        openings.push(Opening { peers: NETWORKS.map(|cidr| Peer::Addresses(cidr, &[])).to_vec(), ports: inside });
    }
    // What calls other people's APIs or fetches something does it over HTTPS.
    let outside = [&[(443, 443)], on(Side::Outside).as_slice()].concat();
    openings.push(Opening { peers: vec![Peer::Addresses("0.0.0.0/0", PRIVATE_ADDRESSES)], ports: outside });
    if home.google().is_some() {
        // The metadata server, which says who the pod is: on the node, and with Dataplane V2 beside it.
        for (cidr, port) in [("169.254.169.252/32", 988), ("169.254.169.254/32", 80)] {
            openings.push(Opening { peers: vec![Peer::Addresses(cidr, &[])], ports: vec![(port, port)] });
        }
    }
    openings
}

/// Where the data is, and on which ports.
fn stores(home: &Home) -> Vec<(Side, (u16, u16))> {
    let mut stores = Vec::new();
    // Before the switch, and after it is undone, they work with the database moved from.
    for database in home.source_database().iter().copied().chain(&home.spec.database) {
        let proxied = database.instance.as_ref().is_some_and(|instance| instance.proxy_image.is_some());
        stores.extend(database_ports(database.engine, proxied));
    }
    if let Some(cache) = &home.spec.cache {
        stores.extend(cache_ports(cache.product));
    }
    let searches = home.spec.stores.iter().filter(|store| store.product == StoreProduct::Elasticsearch);
    stores.extend(searches.map(|_| (Side::Inside, (9200, 9200))));
    stores
}

fn database_ports(engine: Engine, proxied: bool) -> Vec<(Side, (u16, u16))> {
    match engine {
        Engine::CloudSql if proxied => vec![(Side::Inside, (3307, 3307))],
        Engine::CloudSql | Engine::Alloydb | Engine::SelfHosted => vec![(Side::Inside, (5432, 5432))],
        // Its pooler has a port of its own.
        Engine::Supabase => vec![(Side::Outside, (5432, 5432)), (Side::Outside, (6543, 6543))],
        Engine::Neon | Engine::RenderPostgres => vec![(Side::Outside, (5432, 5432))],
    }
}

fn cache_ports(product: CacheProduct) -> Vec<(Side, (u16, u16))> {
    match product {
        CacheProduct::Memorystore | CacheProduct::SelfHosted => vec![(Side::Inside, (6379, 6379))],
        // One asks at 6379 where the shards are, which have a port each.
        CacheProduct::MemorystoreCluster => vec![(Side::Inside, (6379, 6379)), (Side::Inside, (11000, 13047))],
        CacheProduct::Upstash | CacheProduct::RenderKeyValue => vec![(Side::Outside, (6379, 6379))],
        CacheProduct::RedisCloud => vec![(Side::Outside, (10000, 19999))],
    }
}
