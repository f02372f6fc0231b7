//! Playbook -> plan -> run -> journal -> resume / unwind.
//!
//! This crate knows nothing of Postgres, of clap or of terminals. A step calls an [`Action`] by name; the
//! composition root supplies the [`Registry`] that finds it. Everything a person sees goes out as an [`Event`].

mod action;
mod event;
mod failure;

pub use action::{Action, Check, Context, Effect, Estimate, Finding, Inspect, Preview, Registry, Severity};
pub use event::{Event, Progress, Quiet, Reporter};
pub use failure::{Failure, FailureKind};
