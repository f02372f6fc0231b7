//! The SQL that gives a row, its key or one of its columns a 64-bit hash, the same on every server.
//!
//! # What is hashed
//!
//! The bytes by which a client would receive the row: `record_send` writes, for every column, its type, its length and
//! its value, so that NULL, an empty string and a shifted border between two columns all look different. A column goes in
//!
//! - in binary where the type is one of [`FIXED`] or [`PLAIN`]: those of `pg_catalog` whose binary form is the same for
//!   every PostgreSQL and for equal values (a float's NaN, of which hardware knows many, is made the one that Postgres
//!   prints; an array's flag "may hold NULLs", which survives the last NULL, is cleared);
//! - by its own send function for pgvector's types, when both ends have the same version;
//! - as printed otherwise: enums, composites, ranges, everything of users and extensions. Sessions pin what text depends on.
//!
//! Columns of fixed length that cannot be NULL need no such wrapping; they stand in front, end to end, which halves the
//! cost of narrow tables.
//!
//! # Why a difference cannot hide
//!
//! Rows are hashed by the server's `hash_bytes_extended` (Jenkins' lookup3) with a 64-bit seed that is drawn anew for
//! every comparison, and a table's hashes are *summed* as whole numbers, not modulo anything, and compared together with
//! the number of rows. Hence
//!
//! - order does not matter, but how often a row is there does (an exclusive-or would lose pairs);
//! - values swapped between two rows, or two columns of a row, give other rows, hence other hashes: a hash of the row is
//!   not composed of hashes of its columns, so nothing is left to cancel;
//! - two tables that differ, in however many rows, have equal sums only when a sum of numbers of 64 bits, drawn anew with
//!   every seed, happens to be zero: one chance in 2^64 for a table, some ten thousand times less likely than a memory
//!   error that no hardware noticed, and another comparison draws again. No data, and no fault of a copy, can be such that
//!   it meets that chance more often: the seed is not known beforehand.
//!
//! The servers' own per-type hash functions would be quicker and are not used: they call -0 and 0, 1.0 and 1.00, `a` and
//! `a ` (in character columns) equal, and see only 32 of the 64 bits of a bigint.

use std::hash::{BuildHasher, Hasher, RandomState};

use pg_session::Ident;

use crate::catalog::Column;

/// Expressions over one end of one table.
#[derive(Debug, Clone)]
pub(crate) struct RowHash {
    /// Hash of the whole row.
    pub row: String,
    /// (name, hash of that column alone, NULL for NULL).
    pub columns: Vec<(String, String)>,
    /// Primary key columns; empty without one.
    pub key: Vec<String>,
    /// The key as text; without a key the row's hash as text.
    pub key_text: String,
    /// Hash of the key; without a key the row's.
    pub key_hash: String,
}

/// A seed for one comparison.
pub(crate) fn random_seed() -> i64 {
    RandomState::new().build_hasher().finish().cast_signed()
}

/// Types whose binary form has one length, with the function that gives it.
const FIXED: &[(&str, &str)] = &[
    ("bool", "boolsend"),
    ("int2", "int2send"),
    ("int4", "int4send"),
    ("int8", "int8send"),
    ("float4", "float4send"),
    ("float8", "float8send"),
    ("date", "date_send"),
    ("time", "time_send"),
    ("timestamp", "timestamp_send"),
    ("timestamptz", "timestamptz_send"),
    ("interval", "interval_send"),
    ("uuid", "uuid_send"),
];

/// Other types whose binary form is the same for equal values.
const PLAIN: &[&str] = &[
    "text", "varchar", "bpchar", "name", "char", "bytea", "json", "jsonb", "numeric", "money", "timetz", "bit",
    "varbit", "inet", "cidr", "macaddr", "macaddr8", "oid", "pg_lsn", "tsvector",
];

/// Every `||` copies what is in front of it: few are cheaper than `record_send`, many are not.
const FIXED_MAX: usize = 12;

impl RowHash {
    /// Over these columns, generated ones included: each as this end has it, and as the other has it.
    pub fn new(columns: &[(&Column, &Column)], key: &[String], seed: i64) -> Self {
        let row = hash(&bytes(columns), seed);
        let has_key = !key.is_empty() && key.iter().all(|k| columns.iter().any(|(c, _)| c.name == *k));
        let key = if has_key { key.to_vec() } else { Vec::new() };
        let of_key: Vec<_> = key.iter().filter_map(|k| columns.iter().copied().find(|(c, _)| c.name == *k)).collect();
        let key_hash = if has_key { hash(&bytes(&of_key), seed) } else { row.clone() };
        let key_text = match key.as_slice() {
            [] => format!("({row})::text"),
            [one] => format!("({})::text", Ident(one)),
            several => {
                let names: Vec<String> = several.iter().map(|k| Ident(k).to_string()).collect();
                format!("row({})::text", names.join(", "))
            }
        };
        let alone = |column: &(&Column, &Column)| {
            let name = &column.0.name;
            // Not `is null`, which is true of a composite whose fields are all NULL.
            let hash = hash(&format!("pg_catalog.record_send(row({}))", value(column)), seed);
            (name.clone(), format!("case when pg_catalog.num_nulls({}) = 0 then {hash} end", Ident(name)))
        };
        Self { row, columns: columns.iter().map(alone).collect(), key, key_text, key_hash }
    }

    /// The key as people read it, e.g. `id=42`.
    pub fn key_label(&self, text: &str) -> String {
        match self.key.as_slice() {
            [one] => format!("{one}={text}"),
            several => format!("({})={text}", several.join(", ")),
        }
    }
}

/// The hash of some bytes. For `bytea` itself there is a function only from 18 on; an array of one is a constant more.
pub(crate) fn hash(bytes: &str, seed: i64) -> String {
    format!("pg_catalog.hash_array_extended(array[{bytes}], ({seed})::int8)")
}

/// The bytes of several columns.
fn bytes(columns: &[(&Column, &Column)]) -> String {
    let mut parts = Vec::new();
    let mut rest = Vec::new();
    for column in columns {
        // Should the other end hold a NULL there after all, its row's hash is the same for all such rows, which no
        // row of this end has.
        match fixed(column).filter(|_| parts.len() < FIXED_MAX && (column.0.not_null || column.1.not_null)) {
            Some(send) => parts.push(format!("pg_catalog.{send}({})", value(column))),
            None => rest.push(value(column)),
        }
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(format!("pg_catalog.record_send(row({}))", rest.join(", ")));
    }
    parts.join(" || ")
}

fn fixed((here, there): &(&Column, &Column)) -> Option<&'static str> {
    let send = |column: &Column| FIXED.iter().find(|(name, _)| *name == column.base.builtin).map(|(_, send)| *send);
    send(here).filter(|_| here.base.builtin == there.base.builtin)
}

/// A column's value in the form that goes into a row.
fn value((here, there): &(&Column, &Column)) -> String {
    let name = Ident(&here.name);
    let (base, other) = (&here.base, &there.base);
    let is_plain = |name: &str| PLAIN.contains(&name) || FIXED.iter().any(|(fixed, _)| *fixed == name);
    if base.builtin != other.builtin || base.element != other.element {
        return as_text(name);
    }
    // The cast takes a domain off, whose type is another on each server; of other types it changes nothing.
    let plain = format!("({name})::{}", base.name);
    // The underscore tells arrays from int2vector and oidvector.
    if base.builtin.starts_with('_') && is_plain(&base.element) {
        let array = if is_float(&base.element) {
            let nan = format!("'NaN'::{}", base.element);
            format!("pg_catalog.array_replace({plain}, {nan}, {nan})")
        } else {
            plain
        };
        return format!(r"overlay(pg_catalog.array_send({array}) placing '\x00000000'::bytea from 5 for 4)");
    }
    if is_float(&base.builtin) {
        return format!("case when {plain} = 'NaN' then 'NaN' else {plain} end");
    }
    if is_plain(&base.builtin) {
        return plain;
    }
    if base.extension == "vector" && here.portable && there.portable && !base.send.is_empty() {
        return format!("{}({plain})", base.send);
    }
    as_text(name)
}

/// What the type's output function prints: a cast to text may be somebody's own function, and of xml it is what is stored,
/// which is more than any client sees.
fn as_text(name: Ident<'_>) -> String {
    format!("pg_catalog.format('%L', {name})")
}

fn is_float(name: &str) -> bool {
    matches!(name, "float4" | "float8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::BaseType;

    fn column(name: &str, type_name: &str, builtin: &str, element: &str) -> Column {
        let base = BaseType {
            name: type_name.into(),
            builtin: builtin.into(),
            element: element.into(),
            ..BaseType::default()
        };
        Column {
            name: name.into(),
            type_name: type_name.into(),
            generated: false,
            portable: true,
            base,
            not_null: true,
            always_identity: false,
        }
    }

    #[test]
    fn names_rows_by_their_keys() {
        let columns = [column("id", "int8", "int8", ""), column("at", "date", "date", "")];
        let columns: Vec<_> = columns.iter().map(|c| (c, c)).collect();
        let check = |key: &[&str], text: &str, label: &str| {
            let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
            let hash = RowHash::new(&columns, &key, 7);
            assert_eq!((hash.key_text.as_str(), hash.key_label("7").as_str()), (text, label));
        };
        check(&["id"], "(\"id\")::text", "id=7");
        check(&["id", "at"], "row(\"id\", \"at\")::text", "(id, at)=7");
    }

    #[test]
    fn takes_the_binary_form_only_where_it_means_the_same() {
        let check = |here: &Column, there: &Column, expect: &str| assert_eq!(value(&(here, there)), expect);
        let number = column("n", "int4", "int4", "");
        check(&number, &number, "(\"n\")::int4");
        check(&number, &column("n", "int8", "int8", ""), "pg_catalog.format('%L', \"n\")");
        check(
            &column("f", "real", "float4", ""),
            &column("f", "real", "float4", ""),
            "case when (\"f\")::real = 'NaN' then 'NaN' else (\"f\")::real end",
        );
        let floats = column("a", "real[]", "_float4", "float4");
        let replaced = "pg_catalog.array_replace((\"a\")::real[], 'NaN'::float4, 'NaN'::float4)";
        check(
            &floats,
            &floats,
            &format!(r"overlay(pg_catalog.array_send({replaced}) placing '\x00000000'::bytea from 5 for 4)"),
        );
        let ranges = column("r", "numrange", "numrange", "");
        check(&ranges, &ranges, "pg_catalog.format('%L', \"r\")");
        let ours = column("c", "app.color[]", "", "");
        check(&ours, &ours, "pg_catalog.format('%L', \"c\")");
        let mut vector = column("v", "public.vector", "", "");
        vector.base.extension = "vector".into();
        vector.base.send = "public.vector_send".into();
        check(&vector, &vector, "public.vector_send((\"v\")::public.vector)");
        let elsewhere = Column { portable: false, ..vector.clone() };
        check(&vector, &elsewhere, "pg_catalog.format('%L', \"v\")");
    }

    #[test]
    fn only_what_cannot_be_null_goes_unwrapped() {
        let id = column("id", "int8", "int8", "");
        let n = Column { not_null: false, ..column("n", "int4", "int4", "") };
        let text = column("t", "text", "text", "");
        let check = |columns: &[&Column], expect: &str| {
            let columns: Vec<_> = columns.iter().map(|c| (*c, *c)).collect();
            assert_eq!(bytes(&columns), expect);
        };
        check(&[], "pg_catalog.record_send(row())");
        check(&[&id], "pg_catalog.int8send((\"id\")::int8)");
        check(
            &[&text, &id, &n],
            "pg_catalog.int8send((\"id\")::int8) || pg_catalog.record_send(row((\"t\")::text, (\"n\")::int4))",
        );
    }
}
