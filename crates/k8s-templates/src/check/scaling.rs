//! Autoscalers, replica counts and disruption budgets, against each other.

use super::{Report, Set};
use crate::autoscaling::{Hpa, Pdb};
use crate::core::Deployment;

pub(super) fn check_replicas(set: &Set, deployment: &Deployment, report: &mut Report) {
    if deployment.spec.replicas.is_some() && autoscaler_of(set, deployment).is_some() {
        report.add(
            "spec.replicas",
            "an autoscaler owns the number of pods, every apply would reset it",
            "remove `replicas`",
        );
    }
}

pub(super) fn check_autoscaler(set: &Set, hpa: &Hpa, report: &mut Report) {
    let spec = &hpa.spec;
    if spec.min_replicas == 0 || spec.min_replicas > spec.max_replicas {
        report.add(
            "spec.minReplicas",
            format!("at least {} and at most {} pods can't be", spec.min_replicas, spec.max_replicas),
            "make it at least 1 and at most maxReplicas",
        );
    }
    if spec.metrics.is_empty() {
        report.add("spec.metrics", "there is nothing to scale by", "add a metric");
    }
    let target = &spec.scale_target_ref;
    let namespace = hpa.metadata.namespace.as_deref().unwrap_or("");
    let Some(deployment) = set.deployment(namespace, &target.name).filter(|_| target.kind == "Deployment") else {
        report.add(
            "spec.scaleTargetRef",
            format!("there is no {} `{}`", target.kind, target.name),
            "name a Deployment that is there",
        );
        return;
    };
    for (i, metric) in spec.metrics.iter().enumerate() {
        let resource = &metric.container_resource;
        if resource.target.average_utilization == 0 {
            report.add(
                format!("spec.metrics[{i}].containerResource.target.averageUtilization"),
                "0 % is never reached, it always scales to the maximum",
                "use something like 70",
            );
        }
        let containers = &deployment.spec.template.spec.containers;
        let Some(container) = containers.iter().find(|container| container.name == resource.container) else {
            report.add(
                format!("spec.metrics[{i}].containerResource.container"),
                format!("Deployment {} has no container `{}`", target.name, resource.container),
                "name one of its containers",
            );
            continue;
        };
        let request = container.resources.as_ref().and_then(|r| r.requests.get(&resource.name));
        if request.is_none_or(|quantity| quantity.is_zero()) {
            report.add(
                format!("spec.metrics[{i}].containerResource.name"),
                format!(
                    "container `{}` of Deployment {} requests no {}, a share of it can't be measured",
                    container.name, target.name, resource.name
                ),
                format!("set resources.requests.{}", resource.name),
            );
        }
    }
}

pub(super) fn check_disruption_budget(set: &Set, pdb: &Pdb, report: &mut Report) {
    let spec = &pdb.spec;
    let namespace = pdb.metadata.namespace.as_deref().unwrap_or("");
    let selected = set.selected(namespace, &spec.selector.match_labels);
    if selected.is_empty() {
        report.add("spec.selector", "it selects no pods", "use the labels of a Deployment's pod template");
    }
    match (&spec.min_available, &spec.max_unavailable) {
        (None, None) | (Some(_), Some(_)) => {
            report.add("spec", "exactly one of minAvailable and maxUnavailable must be there", "keep maxUnavailable")
        }
        (None, Some(max)) => {
            if max.of(100) == 0 {
                report.add(
                    "spec.maxUnavailable",
                    "it forbids every eviction: nodes can't be drained or upgraded",
                    "allow at least 1",
                );
            }
            for deployment in selected {
                let pods = floor(set, deployment);
                if pods > 1 && max.of(pods) >= pods {
                    report.add(
                        "spec.maxUnavailable",
                        format!("of {pods} pods all may go at once"),
                        "allow fewer, or run more pods",
                    );
                }
            }
        }
        (Some(min), None) => {
            for deployment in selected {
                let pods = floor(set, deployment);
                if min.of(pods) >= pods {
                    report.add(
                        "spec.minAvailable",
                        format!("of {pods} pods all must stay: nodes can't be drained or upgraded"),
                        "use maxUnavailable: 1",
                    );
                }
            }
        }
    }
}

fn autoscaler_of<'a>(set: &Set<'a>, deployment: &Deployment) -> Option<&'a Hpa> {
    set.objects.iter().find_map(|object| match object {
        crate::Object::HorizontalPodAutoscaler(hpa)
            if hpa.spec.scale_target_ref.kind == "Deployment"
                && Some(&hpa.spec.scale_target_ref.name) == deployment.metadata.name.as_ref()
                && hpa.metadata.namespace == deployment.metadata.namespace =>
        {
            Some(hpa)
        }
        _ => None,
    })
}

/// The fewest pods there will be; 1 is the API's default.
fn floor(set: &Set, deployment: &Deployment) -> u32 {
    let scaled = autoscaler_of(set, deployment).map(|hpa| hpa.spec.min_replicas);
    scaled.or(deployment.spec.replicas).unwrap_or(1)
}
