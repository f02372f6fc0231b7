//! Policies of Google Cloud Monitoring, past what its API would only say when they are made.

use serde_json::Value;

use super::{Report, elements};

pub(super) fn check(path: &str, text: &str, report: &mut Report) {
    if !path.ends_with(".json") {
        return;
    }
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => return report.add("", format!("it is no JSON: {error}"), "correct the template"),
    };
    if document["displayName"].as_str().unwrap_or("").is_empty() {
        report.add("displayName", "it has no name", "give it one");
    }
    if !path.contains("/policies/") {
        return;
    }
    if document["documentation"]["content"].as_str().unwrap_or("").is_empty() {
        report.add("documentation", "whoever is woken would not know what to do", "write it");
    }
    if elements(&document["conditions"]).next().is_none() {
        report.add("conditions", "it can't fire", "write a condition");
    }
    for (i, condition) in elements(&document["conditions"]) {
        let at = |field: &str| format!("conditions[{i}].{field}");
        let threshold = &condition["conditionThreshold"];
        let promql = &condition["conditionPrometheusQueryLanguage"];
        let filter = threshold["filter"].as_str().unwrap_or("");
        if threshold.is_object() && !(filter.contains("metric.type") && filter.contains("resource.type")) {
            report.add(at("conditionThreshold.filter"), "it does not say which metric of what", "name both types");
        }
        if threshold.is_object() && !["COMPARISON_GT", "COMPARISON_LT"].iter().any(|c| threshold["comparison"] == *c) {
            let remedy = "use COMPARISON_GT or COMPARISON_LT";
            report.add(at("conditionThreshold.comparison"), "the API does not know it", remedy);
        }
        if !threshold.is_object() && promql["query"].as_str().unwrap_or("").is_empty() {
            report.add(at("conditionPrometheusQueryLanguage"), "it has no query", "write one, in PromQL");
        }
        let kind = if threshold.is_object() { threshold } else { promql };
        let seconds = kind["duration"].as_str().and_then(|text| text.strip_suffix('s')?.parse::<u64>().ok());
        if seconds.is_none_or(|seconds| seconds % 60 != 0) {
            report.add(at("duration"), "the API takes whole minutes, in seconds", "use something like 300s");
        }
    }
}
