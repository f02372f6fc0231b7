//! A length of time as Prometheus and people write it: `30s`, `10m`, `24h`, `7d`, `1w`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A length of time: kept as written, compared by value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    text: String,
    seconds: u64,
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no length of time (expected something like `30s`, `10m`, `24h`, `7d` or `1w`)")]
pub struct SpanError {
    /// The text.
    pub text: String,
}

/// Suffix and how many seconds one of it is.
const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];

impl Span {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How long it is.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        let seconds = UNITS.iter().find_map(|(suffix, factor)| {
            let number = text.strip_suffix(suffix)?;
            // At most five digits, so that even weeks fit.
            let ok = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            number.parse::<u64>().ok().filter(|number| ok && *number > 0).map(|number| number * factor)
        });
        match seconds {
            Some(seconds) => Ok(Self { text, seconds }),
            None => Err(SpanError { text }),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.text
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds
    }
}

impl Eq for Span {}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn reads_lengths_of_time() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(Span::try_from(text.to_owned()).ok().map(|span| span.seconds()), expect, "{text}");
        };
        check("30s", Some(30));
        check("10m", Some(600));
        check("24h", Some(86_400));
        check("7d", Some(604_800));
        check("1w", Some(604_800));
        check("0m", None);
        check("10", None);
        check("m", None);
        check("1.5h", None);
        check("-1h", None);
        check("1h30m", None);
        check("999999w", None);
    }
}
