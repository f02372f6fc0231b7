//! The dashboard: rows of panels, each with what it shows, in the notation of `readings`.

use super::Scene;
use crate::tier::{CacheProduct, TierSpec};

/// A panel of the dashboard.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// Grafana's name of the unit.
    pub(crate) unit: &'static str,
    /// PromQL and what its lines are called.
    pub(crate) targets: &'static [(&'static str, &'static str)],
    /// The metric whose rules draw their thresholds here; none for no line.
    pub(crate) metric: Option<&'static str>,
}

/// A row of panels, for the tiers it is for.
pub(crate) struct PanelRow {
    pub(crate) title: &'static str,
    pub(crate) when: fn(&TierSpec) -> bool,
    pub(crate) panels: &'static [Panel],
}

fn scraped_cache(spec: &TierSpec) -> bool {
    Scene::of(spec) != Scene::Hosted && spec.cache.as_ref().is_some_and(|cache| cache.product != CacheProduct::Upstash)
}

#[rustfmt::skip]
pub(crate) static ROWS: &[PanelRow] = &[
    PanelRow { title: "Traffic, latency, errors", when: |_| true, panels: &[
        Panel { title: "Requests", unit: "reqps", metric: None, targets: &[
            ("sum by (job) (rate(http_request_duration_seconds_count{$app}[5m]))", "{{job}}")] },
        Panel { title: "Response time", unit: "s", metric: Some("response_time_s"), targets: &[
            ("histogram_quantile(0.50, sum by (le) (rate(http_request_duration_seconds_bucket{$app}[5m])))", "p50"),
            ("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{$app}[5m])))", "p95"),
            ("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{$app}[5m])))", "p99"),
            ("sum(rate(http_request_duration_seconds_sum{$app}[5m])) / sum(rate(http_request_duration_seconds_count{$app}[5m]))", "mean")] },
        Panel { title: "Errors", unit: "percent", metric: Some("error_rate_pct"), targets: &[
            ("100 * (sum(rate(http_request_duration_seconds_count{$app,status=~\"5..\"}[5m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{$app}[5m]))", "5xx"),
            ("100 * (sum(rate(http_request_duration_seconds_count{$app,status=~\"4..\"}[5m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{$app}[5m]))", "4xx")] },
        Panel { title: "Slowest routes, 95th percentile", unit: "s", metric: None, targets: &[
            ("topk(5, histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket{$app}[5m]))))", "{{route}}")] },
    ] },
    PanelRow { title: "The machine", when: |spec| Scene::of(spec) == Scene::Machine, panels: &[
        Panel { title: "Processors", unit: "percent", metric: Some("cpu_pct"), targets: &[
            ("100 * (1 - avg(rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))", "in use"),
            ("100 * avg(rate(node_cpu_seconds_total{mode=\"steal\"}[5m]))", "stolen")] },
        Panel { title: "Memory", unit: "percent", metric: Some("memory_pct"), targets: &[
            ("100 * (1 - max(node_memory_MemAvailable_bytes) / max(node_memory_MemTotal_bytes))", "in use")] },
        Panel { title: "Disks", unit: "percent", metric: Some("disk_free_pct"), targets: &[
            ("100 * node_filesystem_avail_bytes{fstype!~\"tmpfs|overlay|squashfs\"} / node_filesystem_size_bytes{fstype!~\"tmpfs|overlay|squashfs\"}", "free {{mountpoint}}")] },
        Panel { title: "Network", unit: "Bps", metric: None, targets: &[
            ("sum(rate(node_network_receive_bytes_total{device!=\"lo\"}[5m]))", "in"),
            ("sum(rate(node_network_transmit_bytes_total{device!=\"lo\"}[5m]))", "out")] },
    ] },
    PanelRow { title: "Pods", when: |spec| Scene::of(spec) == Scene::Cluster, panels: &[
        Panel { title: "Processors, of the limits", unit: "percent", metric: Some("cpu_pct"), targets: &[
            ("100 * sum by (container) (rate(container_cpu_usage_seconds_total{$scope,container!=\"\"}[5m])) / sum by (container) (kube_pod_container_resource_limits{$scope,resource=\"cpu\"})", "{{container}}")] },
        Panel { title: "Memory, of the limits", unit: "percent", metric: Some("memory_pct"), targets: &[
            ("100 * sum by (container) (container_memory_working_set_bytes{$scope,container!=\"\"}) / sum by (container) (kube_pod_container_resource_limits{$scope,resource=\"memory\"})", "{{container}}")] },
        Panel { title: "Pods, and the autoscalers' maximum", unit: "short", metric: None, targets: &[
            ("kube_horizontalpodautoscaler_status_current_replicas{$scope}", "{{horizontalpodautoscaler}}"),
            ("kube_horizontalpodautoscaler_spec_max_replicas{$scope}", "{{horizontalpodautoscaler}} at most")] },
        Panel { title: "Restarts in an hour", unit: "short", metric: Some("pod_restarts_1h"), targets: &[
            ("sum by (container) (increase(kube_pod_container_status_restarts_total{$scope}[1h]))", "{{container}}")] },
    ] },
    PanelRow { title: "Database", when: |spec| spec.database.is_some() && Scene::of(spec) != Scene::Hosted, panels: &[
        Panel { title: "Connections", unit: "short", metric: Some("database_connections"), targets: &[
            ("sum by (state) (pg_stat_activity_count)", "{{state}}"),
            ("max(pg_settings_max_connections)", "at most")] },
        Panel { title: "Time of a statement, mean", unit: "ms", metric: None, targets: &[
            ("1000 * sum(rate(pg_stat_statements_seconds_total[5m])) / sum(rate(pg_stat_statements_calls_total[5m]))", "mean")] },
        Panel { title: "Transactions", unit: "ops", metric: None, targets: &[
            ("sum(rate(pg_stat_database_xact_commit[5m]))", "committed"),
            ("sum(rate(pg_stat_database_xact_rollback[5m]))", "rolled back")] },
        Panel { title: "Pages found in memory", unit: "percent", metric: None, targets: &[
            ("100 * sum(rate(pg_stat_database_blks_hit[5m])) / (sum(rate(pg_stat_database_blks_hit[5m])) + sum(rate(pg_stat_database_blks_read[5m])))", "hits")] },
        Panel { title: "Oldest transaction", unit: "s", metric: Some("database_oldest_transaction_s"), targets: &[
            ("max by (state) (pg_stat_activity_max_tx_duration)", "{{state}}")] },
        Panel { title: "Size", unit: "bytes", metric: None, targets: &[("max by (datname) (pg_database_size_bytes)", "{{datname}}")] },
    ] },
    PanelRow { title: "Replicas", when: |spec| spec.database.as_ref().is_some_and(|database| database.read_replicas > 0), panels: &[
        Panel { title: "How far replicas are behind", unit: "s", metric: Some("replication_lag_s"), targets: &[
            ("max by (instance) (pg_replication_lag_seconds)", "{{instance}}")] },
    ] },
    PanelRow { title: "Pooler", when: super::baseline::has_pooler, panels: &[
        Panel { title: "Clients", unit: "short", metric: Some("pooler_waiting"), targets: &[
            ("sum(pgbouncer_pools_client_active_connections)", "active"),
            ("sum(pgbouncer_pools_client_waiting_connections)", "waiting")] },
        Panel { title: "Server connections", unit: "short", metric: None, targets: &[
            ("sum(pgbouncer_pools_server_active_connections)", "active"),
            ("sum(pgbouncer_pools_server_idle_connections)", "idle")] },
    ] },
    PanelRow { title: "Cache", when: scraped_cache, panels: &[
        Panel { title: "Memory, of maxmemory", unit: "percent", metric: Some("cache_memory_pct"), targets: &[
            ("100 * max(redis_memory_used_bytes / redis_memory_max_bytes)", "in use")] },
        Panel { title: "Reads it could answer", unit: "percent", metric: Some("cache_hit_rate_pct"), targets: &[
            ("100 * sum(rate(redis_keyspace_hits_total[5m])) / (sum(rate(redis_keyspace_hits_total[5m])) + sum(rate(redis_keyspace_misses_total[5m])))", "hits")] },
        Panel { title: "Keys that went", unit: "ops", metric: None, targets: &[
            ("sum(rate(redis_evicted_keys_total[5m]))", "evicted"),
            ("sum(rate(redis_expired_keys_total[5m]))", "expired")] },
        Panel { title: "Commands and clients", unit: "short", metric: None, targets: &[
            ("sum(rate(redis_commands_processed_total[5m]))", "commands a second"),
            ("max(redis_connected_clients)", "clients")] },
    ] },
];
