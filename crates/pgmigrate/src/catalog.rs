//! What a database holds, read from its catalogue.

use std::collections::BTreeMap;

use pg_session::{Ident, Relation, Session};
use serde::Serialize;

use crate::error::Error;
use crate::provider::Provider;

/// A server and one of its databases, as the assessment shows them.
#[derive(Debug, Clone, Serialize)]
pub struct ServerFacts {
    /// `host:port/db`.
    pub endpoint: String,
    /// `server_version`, e.g. `16.4`.
    pub version: String,
    /// `server_version_num`, e.g. 160004.
    pub version_num: u32,
    /// The cluster's identifier; `None` where the provider hides it.
    pub system_identifier: Option<String>,
    /// Database name.
    pub database: String,
    /// Who runs it.
    pub provider: Provider,
    /// Database encoding.
    pub encoding: String,
    /// Collation and character classification with their provider, e.g. `libc C.UTF-8`.
    pub collation: String,
    /// True for a standby.
    pub standby: bool,
    /// True when our connection to it uses TLS.
    pub tls: bool,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    pub type_name: String,
    /// Computed by the server from others; never written.
    pub generated: bool,
    /// Its binary form means the same on another server.
    pub portable: bool,
    /// What is behind it when it is a domain; else its type, without length or precision.
    pub base: BaseType,
    /// No row has NULL there.
    pub not_null: bool,
    /// An identity that takes no value of ours unless told to.
    pub always_identity: bool,
    /// Its large values are compressed where that makes them small enough (storage `extended` of a heap).
    pub compressible: bool,
}

/// The type behind a column, domains seen through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BaseType {
    /// As SQL names it.
    pub name: String,
    /// Its name in `pg_catalog`, empty when it is not from there.
    pub builtin: String,
    /// For an array, its element's name in `pg_catalog`; else empty.
    pub element: String,
    /// The extension it belongs to, or empty.
    pub extension: String,
    /// The function that gives its binary form, quoted for SQL.
    pub send: String,
}

/// A table that holds rows of its own.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub oid: u32,
    pub relation: Relation,
    pub rows_estimate: u64,
    pub bytes: u64,
    pub pages: u64,
    pub unlogged: bool,
    /// Primary key columns; empty without one.
    pub key: Vec<String>,
    pub readable: bool,
    /// Row-level security would hide rows from the role we connect as.
    pub filtered: bool,
    /// It hides rows from the table's owner too.
    pub forced: bool,
    pub columns: Vec<Column>,
    /// Only rows for which this SQL holds are read.
    pub condition: Option<String>,
    /// The partitioned table that has to say where each of its rows belongs: on another server that is another partition.
    pub placed_by: Option<Relation>,
    /// Where the copy writes its rows.
    pub onto: Relation,
    /// A `from` clause that gives its rows, for what is no table of its own but several compared as one.
    pub rows_from: Option<String>,
    /// The target had it before the copy, so it is neither emptied nor filled frozen.
    pub existing: bool,
}

impl Table {
    /// The columns whose values are copied.
    pub fn copied(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| !c.generated)
    }

    /// Their names, quoted and comma-separated; empty for a table without any.
    pub fn copied_columns(&self) -> String {
        let names: Vec<_> = self.copied().map(|c| Ident(&c.name).to_string()).collect();
        names.join(", ")
    }

    /// True when the copy fills it from empty, alone.
    pub fn is_filled_whole(&self) -> bool {
        !self.existing && self.placed_by.is_none()
    }

    /// Where the copy sends its rows.
    pub fn filled_through(&self) -> &Relation {
        self.placed_by.as_ref().unwrap_or(&self.onto)
    }

    /// What its rows are read from, for `from`.
    pub fn rows_sql(&self) -> String {
        if let Some(rows) = &self.rows_from {
            return rows.clone();
        }
        match &self.condition {
            None => format!("only {}", self.relation),
            // On a line of its own: it may end in a comment.
            Some(condition) => format!("(select ctid, * from only {} where ({condition}\n)) as chosen", self.relation),
        }
    }

    /// Bytes of values too large for their rows.
    pub fn bytes_out_of_line(&self) -> u64 {
        const PAGE_BYTES: u64 = 8192;
        self.bytes.saturating_sub(self.pages * PAGE_BYTES)
    }

    /// True when every copied column survives the binary form.
    pub fn is_portable(&self) -> bool {
        self.copied().all(|c| c.portable)
    }
}

/// Facts about the server behind a session.
pub(crate) async fn server_facts(session: &Session) -> Result<ServerFacts, Error> {
    let (provider, row, may_identify) = tokio::try_join!(
        Provider::detect(session),
        async { session.query_typed_one(include_str!("sql/server_facts.sql"), &[]).await.map_err(Error::on(session)) },
        // Some providers revoke pg_control_system(); then identity rests on the address alone.
        async {
            session
                .query_typed_one("select has_function_privilege('pg_catalog.pg_control_system()', 'execute')", &[])
                .await
                .map_err(Error::on(session))
        },
    )?;
    let system_identifier = if may_identify.get(0) {
        let row = session
            .query_typed_one("select system_identifier::text from pg_control_system()", &[])
            .await
            .map_err(Error::on(session))?;
        Some(row.get(0))
    } else {
        None
    };
    Ok(ServerFacts {
        endpoint: session.url().endpoint(),
        version: row.get(0),
        version_num: session.version_num(),
        system_identifier,
        database: row.get(1),
        provider,
        encoding: row.get(2),
        collation: row.get(3),
        standby: row.get(4),
        tls: session.is_encrypted(),
    })
}

/// The application's schemas, and the provider's that stay behind. `tierlift` is ours and in neither.
pub(crate) async fn schemas(session: &Session, provider: Provider) -> Result<(Vec<String>, Vec<String>), Error> {
    let rows = session
        .query_typed(
            "select nspname::text from pg_namespace n
              where nspname !~ '^pg_' and nspname not in ('information_schema', 'tierlift')
                and not exists (select from pg_depend d
                                 where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
              order by nspname",
            &[],
        )
        .await
        .map_err(Error::on(session))?;
    Ok(rows.iter().map(|row| row.get::<_, String>(0)).partition(|name| !provider.manages_schema(name)))
}

/// The tables of `schemas` with their columns. `extensions` are those present in the same version at both ends.
pub(crate) async fn tables(session: &Session, schemas: &[String], extensions: &[String]) -> Result<Vec<Table>, Error> {
    let rows = session.query(include_str!("sql/tables.sql"), &[&schemas]).await.map_err(Error::on(session))?;
    let mut tables: Vec<Table> = rows
        .iter()
        .map(|row| Table {
            oid: row.get(0),
            relation: Relation::new(row.get::<_, String>(1), row.get::<_, String>(2)),
            rows_estimate: unsigned(row.get(3)),
            bytes: unsigned(row.get(4)),
            pages: unsigned(row.get(5)),
            unlogged: row.get(6),
            key: row.get(7),
            readable: row.get(8),
            filtered: row.get(9),
            forced: row.get(12),
            columns: Vec::new(),
            condition: None,
            placed_by: row
                .get::<_, Option<String>>(10)
                .zip(row.get::<_, Option<String>>(11))
                .map(|(schema, name)| Relation::new(schema, name)),
            onto: Relation::new(row.get::<_, String>(1), row.get::<_, String>(2)),
            rows_from: None,
            existing: false,
        })
        .collect();
    let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
    let by_oid: BTreeMap<u32, usize> = oids.iter().enumerate().map(|(at, oid)| (*oid, at)).collect();
    let columns =
        session.query(include_str!("sql/columns.sql"), &[&oids, &extensions]).await.map_err(Error::on(session))?;
    for row in columns {
        let at = by_oid[&row.get::<_, u32>(0)]; // the query asked for exactly these oids
        tables[at].columns.push(Column {
            name: row.get(1),
            type_name: row.get(2),
            generated: row.get(3),
            portable: row.get(4),
            base: BaseType {
                name: row.get(5),
                builtin: row.get(6),
                element: row.get(7),
                extension: row.get(8),
                send: row.get(9),
            },
            not_null: row.get(10),
            always_identity: row.get(11),
            compressible: row.get(12),
        });
    }
    Ok(tables)
}

/// A digest over the definitions in `schemas`, equal on two servers only by accident of identical text.
pub(crate) async fn fingerprint(session: &Session, schemas: &[String]) -> Result<String, Error> {
    let row = session.query_one(include_str!("sql/fingerprint.sql"), &[&schemas]).await.map_err(Error::on(session))?;
    Ok(row.get(0))
}

/// Sizes and counts are never negative; a catalogue that says otherwise means "unknown".
pub(crate) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
