//! What runs in no container of its own, or only at set times, as templates see it.

use serde::Serialize;

use super::service::{command_line, domains};
use super::variables::{SecretView, VariableView, secret_view};
use crate::tier::{Kind, Runtime, Service, TierSpec};

/// Files that are only sent, or a service a serverless platform runs.
#[derive(Debug, Serialize)]
pub(super) struct SiteView {
    name: String,
    kind: Kind,
    purpose: String,
    runtime: Runtime,
    /// Its folder in the repository; none for the repository's own.
    root: Option<String>,
    /// The command that builds it.
    build: Option<String>,
    /// The folder with what is sent, below `root`.
    publish: Option<String>,
    /// Where that folder is, from the application's root.
    files: String,
    /// Version of the language it is built with.
    version: Option<String>,
    /// The folder of files named after their content, below `publish`.
    hashed: Option<String>,
    /// Whether every path gets its `index.html`.
    single_page: bool,
    /// Which files become functions, as Vercel's pattern.
    functions: Option<String>,
    render_name: String,
    domains: Vec<String>,
    timeout_seconds: Option<u32>,
    /// Plain variables.
    variables: Vec<VariableView>,
    secrets: Vec<SecretView>,
}

/// Something that runs at set times.
#[derive(Debug, Serialize)]
pub(super) struct CronView {
    name: String,
    purpose: String,
    command: Vec<String>,
    command_line: String,
    /// Five fields, UTC.
    schedule: String,
    timeout_seconds: Option<u32>,
    render_name: String,
    render_plan: Option<String>,
    /// Plain variables.
    variables: Vec<VariableView>,
    /// Secrets but those of database and cache.
    own_secrets: Vec<SecretView>,
}

/// None when its source is not there, which validation refuses.
pub(super) fn site_view(
    system: &str,
    spec: &TierSpec,
    service: &Service,
    variables: &[VariableView],
) -> Option<SiteView> {
    let source = spec.source_of(service)?;
    let (plain, secrets) = of(service, variables);
    Some(SiteView {
        name: service.name.clone(),
        kind: service.kind,
        purpose: service.purpose.clone(),
        runtime: source.runtime,
        root: source.root.clone(),
        build: source.build.clone(),
        publish: source.publish.clone(),
        files: [&source.root, &source.publish].into_iter().flatten().cloned().collect::<Vec<_>>().join("/"),
        version: source.language_version().map(str::to_owned),
        hashed: source.hashed.clone(),
        single_page: source.single_page,
        functions: source.functions.clone(),
        render_name: format!("{system}-{}", service.name),
        domains: domains(spec, service),
        timeout_seconds: service.timeout_seconds,
        variables: plain,
        secrets,
    })
}

/// None when it has no schedule, which validation refuses.
pub(super) fn cron_view(
    system: &str,
    spec: &TierSpec,
    service: &Service,
    variables: &[VariableView],
) -> Option<CronView> {
    let (plain, secrets) = of(service, variables);
    Some(CronView {
        name: service.name.clone(),
        purpose: service.purpose.clone(),
        command: service.command.clone(),
        command_line: command_line(&service.command),
        schedule: service.schedule.clone()?,
        timeout_seconds: service.timeout_seconds,
        render_name: format!("{system}-{}", service.name),
        render_plan: service.render_plan.clone(),
        variables: plain,
        own_secrets: secrets.into_iter().filter(|s| spec.environment.iter().any(|v| v.name == s.variable)).collect(),
    })
}

/// Its plain variables and its secrets.
fn of(service: &Service, variables: &[VariableView]) -> (Vec<VariableView>, Vec<SecretView>) {
    let mine = variables.iter().filter(|v| v.used_by.contains(&service.name));
    (mine.clone().filter(|v| v.value.is_some()).cloned().collect(), mine.filter_map(secret_view).collect())
}
