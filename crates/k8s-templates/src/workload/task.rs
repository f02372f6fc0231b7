//! Programs that end: Jobs, Indexed Jobs and CronJobs.

use super::objects::{SYNC_WAVE, program_metadata};
use super::{Program, pod};
use crate::batch::{CronJobSpec, JobSpec, JobTemplate, PodCondition, PodFailurePolicy, PodFailureRule};
use crate::labels::common_labels;
use crate::object::{Labels, Manifest, Metadata, Object};

/// A program that ends, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What runs.
    pub program: Program,
    /// When.
    pub when: When,
    /// How long it may take.
    pub timeout_seconds: u32,
}

/// When a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Before a release takes over, once a version.
    BeforeRelease,
    /// When somebody starts it, once a version; in so many pieces, of which so many at a time.
    Started {
        /// How many pieces; each runs with its own `JOB_COMPLETION_INDEX`.
        pieces: u32,
        /// How many at a time.
        at_a_time: u32,
    },
    /// At set times: five fields, in UTC.
    Schedule(String),
}

/// How often a piece is tried again before it counts as failed.
const RETRIES: u32 = 3;

/// The Job or CronJob of a task.
pub fn task(task: &Task) -> Object {
    let mut spec = JobSpec {
        completion_mode: None,
        completions: None,
        parallelism: None,
        backoff_limit: Some(RETRIES),
        backoff_limit_per_index: None,
        active_deadline_seconds: Some(task.timeout_seconds),
        ttl_seconds_after_finished: None,
        // A node that is drained is nobody's failure.
        pod_failure_policy: Some(PodFailurePolicy {
            rules: vec![PodFailureRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: vec![PodCondition {
                    kind: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }],
            }],
        }),
        template: pod::that_ends(&task.program),
    };
    match &task.when {
        When::BeforeRelease => {
            // After the settings and secrets it reads, before the Deployment; not PreSync, when a first release has none.
            let hook = [
                ("argocd.argoproj.io/hook", "Sync"),
                ("argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation"),
                (SYNC_WAVE, "1"),
            ];
            job(&task.program, spec, &hook)
        }
        When::Started { pieces, at_a_time } => {
            if *pieces > 1 {
                // A piece that fails for good does not keep the others from their end.
                spec.completion_mode = Some("Indexed".to_owned());
                spec.completions = Some(*pieces);
                spec.parallelism = Some(*at_a_time);
                spec.backoff_limit = None;
                spec.backoff_limit_per_index = Some(RETRIES);
            }
            job(&task.program, spec, &[])
        }
        When::Schedule(schedule) => cron_job(&task.program, spec, schedule),
    }
}

/// A Job can't be changed, so each version has its own.
fn job(program: &Program, spec: JobSpec, annotations: &[(&str, &str)]) -> Object {
    let version = program.version.to_ascii_lowercase().replace(['.', '_'], "-");
    let mut metadata = program_metadata(program);
    metadata.name = Some(format!("{}-{version}", program.name));
    metadata.annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Object::Job(Manifest { api_version: "batch/v1".to_owned(), kind: "Job".to_owned(), metadata, spec })
}

fn cron_job(program: &Program, spec: JobSpec, schedule: &str) -> Object {
    let labels: Labels = common_labels(&program.name, &program.part_of);
    Object::CronJob(Manifest {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        metadata: program_metadata(program),
        spec: CronJobSpec {
            schedule: schedule.to_owned(),
            time_zone: "Etc/UTC".to_owned(),
            // A run that takes too long is no reason to have two of them.
            concurrency_policy: "Forbid".to_owned(),
            starting_deadline_seconds: 300,
            successful_jobs_history_limit: 3,
            failed_jobs_history_limit: 3,
            job_template: JobTemplate { metadata: Metadata { labels, ..Metadata::default() }, spec },
        },
    })
}
