//! The pods of workloads and tasks.

use std::collections::BTreeMap;

use super::{Env, EnvSource, Program, Shares, SqlProxy, Workload};
use crate::labels::{common_labels, selector};
use crate::object::Metadata;
use crate::pod::{
    Capabilities, ConfigMapRef, Container, ContainerPort, EmptyDir, EnvFrom, EnvValueFrom, EnvVar, HttpGet, KeyRef,
    Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplate, Probe, Resources, SeccompProfile,
    SecurityContext, Sleep, TopologySpread, Volume, VolumeMount,
};
use crate::quantity::{IntOrText, Quantity};

/// Seconds between two questions of a probe.
const PROBE_PERIOD_SECONDS: u32 = 10;
/// A start is asked about more often, so that a fast one is noticed.
const STARTUP_PERIOD_SECONDS: u32 = 5;
/// Where the Cloud SQL Auth Proxy answers probes.
const PROXY_HEALTH_PORT: u16 = 9801;

/// Pods that listen, are asked whether they are well, spread, and take their time to go.
pub(super) fn that_keeps_running(w: &Workload) -> PodTemplate {
    let mut template = template(&w.program);
    let pod = &mut template.spec;
    let spread = |key: &str| TopologySpread {
        max_skew: 1,
        topology_key: key.to_owned(),
        // Not DoNotSchedule: in an outage of a zone, pods in the wrong place beat pods nowhere.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: selector(&w.program.name, &w.program.part_of),
        // Otherwise the pods of the release that is going away decide where the new ones go.
        match_label_keys: vec!["pod-template-hash".to_owned()],
    };
    pod.topology_spread_constraints = vec![spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")];
    pod.termination_grace_period_seconds = Some(w.pre_stop_seconds + w.drain_seconds);
    let container = &mut pod.containers[0];
    let http = IntOrText::Text("http".to_owned());
    let probe = |path: &str, period, failures| probe(path, http.clone(), period, failures);
    let starts = w.probes.startup_seconds.div_ceil(STARTUP_PERIOD_SECONDS).max(1);
    container.ports = vec![ContainerPort {
        name: Some("http".to_owned()),
        container_port: w.port.number,
        protocol: Some("TCP".to_owned()),
    }];
    container.startup_probe = Some(probe(&w.probes.startup, STARTUP_PERIOD_SECONDS, starts));
    container.readiness_probe = Some(probe(&w.probes.readiness, PROBE_PERIOD_SECONDS, 3));
    container.liveness_probe = Some(probe(&w.probes.liveness, PROBE_PERIOD_SECONDS, 3));
    container.lifecycle =
        Some(Lifecycle { pre_stop: LifecycleHandler { sleep: Sleep { seconds: w.pre_stop_seconds } } });
    template
}

/// Pods that run until their program ends.
pub(super) fn that_ends(program: &Program) -> PodTemplate {
    let mut template = template(program);
    // What may be tried again is the Job's to count, and a pod that stays can be read.
    template.spec.restart_policy = Some("Never".to_owned());
    template
}

/// What all pods have in common.
fn template(program: &Program) -> PodTemplate {
    let mut labels = common_labels(&program.name, &program.part_of);
    labels.insert("app.kubernetes.io/version".to_owned(), program.version.clone());
    PodTemplate {
        metadata: Metadata { labels, annotations: program.pod_annotations.clone(), ..Metadata::default() },
        spec: PodSpec {
            service_account_name: Some(program.account.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(program.user_id),
                run_as_group: Some(program.user_id),
                fs_group: Some(program.user_id),
                seccomp_profile: Some(SeccompProfile { kind: "RuntimeDefault".to_owned() }),
            }),
            // Nodes with such processors are tainted; GKE itself adds the toleration to pods that ask for one.
            node_selector: program
                .gpu
                .iter()
                .map(|gpu| ("cloud.google.com/gke-accelerator".to_owned(), gpu.kind.clone()))
                .collect(),
            init_containers: program.sql_proxy.iter().map(proxy).collect(),
            containers: vec![container(program)],
            volumes: vec![Volume {
                name: "tmp".to_owned(),
                empty_dir: EmptyDir { size_limit: Some(program.tmp_size.clone()) },
            }],
            ..PodSpec::default()
        },
    }
}

fn container(program: &Program) -> Container {
    let mut resources = resources(&program.requests, &program.limits);
    if let Some(gpu) = &program.gpu {
        // Only as a limit: a request would have to be the same.
        resources.limits.insert("nvidia.com/gpu".to_owned(), Quantity::from(gpu.count));
    }
    let config_map = |name: &String| EnvFrom { config_map_ref: ConfigMapRef { name: name.clone() } };
    Container {
        args: program.args.clone(),
        env_from: program.config_maps.iter().map(config_map).collect(),
        env: program.env.iter().map(env_var).collect(),
        resources: Some(resources),
        volume_mounts: vec![VolumeMount { name: "tmp".to_owned(), mount_path: "/tmp".to_owned() }],
        ..bare(&program.name, &program.image)
    }
}

/// A container without privileges that writes nowhere.
fn bare(name: &str, image: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: image.to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            privileged: None,
            capabilities: Some(Capabilities { drop: vec!["ALL".to_owned()], add: Vec::new() }),
        }),
        ..Container::default()
    }
}

/// The Cloud SQL Auth Proxy as a sidecar: there before the program starts, and until it has ended.
fn proxy(proxy: &SqlProxy) -> Container {
    let options = [
        "--private-ip",
        "--structured-logs",
        "--health-check",
        // The probes come from the node, not from within the pod.
        "--http-address=0.0.0.0",
        // Asked to go, it does, and that is no failure.
        "--exit-zero-on-sigterm",
    ];
    let health_port = format!("--http-port={PROXY_HEALTH_PORT}");
    let instances = proxy.instances.iter().map(|(name, port)| format!("{name}?port={port}"));
    let shares = |cpu: u32, mebibytes: u32| Shares {
        cpu: Quantity::from_millis(cpu),
        memory: Quantity::from_mebibytes(mebibytes),
    };
    let health = IntOrText::Text("proxy-health".to_owned());
    Container {
        restart_policy: Some("Always".to_owned()),
        args: options.iter().map(|option| (*option).to_owned()).chain([health_port]).chain(instances).collect(),
        ports: vec![ContainerPort {
            name: Some("proxy-health".to_owned()),
            container_port: PROXY_HEALTH_PORT,
            protocol: Some("TCP".to_owned()),
        }],
        // It forwards bytes and renews certificates; what a busy pod needs of it is far below a core.
        resources: Some(resources(&shares(100, 64), &shares(500, 256))),
        startup_probe: Some(probe("/startup", health.clone(), 1, 60)),
        liveness_probe: Some(probe("/liveness", health, PROBE_PERIOD_SECONDS, 6)),
        ..bare("cloud-sql-proxy", &proxy.image)
    }
}

fn probe(path: &str, port: IntOrText, period: u32, failures: u32) -> Probe {
    Probe {
        http_get: HttpGet { path: path.to_owned(), port },
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
    }
}

fn resources(requests: &Shares, limits: &Shares) -> Resources {
    let shares =
        |s: &Shares| BTreeMap::from([("cpu".to_owned(), s.cpu.clone()), ("memory".to_owned(), s.memory.clone())]);
    Resources { requests: shares(requests), limits: shares(limits) }
}

fn env_var(env: &Env) -> EnvVar {
    match &env.source {
        EnvSource::Value(value) => EnvVar { name: env.name.clone(), value: Some(value.clone()), value_from: None },
        EnvSource::Secret { name, key } => EnvVar {
            name: env.name.clone(),
            value: None,
            value_from: Some(EnvValueFrom {
                secret_key_ref: Some(KeyRef { name: name.clone(), key: key.clone(), optional: None }),
                config_map_key_ref: None,
            }),
        },
    }
}
