//! Job and CronJob (`batch/v1`).

use serde::{Deserialize, Serialize};

use crate::object::{Manifest, Metadata};
use crate::pod::PodTemplate;

/// A Job.
pub type Job = Manifest<JobSpec>;

/// How often its pods run, at a time and in all, and when it gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) completion_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) completions: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parallelism: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backoff_limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backoff_limit_per_index: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active_deadline_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds_after_finished: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod_failure_policy: Option<PodFailurePolicy>,
    pub(crate) template: PodTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodFailurePolicy {
    pub(crate) rules: Vec<PodFailureRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodFailureRule {
    pub(crate) action: String,
    pub(crate) on_pod_conditions: Vec<PodCondition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodCondition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
}

/// A CronJob.
pub type CronJob = Manifest<CronJobSpec>;

/// When its Jobs run, and what happens when one is late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronJobSpec {
    pub(crate) schedule: String,
    pub(crate) time_zone: String,
    pub(crate) concurrency_policy: String,
    pub(crate) starting_deadline_seconds: u32,
    pub(crate) successful_jobs_history_limit: u32,
    pub(crate) failed_jobs_history_limit: u32,
    pub(crate) job_template: JobTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JobTemplate {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    pub(crate) spec: JobSpec,
}
