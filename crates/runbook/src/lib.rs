//! Playbook -> plan -> run -> journal -> resume / unwind.
//!
//! This crate knows nothing of Postgres, of clap or of terminals. A step calls an [`Action`] by name; the
//! composition root supplies the [`Registry`] that finds it. Everything a person sees goes out as an [`Event`].
//!
//! ```no_run
//! # use std::{collections::BTreeMap, sync::Arc, path::Path};
//! # use runbook::*;
//! # async fn example(registry: Arc<dyn Registry>, reporter: Arc<dyn Reporter>) -> Result<(), Failure> {
//! # let environment = |name: &str| std::env::var(name).ok();
//! # let fingerprint = BTreeMap::new();
//! # let now = jiff::Timestamp::now();
//! // Planning decides everything and can reach nothing that changes anything.
//! let playbook = Playbook::load(Path::new("playbooks/oviya/tier1-to-tier2.yaml"))?;
//! let inputs = Inputs::resolve(&playbook, &environment)?;
//! let previews = preview_steps(&playbook, &inputs, registry.as_ref(), reporter.clone()).await?;
//! let blocked = previews.iter().any(|p| p.blocking().next().is_some()); // exit 4
//! let terms = Terms {
//!     target: "db.example.com:5432/app".into(),
//!     fingerprint,
//!     cost: None,
//!     created_at: now,
//!     expires_at: now + jiff::SignedDuration::from_hours(24),
//! };
//! let plan = plan(&playbook, &inputs, &previews, terms)?;
//! plan.save(Path::new("plan.json"))?;
//!
//! // Running obeys.
//! let (stop, stopped) = tokio::sync::watch::channel(false); // `stop.send(true)` on the first ctrl-c
//! let engine = Engine::new(registry, reporter, Store::at(".tierlift"), stopped);
//! let end = engine.run(&plan).await?; // RunEnd { run, outcome }; also: resume(run), rollback(run)
//! match end.outcome {
//!     RunOutcome::Completed | RunOutcome::NothingToDo { .. } => {}    // 0
//!     RunOutcome::Unwound { .. } => {}                                // 5, or 0 after a rollback
//!     RunOutcome::Stuck { .. } => {}                                  // 6
//!     RunOutcome::Interrupted { .. } => {}                            // 11
//!     RunOutcome::PastNoReturn { .. } => {}                           // 12
//! }
//!
//! // Looking back: `status`.
//! for (id, run) in Store::at(".tierlift").list_runs()? {
//!     let run = run?; // a run that can't be read doesn't hide the others
//!     println!("{id}: {:?}", run.status());
//!     for (step, status) in run.plan.steps.iter().zip(&run.state.steps) {
//!         println!("  {}: {}", step.id, status.word());
//!     }
//! }
//! # Ok(()) }
//! ```

mod action;
mod canonical;
mod dryrun;
mod engine;
mod entry;
mod event;
mod failure;
mod inputs;
mod journal;
mod lock;
mod outcome;
mod plan;
mod playbook;
mod run_state;
mod running;
mod state;
mod store;
mod unwind;
mod yaml;

pub use action::{Action, Check, Context, Effect, Estimate, Finding, Inspect, Preview, Registry, Severity};
pub use dryrun::{StepPreview, preview_steps};
pub use engine::Engine;
pub use entry::Entry;
pub use event::{Event, Progress, Quiet, Reporter};
pub use failure::{Failure, FailureKind};
pub use inputs::{Inputs, resolve_secrets};
pub use journal::{Journal, JournalError, ReadJournal, Record, read_journal};
pub use lock::{Holder, TargetLock};
pub use outcome::{RunEnd, RunOutcome};
pub use plan::{CostChange, Plan, PlanStep, PlaybookRef, Terms, UsdRange, plan};
pub use playbook::{Argument, Input, Playbook, PlaybookError, Step};
pub use run_state::{FoldError, RunState, RunStatus};
pub use state::{IllegalTransition, StepEvent, StepStatus};
pub use store::{NamedRun, RunRecord, Store};
