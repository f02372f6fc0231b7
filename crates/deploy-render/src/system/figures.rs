//! The small values a system is described with: ranges, users, comparisons.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// For how many users a tier is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// From.
    pub min: u64,
    /// To.
    pub max: u64,
    /// Whether the guide writes a plus behind `max`.
    #[serde(default)]
    pub and_more: bool,
}

/// A number, or two: from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// From.
    pub min: u64,
    /// To; none when the guide names no end.
    pub max: Option<u64>,
}

/// How a metric is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// More than.
    #[serde(rename = ">")]
    MoreThan,
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// Less than.
    #[serde(rename = "<")]
    LessThan,
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}{}", self.min, self.max, if self.and_more { "+" } else { "" })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{}-{max}", self.min),
            None => write!(f, "{}+", self.min),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeast => ">=",
            Self::MoreThan => ">",
            Self::AtMost => "<=",
            Self::LessThan => "<",
        })
    }
}

impl Op {
    /// The comparison that holds exactly when this one does not.
    pub fn negated(self) -> Self {
        match self {
            Self::AtLeast => Self::LessThan,
            Self::MoreThan => Self::AtMost,
            Self::AtMost => Self::MoreThan,
            Self::LessThan => Self::AtLeast,
        }
    }

    /// Whether `left op right` holds.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::AtLeast => left >= right,
            Self::MoreThan => left > right,
            Self::AtMost => left <= right,
            Self::LessThan => left < right,
        }
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.min, self.max).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeVisitor;

        impl<'de> Visitor<'de> for RangeVisitor {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of dollars, or [from, to] with null for no end")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Range, E> {
                Ok(Range { min: value, max: Some(value) })
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Range, E> {
                let value = u64::try_from(value).map_err(|_| E::custom("a cost can't be negative"))?;
                self.visit_u64(value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Range, A::Error> {
                let min = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let max = seq.next_element::<Option<u64>>()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                if seq.next_element::<u64>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &self));
                }
                Ok(Range { min, max })
            }
        }

        deserializer.deserialize_any(RangeVisitor)
    }
}
