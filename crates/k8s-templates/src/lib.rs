//! Typed values -> Kubernetes manifests. No IO.
//!
//! A [`Workload`] says what keeps running and a [`Task`] what ends; [`manifests`] and [`task`] turn them into
//! [`Object`]s, structs of the shape the Kubernetes API has. Around them: [`entry`] (the way in), [`network_policy`],
//! [`external_secret`], what Config Connector makes on Google Cloud ([`cloud_sql`], [`alloydb`], ...) and [`application`]. [`check`] finds in any list of objects what a schema can't see: references that lead nowhere, limits that
//! contradict each other, budgets that can never be met. [`Object::from_value`] reads a manifest back strictly: an
//! unknown kind or an unknown key is an error.

mod argocd;
mod autoscaling;
mod batch;
mod check;
mod config_connector;
mod core;
mod gateway;
mod labels;
mod network;
mod object;
mod pod;
mod quantity;
mod secret;
mod workload;

pub use argocd::{Application, ApplicationSpec, Delivery, application};
pub use autoscaling::{
    ContainerResource, CrossVersionReference, Hpa, HpaBehavior, HpaPolicy, HpaRules, HpaSpec, Metric, MetricTarget,
    Pdb, PdbSpec,
};
pub use batch::{CronJob, CronJobSpec, Job, JobSpec};
pub use check::{Problem, check, looks_secret};
pub use config_connector::{
    AlloyDbCluster, AlloyDbClusterSpec, AlloyDbInstance, AlloyDbInstanceSpec, IamPolicyMember, IamPolicyMemberSpec,
    IamServiceAccount, IamServiceAccountSpec, Identity, Place, Postgres, Redis, RedisCluster, RedisClusterSpec,
    RedisInstance, RedisInstanceSpec, Spanner, SpannerDatabase, SpannerDatabaseSpec, SpannerInstance,
    SpannerInstanceSpec, SqlDatabase, SqlDatabaseSpec, SqlInstance, SqlInstanceSpec, SqlUser, SqlUserSpec, alloydb,
    cloud_sql, identity, redis_cluster, redis_instance, spanner,
};
pub use core::{
    ConfigMap, Deployment, DeploymentSpec, DeploymentStrategy, LabelSelector, Namespace, RollingUpdate, Service,
    ServiceAccount, ServicePort, ServiceSpec,
};
pub use gateway::{
    BackendPolicySpec, Certificate, Entry, Gateway, GatewaySpec, GcpBackendPolicy, HealthCheckPolicy,
    HealthCheckPolicySpec, HttpRoute, HttpRouteSpec, Reach, Route, ServiceExport, entry, service_export,
};
pub use network::{
    NetworkPolicy, NetworkPolicySpec, Opening, PRIVATE_ADDRESSES, Peer, allow_dns, deny_all, network_policy,
};
pub use object::{Labels, Manifest, Metadata, Object, ObjectError};
pub use pod::{
    Capabilities, ConfigMapRef, Container, ContainerPort, EmptyDir, EnvFrom, EnvValueFrom, EnvVar, HttpGet, KeyRef,
    Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplate, Probe, Resources, SeccompProfile,
    SecurityContext, Sleep, TopologySpread, Volume, VolumeMount,
};
pub use quantity::{IntOrPercent, IntOrText, Quantity, QuantityError};
pub use secret::{ExternalSecret, ExternalSecretSpec, external_secret};
pub use workload::{
    Env, EnvSource, Gpu, Port, Probes, Program, Scaling, Shares, SqlProxy, Task, When, Workload, config_map, manifests,
    namespace, service_account, task,
};
