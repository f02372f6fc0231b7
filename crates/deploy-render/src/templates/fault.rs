//! Mistakes in templates, with file and line.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// A mistake in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The template's file.
    pub file: String,
    /// From 1; none when the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong, naming the value where there is one.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl Error for TemplateError {}

impl TemplateError {
    /// A mistake Tera found. It says where only when parsing; for the rest the name it complains of is looked up.
    pub(super) fn from_tera(error: &tera::Error, file: &str, text: &str) -> Self {
        let mut deepest: &(dyn Error + 'static) = error;
        let mut messages = vec![error.to_string()];
        while let Some(source) = deepest.source() {
            messages.push(source.to_string());
            deepest = source;
        }
        let all = messages.join("\n");
        if let Some(line) = parse_position(&all) {
            let what = all.lines().rev().find_map(|l| l.trim().strip_prefix("= ")).unwrap_or("it can't be parsed");
            return Self { file: file.to_owned(), line: Some(line), message: what.trim().to_owned() };
        }
        let line = quoted(&all).filter_map(|name| line_of(text, name)).next();
        // The outermost only says that rendering failed.
        let told: Vec<&str> = messages.iter().skip(usize::from(messages.len() > 1)).map(String::as_str).collect();
        let message = told.join(": ").replace('\n', " ");
        Self { file: file.to_owned(), line, message }
    }

    pub(super) fn unknown_name(name: &str, file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: line_of(text, name),
            message: format!("Variable `{name}` is not there to be tested"),
        }
    }

    pub(super) fn unknown_template(path: &Path, known: &str) -> Self {
        let message = format!("it replaces no template (there are {known})");
        Self { file: path.display().to_string(), line: None, message }
    }

    pub(super) fn read(path: &Path, error: &std::io::Error) -> Self {
        Self { file: path.display().to_string(), line: None, message: format!("it can't be read: {error}") }
    }

    pub(super) fn page(message: &str) -> Self {
        Self { file: "the page".to_owned(), line: None, message: message.to_owned() }
    }
}

/// The line of `--> line:column` in a parser's message.
fn parse_position(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("--> ")?;
    rest.split(':').next()?.trim().parse().ok()
}

/// Whatever stands in backticks or single quotes.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split(['`', '\'']).skip(1).step_by(2)
}

/// The line of the first tag that holds `name` as a whole word.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let mut offset = 0;
    while let Some(start) = text[offset..].find("{{").into_iter().chain(text[offset..].find("{%")).min() {
        let start = offset + start;
        let end = text[start..].find(if text[start..].starts_with("{{") { "}}" } else { "%}" });
        let end = end.map_or(text.len(), |end| start + end);
        if let Some(at) = find_word(&text[start..end], name) {
            return Some(text[..start + at].matches('\n').count() + 1);
        }
        offset = end;
    }
    None
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !word.is_empty() && !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}
