//! Where a tier keeps its data.

use std::collections::BTreeMap;
use std::fmt;

use k8s_templates::Quantity;
use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::render::DatabaseTarget;

/// The database of a tier, and the one it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Which product.
    pub engine: Engine,
    /// Major version of PostgreSQL.
    pub version: u32,
    /// Virtual CPUs, where they are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Memory, where it is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Disk, where it is chosen. It can grow and never shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u32>,
    /// Whether a standby takes over when the primary is lost.
    #[serde(default)]
    pub high_availability: bool,
    /// For how many days backups and the log to recover to any moment are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_days: Option<u32>,
    /// Its instance type, when it is one of Render's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_plan: Option<String>,
    /// Who may connect to it from outside of the platform's network.
    #[serde(default)]
    pub allow_from: Vec<Allowed>,
    /// Indexes that the tier adds to tables that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// Parameters of the server that differ from what its memory suggests.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// How many replicas serve reads.
    #[serde(default)]
    pub read_replicas: u32,
    /// Connections the server allows.
    pub max_connections: u32,
    /// Connections each process of a service may open.
    pub pool_size: u32,
    /// Variable with the URL for reading and writing.
    pub url_variable: String,
    /// Variable with the URL for reading only, where reads go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_url_variable: Option<String>,
    /// Variable with the URL that goes past the pooler, for migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_url_variable: Option<String>,
    /// What it is on Google Cloud; needed where Config Connector makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Secret with the URLs of the database moved from; none when nothing moves on the way to this tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatabaseSecret>,
    /// Secret with the URLs of the database of this tier.
    pub target: DatabaseSecret,
    /// The image that is the database, or stands in for it, in `compose.yaml`; pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_image: Option<String>,
    /// The image of the connection pooler in `compose.yaml`, pinned; none for no pooler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_image: Option<String>,
}

/// A database server on Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name. Google keeps a name taken for a week after it is deleted.
    pub name: String,
    /// The database on it.
    pub database: String,
    /// The role of the programs.
    pub user: String,
    /// Where the role's password is kept.
    pub password: SecretRef,
    /// The image of the Cloud SQL Auth Proxy that runs beside each program, pinned; then the URLs' hosts are 127.0.0.1,
    /// with port 5432 for the primary and the next ones for the replicas. None for no proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_image: Option<String>,
}

/// An index of a table that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Its name, as whoever made it without us would call it: it is not made twice.
    pub name: String,
    /// The table, with its schema where that is not the first one searched.
    pub table: String,
    /// Its columns in their order; with ` desc` behind, the largest first.
    pub columns: Vec<String>,
}

/// Addresses that may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// In CIDR notation.
    pub source: String,
    /// Who that is.
    pub description: String,
}

/// Which product a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Google Cloud SQL for PostgreSQL.
    CloudSql,
    /// Google AlloyDB for PostgreSQL.
    Alloydb,
    /// Supabase.
    Supabase,
    /// Neon.
    Neon,
    /// Render Postgres.
    RenderPostgres,
    /// PostgreSQL on a machine or cluster of one's own.
    SelfHosted,
}

/// A secret with the URLs of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSecret {
    /// The secret.
    pub name: String,
    /// Key of the URL for reading and writing.
    pub url_key: String,
    /// Key of the URL for reading only; the same key where there is no replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_url_key: Option<String>,
    /// Key of the URL that goes past the pooler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_url_key: Option<String>,
}

/// The cache and queue of a tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Which product.
    pub product: CacheProduct,
    /// How much it holds, where that is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// How many shards it has; none when it is one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// What it does when it is full.
    pub eviction: Eviction,
    /// Variable with its URL.
    pub url_variable: String,
    /// Secret with its URL.
    pub secret: SecretRef,
    /// The image that is the cache, or stands in for it, in `compose.yaml`; pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_image: Option<String>,
    /// Memory of that container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_memory: Option<Quantity>,
    /// Its instance type on Render; none when it is elsewhere also there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_plan: Option<String>,
}

/// Which product a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheProduct {
    /// Google Memorystore for Redis: one instance.
    Memorystore,
    /// Google Memorystore for Redis Cluster.
    MemorystoreCluster,
    /// Render Key Value.
    RenderKeyValue,
    /// Upstash Redis.
    Upstash,
    /// Redis Cloud.
    RedisCloud,
    /// Redis on a machine or cluster of one's own.
    SelfHosted,
}

/// A data store besides database and cache. Its address and key are variables like any other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Its name.
    pub name: String,
    /// Which product.
    pub product: StoreProduct,
    /// What it is for.
    pub purpose: String,
    /// Where it keeps its data, e.g. Spanner's `nam-eur-asia1` or a bucket's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Spanner's measure of size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_units: Option<u32>,
    /// How many nodes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Memory of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Disk of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u32>,
}

/// Which product a data store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreProduct {
    /// Google Spanner.
    Spanner,
    /// Pinecone, for vectors.
    Pinecone,
    /// Elasticsearch.
    Elasticsearch,
    /// Upstash QStash, a queue that calls back over HTTP.
    Qstash,
    /// A bucket: Cloud Storage, S3 or R2.
    Bucket,
}

/// A URL of the database, and where it is kept.
pub(crate) struct DatabaseUrl<'a> {
    pub(crate) variable: &'a str,
    pub(crate) purpose: &'static str,
    pub(crate) secret: SecretRef,
}

impl Database {
    /// The secret the files refer to.
    pub(crate) fn secret(&self, of: DatabaseTarget) -> &DatabaseSecret {
        match (of, &self.source) {
            (DatabaseTarget::Source, Some(source)) => source,
            _ => &self.target,
        }
    }

    /// Every variable with a URL of the database.
    pub(crate) fn urls(&self, of: DatabaseTarget) -> Vec<DatabaseUrl<'_>> {
        let secret = self.secret(of);
        // A key that is not named is the main one: where there is no replica and no pooler, that is the URL.
        let url = |variable, purpose, key: Option<&String>| DatabaseUrl {
            variable,
            purpose,
            secret: SecretRef { name: secret.name.clone(), key: key.unwrap_or(&secret.url_key).clone() },
        };
        let mut urls = vec![url(&self.url_variable, "URL of the database, for reading and writing", None)];
        if let Some(variable) = &self.read_url_variable {
            urls.push(url(variable, "URL of the database, for reading only", secret.read_url_key.as_ref()));
        }
        if let Some(variable) = &self.direct_url_variable {
            urls.push(url(
                variable,
                "URL of the database past its pooler, for migrations",
                secret.direct_url_key.as_ref(),
            ));
        }
        urls
    }
}

/// What a full cache does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Refuse writes; what a queue needs, since an evicted job is a lost job.
    Noeviction,
    /// Forget what was not used for longest.
    AllkeysLru,
    /// The same, among keys that expire anyway.
    VolatileLru,
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noeviction => "noeviction",
            Self::AllkeysLru => "allkeys-lru",
            Self::VolatileLru => "volatile-lru",
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudSql => "Cloud SQL",
            Self::Alloydb => "AlloyDB",
            Self::Supabase => "Supabase",
            Self::Neon => "Neon",
            Self::RenderPostgres => "Render Postgres",
            Self::SelfHosted => "PostgreSQL",
        })
    }
}

impl fmt::Display for CacheProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memorystore => "Memorystore for Redis",
            Self::MemorystoreCluster => "Memorystore for Redis Cluster",
            Self::RenderKeyValue => "Render Key Value",
            Self::Upstash => "Upstash Redis",
            Self::RedisCloud => "Redis Cloud",
            Self::SelfHosted => "Redis",
        })
    }
}
