//! Embeddings for a table that has none: pgvector enabled, a column added, every text embedded, an index built, its
//! recall measured.
pub mod action;
mod backfill;
mod embedder;
mod enable;
mod error;
mod exact;
mod figures;
mod index;
mod job;
mod lift;
mod model;
mod recall;
mod search;
mod table;
mod triggers;
mod write;

pub use backfill::{BackfillOptions, BackfillReport, backfill, is_backfilled, undo_backfill};
pub use embedder::Embedder;
pub use enable::{EnableBefore, EnableOptions, EnableReport, enable, enable_before, undo_enable};
pub use error::Error;
pub use index::{
    COSINE, IndexBefore, IndexOptions, IndexReport, build_index, build_memory_bytes, index_before, index_name,
    lists_for, undo_index, verify_index,
};
pub use lift::Lift;
pub use model::StaticModel;
pub use recall::{
    Point, ProbesBefore, QUERIES_DEFAULT, RecallOptions, RecallReport, measure_recall, probes_before, store_probes,
};
pub use search::{Hit, SearchOptions, search};
pub use table::parse_relation;
