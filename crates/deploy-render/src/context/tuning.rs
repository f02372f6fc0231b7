//! Parameters of PostgreSQL, from the memory and processors it has.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tier::Database;

/// A parameter that differs from PostgreSQL's default.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ParameterView {
    name: String,
    /// With its unit and quotes, as `alter system` takes it.
    value: String,
    /// Why this value.
    why: String,
    /// Whether it takes effect only after a restart.
    restart: bool,
}

/// Parameters that only take effect after a restart: those of `postgres --describe-config` with context `postmaster`, of
/// PostgreSQL 16 and 18, without what says where the server's own files are.
const NEEDS_RESTART: [&str; 52] = [
    "archive_mode",
    "autovacuum_freeze_max_age",
    "autovacuum_multixact_freeze_max_age",
    "autovacuum_worker_slots",
    "bonjour",
    "cluster_name",
    "commit_timestamp_buffers",
    "data_sync_retry",
    "dynamic_shared_memory_type",
    "hot_standby",
    "huge_page_size",
    "huge_pages",
    "io_max_combine_limit",
    "io_max_concurrency",
    "io_method",
    "jit_provider",
    "listen_addresses",
    "logging_collector",
    "max_active_replication_origins",
    "max_connections",
    "max_files_per_process",
    "max_locks_per_transaction",
    "max_logical_replication_workers",
    "max_notify_queue_pages",
    "max_pred_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "min_dynamic_shared_memory",
    "multixact_member_buffers",
    "multixact_offset_buffers",
    "notify_buffers",
    "old_snapshot_threshold",
    "port",
    "reserved_connections",
    "serializable_buffers",
    "shared_buffers",
    "shared_memory_type",
    "shared_preload_libraries",
    "subtransaction_buffers",
    "superuser_reserved_connections",
    "track_activity_query_size",
    "track_commit_timestamp",
    "transaction_buffers",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "wal_buffers",
    "wal_decode_buffer_size",
    "wal_level",
    "wal_log_hints",
];

/// Parameters whose value is a list of names. Quoted as one, `a, b` is a single name, and a server that shall preload it
/// does not start again.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

fn needs_restart(name: &str, version: u32) -> bool {
    NEEDS_RESTART.contains(&name) || (name == "autovacuum_max_workers" && version < 18)
}

/// A value as `alter system` takes it. Validation lets no quote in.
fn quoted(name: &str, value: &str) -> String {
    match LISTS.contains(&name) {
        true => value.split(',').map(|part| format!("'{}'", part.trim())).collect::<Vec<_>>().join(", "),
        false => format!("'{value}'"),
    }
}

/// What we set besides `max_connections` on a Cloud SQL instance, which sizes its memory by itself: flag, value, why.
const CLOUD_SQL: [(&str, &str, &str); 8] = [
    ("random_page_cost", "1.1", "its disks find a page anywhere as fast as the next one"),
    ("log_min_duration_statement", "500", "milliseconds: slow statements are in the log"),
    ("log_lock_waits", "on", "who waits for whom is in the log"),
    ("log_temp_files", "10240", "KiB: sorts that did not fit work_mem"),
    ("idle_in_transaction_session_timeout", "600000", "milliseconds: a forgotten transaction stops vacuum"),
    ("autovacuum_vacuum_scale_factor", "0.05", "large tables are vacuumed before a fifth of them is dead"),
    ("autovacuum_analyze_scale_factor", "0.02", "and analysed before a tenth of them changed"),
    ("track_io_timing", "on", "plans and statistics say how long reading took"),
];

/// Flags of a Cloud SQL instance, by name; what the tier sets itself wins. Value, and why.
pub(crate) fn cloud_sql_flags(database: &Database) -> BTreeMap<String, (String, String)> {
    let flag = |(name, value, why): (&str, &str, &str)| (name.to_owned(), (value.to_owned(), why.to_owned()));
    let mut flags: BTreeMap<_, _> = CLOUD_SQL.into_iter().map(flag).collect();
    let own = database.parameters.iter();
    flags.extend(own.map(|(name, value)| (name.clone(), (value.clone(), "the tier's own".to_owned()))));
    let connections = (database.max_connections.to_string(), "as many as the services' pools take".to_owned());
    flags.insert("max_connections".to_owned(), connections);
    flags
}

/// Parameters of a server, sorted so that those without a restart come first; what the tier sets itself wins.
///
/// Empty where its memory is not known: nothing follows from nothing.
pub(super) fn parameters(database: &Database) -> Vec<ParameterView> {
    let Some(memory) = &database.memory else { return Vec::new() };
    let mib = u64::try_from(memory.mebibytes()).unwrap_or(0);
    let connections = u64::from(database.max_connections.max(1));
    let shared = mib / 4;
    let megabytes = |value: u64| format!("{value}MB");
    let mut found: Vec<(String, String, String)> = Vec::new();
    let mut set = |name: &str, value: String, why: &str| found.push((name.to_owned(), value, why.to_owned()));
    set("shared_buffers", megabytes(shared), "a quarter of the memory");
    set("effective_cache_size", megabytes(mib * 3 / 4), "three quarters: its own buffers and the system's file cache");
    set(
        "maintenance_work_mem",
        megabytes((mib / 16).clamp(64, 2048)),
        "a sixteenth; vacuum and index builds run a few at a time",
    );
    set(
        "work_mem",
        megabytes(((mib - shared) / (3 * connections)).clamp(4, 256)),
        "what is left, for every connection's sorts, three times over",
    );
    set("max_wal_size", if mib >= 2048 { "4GB" } else { "2GB" }.to_owned(), "fewer checkpoints under load");
    set("wal_compression", "on".to_owned(), "less to write for a little processor time");
    set("random_page_cost", "1.1".to_owned(), "a solid-state disk reads anywhere as fast");
    set("effective_io_concurrency", "200".to_owned(), "a solid-state disk answers many reads at a time");
    set(
        "autovacuum_vacuum_scale_factor",
        "0.05".to_owned(),
        "large tables are vacuumed before a fifth of them is dead",
    );
    set("autovacuum_analyze_scale_factor", "0.02".to_owned(), "and their statistics stay fresh");
    set("idle_in_transaction_session_timeout", "10min".to_owned(), "a forgotten transaction stops vacuum");
    set("log_min_duration_statement", "500ms".to_owned(), "slow statements are in the log");
    set("log_lock_waits", "on".to_owned(), "and so is who waits for a lock");
    set("log_temp_files", "10MB".to_owned(), "and sorts that did not fit work_mem");
    set("max_connections", database.max_connections.to_string(), "the pools of all programs and 20 for people fit");
    set("shared_preload_libraries", "pg_stat_statements".to_owned(), "which statements take the time");
    if let Some(vcpu) = database.vcpu {
        set("max_worker_processes", vcpu.max(8).to_string(), "parallel queries and extensions");
        set("max_parallel_workers", vcpu.to_string(), "one a processor");
        set(
            "max_parallel_workers_per_gather",
            (vcpu / 2).clamp(1, 4).to_string(),
            "half, so that one query leaves room",
        );
        set("max_parallel_maintenance_workers", (vcpu / 2).clamp(1, 4).to_string(), "index builds");
    }
    for (name, value) in &database.parameters {
        found.retain(|(other, ..)| other != name);
        found.push((name.clone(), value.clone(), "the tier's own".to_owned()));
    }
    let mut views: Vec<ParameterView> = found
        .into_iter()
        .map(|(name, value, why)| {
            let restart = needs_restart(&name, database.version);
            ParameterView { value: quoted(&name, &value), name, why, restart }
        })
        .collect();
    views.sort_by_key(|view| view.restart);
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_needs_a_restart() {
        let check = |name: &str, version: u32, expect: bool| assert_eq!(needs_restart(name, version), expect, "{name}");
        check("shared_buffers", 17, true);
        check("wal_level", 17, true);
        check("max_replication_slots", 17, true);
        check("track_commit_timestamp", 17, true);
        check("autovacuum_max_workers", 17, true);
        check("autovacuum_max_workers", 18, false);
        check("effective_cache_size", 17, false);
        check("max_wal_size", 17, false);
    }

    #[test]
    fn a_list_is_no_name() {
        assert_eq!(
            quoted("shared_preload_libraries", "pg_stat_statements, auto_explain"),
            "'pg_stat_statements', 'auto_explain'"
        );
        assert_eq!(quoted("log_line_prefix", "%m, %p"), "'%m, %p'");
    }
}
