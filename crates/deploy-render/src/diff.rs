//! Two sets, compared file by file. Plain text; whoever draws adds the colours.

use serde::Serialize;
use similar::TextDiff;

use crate::set::RenderedSet;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there.
    Created,
    /// It is there with other bytes.
    Changed,
    /// It is there and will not be.
    Removed,
    /// Nothing.
    Unchanged,
}

/// The difference of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDiff {
    /// The file.
    pub path: String,
    /// What happens to it.
    pub change: Change,
    /// How large it is, 0 when it is not there.
    pub bytes_before: u64,
    /// How large it will be, 0 when it will not be there.
    pub bytes_after: u64,
    /// The unified diff; empty when nothing happens.
    pub unified: String,
}

/// Every file of either set, ordered by path.
pub fn diff(before: &RenderedSet, after: &RenderedSet) -> Vec<FileDiff> {
    let mut paths: Vec<&str> = before.files().chain(after.files()).map(|(path, _)| path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.into_iter().map(|path| diff_file(path, before.get(path), after.get(path))).collect()
}

fn diff_file(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> FileDiff {
    let change = match (before, after) {
        (None, _) => Change::Created,
        (_, None) => Change::Removed,
        (old, new) if old == new => Change::Unchanged,
        _ => Change::Changed,
    };
    let size = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len() as u64);
    let unified = if change == Change::Unchanged { String::new() } else { unified(path, before, after) };
    FileDiff { path: path.to_owned(), change, bytes_before: size(before), bytes_after: size(after), unified }
}

fn unified(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let side = |letter: &str, bytes: Option<&[u8]>| match bytes {
        Some(_) => format!("{letter}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (text(before), text(after));
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(3)
        .header(&side("a", before), &side("b", after))
        .to_string()
}
