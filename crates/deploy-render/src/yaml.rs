//! YAML in and out: documents to values, objects to text, and a scalar quoted so that nothing can break out of it.

use k8s_templates::Object;
use serde_json::Value;

/// An error's first line without the source excerpt, in a person's words.
pub(crate) fn error_text(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("not YAML").trim();
    // Whoever asks says the place; and what a program's author may set is nothing to whoever wrote the file.
    let line = match line.rsplit_once(" at line ") {
        Some((what, _)) if error.location().is_some() => what,
        _ => line,
    };
    line.trim_end_matches(", set DuplicateKeyPolicy in Options if acceptable").to_owned()
}

/// Every document of a file.
///
/// # Errors
/// When it is no YAML: `line:column: what`.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| located(&error))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// An error with its place: `line:column: what`.
pub(crate) fn located(error: &serde_saphyr::Error) -> String {
    match error.location() {
        Some(location) => format!("{}:{}: {}", location.line(), location.column(), error_text(error)),
        None => error_text(error),
    }
}

/// Objects as a file of several documents.
///
/// # Errors
/// When an object can't be written as YAML.
pub(crate) fn objects(objects: &[Object]) -> Result<String, serde_saphyr::SerializeError> {
    let mut file = String::new();
    for object in objects {
        file.push_str("---\n");
        file.push_str(&text(object)?);
    }
    Ok(file)
}

/// A document.
///
/// # Errors
/// When it can't be written as YAML.
pub(crate) fn text(document: &impl serde::Serialize) -> Result<String, serde_saphyr::SerializeError> {
    // Long commands and descriptions stay on one line, so that a diff shows what changed.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    Ok(format!("{}\n", serde_saphyr::to_string_with_options(document, options)?.trim_end()))
}

/// A value on one line of YAML: plain where that is safe for every reader, quoted otherwise; lists and maps in flow
/// style, which is JSON.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON is YAML; so a JSON string is a double-quoted scalar that means the same.
        other => other.to_string(),
    }
}

/// Whether a text means itself unquoted, to YAML 1.1 readers too. Deliberately narrow.
fn is_plain(text: &str) -> bool {
    const RESERVED: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan"];
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b) || b == b':')
        && !text.ends_with(':')
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_place_once() {
        let check = |text: &str, expect: &str| assert_eq!(documents(text).unwrap_err(), expect);
        check("a: 1\na: 2\n", "2:1: duplicate mapping key: a");
        check("resources:\n - a\n- b\n", "3:3: while parsing a block mapping, did not find expected key");
    }

    #[test]
    fn a_scalar_means_itself_to_every_reader() {
        let check = |text: &str, expect: &str| {
            let written = inline(&Value::String(text.to_owned()));
            assert_eq!(written, expect);
            let read: Vec<Value> = documents(&format!("key: {written}\nnext: 1\n")).unwrap();
            assert_eq!(read[0]["key"], text);
            assert_eq!(read[0]["next"], 1);
        };
        check("api", "api");
        check("node:22.22.0-bookworm-slim", "node:22.22.0-bookworm-slim");
        check("yes", "\"yes\"");
        check("Off", "\"Off\"");
        check("3000", "\"3000\"");
        check("1e3", "\"1e3\"");
        check("~", "\"~\"");
        check("", "\"\"");
        check("a: b", "\"a: b\"");
        check("a #b", "\"a #b\"");
        check("x\ninjected: true", "\"x\\ninjected: true\"");
        check("\"quoted\"", "\"\\\"quoted\\\"\"");
        check("{{ x }}", "\"{{ x }}\"");
        check("ends:", "\"ends:\"");
        check("ö", "\"ö\"");
    }
}
