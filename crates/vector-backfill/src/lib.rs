//! Embeddings for a table that has none: pgvector enabled, a column added, every text embedded, an index built, its
//! recall measured.
mod backfill;
mod embedder;
mod enable;
mod error;
mod job;
mod lift;
mod model;
mod table;
mod triggers;
mod write;

pub use backfill::{BackfillOptions, BackfillReport, backfill, undo_backfill};
pub use embedder::Embedder;
pub use enable::{EnableBefore, EnableOptions, EnableReport, enable, enable_before, undo_enable};
pub use error::Error;
pub use lift::Lift;
pub use model::StaticModel;
