//! What happens on the source right now: locks in the copy's way, old transactions, lag, ageing.

use pg_session::Session;
use runbook::{Finding, Severity};

use super::question::{Question, ask};
use crate::error::Error;

use Severity::{Blocks, Note};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/old_transactions.sql"),
        message: "its transaction has been open for {}",
        remedy: "what it has not committed does not come; let it end before the copy begins (the fence ends it)",
    },
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/standby.sql"),
        message: "{}",
        remedy: "copy from the primary, or wait until it has caught up",
    },
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/slots.sql"),
        message: "{}",
        remedy: "nothing to do for a copy; a slot keeps WAL on the source's disk until it is read or dropped",
    },
    Question {
        severity: Note,
        sql: "select format('database %I', datname), to_char(age(datfrozenxid), 'FM999,999,999,999') from pg_database
               where datname = current_database() and age(datfrozenxid) > 1000000000",
        message: "its oldest row is {} transactions old, half-way to the end of transaction ids",
        remedy: "the copy holds one snapshot open, and vacuum can't go past it: run `vacuum freeze` before a long copy",
    },
];

const LOCKS: &[Question] = &[Question {
    severity: Blocks,
    sql: include_str!("../sql/assess/exclusive_locks.sql"),
    message: "it holds or waits for an exclusive lock on {}, so nobody can read there",
    remedy: "let it end, or end it with `select pg_terminate_backend({})`, then look again",
}];

/// Whose locks keep us from looking, or would keep a copy from reading.
pub(crate) async fn exclusive_locks(session: &Session) -> Result<Vec<Finding>, Error> {
    ask(session, &[], &[LOCKS]).await
}
