//! The same rules as alert policies of Google Cloud Monitoring: one file a policy, as `gcloud` takes them, and a dashboard.
//!
//! What Google measures itself is read there; everything else with PromQL from the metrics that its managed collection
//! keeps.

use serde_json::{Value, json};

use super::{Origin, WatchRule, Watched, label_and_unit, short};
use crate::system::{Op, Severity};
use crate::tier::{CacheProduct, Engine, Platform};

/// A metric of Google's own.
struct GoogleMetric {
    /// The kind of resource and the metric, as a filter.
    filter: String,
    aligner: &'static str,
    reducer: &'static str,
    /// What it is a share of, where it is one.
    denominator: Option<String>,
    /// Its value is this many times ours.
    times: f64,
}

/// Policies and dashboard, by file.
pub(crate) fn files(watched: Watched) -> Vec<(String, String)> {
    let rules = watched.rules();
    let mut files: Vec<(String, String)> = rules
        .iter()
        .map(|rule| (format!("cloud-monitoring/policies/{}.json", rule.alert), text(&policy(watched, rule))))
        .collect();
    files.push(("cloud-monitoring/dashboard.json".to_owned(), text(&dashboard(watched, &rules))));
    files
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

fn title(watched: Watched, alert: &str) -> String {
    format!("{} {}: {alert}", watched.system.title, watched.tier)
}

fn policy(watched: Watched, rule: &WatchRule) -> Value {
    let reading = rule.reading;
    let (label, unit) = label_and_unit(reading.metric);
    let severity = match rule.severity {
        Severity::Page => "CRITICAL",
        Severity::Ticket => "ERROR",
        Severity::Notice => "WARNING",
    };
    let conditions: Vec<Value> = match google_metric(watched, reading.metric) {
        Some(metric) => rule.windows.iter().map(|window| threshold(rule, &metric, window)).collect(),
        None => vec![promql(watched, rule)],
    };
    let content = format!(
        "{label} {} {}{unit} for {}. {}\n\nMeasured: {}.\n\nLook at: {}.",
        rule.op,
        short(rule.value),
        rule.lasting,
        rule.description,
        reading.means,
        reading.look
    );
    json!({
        "displayName": title(watched, &rule.alert),
        "documentation": {"content": content, "mimeType": "text/markdown", "subject": title(watched, &rule.alert)},
        "userLabels": {
            "system": watched.system.system,
            "tier": watched.tier,
            "origin": rule.origin,
            "metric": reading.metric,
            "severity": rule.severity,
        },
        "severity": severity,
        // Several windows must all be missed.
        "combiner": if conditions.len() > 1 { "AND" } else { "OR" },
        "conditions": conditions,
        "alertStrategy": {"autoClose": "86400s"},
        "enabled": true,
    })
}

fn threshold(rule: &WatchRule, metric: &GoogleMetric, window: &str) -> Value {
    // A policy looks back a day at most, so a month's uptime is watched an hour at a time.
    let period = match window {
        "5m" => "300s",
        "30m" => "1800s",
        "6h" => "21600s",
        _ if rule.reading.metric == "uptime_pct" => "3600s",
        _ => "300s",
    };
    let aggregation = json!({
        "alignmentPeriod": period,
        "perSeriesAligner": metric.aligner,
        "crossSeriesReducer": metric.reducer,
    });
    let mut condition = json!({
        "filter": metric.filter,
        "aggregations": [aggregation],
        // The API knows no "at least": on a scale without steps it is the same.
        "comparison": match rule.op {
            Op::AtLeast | Op::MoreThan => "COMPARISON_GT",
            Op::AtMost | Op::LessThan => "COMPARISON_LT",
        },
        "thresholdValue": rounded(rule.value * metric.times),
        "duration": duration(rule),
        "trigger": {"count": 1},
    });
    if let Some(denominator) = &metric.denominator {
        condition["denominatorFilter"] = json!(denominator);
        condition["denominatorAggregations"] = json!([aggregation]);
    }
    json!({"displayName": format!("{} over {period}", rule.alert), "conditionThreshold": condition})
}

fn promql(watched: Watched, rule: &WatchRule) -> Value {
    json!({
        "displayName": rule.alert,
        "conditionPrometheusQueryLanguage": {
            "query": watched.expr(rule),
            "duration": duration(rule),
            "evaluationInterval": "60s",
            "ruleGroup": format!("{}-{}", watched.system.slug(), watched.tier),
            "alertRule": rule.alert,
        },
    })
}

/// Whole minutes, as the API wants them.
fn duration(rule: &WatchRule) -> String {
    format!("{}s", rule.lasting.seconds().div_ceil(60) * 60)
}

/// Without the noise of a number's binary form.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// What Google itself measures of it, where it does.
fn google_metric(watched: Watched, metric: &str) -> Option<GoogleMetric> {
    let of_database = |engine: Engine| watched.spec.database.as_ref().is_some_and(|db| db.engine == engine);
    let of_cache = |product: CacheProduct| watched.spec.cache.as_ref().is_some_and(|cache| cache.product == product);
    let on_cloud_run = watched.spec.has(Platform::CloudRun);
    let run = |metric: &str, more: &str| {
        let names: Vec<String> = watched.programs().map(|name| format!("\"{name}\"")).collect();
        format!(
            "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = one_of({}) AND metric.type = \
             \"run.googleapis.com/{metric}\"{more}",
            names.join(", ")
        )
    };
    let latency = |reducer, times| GoogleMetric {
        filter: run("request_latencies", ""),
        aligner: "ALIGN_DELTA",
        reducer,
        denominator: None,
        times,
    };
    let share = |more: &str| GoogleMetric {
        filter: run("request_count", more),
        aligner: "ALIGN_RATE",
        reducer: "REDUCE_SUM",
        denominator: Some(run("request_count", "")),
        times: 0.01,
    };
    let utilization = |resource: &str, metric: &str, reducer| GoogleMetric {
        filter: format!("resource.type = \"{resource}\" AND metric.type = \"{metric}\""),
        aligner: "ALIGN_MEAN",
        reducer,
        denominator: None,
        times: 0.01,
    };
    match metric {
        // Cloud Run measures in milliseconds.
        "response_time_s" if on_cloud_run => Some(latency("REDUCE_MEAN", 1000.0)),
        "response_time_ms" if on_cloud_run => Some(latency("REDUCE_MEAN", 1.0)),
        "response_time_p95_ms" if on_cloud_run => Some(latency("REDUCE_PERCENTILE_95", 1.0)),
        "error_rate_pct" if on_cloud_run => Some(share(" AND metric.labels.response_code_class = \"5xx\"")),
        "uptime_pct" if on_cloud_run => Some(share(" AND metric.labels.response_code_class != \"5xx\"")),
        "database_cpu_pct" if of_database(Engine::CloudSql) => {
            Some(utilization("cloudsql_database", "cloudsql.googleapis.com/database/cpu/utilization", "REDUCE_MAX"))
        }
        "database_cpu_pct" if of_database(Engine::Alloydb) => Some(utilization(
            "alloydb.googleapis.com/Instance",
            "alloydb.googleapis.com/instance/cpu/average_utilization",
            "REDUCE_MAX",
        )),
        "cache_hit_rate_pct" if of_cache(CacheProduct::Memorystore) => {
            Some(utilization("redis_instance", "redis.googleapis.com/stats/cache_hit_ratio", "REDUCE_MEAN"))
        }
        "cache_memory_pct" if of_cache(CacheProduct::Memorystore) => {
            Some(utilization("redis_instance", "redis.googleapis.com/stats/memory/usage_ratio", "REDUCE_MAX"))
        }
        _ => None,
    }
}

/// A tile for every metric of trigger, gates and alerts, with its thresholds, and for what the platform is doing.
fn dashboard(watched: Watched, rules: &[WatchRule]) -> Value {
    const WIDTH: usize = 16;
    const HEIGHT: usize = 14;
    let mut widgets: Vec<Value> = Vec::new();
    for (i, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.origin != Origin::Baseline) {
        let metric = rule.reading.metric;
        if rules[..i].iter().any(|other| other.reading.metric == metric) {
            continue;
        }
        let google = google_metric(watched, metric);
        let times = google.as_ref().map_or(1.0, |google| google.times);
        let about = rules.iter().filter(|other| other.reading.metric == metric && other.windows.len() == 1);
        let thresholds: Vec<Value> = about.map(|other| json!({"value": rounded(other.value * times)})).collect();
        let query = match google {
            Some(google) => series(&google),
            None => json!({"prometheusQuery": watched.value_expr(rule.reading, "1h")}),
        };
        widgets.push(widget(&label_and_unit(metric).0, &query, &thresholds));
    }
    if watched.spec.has(Platform::CloudRun) {
        let names: Vec<String> = watched.programs().map(|name| format!("\"{name}\"")).collect();
        let tiles = [
            (
                "requests by answer",
                "request_count",
                "ALIGN_RATE",
                "REDUCE_SUM",
                json!(["metric.label.response_code_class"]),
            ),
            (
                "instances",
                "container/instance_count",
                "ALIGN_MAX",
                "REDUCE_SUM",
                json!(["resource.label.service_name"]),
            ),
            (
                "processors, 95th percentile",
                "container/cpu/utilizations",
                "ALIGN_DELTA",
                "REDUCE_PERCENTILE_95",
                json!([]),
            ),
            (
                "memory, 95th percentile",
                "container/memory/utilizations",
                "ALIGN_DELTA",
                "REDUCE_PERCENTILE_95",
                json!([]),
            ),
        ];
        for (title, metric, aligner, reducer, by) in tiles {
            let query = json!({"timeSeriesFilter": {
                "filter": format!(
                    "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = one_of({}) AND metric.type \
                     = \"run.googleapis.com/{metric}\"",
                    names.join(", ")
                ),
                "aggregation": {
                    "alignmentPeriod": "60s",
                    "perSeriesAligner": aligner,
                    "crossSeriesReducer": reducer,
                    "groupByFields": by,
                },
            }});
            widgets.push(widget(title, &query, &[]));
        }
    }
    let tiles: Vec<Value> = widgets
        .into_iter()
        .enumerate()
        .map(|(i, widget)| {
            json!({"xPos": i % 3 * WIDTH, "yPos": i / 3 * HEIGHT, "width": WIDTH, "height": HEIGHT, "widget": widget})
        })
        .collect();
    json!({
        "displayName": format!("{} {}", watched.system.title, watched.tier),
        "mosaicLayout": {"columns": 48, "tiles": tiles},
    })
}

fn series(metric: &GoogleMetric) -> Value {
    let aggregation = json!({
        "alignmentPeriod": "300s",
        "perSeriesAligner": metric.aligner,
        "crossSeriesReducer": metric.reducer,
    });
    match &metric.denominator {
        Some(denominator) => json!({"timeSeriesFilterRatio": {
            "numerator": {"filter": metric.filter, "aggregation": aggregation},
            "denominator": {"filter": denominator, "aggregation": aggregation},
        }}),
        None => json!({"timeSeriesFilter": {"filter": metric.filter, "aggregation": aggregation}}),
    }
}

fn widget(title: &str, query: &Value, thresholds: &[Value]) -> Value {
    json!({
        "title": title,
        "xyChart": {
            "dataSets": [{"timeSeriesQuery": query, "plotType": "LINE", "targetAxis": "Y1"}],
            "thresholds": thresholds,
            "yAxis": {"scale": "LINEAR"},
        },
    })
}
