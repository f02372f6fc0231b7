//! Jobs and CronJobs.

use super::{Report, Set, pods};
use crate::batch::{CronJob, Job, JobSpec};

pub(super) fn check_job(set: &Set, job: &Job, report: &mut Report) {
    let namespace = job.metadata.namespace.as_deref().unwrap_or("");
    check_spec(set, namespace, &job.spec, "spec", report);
}

pub(super) fn check_cron(set: &Set, cron: &CronJob, report: &mut Report) {
    let namespace = cron.metadata.namespace.as_deref().unwrap_or("");
    let spec = &cron.spec;
    if spec.schedule.split(' ').count() != 5 {
        let message = format!("`{}` is no schedule", spec.schedule);
        report.add("spec.schedule", message, "use five fields such as `30 */6 * * *`");
    }
    if spec.concurrency_policy == "Allow" {
        let message = "a run that takes too long is joined by the next one";
        report.add("spec.concurrencyPolicy", message, "use Forbid or Replace");
    }
    check_spec(set, namespace, &spec.job_template.spec, "spec.jobTemplate.spec", report);
}

fn check_spec(set: &Set, namespace: &str, spec: &JobSpec, at: &str, report: &mut Report) {
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    if indexed && spec.completions.is_none_or(|count| count == 0) {
        report.add(format!("{at}.completions"), "it is Indexed, and has no number of pieces", "say how many");
    }
    if !indexed && spec.backoff_limit_per_index.is_some() {
        let message = "only an Indexed Job counts by index";
        report.add(format!("{at}.backoffLimitPerIndex"), message, "use backoffLimit, or completionMode: Indexed");
    }
    if spec.active_deadline_seconds.is_none() {
        let message = "there is none: a program that hangs, hangs for ever";
        report.add(format!("{at}.activeDeadlineSeconds"), message, "say how long it may take");
    }
    let restart = spec.template.spec.restart_policy.as_deref();
    if !matches!(restart, Some("Never" | "OnFailure")) {
        let message = "pods of a Job must not be started again for ever";
        report.add(format!("{at}.template.spec.restartPolicy"), message, "use Never");
    }
    if spec.pod_failure_policy.is_some() && restart == Some("OnFailure") {
        let message = "podFailurePolicy sees no failure of containers that are started again";
        report.add(format!("{at}.template.spec.restartPolicy"), message, "use Never");
    }
    pods::check_template(set, namespace, &format!("{at}.template"), &spec.template, report);
}
