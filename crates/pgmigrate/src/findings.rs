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

/// Most serious first, each once.
pub(crate) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.object.cmp(&b.object)));
    findings.dedup();
    findings
}
