//! What names, keys, images and paths must look like.

use super::SpecProblem;
use crate::system::Range;

/// What triggers, gates and alerts may speak of, each with its unit last.
const METRICS: [&str; 21] = [
    "active_users",
    "beta_users",
    "cache_hit_rate_pct",
    "concurrent_users",
    "cpu_pct",
    "daily_active_users",
    "database_connections",
    "database_cpu_pct",
    "downtime_minutes",
    "emotion_accuracy_pct",
    "error_rate_pct",
    "load_test_users",
    "memory_pct",
    "migration_minutes",
    "mrr_usd",
    "request_quota_pct",
    "response_time_ms",
    "response_time_p95_ms",
    "response_time_s",
    "uptime_pct",
    "user_growth_pct_month_over_month",
];

/// Collects what is wrong, and knows what names look like.
pub(super) struct Validator {
    /// Put before every place.
    pub(super) at: String,
    /// All that is wrong so far.
    pub(super) problems: Vec<SpecProblem>,
}

impl Validator {
    pub(super) fn add(&mut self, at: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let at = format!("{}{at}", self.at).trim_end_matches('.').to_owned();
        self.problems.push(SpecProblem { at, message: message.into(), remedy: remedy.into() });
    }

    /// A DNS label, which is what Kubernetes and Render take for names.
    pub(super) fn name(&mut self, at: &str, name: &str) {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = name.as_bytes();
        let ok = bytes.len() <= 50 && bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last());
        if !ok || !bytes[0].is_ascii_lowercase() {
            self.add(at, format!("`{name}` is no name"), "use a-z, 0-9 and `-`, starting with a letter, at most 50");
        }
    }

    /// A key in a secret, which is also a file's name.
    pub(super) fn key(&mut self, at: &str, key: &str) {
        let ok = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !ok || key.starts_with('.') {
            self.add(at, format!("`{key}` is no key of a secret"), "use letters, digits, `-`, `_` and `.`");
        }
    }

    pub(super) fn variable(&mut self, at: &str, name: &str) {
        let ok = name.bytes().next().is_some_and(|b| b.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !ok {
            self.add(at, format!("`{name}` is no variable's name"), "use A-Z, 0-9 and `_`, starting with a letter");
        }
    }

    /// Goes into comments, where a line break would end the comment.
    pub(super) fn line(&mut self, at: &str, text: &str) {
        if text.chars().any(char::is_control) {
            self.add(at, "it has a line break or another control character", "keep it on one line");
        }
    }

    pub(super) fn image(&mut self, at: &str, image: &str) {
        let name = image.rsplit('/').next().unwrap_or(image);
        let tag = name.split_once(':').map(|(_, tag)| tag);
        let clean = image.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@".contains(&b));
        if !clean || image.is_empty() {
            self.add(at, format!("`{image}` is no image"), "use host/name:version");
        } else if !image.contains("@sha256:") && matches!(tag, None | Some("latest" | "")) {
            self.add(at, format!("`{image}` is not pinned"), "give it a version or a digest");
        }
    }

    pub(super) fn path(&mut self, at: &str, path: &str) {
        if !path.starts_with('/') || path.bytes().any(|b| b.is_ascii_whitespace() || b == b'"' || b == b'\'') {
            self.add(at, format!("`{path}` is no HTTP path"), "start it with `/`, without blanks or quotes");
        }
    }

    /// A metric's name says its unit, so that no rule compares seconds with milliseconds.
    pub(super) fn metric(&mut self, at: &str, metric: &str) {
        if !METRICS.contains(&metric) {
            let message = format!("nobody measures `{metric}`");
            self.add(at, message, format!("use one of {}", METRICS.join(", ")));
        }
    }

    /// A path below a folder.
    pub(super) fn folder(&mut self, at: &str, path: &str) {
        let clean = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let part_ok = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(clean);
        if !path.split('/').all(part_ok) {
            self.add(at, format!("`{path}` is no path within a repository"), "use e.g. deploy/tier2");
        }
    }

    pub(super) fn host(&mut self, at: &str, host: &str) {
        let clean = host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
        if !host.contains('.') || !clean || host.split('.').any(str::is_empty) {
            self.add(at, format!("`{host}` is no host name"), "use something like api.example.com");
        }
    }

    /// Five fields of numbers, as every cron takes them; names of months and macros are not everywhere the same.
    pub(super) fn schedule(&mut self, at: &str, schedule: &str) {
        let clean = |field: &str| field.bytes().all(|b| b.is_ascii_digit() || b"*/,-".contains(&b));
        if schedule.split(' ').count() != 5 || !schedule.split(' ').all(|field| !field.is_empty() && clean(field)) {
            self.add(at, format!("`{schedule}` is no schedule"), "use five fields such as `30 */6 * * *`, in UTC");
        }
    }

    /// A name that PostgreSQL takes as it is, whether quoted or not.
    pub(super) fn identifier(&mut self, at: &str, name: &str) {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let clean = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !first || !clean || name.len() > 63 {
            self.add(at, format!("`{name}` is no name in PostgreSQL"), "use a-z, 0-9 and `_`, at most 63");
        }
    }

    pub(super) fn range(&mut self, at: &str, range: Range) {
        if let Some(max) = range.max.filter(|max| range.min > *max) {
            self.add(at, format!("from {} to {max} is no range", range.min), "write the smaller one first");
        }
    }

    pub(super) fn within(&mut self, at: &str, value: u32, from: u32, to: u32) {
        if !(from..=to).contains(&value) {
            self.add(at, format!("{value} is outside {from} to {to}"), "use a value between them");
        }
    }
}
