//! Embeddings for a table that has none: pgvector enabled, a column added, every text embedded, an index built, its recall
//! measured, and every step undone.
//!
//! * [`enable`] creates the extension and the column, each unless it is there.
//! * [`backfill`] embeds every row by an [`Embedder`], of which [`StaticModel`] is the one that needs no network. The keys
//!   are cut into chunks; workers claim them, embed without a transaction open, and write a chunk's vectors and its end in
//!   one transaction. Cut off anywhere, it is called again and repeats no chunk that was committed.
//! * [`build_index`] builds ivfflat after the data, with the memory it needs and parallel workers.
//! * [`measure_recall`] compares the index with exact search and chooses the number of probes.
//! * [`search`] finds the rows nearest in meaning to a text.
//!
//! [`action`] offers them to the engine as `vector.enable`, `vector.backfill`, `vector.index`, `vector.recall`. Sessions have
//! an empty `search_path`, so types and operators are named with the schema pgvector is in, whichever that is.

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
mod sizing;
mod table;
mod triggers;
mod worker;
mod write;

pub use backfill::{BackfillOptions, BackfillReport, backfill, is_backfilled, undo_backfill};
pub use embedder::Embedder;
pub use enable::{EnableBefore, EnableOptions, EnableReport, enable, enable_before, undo_enable};
pub use error::Error;
pub use index::{COSINE, IndexBefore, IndexOptions, IndexReport, build_index, index_before, undo_index, verify_index};
pub use lift::Lift;
pub use model::StaticModel;
pub use recall::{
    Point, ProbesBefore, QUERIES_DEFAULT, RecallOptions, RecallReport, measure_recall, probes_before, store_probes,
};
pub use search::{Hit, SearchOptions, search};
pub use sizing::{build_memory_bytes, index_name, lists_for};
pub use table::parse_relation;
