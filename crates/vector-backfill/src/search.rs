//! The rows nearest in meaning to a text.

use pg_session::{Access, Ident, PgUrl, Relation, Session};
use pgvector::Vector;
use serde::Serialize;

use crate::embedder::Embedder;
use crate::enable::Pgvector;
use crate::error::Error;
use crate::table::{Table, blocks};

/// Where to search.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// The database.
    pub target: PgUrl,
    /// The table.
    pub table: Relation,
    /// The column shown of each hit.
    pub text: String,
    /// The vector column.
    pub column: String,
    /// Hits wanted.
    pub k: usize,
    /// Lists to look into; unless given, what the database is set to, else the square root of the index's lists.
    pub probes: Option<u32>,
}

/// One row that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Its key, as text.
    pub key: String,
    /// Its text.
    pub text: String,
    /// Cosine distance: 0 is the same direction, 1 unrelated, 2 opposite.
    pub distance: f64,
}

/// Finds the `k` rows whose texts mean most nearly what `query` does, nearest first.
///
/// # Errors
/// [`Error::Argument`] for a query without meaning; [`Error::Blocked`] when there is nothing to search in.
pub async fn search(options: &SearchOptions, query: &str, embedder: &dyn Embedder) -> Result<Vec<Hit>, Error> {
    let vector = embed_query(query, embedder)?;
    let k = check_k(options.k)?;
    let mut session = Session::connect(&options.target, Access::ReadOnly).await?;
    let place =
        Place::resolve(&session, &options.table, Some(&options.text), &options.column, embedder.dimensions()).await?;
    let probes = match options.probes {
        Some(probes) => Some(probes),
        None => default_probes(&session, &place).await?,
    };
    let sql = place.nearest_sql(&format!("t.{}::text, (t.{})::text", place.key, Ident(&options.text)));
    let on = format!("table {}", options.table.label());
    let failed = || Error::statement(on.clone(), "cannot search it");
    let transaction = session.transaction().await.map_err(failed())?;
    transaction.batch_execute(&use_index_sql(probes)).await.map_err(failed())?;
    let rows = transaction.query(&sql, &[&vector, &k]).await.map_err(failed())?;
    Ok(rows
        .iter()
        .map(|row| Hit {
            key: row.get(0),
            text: row.get::<_, Option<String>>(1).unwrap_or_else(String::new),
            distance: row.get(2),
        })
        .collect())
}

/// A vector column that can be searched, with everything named.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub relation: Relation,
    /// The key column, quoted.
    pub key: String,
    /// The vector column, quoted.
    pub column: String,
    /// Schema of pgvector, quoted.
    pub schema: String,
    /// Lists of its valid ivfflat index, if it has one.
    pub lists: Option<u32>,
}

impl Place {
    pub async fn resolve(
        session: &Session,
        relation: &Relation,
        text: Option<&str>,
        column: &str,
        dimensions: usize,
    ) -> Result<Self, Error> {
        let blocked = |finding| Error::Blocked(vec![finding]);
        let schema = Pgvector::require_schema(session).await?;
        let table = Table::require(session, relation).await?;
        if let Some(text) = text {
            table.text_column(text).map_err(blocked)?;
        }
        if !table.has_vector(column, dimensions).map_err(blocked)? {
            return Err(blocked(blocks(
                table.object(),
                format!("it has no column {column} of type vector({dimensions})"),
                "enable and backfill it first: `tierlift vector enable`, then `tierlift vector backfill`",
            )));
        }
        let row = session
            .query_opt(
                "select c.reloptions from pg_catalog.pg_index i
                   join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_am am on am.oid = c.relam
                   join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                  where i.indrelid = $1 and am.amname = 'ivfflat' and i.indisvalid and a.attname = $2 limit 1",
                &[&table.oid, &column],
            )
            .await
            .map_err(Error::on(session))?;
        let lists = row.map(|row| {
            let options: Option<Vec<String>> = row.get(0);
            // 100 is pgvector's default where none was given.
            options.iter().flatten().find_map(|option| option.strip_prefix("lists=")?.parse().ok()).unwrap_or(100)
        });
        Ok(Self {
            relation: relation.clone(),
            key: table.key(None).map_err(blocked)?.sql().to_string(),
            column: Ident(column).to_string(),
            schema: Ident(&schema).to_string(),
            lists,
        })
    }

    /// `select` of the `$2` rows nearest to vector `$1`, with the distance last.
    pub fn nearest_sql(&self, columns: &str) -> String {
        let Self { relation, column, schema, .. } = self;
        let distance = format!("t.{column} operator({schema}.<=>) $1");
        // The index orders by nothing but the distance; rows without a vector come last from a plain scan.
        format!(
            "select {columns}, {distance} from {relation} t where t.{column} is not null order by {distance} limit $2"
        )
    }
}

/// For a transaction that searches. Vectors lie in TOAST, so the planner takes a scan of the small-looking table to be
/// cheap, when it has to fetch every vector.
pub(crate) fn use_index_sql(probes: Option<u32>) -> String {
    let probes = probes.map_or_else(String::new, |probes| format!("; set local ivfflat.probes = {probes}"));
    format!("set local enable_seqscan = off{probes}")
}

/// What nobody set is 1, which finds little; the square root of the lists is the usual start.
async fn default_probes(session: &Session, place: &Place) -> Result<Option<u32>, Error> {
    let Some(lists) = place.lists else { return Ok(None) };
    // The setting is known to the server once the library is loaded.
    let load = format!("select '[1]'::{}.vector", place.schema);
    session.batch_execute(&load).await.map_err(Error::on(session))?;
    let row = session
        .query_opt("select 1 from pg_catalog.pg_settings where name = 'ivfflat.probes' and source <> 'default'", &[])
        .await
        .map_err(Error::on(session))?;
    Ok(if row.is_some() { None } else { Some(f64::from(lists).sqrt().ceil() as u32) })
}

pub(crate) fn embed_query(query: &str, embedder: &dyn Embedder) -> Result<Vector, Error> {
    let bad = |message: String| Error::Argument { object: format!("query {query:?}"), message };
    if query.trim().is_empty() {
        return Err(bad("there is nothing to search for".into()));
    }
    let answer = embedder.embed(&[query]).pop();
    let vector = answer.ok_or_else(|| Error::Internal("the model gave no answer".into()))?.map_err(bad)?;
    Ok(Vector::from(vector))
}

pub(crate) fn check_k(k: usize) -> Result<i64, Error> {
    match i64::try_from(k) {
        Ok(n @ 1..=1000) => Ok(n),
        _ => Err(Error::Argument { object: format!("k {k}"), message: "it is not from 1 to 1000".into() }),
    }
}
