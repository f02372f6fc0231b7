//! The shapes of the objects, as Config Connector has them; of each, what is used here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::Manifest;

/// A Cloud SQL instance.
pub type SqlInstance = Manifest<SqlInstanceSpec>;
/// A database on a Cloud SQL instance.
pub type SqlDatabase = Manifest<SqlDatabaseSpec>;
/// A role on a Cloud SQL instance.
pub type SqlUser = Manifest<SqlUserSpec>;
/// An AlloyDB cluster.
pub type AlloyDbCluster = Manifest<AlloyDbClusterSpec>;
/// The primary of an AlloyDB cluster, or a pool of its replicas.
pub type AlloyDbInstance = Manifest<AlloyDbInstanceSpec>;
/// Memorystore for Redis.
pub type RedisInstance = Manifest<RedisInstanceSpec>;
/// Memorystore for Redis Cluster.
pub type RedisCluster = Manifest<RedisClusterSpec>;
/// A Spanner instance.
pub type SpannerInstance = Manifest<SpannerInstanceSpec>;
/// A database on a Spanner instance.
pub type SpannerDatabase = Manifest<SpannerDatabaseSpec>;

/// Another object of the namespace, or something Config Connector does not manage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reference {
    Name(String),
    External(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Password {
    pub(crate) value_from: PasswordSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PasswordSource {
    pub(crate) secret_key_ref: SecretKey,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretKey {
    pub(crate) name: String,
    pub(crate) key: String,
}

/// A Cloud SQL instance: a primary, or a replica when it names one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqlInstanceSpec {
    pub(crate) region: String,
    pub(crate) database_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) master_instance_ref: Option<Reference>,
    pub(crate) settings: SqlSettings,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlSettings {
    pub(crate) tier: String,
    pub(crate) edition: String,
    pub(crate) availability_type: String,
    pub(crate) disk_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk_size: Option<u32>,
    pub(crate) disk_autoresize: bool,
    pub(crate) deletion_protection_enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup_configuration: Option<SqlBackup>,
    pub(crate) ip_configuration: SqlIp,
    pub(crate) database_flags: Vec<SqlFlag>,
    pub(crate) insights_config: SqlInsights,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maintenance_window: Option<SqlMaintenance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlBackup {
    pub(crate) enabled: bool,
    pub(crate) start_time: String,
    pub(crate) point_in_time_recovery_enabled: bool,
    pub(crate) transaction_log_retention_days: u32,
    pub(crate) backup_retention_settings: SqlBackupRetention,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlBackupRetention {
    pub(crate) retained_backups: u32,
    pub(crate) retention_unit: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlIp {
    pub(crate) ipv4_enabled: bool,
    pub(crate) private_network_ref: Reference,
    pub(crate) ssl_mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlFlag {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlInsights {
    pub(crate) query_insights_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SqlMaintenance {
    pub(crate) day: u32,
    pub(crate) hour: u32,
}

/// A database on a Cloud SQL instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqlDatabaseSpec {
    pub(crate) instance_ref: Reference,
    pub(crate) charset: String,
    pub(crate) deletion_policy: String,
}

/// A role on a Cloud SQL instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqlUserSpec {
    pub(crate) instance_ref: Reference,
    pub(crate) password: Password,
}

/// An AlloyDB cluster: storage, backups, network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlloyDbClusterSpec {
    pub(crate) project_ref: Reference,
    pub(crate) location: String,
    pub(crate) database_version: String,
    pub(crate) network_config: AlloyDbNetwork,
    pub(crate) initial_user: AlloyDbUser,
    pub(crate) automated_backup_policy: AlloyDbBackup,
    pub(crate) continuous_backup_config: AlloyDbContinuousBackup,
    pub(crate) deletion_policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbNetwork {
    pub(crate) network_ref: Reference,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbUser {
    pub(crate) user: String,
    pub(crate) password: Password,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbBackup {
    pub(crate) enabled: bool,
    pub(crate) time_based_retention: AlloyDbRetention,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbRetention {
    pub(crate) retention_period: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbContinuousBackup {
    pub(crate) enabled: bool,
    pub(crate) recovery_window_days: u32,
}

/// The primary of an AlloyDB cluster, or a pool of its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlloyDbInstanceSpec {
    pub(crate) cluster_ref: Reference,
    pub(crate) instance_type_ref: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) availability_type: Option<String>,
    pub(crate) machine_config: AlloyDbMachine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_pool_config: Option<AlloyDbPool>,
    pub(crate) database_flags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbMachine {
    pub(crate) cpu_count: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlloyDbPool {
    pub(crate) node_count: u32,
}

/// Memorystore for Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisInstanceSpec {
    pub(crate) region: String,
    pub(crate) tier: String,
    pub(crate) memory_size_gb: u32,
    pub(crate) redis_version: String,
    pub(crate) authorized_network_ref: Reference,
    pub(crate) connect_mode: String,
    pub(crate) auth_enabled: bool,
    pub(crate) redis_configs: BTreeMap<String, String>,
    pub(crate) persistence_config: RedisPersistence,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedisPersistence {
    pub(crate) persistence_mode: String,
    pub(crate) rdb_snapshot_period: String,
}

/// Memorystore for Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisClusterSpec {
    pub(crate) project_ref: Reference,
    pub(crate) location: String,
    pub(crate) node_type: String,
    pub(crate) shard_count: u32,
    pub(crate) replica_count: u32,
    pub(crate) psc_configs: Vec<RedisNetwork>,
    pub(crate) redis_configs: BTreeMap<String, String>,
    pub(crate) persistence_config: RedisClusterPersistence,
    pub(crate) deletion_protection_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedisNetwork {
    pub(crate) network_ref: Reference,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedisClusterPersistence {
    pub(crate) mode: String,
    pub(crate) aof_config: RedisAof,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedisAof {
    pub(crate) append_fsync: String,
}

/// A Spanner instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpannerInstanceSpec {
    pub(crate) config: String,
    pub(crate) display_name: String,
    pub(crate) edition: String,
    pub(crate) processing_units: u32,
    pub(crate) default_backup_schedule_type: String,
}

/// A database on a Spanner instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpannerDatabaseSpec {
    pub(crate) instance_ref: Reference,
    pub(crate) enable_drop_protection: bool,
    pub(crate) version_retention_period: String,
}
