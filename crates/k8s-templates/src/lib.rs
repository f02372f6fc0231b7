//! Typed values -> Kubernetes manifests. No IO.
//!
//! A [`Workload`] says what runs; [`manifests`] turns it into [`Object`]s, structs of the shape the Kubernetes API
//! has. [`check`] finds in any list of objects what a schema can't see: references that lead nowhere, limits that
//! contradict each other, budgets that can never be met. [`Object::from_value`] reads a manifest back strictly: an
//! unknown kind or an unknown key is an error.

mod autoscaling;
mod check;
mod core;
mod object;
mod pod;
mod quantity;
mod workload;

pub use autoscaling::{
    CrossVersionReference, Hpa, HpaBehavior, HpaPolicy, HpaRules, HpaSpec, Metric, MetricTarget, Pdb, PdbSpec,
    ResourceMetric,
};
pub use check::{Problem, check, looks_secret};
pub use core::{
    ConfigMap, Deployment, DeploymentSpec, DeploymentStrategy, LabelSelector, Namespace, RollingUpdate, Service,
    ServiceAccount, ServicePort, ServiceSpec,
};
pub use object::{Labels, Manifest, Metadata, Object, ObjectError};
pub use pod::{
    Capabilities, ConfigMapRef, Container, ContainerPort, EmptyDir, EnvFrom, EnvValueFrom, EnvVar, HttpGet, KeyRef,
    Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplate, Probe, Resources, SeccompProfile,
    SecurityContext, Sleep, TopologySpread, Volume, VolumeMount,
};
pub use quantity::{IntOrPercent, IntOrText, Quantity, QuantityError};
pub use workload::{Env, EnvSource, Gpu, Port, Probes, Scaling, Shares, Workload, config_map, manifests, namespace};
