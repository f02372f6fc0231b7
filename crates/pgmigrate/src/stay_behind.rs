//! Objects in no schema: event triggers and publications, of which some roles may make only some, and large objects.

use pg_session::Session;
use runbook::{Finding, Severity};
use tokio_postgres::types::{ToSql, Type};

use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;
use crate::selection::Wanted;

/// What cannot come (nothing at all can where only some schemas or tables do: it may speak of the others), as (catalogue, oid) of its entries in a dump, with a finding for each object.
pub(crate) async fn stay_behind(
    source: &Session,
    target: &Session,
    provider: Provider,
    filtered: bool,
) -> Result<Vec<((u32, u32), Option<Finding>)>, Error> {
    let superuser: bool = target
        .query_typed_one("select rolsuper from pg_roles where rolname = current_user", &[])
        .await
        .map_err(Error::on(target))?
        .get(0);
    let own = if provider == Provider::Supabase { "^supabase_" } else { "^$" };
    const SQL: &str = include_str!("sql/stay_behind.sql");
    // Publications of whole schemas are as old as PostgreSQL 15.
    let sql = match source.major() {
        15.. => SQL.to_owned(),
        _ => {
            SQL.replace("pg_catalog.pg_publication_namespace", "(select 0::oid as oid, 0::oid as pnpubid where false)")
        }
    };
    let parameters = [(&superuser as &(dyn ToSql + Sync), Type::BOOL), (&own, Type::TEXT), (&filtered, Type::BOOL)];
    let rows = source.query_typed(&sql, &parameters).await.map_err(Error::on(source))?;
    Ok(rows
        .iter()
        .map(|row| {
            let reason: Option<(String, String)> = row.get::<_, Option<_>>(2).zip(row.get(3));
            let finding = reason
                .map(|(object, reason)| finding(Severity::Changes, object, reason, "it is not created on the target"));
            ((row.get(0), row.get(1)), finding)
        })
        .collect())
}

/// A word on large objects that stay behind because only a part of the database comes.
pub(crate) async fn large_objects(source: &Session, wanted: &Wanted) -> Result<Option<Finding>, Error> {
    if wanted.large_objects() {
        return Ok(None);
    }
    let sql = "select count(*) from pg_largeobject_metadata";
    let count: i64 = source.query_typed_one(sql, &[]).await.map_err(Error::on(source))?.get(0);
    let object = if count == 1 { "1 large object".to_owned() } else { format!("{count} large objects") };
    Ok((count > 0).then(|| {
        let message = "nothing says which table a large object belongs to, and only a part of the database comes";
        finding(Severity::Changes, object, message, "copy everything, or move them into bytea columns first")
    }))
}
