//! Cloud Run's services, `cloudbuild.yaml` and GitHub's workflows.

use k8s_templates::looks_secret;
use serde_json::Value;

use super::{Report, elements, entries, unpinned};

pub(super) fn check_cloud_run(document: &Value, report: &mut Report) {
    let template = &document["spec"]["template"];
    let name = document["metadata"]["name"].as_str().unwrap_or("");
    let revision = template["metadata"]["name"].as_str();
    if revision.is_some_and(|revision| !revision.starts_with(&format!("{name}-"))) {
        report.add("spec.template.metadata.name", format!("a revision of `{name}` begins with it"), "correct it");
    }
    let notes = &template["metadata"]["annotations"];
    let scale = |key: &str| notes[key].as_str().and_then(|number| number.parse::<u32>().ok());
    let (min, max) = (scale("autoscaling.knative.dev/minScale"), scale("autoscaling.knative.dev/maxScale"));
    if max.is_none_or(|max| max == 0 || min > Some(max)) {
        let at = "spec.template.metadata.annotations";
        report.add(at, "maxScale is missing or below minScale", "set both, quoted: a burst costs what it allows");
    }
    let spec = &template["spec"];
    if spec["serviceAccountName"].as_str().is_none_or(|account| account.contains("-compute@")) {
        let message = "it runs as the project's default account, which may do much";
        report.add("spec.template.spec.serviceAccountName", message, "give it one of its own");
    }
    for (i, container) in elements(&spec["containers"]) {
        check_container(&format!("spec.template.spec.containers[{i}]"), container, report);
    }
    let percent: u64 = elements(&document["spec"]["traffic"]).filter_map(|(_, part)| part["percent"].as_u64()).sum();
    if percent != 100 {
        report.add("spec.traffic", format!("its parts make {percent} percent"), "make them 100");
    }
}

fn check_container(at: &str, container: &Value, report: &mut Report) {
    if let Some(message) = container["image"].as_str().and_then(unpinned) {
        report.add(format!("{at}.image"), message, "pin a version or a digest");
    }
    if container["resources"]["limits"]["memory"].is_null() {
        report.add(format!("{at}.resources.limits"), "it gets 512Mi, whatever it needs", "set cpu and memory");
    }
    let port = container["ports"][0]["containerPort"].as_u64();
    for probe in ["startupProbe", "livenessProbe"] {
        let probed = &container[probe]["httpGet"];
        if probed["path"].as_str().is_none_or(|path| !path.starts_with('/')) {
            report.add(format!("{at}.{probe}"), "nothing asks whether it is well", "name a path that answers 200");
        } else if probed["port"].as_u64().is_some_and(|asked| Some(asked) != port) {
            report.add(format!("{at}.{probe}.httpGet.port"), "nobody listens there", "use its containerPort");
        }
    }
    let startup = &container["startupProbe"];
    let number = |key: &str| startup[key].as_u64().unwrap_or(1);
    if number("periodSeconds") * number("failureThreshold") > 240 {
        report.add(format!("{at}.startupProbe"), "Cloud Run waits 240 s at most", "lower failureThreshold");
    }
    for (i, variable) in elements(&container["env"]) {
        let name = variable["name"].as_str().unwrap_or("");
        let at = format!("{at}.env[{i}]");
        if matches!(name, "PORT" | "K_SERVICE" | "K_REVISION" | "K_CONFIGURATION") {
            report.add(&at, format!("Cloud Run sets `{name}` itself and refuses it here"), "remove it");
        }
        if let Some(why) = variable["value"].as_str().and_then(|value| looks_secret(name, value)) {
            report.add(&at, format!("`{name}` {why}"), "use valueFrom.secretKeyRef");
        }
    }
}

pub(super) fn check_build(document: &Value, report: &mut Report) {
    let mut ids: Vec<&str> = Vec::new();
    for (i, step) in elements(&document["steps"]) {
        let at = format!("steps[{i}]");
        if let Some(message) = step["name"].as_str().and_then(unpinned) {
            report.add(format!("{at}.name"), message, "pin the builder's version");
        }
        for (_, before) in elements(&step["waitFor"]) {
            let before = before.as_str().unwrap_or("");
            if before != "-" && !ids.contains(&before) {
                report.add(format!("{at}.waitFor"), format!("no step `{before}` comes before"), "name one that does");
            }
        }
        ids.extend(step["id"].as_str());
    }
    if document["timeout"].as_str().is_none() {
        report.add("timeout", "a build ends after 10 minutes, done or not", "set it, e.g. 1800s");
    }
    if document["serviceAccount"].as_str().is_none() {
        report.add("serviceAccount", "it runs as a default account, which may do much", "give it one of its own");
    }
}

pub(super) fn check_workflow(document: &Value, report: &mut Report) {
    if document["permissions"].is_null() {
        report.add("permissions", "every job has what the repository gives by default", "set {}, and more per job");
    }
    if !document["on"]["pull_request_target"].is_null() {
        report.add("on.pull_request_target", "a stranger's change would run with the secrets", "use pull_request");
    }
    for (name, job) in entries(&document["jobs"]) {
        let at = format!("jobs.{name}");
        if job["timeout-minutes"].is_null() {
            report.add(format!("{at}.timeout-minutes"), "a job that hangs is paid for six hours", "set it");
        }
        if job["permissions"] == "write-all" {
            report.add(format!("{at}.permissions"), "it may do everything", "name what it needs");
        }
        let needs = &job["needs"];
        for needed in needs.as_str().into_iter().chain(elements(needs).filter_map(|(_, needed)| needed.as_str())) {
            if document["jobs"][needed].is_null() {
                report.add(format!("{at}.needs"), format!("there is no job `{needed}`"), "name one of `jobs`");
            }
        }
        for (i, step) in elements(&job["steps"]) {
            check_step(&format!("{at}.steps[{i}]"), step, report);
        }
    }
}

fn check_step(at: &str, step: &Value, report: &mut Report) {
    if let Some(uses) = step["uses"].as_str().filter(|uses| !uses.starts_with("./")) {
        let commit = uses.rsplit_once('@').map_or("", |(_, commit)| commit);
        if commit.len() != 40 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            let message = format!("`{uses}` can become something else");
            report.add(format!("{at}.uses"), message, "pin the full commit of a release");
        }
        if uses.starts_with("actions/checkout@") && step["with"]["persist-credentials"] != false {
            let message = "later steps could use the checkout's token";
            report.add(format!("{at}.with.persist-credentials"), message, "set it to false");
        }
        if uses.starts_with("google-github-actions/auth@") && !step["with"]["credentials_json"].is_null() {
            let message = "a key can be copied and does not expire";
            report.add(format!("{at}.with.credentials_json"), message, "use workload_identity_provider");
        }
    }
    for untrusted in ["github.head_ref", "github.event.pull_request.title", "github.event.issue"] {
        if step["run"].as_str().is_some_and(|run| run.contains(&format!("{{{{ {untrusted}"))) {
            let message = format!("whoever writes `{untrusted}` writes this command");
            report.add(format!("{at}.run"), message, "hand it over in `env`");
        }
    }
}
