//! How the target builds an index: with how much memory, and how many helpers.

use pg_session::Session;
use tokio_postgres::SimpleQueryMessage;

use crate::error::Error;
use crate::toc;

/// What a merge of sorted runs reads of each run at a time: `MERGE_BUFFER_SIZE` of PostgreSQL's tuplesort.
const MERGE_BUFFER: u64 = 256 * 1024;

/// Runs that fit a processor's cache are sorted in two thirds of the time of one that fills memory, and the pages that
/// they are written to and read back from stay in the page cache.
const SMALLEST_RUN_KB: u64 = 16 * 1024;

/// PostgreSQL starts no helper that would get less.
const HELPER_KB: u64 = 32 * 1024;

/// What a session may use on its server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    memory_kb: u64,
    helpers: u64,
}

impl Limits {
    /// Asks the server. How much memory it has it does not say; servers are set up with `shared_buffers` of a quarter
    /// of it or less, so twice that is at most half. A server that was given more for maintenance keeps it.
    pub async fn of(target: &Session) -> Result<Self, Error> {
        const SQL: &str = "
            select least(1048576, greatest(m.reset_val::int8, b.setting::int8 * 16)), w.reset_val::int8
              from pg_catalog.pg_settings m, pg_catalog.pg_settings b, pg_catalog.pg_settings w
             where m.name = 'maintenance_work_mem' and b.name = 'shared_buffers'
               and w.name = 'max_parallel_maintenance_workers'";
        let messages = target.simple_query(SQL).await.map_err(Error::on(target))?; // one round trip, unlike a prepared one
        let number = |at: usize| {
            messages
                .iter()
                .find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(at)?.parse().ok(),
                    _ => None,
                })
                .ok_or_else(|| Error::Internal("the target's settings cannot be read".to_owned()))
        };
        Ok(Self { memory_kb: number(0)?, helpers: number(1)? })
    }

    /// The settings under which `sql`, which makes an index or a constraint with one, runs best on a table of
    /// `table_bytes`. A build that is helped takes more processor time than one that is not: it is helped only by as
    /// many as there are workers of ours without work.
    pub fn settings(self, sql: &str, table_bytes: u64, idle: usize) -> String {
        let helpers = self.helpers.min(idle as u64);
        let memory_kb = if is_btree(sql) {
            // Enough that all runs are merged at once: runs of m bytes are b/m, and their buffers must fit in m.
            let run_kb = (table_bytes.saturating_mul(MERGE_BUFFER).isqrt() / 1024).max(SMALLEST_RUN_KB);
            run_kb.max(if helpers > 0 { HELPER_KB * (helpers + 1) } else { 0 }).min(self.memory_kb)
        } else {
            self.memory_kb // gin, hnsw and the like collect what they can in memory and are slow without
        };
        format!("set max_parallel_maintenance_workers = {helpers}; set maintenance_work_mem = '{memory_kb}kB';")
    }
}

/// How long it takes, compared with others: what takes longest should begin first.
pub(crate) fn weight(sql: &str, table_bytes: u64) -> u64 {
    if is_btree(sql) { table_bytes } else { table_bytes.saturating_mul(4) }
}

/// The same of an analysis, which looks at no more than a sample, however large the table is.
pub(crate) fn analysis_weight(table_bytes: u64) -> u64 {
    const SAMPLE_BYTES: u64 = 128 * 1024 * 1024;
    table_bytes.min(SAMPLE_BYTES)
}

fn is_btree(sql: &str) -> bool {
    const USING: &str = " USING ";
    let at = toc::find_unquoted(sql, USING);
    at.first().is_some_and(|at| {
        let method = &sql[at + USING.len()..];
        method.starts_with("btree ") || method.starts_with("\"btree\" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_method_and_the_size_need() {
        let limits = Limits { memory_kb: 512 * 1024, helpers: 2 };
        let check = |sql: &str, table_bytes: u64, idle: usize, helpers: u64, memory_mb: u64| {
            let expected = format!(
                "set max_parallel_maintenance_workers = {helpers}; set maintenance_work_mem = '{}kB';",
                memory_mb * 1024
            );
            assert_eq!(limits.settings(sql, table_bytes, idle), expected, "{sql}");
        };
        const GIB: u64 = 1 << 30;
        let btree = r#"CREATE INDEX "i USING x" ON "t" USING "btree" ("a");"#;
        check(btree, 0, 0, 0, 16);
        check(btree, GIB, 0, 0, 16);
        check(btree, 256 * GIB, 0, 0, 256);
        check(btree, 4096 * GIB, 0, 0, 512); // no more than there is
        check(btree, GIB, 1, 1, 64);
        check(btree, GIB, 7, 2, 96);
        check("CREATE UNIQUE INDEX i ON t USING btree (a)", GIB, 0, 0, 16);
        check("CREATE INDEX i ON t USING gin (a)", GIB, 0, 0, 512);
        check(r#"ALTER TABLE "t" ADD CONSTRAINT "x" EXCLUDE USING "gist" ("r" WITH &&);"#, GIB, 0, 0, 512);
    }
}
