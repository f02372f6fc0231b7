//! A tier's spec -> every platform's files.
//!
//! [`SystemSpec`] is a `system.yaml`, read once and validated. [`render`](render()) is pure: the same values give the
//! same bytes. [`check`] reads every rendered file back and looks for what a schema can't see. [`write()`] replaces a
//! folder's set as a whole and keeps the one before, [`restore`] puts it back, [`diff`] shows the difference, [`one_way`]
//! what of it the platforms never take back. The engine sees actions, in [`inspect`] and [`action()`].

mod action;
mod argocd;
mod check;
mod config_connector;
mod context;
mod diff;
mod kubernetes;
mod one_way;
mod overlay;
mod render;
mod set;
mod system;
mod templates;
mod tier;
mod validate;
mod watch;
mod write;
mod yaml;

pub use action::{action, inspect};
pub use check::{Problem, check};
pub use diff::{Change, FileDiff, diff};
pub use one_way::one_way;
pub use overlay::OverlayError;
pub use render::{DatabaseTarget, RenderError, RenderOptions, render};
pub use set::{BadPath, RenderedSet};
pub use system::{
    Alert, Cost, CostItem, Gate, GateCheck, Op, Plan, Projection, Range, Revenue, Rule, Selector, Severity, Span,
    SpanError, SpecError, Status, Support, SystemSpec, Tier, Trigger, Users,
};
pub use templates::{TemplateError, built_in_templates};
pub use tier::{
    Allowed, Cache, CacheProduct, CacheRule, Cdn, CdnPlan, Channel, Channels, Cluster, ClusterGateway, ClusterProvider,
    Database, DatabaseSecret, DenoApp, DenoRegion, Domain, Engine, Eviction, GoogleCloud, Gpu, Health, Helper, Index,
    Instance, Kind, Machine, Monitoring, Platform, RateLimit, Region, Regions, Repository, RequirementSet,
    Requirements, Runtime, Scaling, SecretRef, Service, ServiceResources, Shares, Shutdown, Source, Store,
    StoreProduct, TierSpec, Variable, Watchers,
};
pub use validate::SpecProblem;
pub use write::{Before, Foreign, OnDisk, State, WriteError, Written, on_disk, restore, there, write};
