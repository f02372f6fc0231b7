//! The engine's view of this crate: `vector.enable`, `vector.backfill`, `vector.index`, `vector.recall`.

mod backfill;
mod enable;
mod index;
mod recall;

use pg_session::{Access, PgUrl, Relation, Session};
use runbook::{Action, Check, Failure, FailureKind, Finding, Inspect};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Error;
use crate::table::{Table, missing_table, parse_relation};

/// The read-only half of an action of this crate; `None` when the name is not one of ours.
pub fn inspect(name: &str, with: &Value) -> Option<Result<Box<dyn Inspect>, Failure>> {
    Some(match name {
        "vector.enable" => arguments::<enable::Enable>(name, with).map(|a| Box::new(a) as _),
        "vector.backfill" => arguments::<backfill::Backfill>(name, with).map(|a| Box::new(a) as _),
        "vector.index" => arguments::<index::Index>(name, with).map(|a| Box::new(a) as _),
        "vector.recall" => arguments::<recall::Recall>(name, with).map(|a| Box::new(a) as _),
        _ => return None,
    })
}

/// The whole action; `None` when the name is not one of ours.
pub fn action(name: &str, with: &Value) -> Option<Result<Box<dyn Action>, Failure>> {
    Some(match name {
        "vector.enable" => arguments::<enable::Enable>(name, with).map(|a| Box::new(a) as _),
        "vector.backfill" => arguments::<backfill::Backfill>(name, with).map(|a| Box::new(a) as _),
        "vector.index" => arguments::<index::Index>(name, with).map(|a| Box::new(a) as _),
        "vector.recall" => arguments::<recall::Recall>(name, with).map(|a| Box::new(a) as _),
        _ => return None,
    })
}

fn arguments<T: DeserializeOwned>(name: &str, with: &Value) -> Result<T, Failure> {
    T::deserialize(with).map_err(|error| {
        Failure::new(
            FailureKind::InvalidInput,
            format!("action {name}"),
            format!("its arguments can't be used: {error}"),
            "correct the step's `with` in the playbook, or the environment variables it names",
        )
    })
}

fn relation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Relation, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_relation(&text).map_err(|_| D::Error::custom(format!("table {text:?} is not of the form schema.table")))
}

/// Always done anew, nothing to restore.
const LOOK_AGAIN: Check = Check::Pending { before: Value::Null };

/// What an earlier `check` returned, back from the journal.
fn journaled<T: DeserializeOwned>(before: &Value) -> Result<T, Error> {
    T::deserialize(before).map_err(|error| Error::Internal(format!("the journaled state can't be read: {error}")))
}

/// What a dry run can see of a table before the step that brings it to the target has run.
struct Look {
    target: Session,
    /// Where the table is, when that is not the target yet.
    source: Option<Session>,
    table: Table,
}

impl Look {
    /// Looks on the target, then on the source if there is one. An `Err` within is what stands in the way.
    async fn at(target: &PgUrl, source: Option<&PgUrl>, relation: &Relation) -> Result<Result<Self, Finding>, Error> {
        let session = Session::connect(target, Access::ReadOnly).await?;
        if let Some(table) = Table::read(&session, relation).await? {
            return Ok(Ok(Self { target: session, source: None, table }));
        }
        let mut looked_at = vec![target.endpoint()];
        if let Some(source) = source {
            looked_at.insert(0, source.endpoint());
            let there = Session::connect(source, Access::ReadOnly).await?;
            if let Some(table) = Table::read(&there, relation).await? {
                return Ok(Ok(Self { target: session, source: Some(there), table }));
            }
        }
        Ok(Err(missing_table(relation, &looked_at)))
    }

    /// About how many rows the table has.
    async fn rows(&self) -> Result<u64, Error> {
        match self.table.unreadable() {
            Some(finding) => Err(Error::Blocked(vec![finding])),
            None => self.table.rows(self.catalogue()).await,
        }
    }

    /// The session of the server that has the table.
    fn catalogue(&self) -> &Session {
        self.source.as_ref().unwrap_or(&self.target)
    }

    fn on_target(&self) -> bool {
        self.source.is_none()
    }
}

/// The findings an error is made of, or the error.
fn findings_of(error: Error) -> Result<Vec<Finding>, Error> {
    match error {
        Error::Blocked(findings) => Ok(findings),
        other => Err(other),
    }
}
