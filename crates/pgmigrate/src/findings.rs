//! Makes a [`Finding`] on one line, and many alike into one.

use runbook::{Finding, Severity};

use crate::extension::list;

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

/// Findings that say the same of several objects as one that names the first few, for people; most serious first.
pub fn grouped(findings: &[Finding]) -> Vec<Finding> {
    let mut groups: Vec<(&Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        let alike = |(first, _): &&mut (&Finding, Vec<String>)| {
            first.message == finding.message && first.remedy == finding.remedy
        };
        match groups.iter_mut().filter(|(first, _)| first.severity == finding.severity).find(alike) {
            Some((_, objects)) if objects.contains(&finding.object) => {}
            Some((_, objects)) => objects.push(finding.object.clone()),
            None => groups.push((finding, vec![finding.object.clone()])),
        }
    }
    let mut grouped: Vec<Finding> =
        groups.into_iter().map(|(first, objects)| Finding { object: list(&objects), ..first.clone() }).collect();
    grouped.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_same_of_several_objects_once() {
        let seen = grouped(&[
            finding(Severity::Note, "table a", "it is unlogged", "it comes unlogged"),
            finding(Severity::Blocks, "table b", "unreadable", "grant"),
            finding(Severity::Note, "table c", "it is unlogged", "it comes unlogged"),
            finding(Severity::Note, "table a", "it is unlogged", "it comes unlogged"),
            finding(Severity::Note, "table d", "it is unlogged", "something else"),
        ]);
        let objects: Vec<&str> = seen.iter().map(|f| f.object.as_str()).collect();
        assert_eq!(objects, ["table b", "table a, table c", "table d"]);
        let many: Vec<Finding> = (0..8).map(|i| finding(Severity::Note, format!("table {i}"), "m", "r")).collect();
        assert_eq!(grouped(&many)[0].object, "table 0, table 1, table 2, table 3, table 4 and 3 more");
    }
}
