//! Takes a copy back: the target as it was before the first statement.
//!
//! Only what the copy made goes, as the record of its entries has it. What somebody else made since stays and is named;
//! where that cannot be without what the copy made, nothing is touched and it is named too. What must be put back rather
//! than dropped (comments and privileges of schemas that were there) is recorded before anything is touched. The copy's
//! tables in schema `tierlift` go last: as long as they stand, the undo can be repeated.

use pg_session::{Access, Ident, PgUrl, Session, literal};
use runbook::Context;
use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;

use crate::error::Error;
use crate::existing::{self, DataBefore};
use crate::large_objects;
use crate::leftover;
use crate::selection::Contents;
use crate::state;
use crate::survey::Survey;

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
    /// Of a copy into tables that were there: all that it changes.
    #[serde(default)]
    pub data: Option<DataBefore>,
}

/// A schema that was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaBefore {
    pub name: String,
    pub owner: String,
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
    pub async fn capture(target: &Session, survey: &Survey) -> Result<Self, Error> {
        Ok(Self {
            schemas: schemas(target).await?,
            globals: globals(target).await?,
            default_privileges: default_privileges(target).await?,
            roles: survey.roles.missing.clone(),
            data: match survey.wanted.contents {
                Contents::DataOnly => Some(DataBefore::capture(target, survey).await?),
                _ => None,
            },
        })
    }

    /// As the copy's state keeps it.
    pub fn read(state: serde_json::Value) -> Result<Self, Error> {
        serde_json::from_value(state).map_err(|e| {
            Error::OtherCopy(format!("schema tierlift on the target holds a state of another version ({e})"))
        })
    }
}

/// Undoes the copy that `run` (or, without a run, a bare command) made on the target. A target without one, or with
/// another run's, is left alone.
///
/// # Errors
/// When something cannot be dropped or restored, or others have built on it; calling again continues.
pub async fn copy_undo(target: &PgUrl, cx: &Context) -> Result<(), Error> {
    let _lock = leftover::lock(target).await?;
    let session = Session::connect(target, Access::ReadWrite).await?;
    // Before the state is read: an attempt that died as it began may have sent the commit that brings it.
    leftover::end_orphans(&session).await?;
    let Some(copy) = state::read(&session).await? else {
        cx.note("nothing of a copy is on the target");
        return Ok(());
    };
    if copy.run.as_deref() != cx.run_id() {
        cx.note(format!("the copy on the target, begun {}, is another run's and stays", copy.started_at));
        return Ok(());
    }
    let renamed = if copy.finished { copy.selection.parse()?.schemas } else { Vec::new() };
    remove(&session, &Before::read(copy.before)?, &renamed, cx).await
}

/// Drops what the copy made and restores what `before` knows. `renamed` are the schemas that have their new names
/// already, as (source's name, target's name).
pub(crate) async fn remove(
    target: &Session,
    before: &Before,
    renamed: &[(String, String)],
    cx: &Context,
) -> Result<(), Error> {
    leftover::end_orphans(target).await?;
    // A forgotten psql with an open transaction must not make this wait forever.
    run(target, "set lock_timeout = '30s'").await?;
    if let Some(data) = &before.data {
        existing::take_back(target, data).await?;
        drop_own_functions(target).await?;
        return forget(target).await;
    }
    let things = things(target, renamed).await?;
    let hanging: Vec<String> = things.iter().filter_map(Thing::hangs).collect();
    if !hanging.is_empty() {
        return Err(Error::InTheWay { objects: hanging });
    }
    // First of all: they would watch the rest.
    drop_new_globals(target, before, |kind| kind == "event trigger", cx).await?;
    large_objects::remove(target).await?;
    let (ours, others): (Vec<Thing>, Vec<Thing>) = things.into_iter().partition(|thing| thing.made);
    drop_all(target, &ours).await?;
    drop_own_functions(target).await?;
    drop_new_globals(target, before, |_| true, cx).await?;
    for schema in schemas(target).await? {
        match before.schemas.iter().find(|b| b.name == schema.name) {
            Some(was) => restore_schema(target, was, &schema).await?,
            None => drop_schema(target, &schema.name, renamed, cx).await?,
        }
    }
    for statement in default_privileges(target).await?.iter().filter(|s| !before.default_privileges.contains(s)) {
        run(target, statement).await?;
    }
    for role in &before.roles {
        drop_role(target, role, cx).await?;
    }
    for other in others {
        cx.note(match other.needs.filter(|_| other.part) {
            Some(needs) => format!("{} was not made by the copy and went with {needs}", other.label),
            None => format!("{} was not made by the copy and stays", other.label),
        });
    }
    forget(target).await
}

/// Something in one of the target's schemas.
struct Thing {
    made: bool,
    /// As `drop` takes it.
    kind: String,
    name: String,
    label: String,
    /// What of the copy's it cannot be without, when somebody else made it.
    needs: Option<String>,
    /// Not a thing of its own but a part of somebody's table, which can do without it.
    part: bool,
}

impl Thing {
    fn hangs(&self) -> Option<String> {
        let needs = self.needs.as_ref().filter(|_| !self.made && !self.part)?;
        Some(format!("{} (it needs {needs})", self.label))
    }
}

async fn things(target: &Session, renamed: &[(String, String)]) -> Result<Vec<Thing>, Error> {
    let (was, now): (Vec<&str>, Vec<&str>) = renamed.iter().map(|(was, now)| (was.as_str(), now.as_str())).unzip();
    let rows = target.query(include_str!("sql/made.sql"), &[&was, &now]).await.map_err(Error::on(target))?;
    let thing = |row: &tokio_postgres::Row| Thing {
        made: row.get(0),
        kind: row.get(1),
        name: row.get(2),
        label: row.get(3),
        needs: row.get(4),
        part: row.get(5),
    };
    Ok(rows.iter().map(thing).collect())
}

async fn drop_all(target: &Session, things: &[Thing]) -> Result<(), Error> {
    // In batches, each a transaction of its own: thousands of tables need more locks than a server has.
    const BATCH: usize = 200;
    for batch in things.chunks(BATCH) {
        let statements: String =
            batch.iter().map(|t| format!("drop {} if exists {} cascade;\n", t.kind, t.name)).collect();
        run(target, &statements).await?;
    }
    Ok(())
}

/// What is in no schema and was made by the copy. An extension that others have come to use stays.
async fn drop_new_globals(target: &Session, before: &Before, of: fn(&str) -> bool, cx: &Context) -> Result<(), Error> {
    let made = made_globals(target).await?;
    for (kind, name) in made.into_iter().filter(|g| of(&g.0) && !before.globals.contains(g)) {
        let how = if kind == "server" { " cascade" } else { "" }; // its user mappings
        if !run_unless_needed(target, &format!("drop {kind} if exists {name}{how}")).await? {
            cx.note(format!("{kind} {name} stays: something that the copy did not make uses it"));
        }
    }
    Ok(())
}

/// A schema that is there again under its old name.
pub(crate) async fn restore(target: &Session, was: &SchemaBefore) -> Result<(), Error> {
    match schemas(target).await?.iter().find(|is| is.name == was.name) {
        Some(is) => restore_schema(target, was, is).await,
        None => Ok(()),
    }
}

/// Owner, comment and privileges as they were.
/// A schema that was not there before goes if the copy made it and nothing of others is in it.
async fn drop_schema(target: &Session, name: &str, renamed: &[(String, String)], cx: &Context) -> Result<(), Error> {
    let made = "select from tierlift.copy_entry where left(entry, -9) = 'SCHEMA -.' || $1
                    or (entry = 'SHIM auth' and $1 = 'auth') or entry = 'EXTENSION SCHEMA ' || $1 limit 1";
    let is_renamed = renamed.iter().any(|(_, now)| now == name);
    if !is_renamed && target.query_opt(made, &[&name]).await.map_err(Error::on(target))?.is_none() {
        cx.note(format!("schema {name} was not made by the copy and stays"));
    } else if !run_unless_needed(target, &format!("drop schema if exists {}", Ident(name))).await? {
        cx.note(format!("schema {name} stays: it holds what the copy did not make"));
    }
    Ok(())
}

/// The functions of the triggers on the copy's own tables, before the language that they are written in.
async fn drop_own_functions(target: &Session) -> Result<(), Error> {
    const FUNCTIONS: &str = "select distinct format('drop function %s cascade;', g.tgfoid::regprocedure)
                               from pg_trigger g join pg_class c on c.oid = g.tgrelid
                              where c.relnamespace = 'tierlift'::regnamespace and c.relname ~ '^copy' and not g.tgisinternal";
    let rows = target.query(FUNCTIONS, &[]).await.map_err(Error::on(target))?;
    for row in rows {
        run(target, row.get(0)).await?;
    }
    Ok(())
}

/// Drops the copy's own tables, and schema tierlift when nothing else is kept there.
async fn forget(target: &Session) -> Result<(), Error> {
    const TABLES: &str = "select oid::regclass::text from pg_class
                           where relnamespace = 'tierlift'::regnamespace and relkind = 'r' and relname ~ '^copy' order by 1";
    let rows = target.query(TABLES, &[]).await.map_err(Error::on(target))?;
    let tables: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    run(target, &format!("drop table {}", tables.join(", "))).await?;
    run_unless_needed(target, "drop schema tierlift").await?;
    Ok(())
}

/// Comment and privileges as they were.
async fn restore_schema(target: &Session, was: &SchemaBefore, is: &SchemaBefore) -> Result<(), Error> {
    let name = Ident(&was.name);
    if was.owner != is.owner {
        run(target, &format!("alter schema {name} owner to {}", Ident(&was.owner))).await?;
    }
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

async fn drop_role(target: &Session, role: &str, cx: &Context) -> Result<(), Error> {
    let exists = target
        .query_opt("select from pg_roles where rolname = $1", &[&role])
        .await
        .map_err(Error::on(target))?
        .is_some();
    if !exists {
        return Ok(());
    }
    if !run_unless_needed(target, &format!("drop role if exists {}", Ident(role))).await? {
        cx.note(format!("role {role} stays: it owns, or has privileges on, what the copy did not make"));
    }
    Ok(())
}

async fn schemas(target: &Session) -> Result<Vec<SchemaBefore>, Error> {
    let rows = target.query(include_str!("sql/schemas.sql"), &[]).await.map_err(Error::on(target))?;
    rows.iter()
        .map(|row| {
            let grants = serde_json::from_value(row.get(2))
                .map_err(|e| Error::Internal(format!("privileges of a schema came back in another form: {e}")))?;
            Ok(SchemaBefore { name: row.get(0), comment: row.get(1), grants, owner: row.get(3) })
        })
        .collect()
}

/// Those that the copy recorded.
async fn made_globals(target: &Session) -> Result<Vec<(String, String)>, Error> {
    let sql = concat!(
        "with g (kind, name, record) as (\n",
        include_str!("sql/globals.sql"),
        ")\nselect kind, name from g where exists (select from tierlift.copy_entry e
             where replace(g.record, '\"', '') in (replace(e.entry, '\"', ''), replace(left(e.entry, -9), '\"', '')))"
    );
    let rows = target.query(sql, &[]).await.map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn globals(target: &Session) -> Result<Vec<(String, String)>, Error> {
    let rows = target.query(include_str!("sql/globals.sql"), &[]).await.map_err(Error::on(target))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// False when the server says that something else needs it.
async fn run_unless_needed(target: &Session, sql: &str) -> Result<bool, Error> {
    match target.batch_execute(sql).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => Ok(false),
        Err(error) => Err(Error::on(target)(error)),
    }
}

async fn run(target: &Session, sql: &str) -> Result<(), Error> {
    target.batch_execute(sql).await.map_err(Error::on(target))
}
