//! Databases and caches of Google Cloud, made by Config Connector (`*.cnrm.cloud.google.com/v1beta1`). Every object
//! with data is marked so that its removal from the cluster leaves what it stands for: data goes only when somebody
//! deletes it in Google Cloud.

mod api;
mod identity;
mod postgres;
mod stores;

use crate::labels::metadata;
use crate::object::{Manifest, Metadata};

pub(crate) use api::Reference;
pub use api::{
    AlloyDbCluster, AlloyDbClusterSpec, AlloyDbInstance, AlloyDbInstanceSpec, RedisCluster, RedisClusterSpec,
    RedisInstance, RedisInstanceSpec, SpannerDatabase, SpannerDatabaseSpec, SpannerInstance, SpannerInstanceSpec,
    SqlDatabase, SqlDatabaseSpec, SqlInstance, SqlInstanceSpec, SqlUser, SqlUserSpec,
};
pub use identity::{
    IamPolicyMember, IamPolicyMemberSpec, IamServiceAccount, IamServiceAccountSpec, Identity, identity,
};
pub use postgres::{Postgres, alloydb, cloud_sql};
pub use stores::{Redis, Spanner, redis_cluster, redis_instance, spanner};

/// Annotation that says what happens to the resource when its object is deleted; absent means that it is deleted too.
pub(crate) const DELETION_POLICY: &str = "cnrm.cloud.google.com/deletion-policy";

/// Where on Google Cloud, and where in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project's id.
    pub project: String,
    /// The network they are reached over, by name.
    pub network: String,
    /// The namespace of the objects.
    pub namespace: String,
    /// The system they belong to.
    pub part_of: String,
}

impl Place {
    fn network(&self) -> Reference {
        Reference::External(format!("projects/{}/global/networks/{}", self.project, self.network))
    }

    fn metadata(&self, name: &str) -> Metadata {
        let mut metadata = metadata(name, &self.namespace, &self.part_of);
        let annotations = [
            ("project-id", self.project.as_str()),
            ("deletion-policy", "abandon"),
            // Otherwise Config Connector writes what it finds into the object, and every diff shows it.
            ("state-into-spec", "absent"),
        ];
        metadata.annotations =
            annotations.map(|(key, value)| (format!("cnrm.cloud.google.com/{key}"), value.to_owned())).into();
        metadata
    }

    fn object<S>(&self, kind: &str, name: &str, spec: S) -> Manifest<S> {
        let group = match kind {
            _ if kind.starts_with("SQL") => "sql",
            _ if kind.starts_with("AlloyDB") => "alloydb",
            _ if kind.starts_with("Redis") => "redis",
            _ => "spanner",
        };
        Manifest {
            api_version: format!("{group}.cnrm.cloud.google.com/v1beta1"),
            kind: kind.to_owned(),
            metadata: self.metadata(name),
            spec,
        }
    }
}
