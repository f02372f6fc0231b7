//! How an index is named and sized, from nothing but the number of rows.

use pg_session::Relation;

use crate::write::sha256;

/// Fewer lists than this make a search no cheaper.
const LISTS_MIN: u32 = 10;

/// pgvector's own limit.
pub(crate) const LISTS_MAX: u32 = 32_768;

/// A list for every thousand rows up to a million, the square root above; at least ten.
pub fn lists_for(rows: u64) -> u32 {
    let lists = if rows <= 1_000_000 { rows / 1000 } else { (rows as f64).sqrt() as u64 };
    u32::try_from(lists).unwrap_or(u32::MAX).clamp(LISTS_MIN, LISTS_MAX)
}

/// What k-means needs: the samples (50 a list, at least 10,000), the centres twice (once as sums), a lower bound for each
/// sample and centre, and the distances between centres. Within 2% of what the server asks for at 100 to 4,000 lists.
pub fn build_memory_bytes(lists: u32, dimensions: usize) -> u64 {
    let (lists, dimensions) = (u64::from(lists), dimensions as u64);
    let (vector, floats) = (4 * dimensions + 8, 4 * dimensions);
    let samples = (50 * lists).max(10_000);
    2 * lists * vector + samples * vector + floats * lists + 4 * samples * lists + 4 * lists * lists
}

/// `messages_embedding_ivfflat`; a name that would be cut off ends in a piece of its hash instead.
pub fn index_name(table: &Relation, column: &str) -> String {
    let name = format!("{}_{column}_ivfflat", table.name);
    if name.len() <= 63 {
        return name;
    }
    let hash = sha256(&name);
    let mut cut = 63 - 17;
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}_{:02x}{:02x}{:02x}{:02x}_ivfflat", &name[..cut], hash[0], hash[1], hash[2], hash[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_follow_the_rows() {
        for (rows, lists) in
            [(0, 10), (500, 10), (50_000, 50), (100_000, 100), (1_000_000, 1000), (4_000_000, 2000), (u64::MAX, 32_768)]
        {
            assert_eq!(lists_for(rows), lists, "{rows}");
        }
    }

    /// What the server asked for when it was given too little: pgvector 0.8.5, 1536 dimensions.
    #[test]
    fn memory_is_what_the_server_asks_for() {
        for (lists, mb) in [(100, 64), (200, 71), (1000, 506), (2000, 1401), (4000, 4358)] {
            let predicted = build_memory_bytes(lists, 1536) as f64 / 1e6;
            let mib = build_memory_bytes(lists, 1536) as f64 / f64::from(1 << 20);
            let near = |x: f64| (x / f64::from(mb) - 1.0).abs() < 0.1;
            assert!(near(predicted) || near(mib), "{lists} lists: {predicted:.0} MB, {mib:.0} MiB, server {mb}");
        }
    }

    #[test]
    fn names_are_short_enough_and_differ() {
        let name = |table: &str, column: &str| index_name(&Relation::new("public", table), column);
        assert_eq!(name("messages", "embedding"), "messages_embedding_ivfflat");
        let (a, b) = (name(&"é".repeat(31), "embedding_a"), name(&"é".repeat(31), "embedding_b"));
        assert!(a.len() <= 63 && b.len() <= 63 && a != b, "{a} {b}");
    }
}
