//! Exit codes: what a script that calls tierlift may rely on.

use runbook::FailureKind;

/// Done, or nothing to change.
pub const DONE: u8 = 0;
/// A fault of tierlift itself.
pub const INTERNAL: u8 = 1;
/// Changes are pending: a dry run, a diff, a check.
pub const PENDING: u8 = 2;
/// The input can't be used: arguments, files, URLs, credentials, unreachable hosts. Nothing changed.
pub const INVALID_INPUT: u8 = 3;
/// A gate or an assess finding stops it, or contents differ, and nothing changed; or it was done, and what the target
/// refuses was left out as asked, so that somebody must look.
pub const BLOCKED: u8 = 4;
/// Failed, and everything was put back.
pub const UNWOUND: u8 = 5;
/// Failed, and not everything could be put back; or a single command failed half-way.
pub const STUCK: u8 = 6;
/// Another run holds the target.
pub const LOCKED: u8 = 7;
/// Outside the window, or it will not fit.
pub const OUTSIDE_WINDOW: u8 = 8;
/// An approval is missing.
pub const APPROVAL_MISSING: u8 = 9;
/// The plan no longer fits the live state, or was used already.
pub const STALE: u8 = 10;
/// Stopped by the operator; `resume` or `rollback` continues.
pub const PAUSED: u8 = 11;
/// Past the point of no return.
pub const NO_RETURN: u8 = 12;

/// The code for a failure outside a run, or before one changed anything.
pub fn of_failure(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::InvalidInput => INVALID_INPUT,
        FailureKind::Blocked => BLOCKED,
        FailureKind::Failed => STUCK,
        FailureKind::Locked => LOCKED,
        FailureKind::Stale => STALE,
        FailureKind::PastPointOfNoReturn => NO_RETURN,
        FailureKind::Internal => INTERNAL,
    }
}
