//! What a crash of the target took away again: it empties unlogged tables, however long ago they were committed.

use std::collections::BTreeMap;

use pg_session::{Session, literal};
use runbook::Context;

use crate::error::Error;
use crate::extension::list;
use crate::state::PartRow;
use crate::survey::Survey;

/// Takes back the record of parts whose rows are gone, so that they are copied again. Says why the copy must begin anew
/// where that is no way: rows must not come in under triggers and foreign keys.
pub(crate) async fn reset(
    target: &Session,
    survey: &Survey,
    parts: &[PartRow],
    cx: &Context,
) -> Result<Option<String>, Error> {
    let mut rows: BTreeMap<&str, i64> = BTreeMap::new();
    for part in parts.iter().filter(|p| p.done) {
        *rows.entry(&part.relation).or_default() += part.rows;
    }
    let mut emptied = Vec::new();
    let mut sql = String::new();
    for table in survey.tables.iter().filter(|t| t.unlogged) {
        let relation = table.relation.to_string();
        if rows.get(relation.as_str()).is_none_or(|rows| *rows == 0) {
            continue;
        }
        let label = table.relation.label();
        if table.placed_by.is_some() {
            // Its rows may be in partitions that a crash has not emptied.
            return Ok(Some(format!("a crash of the target may have emptied the unlogged partition {label}")));
        }
        let row = target
            .query_one(
                &format!(
                    "select exists (select from only {relation}),
                            exists (select from pg_trigger where tgrelid = c.oid) or c.relrowsecurity
                       from pg_class c where c.oid = {}::regclass",
                    literal(&relation)
                ),
                &[],
            )
            .await
            .map_err(Error::table(&label, "target"))?;
        let (has_rows, is_guarded): (bool, bool) = (row.get(0), row.get(1));
        if has_rows {
            continue;
        }
        if is_guarded {
            return Ok(Some(format!("a crash of the target emptied the unlogged table {label}")));
        }
        sql.push_str(&format!(
            "update tierlift.copy_part set rows = null, bytes = null, done_at = null where relation = {};\n",
            literal(&relation)
        ));
        emptied.push(label);
    }
    if !emptied.is_empty() {
        target.batch_execute(&sql).await.map_err(Error::on(target))?;
        cx.note(format!("a crash of the target emptied unlogged tables, which are copied again: {}", list(&emptied)));
    }
    Ok(None)
}
