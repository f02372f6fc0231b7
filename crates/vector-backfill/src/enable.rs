//! pgvector in the database, and the column embeddings go into.

use pg_session::{Access, Ident, PgUrl, Relation, Session};
use runbook::Finding;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::table::{Table, blocks, settle};

/// The first release whose cosine distance, casts and ivfflat are what we rely on.
const PGVECTOR_MIN: (u32, u32) = (0, 5);

/// Most dimensions an ivfflat index takes.
pub(crate) const DIMENSIONS_MAX: usize = 2000;

/// What to enable.
#[derive(Debug, Clone)]
pub struct EnableOptions {
    /// The database.
    pub target: PgUrl,
    /// The table.
    pub table: Relation,
    /// The vector column.
    pub column: String,
    /// Its dimensions.
    pub dimensions: usize,
    /// Schema for the extension where it is not installed yet.
    pub schema: String,
}

/// What was there before; undo removes only what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableBefore {
    /// Whether the extension was there.
    pub extension: bool,
    /// The schema it goes to.
    pub schema: String,
    /// Whether that schema was there.
    pub schema_exists: bool,
    /// Whether the column was there.
    pub column: bool,
}

impl EnableBefore {
    /// Whether there is nothing left to do.
    pub fn is_enabled(&self) -> bool {
        self.extension && self.column
    }
}

/// What is in place now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnableReport {
    /// pgvector's version.
    pub extension_version: String,
    /// Its schema.
    pub schema: String,
    /// Whether this call created the extension.
    pub created_extension: bool,
    /// Whether this call added the column.
    pub added_column: bool,
}

/// pgvector as one database has it.
#[derive(Debug, Clone)]
pub(crate) struct Pgvector {
    /// Version and schema, where installed.
    pub installed: Option<(String, String)>,
    /// The version that could be installed.
    pub available: Option<String>,
    /// Whether this role may install it.
    pub creatable: bool,
}

impl Pgvector {
    pub async fn read(session: &Session) -> Result<Self, Error> {
        let row = session.query_one(include_str!("sql/extension.sql"), &[]).await.map_err(Error::on(session))?;
        let (version, schema): (Option<String>, Option<String>) = (row.get(0), row.get(1));
        let (trusted, superuser, may_create): (bool, bool, bool) = (row.get(3), row.get(4), row.get(5));
        Ok(Self {
            installed: version.zip(schema),
            available: row.get(2),
            creatable: superuser || (trusted && may_create),
        })
    }

    /// The schema its types and operators are in.
    pub async fn require_schema(session: &Session) -> Result<String, Error> {
        let found = Self::read(session).await?.installed;
        found.map(|(_, schema)| schema).ok_or_else(|| {
            Error::Blocked(vec![blocks(
                format!("database {}", session.url().dbname()),
                "pgvector is not enabled",
                "enable it first: step vector.enable, or `tierlift vector enable`",
            )])
        })
    }

    /// What stands in the way of having it.
    pub fn finding(&self, endpoint: &str) -> Option<Finding> {
        let object = format!("extension vector on {endpoint}");
        let version = self.installed.as_ref().map(|(version, _)| version).or(self.available.as_ref());
        let Some(version) = version else {
            return Some(blocks(
                object,
                "pgvector is not available on this server",
                "install pgvector there (managed providers offer it as a setting or a newer version), then start again",
            ));
        };
        if parse_version(version).is_some_and(|version| version < PGVECTOR_MIN) {
            return Some(blocks(
                object,
                format!("version {version} is too old, 0.5 or newer is needed"),
                "update pgvector on the server, and where it is installed run `alter extension vector update`",
            ));
        }
        (self.installed.is_none() && !self.creatable).then(|| {
            blocks(
                object,
                "this role may not create it",
                "have `create extension vector` run there by a role that may, or grant create on the database where the \
                 extension is trusted",
            )
        })
    }
}

/// What is there now. Read-only.
///
/// # Errors
/// When the state can't be read.
pub async fn enable_before(options: &EnableOptions) -> Result<EnableBefore, Error> {
    check_dimensions(options.dimensions)?;
    let session = Session::connect(&options.target, Access::ReadOnly).await?;
    let pgvector = Pgvector::read(&session).await?;
    let column = Table::read(&session, &options.table)
        .await?
        .is_some_and(|table| table.has_vector(&options.column, options.dimensions) == Ok(true));
    let schema_exists = schema_exists(&session, &options.schema).await?;
    Ok(EnableBefore { extension: pgvector.installed.is_some(), schema: options.schema.clone(), schema_exists, column })
}

/// Creates the extension and adds the column, each unless it is there. The column is nullable and empty, so adding it
/// rewrites nothing; it needs the table's lock for a moment and waits for it no longer than five seconds.
///
/// # Errors
/// [`Error::Blocked`] when pgvector can't be had, the table is not there, or the column is there with another type; when the
/// server refuses.
pub async fn enable(options: &EnableOptions) -> Result<EnableReport, Error> {
    let before = enable_before(options).await?;
    let mut session = Session::connect(&options.target, Access::ReadWrite).await?;
    let table = Table::require(&session, &options.table).await?;
    let findings = [
        Pgvector::read(&session).await?.finding(&options.target.endpoint()),
        table.has_vector(&options.column, options.dimensions).err(),
        if before.column { None } else { table.unalterable() },
    ];
    let findings: Vec<_> = findings.into_iter().flatten().collect();
    if !findings.is_empty() {
        return Err(Error::Blocked(findings));
    }
    let object = format!("table {}", options.table.label());
    let on = format!("extension vector on {}", options.target.endpoint());
    let transaction = session.transaction().await.map_err(Error::statement(&object, "cannot begin"))?;
    if !before.extension {
        let schema = Ident(&options.schema);
        if !before.schema_exists {
            let sql = format!("create schema if not exists {schema}");
            let refused = Error::statement(format!("schema {}", options.schema), "cannot create it");
            transaction.batch_execute(&sql).await.map_err(refused)?;
        }
        let sql = format!("create extension if not exists vector schema {schema}");
        transaction.batch_execute(&sql).await.map_err(Error::statement(&on, "cannot create it"))?;
    }
    if !before.column {
        let row = transaction
            .query_one(
                "select n.nspname::text from pg_catalog.pg_extension e
                   join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'",
                &[],
            )
            .await
            .map_err(Error::statement(&on, "cannot find it"))?;
        let sql = format!(
            "set local lock_timeout = '5s'; alter table {} add column {} {}.vector({})",
            options.table,
            Ident(&options.column),
            Ident(row.get(0)),
            options.dimensions
        );
        let doing = format!("cannot add column {}", options.column);
        transaction.batch_execute(&sql).await.map_err(Error::statement(&object, doing))?;
    }
    transaction.commit().await.map_err(Error::statement(&object, "cannot commit"))?;
    let (extension_version, schema) = Pgvector::read(&session).await?.installed.ok_or_else(|| Error::NotInPlace {
        object: on,
        message: "it is not installed although creating it succeeded".into(),
        hint: "look who dropped it, then start again".into(),
    })?;
    Ok(EnableReport { extension_version, schema, created_extension: !before.extension, added_column: !before.column })
}

/// Removes what [`enable`] added: the column, then the extension. Nothing that depends on either is taken along.
///
/// # Errors
/// When the server refuses, for instance because a user's view reads the column by now.
pub async fn undo_enable(options: &EnableOptions, before: &EnableBefore) -> Result<(), Error> {
    let session = Session::connect(&options.target, Access::ReadWrite).await?;
    settle(&session, &options.table, "access share").await?;
    let found = Table::read(&session, &options.table).await?;
    if let Some(table) = found
        && !before.column
        && table.column(&options.column).is_some_and(|column| column.type_base == "vector")
    {
        let sql = format!("alter table {} drop column {}", options.table, Ident(&options.column));
        let doing = format!("cannot drop column {}", options.column);
        session.batch_execute(&sql).await.map_err(Error::statement(table.object(), doing))?;
    }
    if !before.extension {
        let refused = Error::statement("extension vector", "cannot drop it");
        session.batch_execute("drop extension if exists vector").await.map_err(refused)?;
        if !before.schema_exists && schema_exists(&session, &before.schema).await? {
            let sql = format!("drop schema {}", Ident(&before.schema));
            let refused = Error::statement(format!("schema {}", before.schema), "cannot drop it");
            session.batch_execute(&sql).await.map_err(refused)?;
        }
    }
    Ok(())
}

pub(crate) fn check_dimensions(dimensions: usize) -> Result<(), Error> {
    if (1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Ok(());
    }
    Err(Error::Argument {
        object: format!("dimensions {dimensions}"),
        message: format!("an indexed vector has 1 to {DIMENSIONS_MAX}"),
    })
}

async fn schema_exists(session: &Session, schema: &str) -> Result<bool, Error> {
    let sql = "select exists (select from pg_catalog.pg_namespace where nspname = $1)";
    Ok(session.query_one(sql, &[&schema]).await.map_err(Error::on(session))?.get(0))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_stands_in_the_way_of_pgvector() {
        let check = |installed: Option<&str>, available: Option<&str>, creatable: bool, expect: Option<&str>| {
            let installed = installed.map(|version| (version.to_owned(), "public".to_owned()));
            let pgvector = Pgvector { installed, available: available.map(str::to_owned), creatable };
            let message = pgvector.finding("h:1/db").map(|finding| finding.message);
            let fits = match expect {
                Some(words) => message.as_ref().is_some_and(|message| message.contains(words)),
                None => message.is_none(),
            };
            assert!(fits, "{pgvector:?}: {message:?}");
        };
        check(None, Some("0.8.5"), true, None);
        check(Some("0.8.0"), Some("0.8.5"), false, None);
        check(Some("1.0.0"), None, false, None);
        check(None, None, true, Some("not available"));
        check(None, Some("0.4.4"), true, Some("too old"));
        check(Some("0.4.4"), Some("0.8.5"), true, Some("too old"));
        check(None, Some("0.8.5"), false, Some("may not create"));
    }
}
