//! Takes a copy back: the target as it was before the first statement.
//!
//! The target was empty then, so everything in its schemas goes. What must be put back rather than dropped (comments
//! and privileges of schemas that were there) is recorded before anything is touched. Schema `tierlift` goes last: as
//! long as it stands, the undo can be repeated.

use pg_session::{Access, Ident, PgUrl, Session, literal};
use runbook::Context;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::large_objects;
use crate::leftover;
use crate::state;

/// What the target was like before the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    pub schemas: Vec<SchemaBefore>,
    /// Extensions, languages and other objects in no schema, as (kind, name).
    pub globals: Vec<(String, String)>,
    /// What departs from the built-in default privileges of the role we are, as the statements that would undo it.
    pub default_privileges: Vec<String>,
    /// Roles the copy makes.
    pub roles: Vec<String>,
}

/// A schema that was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaBefore {
    pub name: String,
    pub comment: Option<String>,
    pub grants: Vec<Grant>,
}

/// One privilege on a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Quoted for SQL, or `public`.
    pub grantee: String,
    pub privilege: String,
    pub grantable: bool,
}

impl Before {
    /// Reads it from a target that no copy has touched.
    pub async fn capture(target: &Session, roles: Vec<String>) -> Result<Self, Error> {
        let default_privileges = default_privileges(target).await?;
        Ok(Self { schemas: schemas(target).await?, globals: globals(target).await?, default_privileges, roles })
    }
}

/// Undoes the copy that `run` (or, without a run, a bare command) made on the target. A target without one, or with
/// another run's, is left alone.
///
/// # Errors
/// When something cannot be dropped or restored; calling again continues.
pub async fn copy_undo(target: &PgUrl, cx: &Context) -> Result<(), Error> {
    let _lock = leftover::lock(target).await?;
    let session = Session::connect(target, Access::ReadWrite).await?;
    let Some(copy) = state::read(&session).await? else {
        cx.note("nothing of a copy is on the target");
        return Ok(());
    };
    if copy.run.as_deref() != cx.run_id() {
        cx.note(format!("the copy on the target, begun {}, is another run's and stays", copy.started_at));
        return Ok(());
    }
    let before: Before = serde_json::from_value(copy.before).map_err(|e| {
        Error::OtherCopy(format!("schema tierlift on the target holds a state of another version ({e})"))
    })?;
    remove(&session, &before).await
}

/// Drops what `before` does not know and restores what it does.
pub(crate) async fn remove(target: &Session, before: &Before) -> Result<(), Error> {
    leftover::end_orphans(target).await?;
    // A forgotten psql with an open transaction must not make this wait forever.
    run(target, "set lock_timeout = '30s'").await?;
    // First of all: they would watch the rest.
    drop_new_globals(target, before, |kind| kind == "event trigger").await?;
    large_objects::remove(target).await?;
    for schema in schemas(target).await? {
        empty_schema(target, &schema.name).await?;
    }
    drop_new_globals(target, before, |_| true).await?;
    for schema in schemas(target).await? {
        match before.schemas.iter().find(|b| b.name == schema.name) {
            Some(was) => restore_schema(target, was, &schema).await?,
            None => run(target, &format!("drop schema if exists {} cascade", Ident(&schema.name))).await?,
        }
    }
    for statement in default_privileges(target).await?.iter().filter(|s| !before.default_privileges.contains(s)) {
        run(target, statement).await?;
    }
    for role in &before.roles {
        drop_role(target, role).await?;
    }
    run(target, "drop schema if exists tierlift cascade").await
}

async fn empty_schema(target: &Session, schema: &str) -> Result<(), Error> {
    // In batches, each a transaction of its own: a schema of thousands of tables needs more locks than a server has.
    const BATCH: usize = 200;
    loop {
        let rows = target
            .query(include_str!("sql/droppable.sql"), &[&Ident(schema).to_string()])
            .await
            .map_err(Error::on(target))?;
        if rows.is_empty() {
            return Ok(());
        }
        for batch in rows.chunks(BATCH) {
            let statements: Vec<String> = batch
                .iter()
                .map(|row| format!("drop {} if exists {} cascade;", row.get::<_, &str>(0), row.get::<_, &str>(1)))
                .collect();
            run(target, &statements.join("\n")).await?;
        }
    }
}

async fn drop_new_globals(target: &Session, before: &Before, of: fn(&str) -> bool) -> Result<(), Error> {
    let new = globals(target).await?.into_iter().filter(|g| of(&g.0) && !before.globals.contains(g));
    for (kind, name) in new {
        run(target, &format!("drop {kind} if exists {name} cascade")).await?;
    }
    Ok(())
}

/// Comment and privileges as they were.
async fn restore_schema(target: &Session, was: &SchemaBefore, is: &SchemaBefore) -> Result<(), Error> {
    let name = Ident(&was.name);
    if was.comment != is.comment {
        let comment = was.comment.as_deref().map_or_else(|| "null".to_owned(), literal);
        run(target, &format!("comment on schema {name} is {comment}")).await?;
    }
    for grant in is.grants.iter().filter(|g| !was.grants.contains(g)) {
        run(target, &format!("revoke {} on schema {name} from {} cascade", grant.privilege, grant.grantee)).await?;
    }
    // After the revokes: one of them may have taken a grant that differed only in its grant option.
    let left = schemas(target).await?.into_iter().find(|s| s.name == was.name);
    let left = left.map(|s| s.grants).unwrap_or_else(Vec::new);
    for grant in was.grants.iter().filter(|g| !left.contains(g)) {
        let option = if grant.grantable { " with grant option" } else { "" };
        run(target, &format!("grant {} on schema {name} to {}{option}", grant.privilege, grant.grantee)).await?;
    }
    Ok(())
}

/// Those of the role we are: the copy makes no others.
async fn default_privileges(target: &Session) -> Result<Vec<String>, Error> {
    let rows = target.query(include_str!("sql/revoke_default_privileges.sql"), &[]).await.map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn drop_role(target: &Session, role: &str) -> Result<(), Error> {
    let exists = target
        .query_opt("select from pg_roles where rolname = $1", &[&role])
        .await
        .map_err(Error::on(target))?
        .is_some();
    if !exists {
        return Ok(());
    }
    run(target, &format!("drop role if exists {}", Ident(role))).await
}

async fn schemas(target: &Session) -> Result<Vec<SchemaBefore>, Error> {
    let rows = target.query(include_str!("sql/schemas.sql"), &[]).await.map_err(Error::on(target))?;
    rows.iter()
        .map(|row| {
            let grants = serde_json::from_value(row.get(2))
                .map_err(|e| Error::Internal(format!("privileges of a schema came back in another form: {e}")))?;
            Ok(SchemaBefore { name: row.get(0), comment: row.get(1), grants })
        })
        .collect()
}

async fn globals(target: &Session) -> Result<Vec<(String, String)>, Error> {
    let rows = target.query(include_str!("sql/globals.sql"), &[]).await.map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn run(target: &Session, sql: &str) -> Result<(), Error> {
    target.batch_execute(sql).await.map_err(Error::on(target))
}
