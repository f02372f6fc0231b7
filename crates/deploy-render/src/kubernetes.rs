//! A tier's services as Kubernetes objects, in the files they go to. `k8s/` is complete for a tier in one region; in
//! several it is what their clusters have in common, and `regions/<region>/` adds the rest.

mod entry;
mod network;
mod program;
mod regions;
mod secrets;

use k8s_templates::{
    Object, Port, Probes, Scaling, Task, When, Workload, allow_dns, config_map, deny_all, manifests, namespace,
    network_policy, service_account, service_export, task,
};

use crate::render::DatabaseTarget;
use crate::system::SystemSpec;
use crate::tier::{Cluster, Database, GoogleCloud, Kind, Platform, Service, TierSpec};

pub(crate) use regions::Kustomization;
pub(crate) use secrets::external_secrets;

/// Where every Service answers, whatever port its pods have.
const SERVICE_PORT: u16 = 80;
/// How long what runs before a release may take.
const BEFORE_RELEASE_SECONDS: u32 = 900;

/// Files that others of the same folder are named after, which no service may be.
pub(crate) const FILE_NAMES: [&str; 5] = ["namespace", "network", "external-secrets", "entry", "kustomization"];

/// A tier on Kubernetes. Validation sees to it that nothing of it is missing.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) system: &'a SystemSpec,
    pub(crate) spec: &'a TierSpec,
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: &'a str,
    pub(crate) database: DatabaseTarget,
}

/// What is rendered for Kubernetes.
#[derive(Default)]
pub(crate) struct Files {
    /// Objects by path.
    pub(crate) objects: Vec<(String, Vec<Object>)>,
    /// Kustomizations of regions by path.
    pub(crate) kustomizations: Vec<(String, Kustomization)>,
}

impl<'a> Home<'a> {
    pub(crate) fn of(system: &'a SystemSpec, spec: &'a TierSpec, database: DatabaseTarget) -> Option<Self> {
        let (cluster, namespace) = (spec.cluster.as_ref()?, spec.namespace.as_deref()?);
        spec.has(Platform::Kubernetes).then_some(Self { system, spec, cluster, namespace, database })
    }

    /// The system's name as labels have it.
    pub(crate) fn part_of(&self) -> &'a str {
        &self.system.system
    }

    /// What runs here.
    pub(crate) fn services(&self) -> impl Iterator<Item = &'a Service> {
        let runs = |service: &&Service| service.runs_on(Platform::Kubernetes) && service.kind != Kind::Static;
        self.spec.services.iter().filter(runs)
    }

    /// The Google Cloud project, when the cluster is Google's.
    fn google(&self) -> Option<&'a GoogleCloud> {
        self.spec.google_cloud.as_ref().filter(|_| self.cluster.is_google())
    }

    /// Whether it runs in several regions, with a cluster in each.
    fn is_spread(&self) -> bool {
        self.spec.regions.google_cloud.len() > 1
    }

    /// The database moved from on the way to this tier, as the tier describes it that has it.
    fn source_database(&self) -> Option<&'a Database> {
        let source = self.spec.database.as_ref()?.source.as_ref()?;
        let mut databases = self.system.tiers.values().filter_map(|tier| tier.render.as_ref()?.database.as_ref());
        databases.find(|other| other.target.name == source.name)
    }

    /// The Google service account of a service.
    pub(crate) fn google_account(&self, service: &str) -> Option<String> {
        let google = self.google()?;
        Some(format!("{}@{}.iam.gserviceaccount.com", google_account_id(self.system, service), google.project))
    }

    fn policy(&self, name: &str, service: &Service, gets_requests: bool) -> Object {
        let ingress = if gets_requests { network::ingress(self, service) } else { Vec::new() };
        network_policy(name, self.namespace, self.part_of(), &ingress, &network::egress(self, service))
    }
}

/// Google allows 30 characters.
pub(crate) fn google_account_id(system: &SystemSpec, service: &str) -> String {
    format!("{}-{service}", system.slug())
}

/// All files, those of `k8s/` in the order they are applied.
pub(crate) fn files(home: &Home) -> Files {
    let (ns, part_of) = (home.namespace, home.part_of());
    let mut files = Files::default();
    let mut add = |name: &str, objects| files.objects.push((format!("k8s/{name}.yaml"), objects));
    add("namespace", vec![namespace(ns, part_of)]);
    add("network", vec![deny_all(ns, part_of), allow_dns(ns, part_of, home.cluster.is_google())]);
    let secrets = secrets::of_services(home);
    if !secrets.is_empty() {
        add("external-secrets", secrets);
    }
    for service in home.services() {
        let (objects, started) = service_objects(home, service);
        add(&service.name, objects);
        if let Some(job) = started {
            add(&format!("jobs/{}", service.name), vec![job]);
        }
    }
    let entry = entry::entry(home);
    if home.is_spread() {
        regions::add_overlays(home, entry, &mut files);
    } else if !entry.is_empty() {
        add("entry", entry);
    }
    files
}

/// Files that `k8s/kustomization.yaml` applies: all of the folder but what somebody starts by hand.
pub(crate) fn applied(files: &Files) -> Vec<String> {
    let names = files.objects.iter().filter_map(|(path, _)| path.strip_prefix("k8s/"));
    names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

/// The objects of a service, and the Job that somebody starts by hand.
fn service_objects(home: &Home, service: &Service) -> (Vec<Object>, Option<Object>) {
    let (ns, part_of) = (home.namespace, home.part_of());
    let settings = program::settings(home, service);
    let Some(program) = program::program(home, service, &settings) else { return (Vec::new(), None) };
    let google_account = home.google_account(&service.name);
    let mut objects = vec![
        config_map(&program::settings_name(service), ns, part_of, settings),
        service_account(&service.name, ns, part_of, google_account.as_deref()),
        home.policy(&service.name, service, true),
    ];
    let timeout_seconds = service.timeout_seconds.unwrap_or(BEFORE_RELEASE_SECONDS);
    match (service.kind, service.running()) {
        (Kind::Cron, _) => {
            let when = When::Schedule(service.schedule.clone().unwrap_or_default());
            objects.push(task(&Task { program, when, timeout_seconds }));
            (objects, None)
        }
        (Kind::Job, _) => {
            let pieces = service.completions.unwrap_or(1);
            let at_a_time = service.scaling.as_ref().map_or(1, |scaling| scaling.max);
            let when = When::Started { pieces, at_a_time };
            (objects, Some(task(&Task { program, when, timeout_seconds })))
        }
        (_, Some(running)) => {
            if !service.pre_deploy.is_empty() {
                let name = format!("{}-before-release", service.name);
                objects.push(home.policy(&name, service, false));
                let program = k8s_templates::Program { name, args: service.pre_deploy.clone(), ..program.clone() };
                let timeout_seconds = BEFORE_RELEASE_SECONDS;
                objects.push(task(&Task { program, when: When::BeforeRelease, timeout_seconds }));
            }
            let is_called = matches!(service.kind, Kind::Web | Kind::Private);
            let scaling = running.scaling;
            objects.extend(manifests(&Workload {
                program,
                waits: !service.pre_deploy.is_empty(),
                port: Port { number: running.port, service: is_called.then_some(SERVICE_PORT) },
                scaling: Scaling::Cpu { min: scaling.min, max: scaling.max, percent: scaling.cpu_percent },
                max_unavailable: running.max_unavailable.clone(),
                probes: Probes {
                    startup: running.health.liveness.clone(),
                    startup_seconds: running.health.startup_seconds,
                    readiness: running.health.readiness.clone(),
                    liveness: running.health.liveness.clone(),
                },
                pre_stop_seconds: running.shutdown.pre_stop_seconds,
                drain_seconds: running.shutdown.drain_seconds,
            }));
            if home.is_spread() && service.kind == Kind::Web {
                objects.push(service_export(&service.name, ns, part_of));
            }
            (objects, None)
        }
        (_, None) => (objects, None),
    }
}
