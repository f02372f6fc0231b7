//! The SQL that gives a row, its key or one of its columns a 64-bit hash, the same on every server.
//!
//! # What is hashed
//!
//! Every column's value in one of three ways, each of which tells any two values apart that a client could:
//!
//! - *Linked* ([`LINKED`]): the value alone, by a function of the server that sees all of its bytes and takes a seed. The seed
//!   is the hash of what stands in front, so that a row's hash depends on all values and on their order. No row is put
//!   together, which makes whole tables a third cheaper. Text goes in as it is kept, where both databases keep it in one
//!   encoding.
//! - *Sent*: the bytes by which a client would receive it, end to end with others, where the type is one of [`SENT`], whose
//!   binary form has one length and is the same for every PostgreSQL (a float's NaN, of which hardware knows many, is made
//!   the one that Postgres prints).
//! - *In a record*: `record_send` writes each column's type, length and value. In binary where the type is one of [`PLAIN`]
//!   or of the above (an array's flag "may hold NULLs", which survives the last NULL, is cleared); by its own send function
//!   for pgvector's types, when both ends have the same version; as printed otherwise: enums, composites, ranges, everything
//!   of users and extensions. Sessions pin what text depends on.
//!
//! Linked and sent columns that can be NULL put something empty in their place, and which of them are NULL is a number of
//! its own in the chain; a record knows its own.
//!
//! # Why a difference cannot hide
//!
//! Rows are hashed by the server's `hash_bytes_extended` (Jenkins' lookup3) with a 64-bit seed that is drawn anew for
//! every comparison, and a table's hashes are *summed* as whole numbers, not modulo anything, and compared together with
//! the number of rows. Hence
//!
//! - order does not matter, but how often a row is there does (an exclusive-or would lose pairs);
//! - values swapped between two rows, or two columns of a row, give other rows, hence other hashes: a hash of the row is
//!   not a sum of hashes of its columns, so nothing is left to cancel;
//! - two tables that differ, in however many rows, have equal sums only when a number of 64 bits, drawn anew with every
//!   seed, happens to be the wrong one: one chance in 2^64 for the sum, and for each link of a chain. That is some thousand
//!   times less likely than a memory error that no hardware noticed, and another comparison draws again. No data, and no
//!   fault of a copy, can be such that it meets that chance more often: the seed is not known beforehand.
//!
//! Most of the servers' per-type hash functions are not used: they call -0 and 0, 1.0 and 1.00, `a` and `a ` (in character
//! columns), `[[1], 2]` and `[[1, 2]]` (in jsonb) equal, and see only 32 of the 64 bits of a bigint.

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
const SENT: &[(&str, &str)] = &[
    ("bool", "boolsend"),
    ("float4", "float4send"),
    ("float8", "float8send"),
    ("date", "date_send"),
    ("time", "time_send"),
    ("timestamp", "timestamp_send"),
    ("timestamptz", "timestamptz_send"),
    ("interval", "interval_send"),
];

/// Other types whose binary form is the same for equal values.
const PLAIN: &[&str] = &[
    "bpchar", "name", "char", "money", "timetz", "bit", "varbit", "inet", "cidr", "macaddr", "macaddr8", "oid",
    "pg_lsn", "tsvector",
];

/// Every `||` copies what is in front of it: few are cheaper than `record_send`, many are not.
const SENT_MAX: usize = 12;

/// Links nest, and the server's parser is not made for hundreds.
const LINKS_MAX: usize = 64;

/// How a value is hashed by itself.
#[derive(Debug, Clone, Copy)]
enum Link {
    /// Text, as it is kept.
    Text,
    /// The text that an output function makes of it.
    Printed(&'static str),
    /// Bytes.
    Bytes,
    /// By a function that sees all of it; something of the type to stand for NULL.
    Whole(&'static str, &'static str),
    /// An integer of 64 bits.
    Long,
}

/// The types that are linked.
const LINKED: &[(&str, Link)] = &[
    ("text", Link::Text),
    ("varchar", Link::Text),
    ("json", Link::Printed("json_out")),
    ("jsonb", Link::Printed("jsonb_out")),
    ("numeric", Link::Printed("numeric_out")),
    ("bytea", Link::Bytes),
    ("int2", Link::Whole("hashint2extended", "0::int2")),
    ("int4", Link::Whole("hashint4extended", "0")),
    ("int8", Link::Long),
    ("uuid", Link::Whole("uuid_hash_extended", "'00000000-0000-0000-0000-000000000000'")),
];

/// Columns whose NULLs one number of 32 bits can tell, its sign aside.
const BITS: usize = 31;

/// What both ends hash with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashing {
    pub seed: i64,
    /// Both databases keep text in the same encoding.
    pub same_encoding: bool,
}

impl RowHash {
    /// Over these columns, generated ones included: each as this end has it, and as the other has it.
    pub fn new(columns: &[(&Column, &Column)], key: &[String], hashing: Hashing) -> Self {
        let row = chain(columns, hashing);
        let has_key = !key.is_empty() && key.iter().all(|k| columns.iter().any(|(c, _)| c.name == *k));
        let key = if has_key { key.to_vec() } else { Vec::new() };
        let of_key: Vec<_> = key.iter().filter_map(|k| columns.iter().copied().find(|(c, _)| c.name == *k)).collect();
        let key_hash = if has_key { chain(&of_key, hashing) } else { row.clone() };
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
            let hash = hash(&format!("pg_catalog.record_send(row({}))", value(column)), hashing.seed);
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

/// The hash of some bytes.
pub(crate) fn hash(bytes: &str, seed: i64) -> String {
    hash_after(bytes, &literal(seed))
}

/// For `bytea` itself there is a function only from 18 on; an array of one is a constant more.
fn hash_after(bytes: &str, seed: &str) -> String {
    format!("pg_catalog.hash_array_extended(array[{bytes}], {seed})")
}

fn literal(seed: i64) -> String {
    format!("({seed})::int8")
}

/// The hash of several columns, never NULL.
fn chain(columns: &[(&Column, &Column)], Hashing { seed, same_encoding }: Hashing) -> String {
    let (mut linked, mut sent, mut record, mut nullable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let (here, there) = *column;
        let (value, can_be_null) = (value(column), !(here.not_null && there.not_null));
        if let Some(link) = same(column, LINKED).filter(|link| linked.len() < LINKS_MAX && link.holds(same_encoding)) {
            linked.push((link, value, can_be_null));
        } else if let Some(send) = same(column, SENT).filter(|_| sent.len() < SENT_MAX) {
            let bytes = format!("pg_catalog.{send}({value})");
            sent.push(if can_be_null { format!("coalesce({bytes}, '')") } else { bytes });
        } else {
            record.push(value);
            continue;
        }
        if can_be_null {
            nullable.push(Ident(&here.name));
        }
    }
    if !record.is_empty() || (sent.is_empty() && linked.is_empty()) {
        sent.push(format!("pg_catalog.record_send(row({}))", record.join(", ")));
    }
    let mut chain = if sent.is_empty() { literal(seed) } else { hash(&sent.join(" || "), seed) };
    for names in nullable.chunks(BITS) {
        let bit = |(i, name)| format!("case when {name} is null then {} else 0 end", 1_u32 << i);
        let bits: Vec<String> = names.iter().enumerate().map(bit).collect();
        chain = format!("pg_catalog.hashint4extended({}, {chain})", bits.join(" + "));
    }
    for (link, value, can_be_null) in linked {
        chain = link.after(&value, can_be_null, &chain);
    }
    chain
}

/// What a table of types says of a column that is of the same built-in type at both ends.
fn same<T: Copy>((here, there): &(&Column, &Column), types: &[(&str, T)]) -> Option<T> {
    let found = types.iter().find(|(name, _)| *name == here.base.builtin).map(|(_, found)| *found);
    found.filter(|_| here.base.builtin == there.base.builtin)
}

impl Link {
    fn holds(self, same_encoding: bool) -> bool {
        same_encoding || !matches!(self, Self::Text | Self::Printed(_))
    }

    /// The hash of a value with a seed, which is given as SQL too.
    fn after(self, value: &str, can_be_null: bool, seed: &str) -> String {
        let or = |empty: &str, value: &str| {
            if can_be_null { format!("coalesce({value}, {empty})") } else { value.to_owned() }
        };
        // By its bytes, whatever the column's collation takes for equal.
        let text = |value: &str| format!(r#"pg_catalog.hashtextextended({} collate "C", {seed})"#, or("''", value));
        match self {
            Self::Text => text(value),
            // Not a cast, which may be somebody's own function.
            Self::Printed(function) => text(&format!("pg_catalog.textin(pg_catalog.{function}({value}))")),
            Self::Bytes => hash_after(&or("''", value), seed),
            Self::Whole(function, empty) => format!("pg_catalog.{function}({}, {seed})", or(empty, value)),
            // Its function folds the halves into one: with the upper one beside it, nothing is lost.
            Self::Long => {
                let value = or("0", value);
                format!("pg_catalog.hashint8extended({value}, pg_catalog.hashint8extended({value} >> 32, {seed}))")
            }
        }
    }
}

/// A column's value in the form that goes into a row.
fn value((here, there): &(&Column, &Column)) -> String {
    let name = Ident(&here.name);
    let (base, other) = (&here.base, &there.base);
    let is_plain = |name: &str| {
        PLAIN.contains(&name)
            || SENT.iter().any(|(sent, _)| *sent == name)
            || LINKED.iter().any(|(linked, _)| *linked == name)
    };
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
            compressible: false,
        }
    }

    #[test]
    fn names_rows_by_their_keys() {
        let columns = [column("id", "int8", "int8", ""), column("at", "date", "date", "")];
        let columns: Vec<_> = columns.iter().map(|c| (c, c)).collect();
        let check = |key: &[&str], text: &str, label: &str| {
            let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
            let hash = RowHash::new(&columns, &key, Hashing { seed: 7, same_encoding: true });
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
    fn each_column_goes_in_once_and_its_null_too() {
        let id = column("id", "int8", "int8", "");
        let n = Column { not_null: false, ..column("n", "int4", "int4", "") };
        let at = Column { not_null: false, ..column("at", "date", "date", "") };
        let text = column("t", "text", "text", "");
        let inet = Column { not_null: false, ..column("a", "inet", "inet", "") };
        let hashed = |columns: &[&Column], same_encoding| {
            let columns: Vec<_> = columns.iter().map(|c| (*c, *c)).collect();
            chain(&columns, Hashing { seed: 7, same_encoding }).replace("pg_catalog.", "")
        };
        let check = |columns: &[&Column], expect: &str| assert_eq!(hashed(columns, true), expect);
        check(&[], "hash_array_extended(array[record_send(row())], (7)::int8)");
        check(&[&id], r#"hashint8extended(("id")::int8, hashint8extended(("id")::int8 >> 32, (7)::int8))"#);
        check(
            &[&n, &inet],
            concat!(
                r#"hashint4extended(coalesce(("n")::int4, 0), hashint4extended(case when "n" is null then 1 else 0 end, "#,
                r#"hash_array_extended(array[record_send(row(("a")::inet))], (7)::int8)))"#,
            ),
        );
        check(
            &[&text, &at],
            concat!(
                r#"hashtextextended(("t")::text collate "C", hashint4extended(case when "at" is null then 1 else 0 end, "#,
                r#"hash_array_extended(array[coalesce(date_send(("at")::date), '')], (7)::int8)))"#,
            ),
        );
        assert_eq!(hashed(&[&text], false), r#"hash_array_extended(array[record_send(row(("t")::text))], (7)::int8)"#);
    }

    #[test]
    fn many_columns_nest_no_deeper_than_a_parser_goes() {
        let columns: Vec<Column> =
            (0..1600).map(|i| Column { not_null: false, ..column(&format!("c{i}"), "int4", "int4", "") }).collect();
        let pairs: Vec<_> = columns.iter().map(|c| (c, c)).collect();
        let sql = chain(&pairs, Hashing { seed: 7, same_encoding: true });
        let mut open: i32 = 0;
        let depth = sql
            .chars()
            .map(|c| {
                open += i32::from(c == '(') - i32::from(c == ')');
                open
            })
            .max();
        assert!(depth < Some(100), "{depth:?}");
        assert!(columns.iter().all(|c| sql.contains(&format!("(\"{}\")::int4", c.name))));
        assert_eq!(sql.matches(" is null").count(), LINKS_MAX);
    }
}
