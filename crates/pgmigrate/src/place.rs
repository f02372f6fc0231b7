//! What follows a table's rows: which entries of a dump belong to which table, and how they are made so that as little
//! as possible happens in turn. A key becomes a unique index, built beside the table's others, that is then promoted; a
//! foreign key is added without looking at the rows, which locks for a moment only, and validated afterwards.

use std::collections::BTreeMap;

use pg_session::{Ident, Relation, Session};
use tokio_postgres::types::{ToSql, Type};

use crate::error::Error;
use crate::toc::{self, Entry};

/// Where an index, key or foreign key of the source belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// An index of this table.
    Index { table: u32 },
    /// A primary key, unique or exclusion constraint of this table.
    Key { table: u32, promotion: Option<Promotion> },
    /// A foreign key between these tables.
    Foreign { from: u32, to: u32, name: String },
}

/// How a key's index is made on its own, and becomes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promotion {
    pub index_sql: String,
    pub name: String,
    pub deferrable: bool,
    pub deferred: bool,
}

/// By (catalogue, object id), as the entries of a dump name them.
pub(crate) type Places = BTreeMap<(u32, u32), Place>;

/// Reads them for the ordinary tables of `schemas`.
pub(crate) async fn read(source: &Session, schemas: &[String]) -> Result<Places, Error> {
    // A word that only the target reserves must be quoted too. Three messages, one round trip.
    let quote = |value: &str| format!("set quote_all_identifiers = {value}");
    let (on, off) = (quote("on"), quote("off"));
    let parameters = [(&schemas as &(dyn ToSql + Sync), Type::TEXT_ARRAY)];
    let (begun, rows, ended) = tokio::join!(
        source.batch_execute(&on),
        source.query_typed(include_str!("sql/places.sql"), &parameters),
        source.batch_execute(&off),
    );
    begun.and(ended).map_err(Error::on(source))?;
    let rows = rows.map_err(Error::on(source))?;
    Ok(rows
        .iter()
        .map(|row| {
            let (kind, table): (&str, u32) = (row.get(2), row.get(3));
            let place = match kind {
                "i" => Place::Index { table },
                "f" => Place::Foreign { from: table, to: row.get(4), name: row.get(5) },
                _ => {
                    let promotion = row.get::<_, Option<String>>(6).map(|index_sql| Promotion {
                        index_sql,
                        name: row.get(5),
                        deferrable: row.get(7),
                        deferred: row.get(8),
                    });
                    Place::Key { table, promotion }
                }
            };
            ((row.get(0), row.get(1)), place)
        })
        .collect())
}

/// Splits the entry of a key into its index and the constraint that takes the index over; `None` when its statement is
/// not of the form we know, and then the key is made as the dump says.
pub(crate) fn promote(entry: &Entry, promotion: &Promotion) -> Option<(Entry, Entry)> {
    let statements = toc::statements(&entry.sql);
    let (add, rest) = statements.split_first()?;
    let kind = ["PRIMARY KEY", "UNIQUE"].into_iter().find_map(|kind| {
        let at = *toc::find_unquoted(add, &format!(" {kind} ")).first()?;
        Some((at, kind))
    });
    let (at, kind) = kind?;
    let mut sql = format!("{} {kind} USING INDEX {}", &add[..at], Ident(&promotion.name));
    match (promotion.deferrable, promotion.deferred) {
        (true, true) => sql.push_str(" DEFERRABLE INITIALLY DEFERRED"),
        (true, false) => sql.push_str(" DEFERRABLE"),
        (false, _) => {}
    }
    sql.push(';');
    for statement in rest {
        sql.push('\n');
        sql.push_str(statement);
    }
    let index = Entry { kind: "INDEX".into(), sql: format!("{};", promotion.index_sql), ..entry.clone() };
    Some((index, Entry { sql, ..entry.clone() }))
}

/// Splits the entry of a foreign key into one that adds it without looking and one that then looks; `None` for a key
/// that looks at nothing on the source either.
pub(crate) fn defer_validation(entry: &Entry, table: &Relation, name: &str) -> Option<(Entry, Entry)> {
    let statements = toc::statements(&entry.sql);
    let (add, rest) = statements.split_first()?;
    let unchecked = [" NOT VALID", " NOT ENFORCED"].iter().any(|words| !toc::find_unquoted(add, words).is_empty());
    if unchecked || toc::find_unquoted(add, " FOREIGN KEY ").is_empty() {
        return None;
    }
    let mut sql = format!("{} NOT VALID;", add.strip_suffix(';')?);
    for statement in rest {
        sql.push('\n');
        sql.push_str(statement);
    }
    let validate = format!("alter table {table} validate constraint {};", Ident(name));
    Some((Entry { sql, ..entry.clone() }, Entry { sql: validate, ..entry.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, sql: &str) -> Entry {
        Entry {
            id: 1,
            class: 2606,
            oid: 1,
            dependencies: Vec::new(),
            name: "t t_pkey".into(),
            kind: kind.into(),
            schema: "public".into(),
            sql: sql.into(),
        }
    }

    #[test]
    fn a_key_becomes_an_index_and_its_promotion() {
        let check = |sql: &str, (deferrable, deferred): (bool, bool), expect: Option<&str>| {
            let promotion = Promotion {
                index_sql: "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)".into(),
                name: "t_pkey".into(),
                deferrable,
                deferred,
            };
            let found = promote(&entry("CONSTRAINT", sql), &promotion);
            assert_eq!(found.as_ref().map(|(_, key)| key.sql.as_str()), expect);
            if let Some((index, key)) = found {
                assert_eq!(index.sql, "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id);");
                assert_ne!(index.key(), key.key());
            }
        };
        check(
            "ALTER TABLE ONLY \"public\".\"t\"\n    ADD CONSTRAINT \"t_pkey\" PRIMARY KEY (\"id\");",
            (false, false),
            Some(
                "ALTER TABLE ONLY \"public\".\"t\"\n    ADD CONSTRAINT \"t_pkey\" PRIMARY KEY USING INDEX \"t_pkey\";",
            ),
        );
        check(
            "ALTER TABLE ONLY \"t\"\n    ADD CONSTRAINT \" UNIQUE \" UNIQUE (\"a\") DEFERRABLE INITIALLY DEFERRED;",
            (true, true),
            Some(
                "ALTER TABLE ONLY \"t\"\n    ADD CONSTRAINT \" UNIQUE \" UNIQUE USING INDEX \"t_pkey\" DEFERRABLE INITIALLY DEFERRED;",
            ),
        );
        check(
            "ALTER TABLE ONLY \"t\"\n    ADD CONSTRAINT \"k\" UNIQUE NULLS NOT DISTINCT (\"a\");\n\nALTER TABLE \"t\" CLUSTER ON \"k\";",
            (false, false),
            Some(
                "ALTER TABLE ONLY \"t\"\n    ADD CONSTRAINT \"k\" UNIQUE USING INDEX \"t_pkey\";\nALTER TABLE \"t\" CLUSTER ON \"k\";",
            ),
        );
        check(
            "ALTER TABLE ONLY \"t\"\n    ADD CONSTRAINT \"k\" EXCLUDE USING gist (\"a\" WITH &&);",
            (false, false),
            None,
        );
    }

    #[test]
    fn a_foreign_key_is_added_first_and_validated_later() {
        let check = |sql: &str, expect: Option<(&str, &str)>| {
            let found = defer_validation(&entry("FK CONSTRAINT", sql), &Relation::new("public", "t"), "fk");
            let found = found.as_ref().map(|(add, validate)| (add.sql.as_str(), validate.sql.as_str()));
            assert_eq!(found, expect);
        };
        check(
            "ALTER TABLE ONLY \"public\".\"t\"\n    ADD CONSTRAINT \"fk\" FOREIGN KEY (\"a\") REFERENCES \"public\".\"u\"(\"id\") DEFERRABLE;",
            Some((
                "ALTER TABLE ONLY \"public\".\"t\"\n    ADD CONSTRAINT \"fk\" FOREIGN KEY (\"a\") REFERENCES \"public\".\"u\"(\"id\") DEFERRABLE NOT VALID;",
                "alter table \"public\".\"t\" validate constraint \"fk\";",
            )),
        );
        check(
            "ALTER TABLE \"t\"\n    ADD CONSTRAINT \"fk\" FOREIGN KEY (\"a\") REFERENCES \"u\"(\"id\") NOT VALID;",
            None,
        );
    }
}
