//! Values too large to travel: a row of COPY is one message, and no message is larger than a gigabyte.

use std::time::Duration;

use pg_session::{Ident, Session};
use runbook::{Finding, Severity};
use tokio_postgres::error::SqlState;

use crate::catalog::Table;
use crate::error::Error;
use crate::findings::finding;
use crate::survey::Survey;

/// A field of text form takes two characters a byte of `bytea`, and a row with its escapes must stay under 1 GB.
const LIMIT_BYTES: u64 = 500_000_000;

/// A value compresses to a hundredth at best, so a table that keeps less than that outside its rows holds none.
const COMPRESSES_TO: u64 = 100;

/// Looks for rows that COPY can't carry, for at most `time`; what could not be looked at is said.
pub(crate) async fn large_values(source: &Session, survey: &Survey, time: Duration) -> Result<Vec<Finding>, Error> {
    larger_than(source, survey.tables.iter(), LIMIT_BYTES, time).await
}

async fn larger_than(
    source: &Session,
    tables: impl Iterator<Item = &Table>,
    limit_bytes: u64,
    time: Duration,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let began = std::time::Instant::now();
    for table in tables.filter(|t| t.readable && !t.filtered && outside_rows(t) > limit_bytes / COMPRESSES_TO) {
        let Some(size) = size_sql(table) else { continue };
        let left_ms = time.saturating_sub(began.elapsed()).as_millis().max(1);
        let object = format!("table {}", table.relation.label());
        // The size of a value kept outside its row is in the row: nothing of it is read.
        let sql = format!("select max({size})::int8 from only {}", table.relation);
        let limited = format!("set statement_timeout = {left_ms}");
        source.batch_execute(&limited).await.map_err(Error::on(source))?;
        let found = source.query_typed(&sql, &[]).await;
        source.batch_execute("set statement_timeout = 0").await.map_err(Error::on(source))?;
        match found {
            Ok(rows) => {
                let largest: Option<i64> = rows.first().and_then(|row| row.get(0));
                if let Some(largest) = largest.map(crate::catalog::unsigned).filter(|n| *n > limit_bytes) {
                    findings.push(finding(
                        Severity::Blocks,
                        object,
                        format!(
                            "a row of it takes {:.2} GB on its way, and COPY carries at most 1 GB",
                            largest as f64 / 1e9
                        ),
                        "cut its largest value into several rows, or move it to object storage",
                    ));
                }
            }
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => findings.push(finding(
                Severity::Note,
                object,
                "it is too large to see quickly whether a row of it is larger than COPY carries (1 GB)",
                "nothing to do unless it holds single values of hundreds of megabytes",
            )),
            Err(error) => return Err(Error::on(source)(error)),
        }
    }
    Ok(findings)
}

/// Bytes of values kept outside their rows, roughly (free space maps count too).
fn outside_rows(table: &Table) -> u64 {
    table.bytes.saturating_sub(table.pages * 8192)
}

/// The bytes of a row's large columns on their way, as SQL; `None` when it has none that can be large.
fn size_sql(table: &Table) -> Option<String> {
    let text = !table.is_portable();
    let sizes: Vec<String> = table
        .columns
        .iter()
        .filter(|c| !c.generated)
        .filter_map(|column| {
            let name = Ident(&column.name);
            match column.type_name.as_str() {
                "bytea" if text => Some(format!("2 * coalesce(octet_length({name}), 0)::int8")),
                "bytea" => Some(format!("coalesce(octet_length({name}), 0)::int8")),
                t if t == "text" || t.starts_with("character varying") => {
                    Some(format!("coalesce(octet_length({name}), 0)::int8"))
                }
                _ => None,
            }
        })
        .collect();
    (!sizes.is_empty()).then(|| sizes.join(" + "))
}

#[cfg(test)]
mod tests {
    use pg_sandbox::PgServer;
    use pg_session::Access;

    use super::*;
    use crate::catalog;

    /// With a smaller limit, for a real value of that size takes a gigabyte of memory to make.
    #[tokio::test]
    async fn names_tables_with_rows_that_copy_cannot_carry() {
        let server = PgServer::builder().start().expect("the server starts");
        server
            .psql(
                "postgres",
                "create table small (id int, body text); insert into small values (1, repeat('x', 1000));
                 create table files (id int, body bytea); insert into files select 1, string_agg(sha512(i::text::bytea), '')
                   from generate_series(1, 5000) i;
                 create table as_text (id int, place regclass, body bytea); insert into as_text select 1, null, body from files",
            )
            .expect("the tables are made");
        let url = server.url("postgres").parse().expect("the sandbox makes good URLs");
        let session = Session::connect(&url, Access::ReadOnly).await.expect("it connects");
        let tables = catalog::tables(&session, &["public".to_owned()], &[]).await.expect("the catalogue can be read");
        let named = async |limit_bytes| {
            let found = larger_than(&session, tables.iter(), limit_bytes, Duration::from_secs(10)).await;
            found.expect("it can be read").into_iter().map(|f| f.object).collect::<Vec<_>>()
        };
        assert_eq!(named(300_000).await, ["table public.as_text", "table public.files"]);
        // 320 kB of bytea take 640 kB as text, and no more than themselves in binary.
        assert_eq!(named(500_000).await, ["table public.as_text"]);
        assert!(named(700_000).await.is_empty());
    }
}
