//! Where each metric is read: its name in `system.yaml` (or in the baseline), the PromQL that gives its value in its own
//! unit, the exporter behind it, and the series that feed its unit test. The one place that knows exporters' names.
//!
//! In expressions `$app` selects the tier's own programs, `$scope` its namespace where there is one, `$system` begins the
//! names of what the programs report about the business, `$window` is how far back uptime is looked at, `$job` is a program.

use super::Scene;
use super::feed::{Feed, level, moment, p95_bucket, rise};
use crate::tier::{CacheProduct, Engine, TierSpec};

/// How a metric is read where the row is for.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Its name, with its unit last.
    pub(crate) metric: &'static str,
    /// For which tiers.
    pub(crate) place: Place,
    /// What it measures.
    pub(crate) means: &'static str,
    /// Who exports it.
    pub(crate) from: &'static str,
    /// PromQL, one series as result.
    pub(crate) expr: &'static str,
    /// Series that give it a value.
    pub(crate) feeds: &'static [Feed],
    /// What to look at first when it is not as it should be.
    pub(crate) look: &'static str,
}

/// Of which tiers a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Anywhere,
    Scene(Scene),
    Database(Engine),
    Cache(CacheProduct),
}

impl Place {
    fn holds(self, spec: &TierSpec) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Scene(scene) => Scene::of(spec) == scene,
            Self::Database(engine) => spec.database.as_ref().is_some_and(|database| database.engine == engine),
            Self::Cache(product) => spec.cache.as_ref().is_some_and(|cache| cache.product == product),
        }
    }
}

/// How a tier reads a metric; the first row that is for it.
pub(crate) fn reading(metric: &str, spec: &TierSpec) -> Option<&'static Reading> {
    READINGS.iter().find(|reading| reading.metric == metric && reading.place.holds(spec))
}

const PROGRAM: &str = "the programs, histogram http_request_duration_seconds with the labels status and route";
const BUSINESS: &str = "the programs, from their own database";
const MEASURED: &str = "whoever measured it, through node_exporter's textfile collector or a push gateway";

const LOOK_SLOW: &str = "the dashboard's slowest routes, then the database's latency and connections, then the cache's hit \
    rate; a release in the last hour is the likeliest cause";
const LOOK_GROWTH: &str = "nothing is broken: compare the last weeks' growth with what the tier is made for";
const LOOK_MEASURED: &str = "the report of the run that measured it; measure again after every change";
const LOOK_CPU: &str =
    "which program or query takes it (pg_stat_statements, top), and whether a job runs at the wrong hour";
const LOOK_MEMORY: &str = "which container grows, and whether it does so since a release (a leak) or with the users";
const LOOK_DATABASE: &str = "pg_stat_statements by total time, pg_stat_activity for what waits, autovacuum";

/// Every reading. Rows for a product come before those for any.
#[rustfmt::skip]
pub(crate) static READINGS: &[Reading] = &[
    // What users notice.
    Reading { metric: "response_time_s", place: Place::Anywhere, from: PROGRAM, look: LOOK_SLOW,
        means: "mean response time of the last 5 minutes",
        expr: "sum(rate(http_request_duration_seconds_sum{$app}[5m])) / sum(rate(http_request_duration_seconds_count{$app}[5m]))",
        feeds: &[rise("http_request_duration_seconds_sum{$labels}", 1.0, 0.0), rise("http_request_duration_seconds_count{$labels}", 0.0, 1.0)] },
    Reading { metric: "response_time_ms", place: Place::Anywhere, from: PROGRAM, look: LOOK_SLOW,
        means: "mean response time of the last 5 minutes",
        expr: "1000 * sum(rate(http_request_duration_seconds_sum{$app}[5m])) / sum(rate(http_request_duration_seconds_count{$app}[5m]))",
        feeds: &[rise("http_request_duration_seconds_sum{$labels}", 0.001, 0.0), rise("http_request_duration_seconds_count{$labels}", 0.0, 1.0)] },
    Reading { metric: "response_time_p95_ms", place: Place::Anywhere, from: PROGRAM, look: LOOK_SLOW,
        means: "what 95 of 100 requests stay below, over the last 5 minutes",
        expr: "1000 * histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{$app}[5m])))",
        feeds: &[p95_bucket("http_request_duration_seconds_bucket{$labels,le=\"$le\"}", 0.001), rise("http_request_duration_seconds_bucket{$labels,le=\"+Inf\"}", 0.0, 1.0)] },
    Reading { metric: "error_rate_pct", place: Place::Anywhere, from: PROGRAM,
        look: "the programs' logs of the last minutes and the error tracker; roll back a release of the last hour",
        means: "requests answered with 5xx, in percent of the last 5 minutes'",
        expr: "100 * (sum(rate(http_request_duration_seconds_count{$app,status=~\"5..\"}[5m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{$app}[5m]))",
        feeds: &[rise("http_request_duration_seconds_count{$labels,status=\"500\"}", 1.0, 0.0), rise("http_request_duration_seconds_count{$labels,status=\"200\"}", -1.0, 100.0)] },
    Reading { metric: "uptime_pct", place: Place::Scene(Scene::Machine), from: "blackbox_exporter, job probe",
        look: "whether the machine answers at all, then the proxy's and the programs' logs",
        means: "probes that were answered, in percent",
        expr: "100 * avg(avg_over_time(probe_success{job=\"probe\"}[$window]))",
        feeds: &[level("probe_success{job=\"probe\"}", 0.01, 0.0)] },
    Reading { metric: "uptime_pct", place: Place::Anywhere, from: PROGRAM,
        look: "the error rate's panel and the targets that are down; what is left of the budget decides about releases",
        means: "requests not answered with 5xx, in percent",
        expr: "100 * (1 - (sum(rate(http_request_duration_seconds_count{$app,status=~\"5..\"}[$window])) or vector(0)) / sum(rate(http_request_duration_seconds_count{$app}[$window])))",
        feeds: &[rise("http_request_duration_seconds_count{$labels,status=\"500\"}", -1.0, 100.0), rise("http_request_duration_seconds_count{$labels,status=\"200\"}", 1.0, 0.0)] },
    // Machines and containers.
    Reading { metric: "cpu_pct", place: Place::Scene(Scene::Machine), from: "node_exporter", look: LOOK_CPU,
        means: "processors in use, in percent of the last 5 minutes",
        expr: "100 * (1 - avg(rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
        feeds: &[rise("node_cpu_seconds_total{mode=\"idle\",cpu=\"0\"}", -0.6, 60.0)] },
    Reading { metric: "cpu_pct", place: Place::Anywhere, from: "kubelet (cAdvisor) and kube-state-metrics", look: LOOK_CPU,
        means: "processors in use, in percent of the limits",
        expr: "100 * sum(rate(container_cpu_usage_seconds_total{$scope,container!=\"\"}[5m])) / sum(kube_pod_container_resource_limits{$scope,resource=\"cpu\"})",
        feeds: &[rise("container_cpu_usage_seconds_total{$labels,container=\"api\"}", 0.6, 0.0), level("kube_pod_container_resource_limits{$labels,resource=\"cpu\"}", 0.0, 1.0)] },
    Reading { metric: "memory_pct", place: Place::Scene(Scene::Machine), from: "node_exporter", look: LOOK_MEMORY,
        means: "memory in use, in percent of the machine's",
        expr: "100 * (1 - max(node_memory_MemAvailable_bytes) / max(node_memory_MemTotal_bytes))",
        feeds: &[level("node_memory_MemAvailable_bytes", -10.0, 1000.0), level("node_memory_MemTotal_bytes", 0.0, 1000.0)] },
    Reading { metric: "memory_pct", place: Place::Anywhere, from: "kubelet (cAdvisor) and kube-state-metrics", look: LOOK_MEMORY,
        means: "memory in use, in percent of the limits",
        expr: "100 * sum(container_memory_working_set_bytes{$scope,container!=\"\"}) / sum(kube_pod_container_resource_limits{$scope,resource=\"memory\"})",
        feeds: &[level("container_memory_working_set_bytes{$labels,container=\"api\"}", 1.0, 0.0), level("kube_pod_container_resource_limits{$labels,resource=\"memory\"}", 0.0, 100.0)] },
    Reading { metric: "disk_free_pct", place: Place::Scene(Scene::Machine), from: "node_exporter",
        look: "docker system df, old images, the database's write-ahead log and any replication slot nobody reads",
        means: "free space of the fullest disk, in percent",
        expr: "100 * min(node_filesystem_avail_bytes{fstype!~\"tmpfs|overlay|squashfs\"} / node_filesystem_size_bytes{fstype!~\"tmpfs|overlay|squashfs\"})",
        feeds: &[level("node_filesystem_avail_bytes{fstype=\"ext4\",mountpoint=\"/\"}", 1.0, 0.0), level("node_filesystem_size_bytes{fstype=\"ext4\",mountpoint=\"/\"}", 0.0, 100.0)] },
    Reading { metric: "pods_unavailable", place: Place::Scene(Scene::Cluster), from: "kube-state-metrics",
        look: "kubectl describe and kubectl logs --previous of the pods that are not ready",
        means: "pods that are wanted and not available",
        expr: "sum(kube_deployment_status_replicas_unavailable{$scope})",
        feeds: &[level("kube_deployment_status_replicas_unavailable{$labels}", 1.0, 0.0)] },
    Reading { metric: "pod_restarts_1h", place: Place::Scene(Scene::Cluster), from: "kube-state-metrics",
        look: "kubectl logs --previous and the reason of the last termination: OOMKilled wants a higher limit or a fix",
        means: "restarts of the container that restarts most, in an hour",
        expr: "max(increase(kube_pod_container_status_restarts_total{$scope}[1h]))",
        feeds: &[rise("kube_pod_container_status_restarts_total{$labels}", 1.0 / 60.0, 0.0)] },
    Reading { metric: "autoscaler_pct", place: Place::Scene(Scene::Cluster), from: "kube-state-metrics",
        look: "whether the load is real; then raise scaling.max, if the database's connections allow it",
        means: "pods of the autoscaler that is nearest its maximum, in percent of it",
        expr: "100 * max(kube_horizontalpodautoscaler_status_current_replicas{$scope} / kube_horizontalpodautoscaler_spec_max_replicas{$scope})",
        feeds: &[level("kube_horizontalpodautoscaler_status_current_replicas{$labels}", 1.0, 0.0), level("kube_horizontalpodautoscaler_spec_max_replicas{$labels}", 0.0, 100.0)] },
    Reading { metric: "target_up", place: Place::Anywhere, from: "Prometheus itself",
        look: "whether the program runs and its port answers; without it the other rules of this job are blind",
        means: "whether a target can be scraped",
        expr: "min by (job) (up{$scope})",
        feeds: &[level("up{$labels}", 1.0, 0.0)] },
    Reading { metric: "endpoint_up", place: Place::Scene(Scene::Machine), from: "blackbox_exporter, job probe",
        look: "the proxy's log, then whether the program behind it is healthy",
        means: "whether the service answers from outside of its container",
        expr: "min(probe_success{job=\"probe\"})",
        feeds: &[level("probe_success{job=\"probe\"}", 1.0, 0.0)] },
    Reading { metric: "certificate_days", place: Place::Scene(Scene::Machine), from: "blackbox_exporter, job probe",
        look: "the log of whatever renews the certificate",
        means: "days until the first certificate runs out",
        expr: "(min(probe_ssl_earliest_cert_expiry{job=\"probe\"}) - time()) / 86400",
        feeds: &[moment("probe_ssl_earliest_cert_expiry{job=\"probe\"}", 86_400.0)] },
    // The database.
    Reading { metric: "database_cpu_pct", place: Place::Database(Engine::CloudSql), from: "stackdriver_exporter, prefix cloudsql.googleapis.com/database", look: LOOK_DATABASE,
        means: "the database's processors in use, in percent",
        expr: "100 * max(stackdriver_cloudsql_database_cloudsql_googleapis_com_database_cpu_utilization)",
        feeds: &[level("stackdriver_cloudsql_database_cloudsql_googleapis_com_database_cpu_utilization", 0.01, 0.0)] },
    Reading { metric: "database_cpu_pct", place: Place::Database(Engine::Alloydb), from: "stackdriver_exporter, prefix alloydb.googleapis.com/instance", look: LOOK_DATABASE,
        means: "the database's processors in use, in percent",
        expr: "100 * max(stackdriver_alloydb_googleapis_com_instance_alloydb_googleapis_com_instance_cpu_average_utilization)",
        feeds: &[level("stackdriver_alloydb_googleapis_com_instance_alloydb_googleapis_com_instance_cpu_average_utilization", 0.01, 0.0)] },
    Reading { metric: "database_cpu_pct", place: Place::Database(Engine::Neon), from: "Neon's metrics export (OpenTelemetry, Scale plan)", look: LOOK_DATABASE,
        means: "the database's processors in use, in percent",
        expr: "100 * (1 - sum(rate(host_cpu_seconds_total{mode=\"idle\"}[5m])) / sum(rate(host_cpu_seconds_total[5m])))",
        feeds: &[rise("host_cpu_seconds_total{mode=\"idle\"}", -1.0, 100.0), rise("host_cpu_seconds_total{mode=\"user\"}", 1.0, 0.0)] },
    Reading { metric: "database_cpu_pct", place: Place::Database(Engine::Supabase), from: "Supabase's metrics endpoint", look: LOOK_DATABASE,
        means: "the database's processors in use, in percent",
        expr: "100 * (1 - avg(rate(node_cpu_seconds_total{service_type=\"db\",mode=\"idle\"}[5m])))",
        feeds: &[rise("node_cpu_seconds_total{service_type=\"db\",mode=\"idle\",cpu=\"0\"}", -0.6, 60.0)] },
    Reading { metric: "database_cpu_pct", place: Place::Anywhere, from: "node_exporter on the database's machines, job database", look: LOOK_DATABASE,
        means: "the database's processors in use, in percent",
        expr: "100 * (1 - avg(rate(node_cpu_seconds_total{job=\"database\",mode=\"idle\"}[5m])))",
        feeds: &[rise("node_cpu_seconds_total{job=\"database\",mode=\"idle\",cpu=\"0\"}", -0.6, 60.0)] },
    Reading { metric: "database_up", place: Place::Anywhere, from: "postgres_exporter",
        look: "the database's log; its disk first, its memory second",
        means: "whether the database answers",
        expr: "min(pg_up)", feeds: &[level("pg_up", 1.0, 0.0)] },
    Reading { metric: "database_connections", place: Place::Anywhere, from: "postgres_exporter", look: LOOK_DATABASE,
        means: "connections to the database",
        expr: "sum(pg_stat_activity_count)", feeds: &[level("pg_stat_activity_count{state=\"active\"}", 1.0, 0.0)] },
    Reading { metric: "database_connections_pct", place: Place::Anywhere, from: "postgres_exporter",
        look: "pg_stat_activity by application_name; idle in transaction is a bug, many idle want a smaller pool",
        means: "connections to the database, in percent of what it allows",
        expr: "100 * sum(pg_stat_activity_count) / max(pg_settings_max_connections)",
        feeds: &[level("pg_stat_activity_count{state=\"active\"}", 1.0, 0.0), level("pg_settings_max_connections", 0.0, 100.0)] },
    Reading { metric: "database_deadlocks_5m", place: Place::Anywhere, from: "postgres_exporter",
        look: "the database's log names both statements; take the locks in one order",
        means: "deadlocks of the last 5 minutes",
        expr: "sum(increase(pg_stat_database_deadlocks[5m]))", feeds: &[rise("pg_stat_database_deadlocks{datname=\"app\"}", 0.2, 0.0)] },
    Reading { metric: "database_oldest_transaction_s", place: Place::Anywhere, from: "postgres_exporter",
        look: "pg_stat_activity by xact_start; a transaction left open stops vacuum and grows every table",
        means: "age of the oldest open transaction",
        expr: "max(pg_stat_activity_max_tx_duration)", feeds: &[level("pg_stat_activity_max_tx_duration{state=\"idle in transaction\"}", 1.0, 0.0)] },
    Reading { metric: "replication_lag_s", place: Place::Anywhere, from: "postgres_exporter on the replicas",
        look: "long queries on the replica that hold up its replay, and the network between the two",
        means: "how far the slowest replica is behind",
        expr: "max(pg_replication_lag_seconds)", feeds: &[level("pg_replication_lag_seconds", 1.0, 0.0)] },
    Reading { metric: "pooler_waiting", place: Place::Anywhere, from: "pgbouncer_exporter",
        look: "SHOW POOLS on the pooler: long transactions hold its server connections",
        means: "clients that wait for a database connection",
        expr: "sum(pgbouncer_pools_client_waiting_connections)", feeds: &[level("pgbouncer_pools_client_waiting_connections{database=\"app\"}", 1.0, 0.0)] },
    // The cache.
    Reading { metric: "cache_hit_rate_pct", place: Place::Cache(CacheProduct::Upstash), from: "the programs, counter cache_requests_total with the label result (Upstash over HTTP has no exporter)",
        look: "which keys expire too soon, or are never asked for twice",
        means: "reads the cache could answer, in percent of the last 5 minutes'",
        expr: "100 * (sum(rate(cache_requests_total{$app,result=\"hit\"}[5m])) or vector(0)) / sum(rate(cache_requests_total{$app}[5m]))",
        feeds: &[rise("cache_requests_total{$labels,result=\"hit\"}", 1.0, 0.0), rise("cache_requests_total{$labels,result=\"miss\"}", -1.0, 100.0)] },
    Reading { metric: "cache_hit_rate_pct", place: Place::Anywhere, from: "redis_exporter",
        look: "which keys expire too soon, whether memory is full and keys are evicted",
        means: "reads the cache could answer, in percent of the last 5 minutes'",
        expr: "100 * sum(rate(redis_keyspace_hits_total[5m])) / (sum(rate(redis_keyspace_hits_total[5m])) + sum(rate(redis_keyspace_misses_total[5m])))",
        feeds: &[rise("redis_keyspace_hits_total", 1.0, 0.0), rise("redis_keyspace_misses_total", -1.0, 100.0)] },
    Reading { metric: "cache_up", place: Place::Anywhere, from: "redis_exporter",
        look: "the cache's log; whether its append-only file loads and its disk has room",
        means: "whether the cache answers",
        expr: "min(redis_up)", feeds: &[level("redis_up", 1.0, 0.0)] },
    Reading { metric: "cache_memory_pct", place: Place::Anywhere, from: "redis_exporter",
        look: "redis-cli --bigkeys and the queue's length: jobs nobody takes fill it, and a full one refuses writes",
        means: "the cache's memory in use, in percent of maxmemory",
        expr: "100 * max(redis_memory_used_bytes / redis_memory_max_bytes)",
        feeds: &[level("redis_memory_used_bytes", 1.0, 0.0), level("redis_memory_max_bytes", 0.0, 100.0)] },
    // What only the programs know.
    Reading { metric: "active_users", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "users who were active in the last 30 days",
        expr: "max($system_active_users{$scope})", feeds: &[level("$system_active_users{$labels}", 1.0, 0.0)] },
    Reading { metric: "daily_active_users", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "users who were active today",
        expr: "max($system_daily_active_users{$scope})", feeds: &[level("$system_daily_active_users{$labels}", 1.0, 0.0)] },
    Reading { metric: "concurrent_users", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "users with a request in the last 5 minutes",
        expr: "max($system_concurrent_users{$scope})", feeds: &[level("$system_concurrent_users{$labels}", 1.0, 0.0)] },
    Reading { metric: "user_growth_pct_month_over_month", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "active users more than 30 days ago, in percent",
        expr: "max($system_user_growth_pct_month_over_month{$scope})", feeds: &[level("$system_user_growth_pct_month_over_month{$labels}", 1.0, 0.0)] },
    Reading { metric: "mrr_usd", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "monthly recurring revenue",
        expr: "max($system_mrr_usd{$scope})", feeds: &[level("$system_mrr_usd{$labels}", 1.0, 0.0)] },
    Reading { metric: "request_quota_pct", place: Place::Anywhere, from: "the programs, from their platform's plan",
        look: "the platform's usage page: which route and which client asks so often",
        means: "requests used up of the plan's month, in percent",
        expr: "max($system_request_quota_pct{$scope})", feeds: &[level("$system_request_quota_pct{$labels}", 1.0, 0.0)] },
    // What is measured once, and stays known.
    Reading { metric: "beta_users", place: Place::Anywhere, from: BUSINESS, look: LOOK_GROWTH,
        means: "users of the test",
        expr: "max($system_beta_users{$scope})", feeds: &[level("$system_beta_users{$labels}", 1.0, 0.0)] },
    Reading { metric: "load_test_users", place: Place::Anywhere, from: MEASURED, look: LOOK_MEASURED,
        means: "users at a time the last load test carried within its limits",
        expr: "max($system_load_test_users)", feeds: &[level("$system_load_test_users", 1.0, 0.0)] },
    Reading { metric: "emotion_accuracy_pct", place: Place::Anywhere, from: MEASURED, look: LOOK_MEASURED,
        means: "emotions the model names as people do, in percent of the test set",
        expr: "max($system_emotion_accuracy_pct)", feeds: &[level("$system_emotion_accuracy_pct", 1.0, 0.0)] },
    Reading { metric: "migration_minutes", place: Place::Anywhere, from: MEASURED, look: LOOK_MEASURED,
        means: "how long the last move took, as `tierlift status` says",
        expr: "max($system_migration_minutes)", feeds: &[level("$system_migration_minutes", 1.0, 0.0)] },
    Reading { metric: "downtime_minutes", place: Place::Anywhere, from: MEASURED, look: LOOK_MEASURED,
        means: "how long writes were fenced in the last move, as `tierlift status` says",
        expr: "max($system_downtime_minutes)", feeds: &[level("$system_downtime_minutes", 1.0, 0.0)] },
];

impl Reading {
    /// Whether somebody measures it once in a while, and it then stays as it is.
    pub(crate) fn is_measured_once(&self) -> bool {
        self.from == MEASURED
    }

    /// Whether a test's series is its value, without arithmetic that could round.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.feeds, [feed] if feed.is_value())
    }

    /// Whether its series keep the label `job`.
    pub(crate) fn by_job(&self) -> bool {
        self.expr.contains("by (job)")
    }
}
