//! Jobs of pg_cron, which keeps them in a table of its own.

use pg_session::Session;
use runbook::{Finding, Severity};

use crate::error::Error;
use crate::findings::finding;

const REMEDY: &str = "jobs are not copied: make them on the target with cron.schedule_in_database() and keep them inactive \
                      until the switch, or they run twice";

/// Every job of this database. Their commands are not shown: people keep tokens in them.
pub(super) async fn jobs(source: &Session) -> Result<Vec<Finding>, Error> {
    let readable = source
        .query_typed(
            "select has_table_privilege(c.oid, 'select') and has_schema_privilege(c.relnamespace, 'usage'),
                    pg_relation_size(c.oid) > 0
               from pg_class c where c.oid = to_regclass('cron.job')",
            &[],
        )
        .await
        .map_err(Error::on(source))?;
    let Some(row) = readable.first() else { return Ok(Vec::new()) };
    let (readable, has_rows): (bool, bool) = (row.get(0), row.get(1));
    if !readable && has_rows {
        let message = "it has rows and the source role may not read them";
        return Ok(vec![finding(Severity::Changes, "table cron.job", message, REMEDY)]);
    }
    if !readable {
        return Ok(Vec::new());
    }
    // Row security there shows everybody their own jobs, and our sessions would rather be refused than shown less.
    let rows = source
        .query_typed(
            "select coalesce(to_jsonb(j) ->> 'jobname', format('number %s', to_jsonb(j) ->> 'jobid')),
                    to_jsonb(j) ->> 'schedule', coalesce((to_jsonb(j) ->> 'active')::bool, true)
               from cron.job j
              where coalesce(to_jsonb(j) ->> 'database', current_database()) = current_database()
              order by 1",
            &[],
        )
        .await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) if error.as_db_error().is_some() => {
            let message = format!("its rows can't be read: {}", error.as_db_error().map_or("", |e| e.message()));
            return Ok(vec![finding(Severity::Changes, "table cron.job", message, REMEDY)]);
        }
        Err(error) => return Err(Error::on(source)(error)),
    };
    Ok(rows
        .iter()
        .map(|row| {
            let (schedule, active): (Option<String>, bool) = (row.get(1), row.get(2));
            let state = if active { "active" } else { "inactive" };
            finding(
                Severity::Changes,
                format!("cron job {}", row.get::<_, String>(0)),
                format!("pg_cron runs it at {} ({state})", schedule.unwrap_or_else(|| "no time".into())),
                REMEDY,
            )
        })
        .collect())
}
