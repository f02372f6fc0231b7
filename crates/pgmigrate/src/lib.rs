//! Moves a Postgres database: [`assess()`] looks at both ends, [`copy()`] carries schema and rows over, [`verify()`]
//! compares every row, the fence keeps the source still meanwhile, and [`copy_undo`] takes a copy back.
//!
//! [`action`] offers all of it to the runbook engine. The crate prints nothing and knows no command line.

pub mod action;
mod assess;
mod auth;
mod build;
mod catalog;
mod checks;
mod copy;
mod ddl;
mod dump;
mod endpoint;
mod ends;
mod error;
mod estimate;
mod extension;
mod fence;
mod findings;
mod finish;
mod large_object;
mod large_objects;
mod leftover;
mod load;
mod locate;
mod lost;
mod measure;
mod moment;
mod place;
mod provider;
mod queue;
mod refused;
mod repair;
mod retry;
mod roles;
mod row_hash;
mod schema;
mod small;
mod state;
mod stay_behind;
mod stream;
mod sums;
mod survey;
mod toc;
mod trial;
mod undo;
mod verify;
mod walk;
mod writes;

pub use assess::{AssessOptions, Assessment, Required, TableFacts, assess};
pub use catalog::ServerFacts;
pub use copy::{CopyOptions, CopyReport};
pub use error::Error;
pub use estimate::{Accuracy, Compared, Forecast};
pub use fence::{FenceBefore, FenceReport, fence, fence_before, fence_findings, fence_held, is_fenced, unfence};
pub use findings::grouped;
pub use provider::Provider;
pub use refused::{LeftOut, OnRefused};
pub use repair::{Repair, RepairFailure, RepairFile, RepairReport};
pub use retry::copy;
pub use undo::copy_undo;
pub use verify::{Mismatch, MismatchKind, TableDifference, Verification, VerifyOptions, verify};
