//! `--where schema.table=condition`: only some rows of a table come.

use std::collections::BTreeMap;

use pg_session::{Relation, Session};
use runbook::{Finding, Severity};

use crate::catalog::{Table, unsigned};
use crate::error::Error;
use crate::findings::finding;
use crate::selection::refuse;
use crate::toc;

/// Gives each table its condition, a partitioned table's to each of its partitions, after the source has understood it
/// in a read-only session. Findings name the tables that come in part.
pub(crate) async fn apply(
    source: &Session,
    conditions: &[(Relation, String)],
    tables: &mut [Table],
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (relation, condition) in conditions {
        let option = || format!("--where {}={condition}", relation.label());
        if let Err(reason) = is_one_expression(condition) {
            return Err(refuse(option(), reason, "write one SQL condition, as it would stand behind `where`"));
        }
        let leaves = leaves(source, relation).await?;
        let concerned: Vec<&mut Table> =
            tables.iter_mut().filter(|t| t.relation == *relation || leaves.contains(&t.oid)).collect();
        if concerned.is_empty() {
            let message = format!("{} is no table that would be copied", relation.label());
            return Err(refuse(option(), message, "compare it with the tables that `pg assess` lists"));
        }
        for table in concerned {
            table.condition = Some(condition.clone());
            let rows = rows_expected(source, table).await.map_err(|error| {
                let refused = pg_session::DbError::from(&error);
                match refused.code {
                    None => Error::on(source)(error),
                    Some(_) => {
                        let message = format!("the source refuses it: {refused}");
                        refuse(option(), message, "correct the condition; nothing was changed")
                    }
                }
            })?;
            // So that estimates and the order of work follow what will travel.
            table.bytes = match table.rows_estimate {
                0 => table.bytes,
                all => u64::try_from(u128::from(table.bytes) * u128::from(rows.min(all)) / u128::from(all))
                    .unwrap_or(table.bytes),
            };
            table.rows_estimate = rows;
        }
        findings.push(finding(
            Severity::Changes,
            format!("table {}", relation.label()),
            format!("only rows with {condition} come"),
            "a foreign key that points at a row left behind will be refused, by name",
        ));
    }
    Ok(findings)
}

/// Parentheses that close what we opened, or a second statement, would turn a condition into something else.
fn is_one_expression(condition: &str) -> Result<(), String> {
    if !toc::find_unquoted(condition, ";").is_empty() {
        return Err("it holds a semicolon outside of quotes".into());
    }
    let mut parentheses: BTreeMap<usize, i32> = BTreeMap::new();
    parentheses.extend(toc::find_unquoted(condition, "(").into_iter().map(|at| (at, 1)));
    parentheses.extend(toc::find_unquoted(condition, ")").into_iter().map(|at| (at, -1)));
    let mut depth = 0;
    for step in parentheses.values() {
        depth += step;
        if depth < 0 {
            return Err("it closes a parenthesis that it does not open".into());
        }
    }
    if depth == 0 { Ok(()) } else { Err("a parenthesis in it is not closed".into()) }
}

/// The partitions that hold a partitioned table's rows; none for any other name.
async fn leaves(source: &Session, relation: &Relation) -> Result<Vec<u32>, Error> {
    let rows = source
        .query(
            "select t.relid::oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
              cross join lateral pg_partition_tree(c.oid) t
              where n.nspname = $1 and c.relname = $2 and c.relkind = 'p' and t.isleaf",
            &[&relation.schema, &relation.name],
        )
        .await
        .map_err(Error::on(source))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What the planner expects; it parses and plans the condition exactly as the copy will. One statement, by protocol.
async fn rows_expected(source: &Session, table: &Table) -> Result<u64, tokio_postgres::Error> {
    let sql = format!("explain (format json) select from {}", table.rows_sql());
    let row = source.query_one(&sql, &[]).await?;
    let plan: serde_json::Value = row.get(0);
    Ok(unsigned(plan[0]["Plan"]["Plan Rows"].as_f64().map_or(0, |rows| rows as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_must_stay_between_its_parentheses() {
        let check = |condition: &str, expect: Option<&str>| match (is_one_expression(condition), expect) {
            (Ok(()), None) => {}
            (Err(reason), Some(part)) => assert!(reason.contains(part), "{condition}: {reason}"),
            (result, _) => panic!("{condition} gave {result:?}"),
        };
        check("id > 5 and (kind = 'x' or kind = ')')", None);
        check("note = 'a;b' -- not the end", None);
        check("id in (select id from public.users)", None);
        check("true); drop table x", Some("semicolon"));
        check("true) or (true", Some("closes"));
        check("(true", Some("not closed"));
        check("true) --", Some("closes"));
        check("note = E'\\';' ", None);
        check("note = $q$);$q$", None);
    }
}
