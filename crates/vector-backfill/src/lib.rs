//! vector-backfill
