//! Amounts of CPU and memory as Kubernetes writes them, and the API's "a number or a text" values.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount such as `500m`, `2`, `512Mi` or `2Gi`: kept as written, compared by value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Quantity {
    text: String,
    /// Thousandths of the unit, so that `500m` is exact. i128 because `16Ei` in thousandths leaves 64 bits.
    thousandths: i128,
}

/// How YAML may hold a quantity: `cpu: 2` is a number there.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a quantity such as `500m`, `2` or `512Mi`")]
enum Written {
    Text(String),
    Int(u64),
    Float(f64),
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no quantity (expected something like `500m`, `2`, `512Mi` or `2Gi`)")]
pub struct QuantityError {
    /// The text.
    pub text: String,
}

/// Suffix and how many thousandths of the unit one of it is.
const SUFFIXES: [(&str, i128); 13] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("m", 1),
];

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// When the text is none, is negative, or is finer than a thousandth.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let fail = || QuantityError { text: text.to_owned() };
        let (number, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
            .unwrap_or((text, 1000));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.len() <= 15 && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(fail());
        }
        let whole: i128 = whole.parse().map_err(|_| fail())?;
        let parts: i128 = fraction.parse().map_err(|_| fail())?;
        let scale = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| fail())?);
        if (parts * factor) % scale != 0 {
            return Err(fail());
        }
        Ok(Self { text: text.to_owned(), thousandths: whole * factor + parts * factor / scale })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For CPU: thousandths of a core.
    pub fn millis(&self) -> i128 {
        self.thousandths
    }

    /// For memory: bytes, rounded up.
    pub fn bytes(&self) -> i128 {
        (self.thousandths + 999) / 1000
    }

    /// For memory: whole mebibytes, rounded up.
    pub fn mebibytes(&self) -> i128 {
        (self.bytes() + (1 << 20) - 1) >> 20
    }

    /// True for `0`, `0m`, `0Mi` and the like.
    pub fn is_zero(&self) -> bool {
        self.thousandths == 0
    }
}

impl Quantity {
    /// So many thousandths of a core.
    pub(crate) fn from_millis(millis: u32) -> Self {
        Self { text: format!("{millis}m"), thousandths: i128::from(millis) }
    }

    /// So many mebibytes.
    pub(crate) fn from_mebibytes(mebibytes: u32) -> Self {
        Self { text: format!("{mebibytes}Mi"), thousandths: i128::from(mebibytes) * (1000 << 20) }
    }
}

impl From<u32> for Quantity {
    fn from(number: u32) -> Self {
        Self { text: number.to_string(), thousandths: i128::from(number) * 1000 }
    }
}

impl TryFrom<Written> for Quantity {
    type Error = QuantityError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Text(text) => Self::parse(&text),
            Written::Int(number) => Self::parse(&number.to_string()),
            Written::Float(number) => Self::parse(&number.to_string()),
        }
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.thousandths == other.thousandths
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

/// A number, or a text such as a port's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrText {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

/// A count of pods, or a share of them such as `25%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntOrText", into = "IntOrText")]
pub enum IntOrPercent {
    /// So many pods.
    Int(u32),
    /// So many pods of a hundred.
    Percent(u32),
}

impl TryFrom<IntOrText> for IntOrPercent {
    type Error = String;

    fn try_from(value: IntOrText) -> Result<Self, Self::Error> {
        let fail = |text: String| format!("`{text}` is neither a count nor a percentage such as `25%`");
        match value {
            IntOrText::Int(count) => u32::try_from(count).map(Self::Int).map_err(|_| fail(count.to_string())),
            IntOrText::Text(text) => match text.strip_suffix('%').map(str::parse::<u32>) {
                Some(Ok(percent)) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(fail(text)),
            },
        }
    }
}

impl From<IntOrPercent> for IntOrText {
    fn from(value: IntOrPercent) -> Self {
        match value {
            IntOrPercent::Int(count) => Self::Int(i64::from(count)),
            IntOrPercent::Percent(percent) => Self::Text(format!("{percent}%")),
        }
    }
}

impl IntOrPercent {
    /// How many pods of `total` that is; Kubernetes rounds a percentage up.
    pub fn of(&self, total: u32) -> u32 {
        match self {
            Self::Int(count) => *count,
            Self::Percent(percent) => (total * percent).div_ceil(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        let check = |text: &str, expect: Option<i128>| {
            assert_eq!(Quantity::parse(text).ok().map(|q| q.millis()), expect, "{text}");
        };
        check("500m", Some(500));
        check("2", Some(2000));
        check("2000m", Some(2000));
        check("0.5", Some(500));
        check("512Mi", Some(512 * 1024 * 1024 * 1000));
        check("1.5Gi", Some(1536 * 1024 * 1024 * 1000));
        check("1G", Some(1_000_000_000_000));
        check("0.0001", None);
        check("", None);
        check("-1", None);
        check("1 Gi", None);
        check("1GiB", None);
        check("Mi", None);
        check("1.", None);
        check(".5", None);
    }

    #[test]
    fn compares_by_value_and_keeps_the_text() {
        let (a, b) = (Quantity::parse("2").unwrap(), Quantity::parse("2000m").unwrap());
        assert_eq!(a, b);
        assert_eq!(b.to_string(), "2000m");
        assert!(Quantity::parse("2Gi").unwrap() > Quantity::parse("2000Mi").unwrap());
        assert_eq!(Quantity::parse("2Gi").unwrap().mebibytes(), 2048);
    }

    #[test]
    fn a_share_of_pods_rounds_up() {
        assert_eq!(IntOrPercent::Percent(25).of(5), 2);
        assert_eq!(IntOrPercent::Percent(0).of(5), 0);
        assert_eq!(IntOrPercent::Int(1).of(5), 1);
        assert!(IntOrPercent::try_from(IntOrText::Text("101%".to_owned())).is_err());
        assert!(IntOrPercent::try_from(IntOrText::Text("1".to_owned())).is_err());
        assert!(IntOrPercent::try_from(IntOrText::Int(-1)).is_err());
    }
}
