//! The SQL that gives a row, its key or one of its columns a 64-bit hash, the same on every server.

use pg_session::Ident;

use crate::catalog::Column;

/// Expressions over one table's columns.
#[derive(Debug, Clone)]
pub(crate) struct RowHash {
    /// Hash of the whole row.
    pub row: String,
    /// (name, hash of that column alone).
    pub columns: Vec<(String, String)>,
    /// Primary key columns; empty without one.
    pub key: Vec<String>,
    /// The key as text; without a key the row's hash as text.
    pub key_text: String,
    /// Hash of the key, for sorting rows into buckets.
    pub key_hash: String,
}

impl RowHash {
    /// Over these columns, generated ones included.
    pub fn new(columns: &[&Column], key: &[String]) -> Self {
        let values: Vec<String> = columns.iter().map(|c| value(c)).collect();
        let row = if values.is_empty() {
            "0::int8".to_owned()
        } else {
            hash(&format!("row({})::text", values.join(", ")), 0)
        };
        let has_key = !key.is_empty() && key.iter().all(|k| columns.iter().any(|c| c.name == *k));
        let key = if has_key { key.to_vec() } else { Vec::new() };
        let key_text = match key.as_slice() {
            [] => format!("({row})::text"),
            [one] => format!("({})::text", Ident(one)),
            several => {
                let names: Vec<String> = several.iter().map(|k| Ident(k).to_string()).collect();
                format!("row({})::text", names.join(", "))
            }
        };
        // Another seed than the row's: for a table that is all key, buckets must not follow the row's hash.
        let key_hash = hash(&key_text, 1);
        let columns = columns.iter().map(|c| (c.name.clone(), hash(&format!("({})::text", value(c)), 0))).collect();
        Self { row, columns, key, key_text, key_hash }
    }

    /// The key as people read it, e.g. `id=42`.
    pub fn key_label(&self, text: &str) -> String {
        match self.key.as_slice() {
            [one] => format!("{one}={text}"),
            several => format!("({})={text}", several.join(", ")),
        }
    }
}

/// `collate "C"` skips the database's locale, which must not matter and costs time.
fn hash(text: &str, seed: u8) -> String {
    format!("hashtextextended({text} collate \"C\", {seed})")
}

/// money prints as the server's lc_monetary has it.
fn value(column: &Column) -> String {
    let name = Ident(&column.name);
    if column.type_name == "money" { format!("{name}::numeric") } else { name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_rows_by_their_keys() {
        let column = |name: &str, type_name: &str| Column {
            name: name.into(),
            type_name: type_name.into(),
            generated: false,
            portable: true,
        };
        let columns = [column("id", "bigint"), column("at", "date"), column("price", "money")];
        let columns: Vec<&Column> = columns.iter().collect();
        let check = |key: &[&str], text: &str, label: &str| {
            let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
            let hash = RowHash::new(&columns, &key);
            assert_eq!((hash.key_text.as_str(), hash.key_label("7").as_str()), (text, label));
            assert!(hash.row.contains("\"price\"::numeric"), "{}", hash.row);
        };
        check(&["id"], "(\"id\")::text", "id=7");
        check(&["id", "at"], "row(\"id\", \"at\")::text", "(id, at)=7");
    }
}
