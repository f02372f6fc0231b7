//! What a schema can't see: references that lead nowhere, limits that contradict each other, budgets never met.

mod cloud;
mod gateway;
mod network;
mod pods;
mod scaling;
mod secrets;
mod tasks;

pub use secrets::looks_secret;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::core::{ConfigMap, Deployment, Service, selects};
use crate::object::{Labels, Object};
use crate::pod::PodTemplate;
use crate::quantity::IntOrText;

/// Something wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The object, e.g. `Deployment api`.
    pub object: String,
    /// Where in it, e.g. `spec.template.spec.containers[0].image`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} ({})", self.object, self.path, self.message, self.remedy)
    }
}

/// Looks at objects that are applied together and lists what is wrong, in the order of the objects.
pub fn check(objects: &[Object]) -> Vec<Problem> {
    let set = Set { objects };
    let mut found = Vec::new();
    set.check_duplicates(&mut found);
    for object in objects {
        let mut report = Report { object: object.title(), found: &mut found };
        match object {
            Object::Deployment(deployment) => {
                pods::check_deployment(&set, deployment, &mut report);
                scaling::check_replicas(&set, deployment, &mut report);
            }
            Object::Service(service) => check_service(&set, service, &mut report),
            Object::HorizontalPodAutoscaler(hpa) => scaling::check_autoscaler(&set, hpa, &mut report),
            Object::PodDisruptionBudget(pdb) => scaling::check_disruption_budget(&set, pdb, &mut report),
            Object::ConfigMap(config) => secrets::check_config_map(config, &mut report),
            Object::ExternalSecret(secret) => secrets::check_external(secret, &mut report),
            Object::Job(job) => tasks::check_job(&set, job, &mut report),
            Object::CronJob(cron) => tasks::check_cron(&set, cron, &mut report),
            Object::NetworkPolicy(policy) => network::check(&set, policy, &mut report),
            Object::Gateway(way_in) => gateway::check_gateway(way_in, &mut report),
            Object::HTTPRoute(route) => gateway::check_route(&set, route, &mut report),
            Object::HealthCheckPolicy(policy) => {
                gateway::check_target(&set, object, &policy.spec.target_ref, &mut report);
            }
            Object::GCPBackendPolicy(policy) => {
                gateway::check_target(&set, object, &policy.spec.target_ref, &mut report);
            }
            Object::ServiceExport(_) => gateway::check_export(&set, object, &mut report),
            Object::SQLInstance(_)
            | Object::SQLDatabase(_)
            | Object::SQLUser(_)
            | Object::AlloyDBCluster(_)
            | Object::AlloyDBInstance(_)
            | Object::RedisInstance(_)
            | Object::RedisCluster(_)
            | Object::SpannerInstance(_)
            | Object::SpannerDatabase(_) => cloud::check(&set, object, &mut report),
            Object::IAMPolicyMember(member) => cloud::check_member(&set, object, &member.spec, &mut report),
            Object::Namespace(_)
            | Object::ServiceAccount(_)
            | Object::IAMServiceAccount(_)
            | Object::Application(_) => {}
        }
    }
    found
}

/// Collects problems of one object.
struct Report<'a> {
    object: String,
    found: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.found.push(Problem {
            object: self.object.clone(),
            path: path.into(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}

/// All the objects, to look up what one says of another.
struct Set<'a> {
    objects: &'a [Object],
}

impl<'a> Set<'a> {
    fn check_duplicates(&self, found: &mut Vec<Problem>) {
        let mut seen = BTreeSet::new();
        for object in self.objects {
            let mut report = Report { object: object.title(), found };
            if object.name().is_empty() {
                report.add("metadata.name", "it has no name", "give it one");
            } else if !seen.insert((object.kind(), object.namespace(), object.name())) {
                report.add("metadata.name", "it is there twice", "rename or remove one");
            }
        }
    }

    fn deployments(&self) -> impl Iterator<Item = &'a Deployment> {
        self.objects.iter().filter_map(|object| match object {
            Object::Deployment(deployment) => Some(deployment),
            _ => None,
        })
    }

    /// The pods of everything that makes some: their namespace and their template.
    fn pods(&self) -> impl Iterator<Item = (&'a str, &'a PodTemplate)> {
        self.objects.iter().filter_map(|object| {
            let template = match object {
                Object::Deployment(deployment) => &deployment.spec.template,
                Object::Job(job) => &job.spec.template,
                Object::CronJob(cron) => &cron.spec.job_template.spec.template,
                _ => return None,
            };
            Some((object.namespace(), template))
        })
    }

    /// The deployments of a namespace whose pods carry all these labels.
    fn selected(&self, namespace: &str, selector: &'a Labels) -> Vec<&'a Deployment> {
        let in_namespace = |d: &Deployment| d.metadata.namespace.as_deref().unwrap_or("") == namespace;
        self.deployments().filter(|d| in_namespace(d) && selects(selector, &d.spec.template.metadata.labels)).collect()
    }

    fn deployment(&self, namespace: &str, name: &str) -> Option<&'a Deployment> {
        self.deployments().find(|d| {
            d.metadata.name.as_deref() == Some(name) && d.metadata.namespace.as_deref().unwrap_or("") == namespace
        })
    }

    /// An object by kind, namespace and name.
    fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Object> {
        self.objects.iter().find(|o| o.kind() == kind && o.namespace() == namespace && o.name() == name)
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<&'a ConfigMap> {
        match self.find("ConfigMap", namespace, name)? {
            Object::ConfigMap(config) => Some(config),
            _ => None,
        }
    }
}

fn check_service(set: &Set, service: &Service, report: &mut Report) {
    let namespace = service.metadata.namespace.as_deref().unwrap_or("");
    let selected = set.selected(namespace, &service.spec.selector);
    if selected.is_empty() {
        report.add("spec.selector", "it selects no pods", "use the labels of a Deployment's pod template");
        return;
    }
    for (i, port) in service.spec.ports.iter().enumerate() {
        let target = port.target_port.clone().unwrap_or(IntOrText::Int(i64::from(port.port)));
        for deployment in &selected {
            let answers = deployment.spec.template.spec.containers.iter().any(|c| pods::has_port(c, &target));
            if !answers {
                let name = deployment.metadata.name.as_deref().unwrap_or("");
                report.add(
                    format!("spec.ports[{i}].targetPort"),
                    format!("no container of Deployment {name} has the port {}", pods::port_text(&target)),
                    "name a port that is in the container's `ports`",
                );
            }
        }
    }
}
