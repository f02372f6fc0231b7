//! Services as templates see them.

use k8s_templates::Quantity;
use serde::Serialize;

use super::variables::{SecretView, VariableView, secret_view, unique};
use super::{docker_memory, shell_word};
use crate::set::sha256;
use crate::tier::{Gpu, Kind, Running, Runtime, Service, TierSpec};

#[derive(Debug, Serialize)]
pub(super) struct ServiceView {
    name: String,
    kind: Kind,
    purpose: String,
    image: String,
    command: Vec<String>,
    /// The command as one line, quoted for a shell where needed.
    command_line: String,
    port: u16,
    /// Whether answers stay open.
    streams: bool,
    readiness: String,
    liveness: String,
    startup_seconds: u32,
    /// A program that exits 0 when the service is alive.
    probe: Vec<String>,
    gpu: Option<Gpu>,
    /// Size of its `/tmp`, in MiB.
    scratch_mib: i128,
    /// What runs once before a release takes over, as one line; none for nothing.
    pre_deploy_line: Option<String>,
    cpus: String,
    /// Memory limit as Docker writes it.
    memory: String,
    /// Its name on Cloud Run, as of a revision: another one when anything here differs.
    revision: String,
    /// The same limits as Kubernetes and Cloud Run write them.
    cpu_limit: String,
    memory_limit: String,
    /// Requests an instance takes at a time on Cloud Run; none for its default.
    concurrency: Option<u32>,
    timeout_seconds: Option<u32>,
    /// Address and ports `compose.yaml` publishes it at.
    publish: String,
    /// Its name on Render, where names are the whole workspace's.
    render_name: String,
    min: u32,
    max: u32,
    cpu_percent: u32,
    stop_seconds: u32,
    render_plan: Option<String>,
    domains: Vec<String>,
    /// Services it calls.
    calls: Vec<CallView>,
    /// Plain variables, PORT included.
    variables: Vec<VariableView>,
    /// Secrets, those of database and cache included.
    secrets: Vec<SecretView>,
    /// Secrets but those of database and cache.
    own_secrets: Vec<SecretView>,
    /// Names of its secrets in `compose.yaml`, each once.
    secret_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct CalledView {
    variable: String,
    hostport: String,
    /// Services that call it.
    used_by: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct CallView {
    variable: String,
    kind: Kind,
    /// Name and port in `compose.yaml`.
    hostport: String,
    render_name: String,
}

pub(super) fn service_view(
    system: &str,
    spec: &TierSpec,
    index: u16,
    service: &Service,
    running: Running,
    variables: &[VariableView],
) -> ServiceView {
    let Running { port, health, resources, scaling, shutdown, .. } = running;
    let mine = |v: &&VariableView| v.used_by.contains(&service.name);
    let mut plain = vec![VariableView {
        name: "PORT".to_owned(),
        purpose: "where it listens".to_owned(),
        value: Some(port.to_string()),
        secret: None,
        used_by: vec![service.name.clone()],
    }];
    plain.extend(variables.iter().filter(mine).filter(|v| v.value.is_some()).cloned());
    let secrets: Vec<SecretView> = variables.iter().filter(mine).filter_map(secret_view).collect();
    let mut view = ServiceView {
        name: service.name.clone(),
        kind: service.kind,
        purpose: service.purpose.clone(),
        image: spec.image(service),
        command: service.command.clone(),
        command_line: command_line(&service.command),
        port,
        streams: service.streams,
        readiness: health.readiness.clone(),
        liveness: health.liveness.clone(),
        startup_seconds: health.startup_seconds,
        probe: spec.source_of(service).map_or_else(Vec::new, |source| probe(source.runtime, port, &health.liveness)),
        gpu: service.gpu.clone(),
        scratch_mib: service.scratch().mebibytes(),
        pre_deploy_line: (!service.pre_deploy.is_empty()).then(|| command_line(&service.pre_deploy)),
        cpus: cores(&resources.limits.cpu),
        memory: docker_memory(&resources.limits.memory),
        revision: String::new(),
        cpu_limit: resources.limits.cpu.to_string(),
        memory_limit: resources.limits.memory.to_string(),
        concurrency: service.concurrency,
        timeout_seconds: service.timeout_seconds,
        publish: format!("127.0.0.1:{}:{port}", port + index),
        render_name: format!("{system}-{}", service.name),
        min: scaling.min,
        max: scaling.max,
        cpu_percent: scaling.cpu_percent,
        stop_seconds: shutdown.pre_stop_seconds + shutdown.drain_seconds,
        render_plan: service.render_plan.clone(),
        domains: domains(spec, service),
        calls: service
            .calls
            .iter()
            .filter_map(|name| spec.service(name))
            .filter_map(|callee| call_view(system, callee))
            .collect(),
        variables: plain,
        own_secrets: secrets
            .iter()
            .filter(|s| spec.environment.iter().any(|v| v.name == s.variable))
            .cloned()
            .collect(),
        secret_ids: unique(&secrets).map(|secret| secret.id.clone()).collect(),
        secrets,
    };
    // Names, numbers and texts: JSON takes all of them, so the bytes are always there.
    let contents = serde_json::to_vec(&view).unwrap_or_default();
    view.revision = format!("{}-{}", view.name, &sha256(&contents)[..8]);
    view
}

/// Services that others call.
pub(super) fn called(spec: &TierSpec) -> Vec<CalledView> {
    let callers = |name: &String| {
        spec.services.iter().filter(|s| s.calls.contains(name)).map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    spec.services
        .iter()
        .filter_map(|service| {
            Some(CalledView {
                variable: TierSpec::call_variable(&service.name),
                hostport: format!("{}:{}", service.name, service.port?),
                used_by: callers(&service.name),
            })
        })
        .filter(|called| !called.used_by.is_empty())
        .collect()
}

pub(super) fn call_view(system: &str, service: &Service) -> Option<CallView> {
    Some(CallView {
        variable: TierSpec::call_variable(&service.name),
        kind: service.kind,
        hostport: format!("{}:{}", service.name, service.port?),
        render_name: format!("{system}-{}", service.name),
    })
}

/// The names a service is reached under.
pub(super) fn domains(spec: &TierSpec, service: &Service) -> Vec<String> {
    spec.domains.iter().filter(|d| d.service == service.name).map(|d| d.host.clone()).collect()
}

/// A program and its arguments as one line, quoted for a shell where needed.
pub(super) fn command_line(command: &[String]) -> String {
    command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// A program that exits 0 when the service answers; the images have no curl.
fn probe(runtime: Runtime, port: u16, path: &str) -> Vec<String> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let words = match runtime {
        Runtime::Nestjs | Runtime::Nextjs | Runtime::Static => {
            ["node", "-e", &format!("fetch('{url}').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))")]
        }
        // A status of 400 and more is an exception there, and an exception ends with 1.
        Runtime::Fastapi => ["python", "-c", &format!("import urllib.request as r; r.urlopen('{url}', timeout=4)")],
        Runtime::Deno => ["deno", "eval", &format!("const r = await fetch('{url}'); Deno.exit(r.ok ? 0 : 1)")],
    };
    words.map(str::to_owned).to_vec()
}

/// Cores as a decimal number, as Docker writes them.
pub(super) fn cores(quantity: &Quantity) -> String {
    let (whole, rest) = (quantity.millis() / 1000, quantity.millis() % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}
