//! Makes a [`Finding`] on one line.

use runbook::{Finding, Severity};

/// A finding about `object`.
pub(crate) fn finding(
    severity: Severity,
    object: impl Into<String>,
    message: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding { severity, object: object.into(), message: message.into(), remedy: remedy.into() }
}
