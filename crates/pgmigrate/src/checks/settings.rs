//! Settings of both servers that matter now or for a live migration later, and what our role may do.

use pg_session::{PgUrl, Session};
use runbook::{Finding, Severity};
use tokio_postgres::Row;

use super::question::may;
use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;
use crate::survey::Survey;

use Severity::{Blocks, Changes, Note};

/// One server's settings; `None` where it does not know one.
struct Settings {
    at: String,
    user: String,
    wal_level: String,
    max_replication_slots: i64,
    max_wal_senders: i64,
    max_slot_wal_keep_size: Option<String>,
    /// `cloudsql.logical_decoding` or `alloydb.logical_decoding`.
    logical_decoding: Option<String>,
    /// What a session that sets nothing gets, in milliseconds.
    statement_timeout_ms: i64,
    read_only: bool,
    data_checksums: bool,
    autovacuum: bool,
    /// Locks that all sessions together can hold, roughly.
    lock_slots: i64,
    free_connections: i64,
    may_replicate: bool,
    superuser: bool,
    database_bytes: i64,
}

impl Settings {
    async fn read(which: &str, session: &Session) -> Result<Self, Error> {
        let rows =
            session.query_typed(include_str!("../sql/assess/settings.sql"), &[]).await.map_err(Error::on(session))?;
        let row: &Row = rows.first().ok_or_else(|| Error::Internal("a query of one row gave none".into()))?;
        Ok(Self {
            at: format!("{which} {}", session.url().endpoint()),
            user: row.get(0),
            wal_level: row.get(1),
            max_replication_slots: row.get(2),
            max_wal_senders: row.get(3),
            max_slot_wal_keep_size: row.get(4),
            logical_decoding: row.get(5),
            statement_timeout_ms: row.get(6),
            read_only: row.get(7),
            data_checksums: row.get(8),
            autovacuum: row.get(9),
            lock_slots: row.get(10),
            free_connections: row.get(11),
            may_replicate: row.get(12),
            superuser: row.get(13),
            database_bytes: row.get(14),
        })
    }

    /// What a later live migration would need of this end.
    fn replication(&self, provider: Provider) -> Finding {
        let keeps = self.max_slot_wal_keep_size.as_deref().unwrap_or("unlimited");
        let mut message = format!(
            "wal_level {}, {} replication slots, {} senders, max_slot_wal_keep_size {keeps}, and role {} {}",
            self.wal_level,
            self.max_replication_slots,
            self.max_wal_senders,
            self.user,
            if self.may_replicate { "has REPLICATION" } else { "lacks REPLICATION" },
        );
        let mut remedy = String::from("nothing to do for a copy; this is what a live migration would start from");
        match provider {
            Provider::Neon => message.push_str("; Neon drops a slot that nobody reads for about 40 hours"),
            Provider::CloudSql | Provider::AlloyDb if self.wal_level != "logical" => {
                let setting = if provider == Provider::CloudSql { "cloudsql" } else { "alloydb" };
                remedy = format!(
                    "nothing to do for a copy; to be able to replicate back from here later, set {setting}.logical_decoding \
                     (it restarts the server) before the copy"
                );
            }
            _ => {}
        }
        if let Some(value) = &self.logical_decoding {
            message.push_str(&format!("; logical_decoding {value}"));
        }
        finding(Note, &self.at, message, remedy)
    }

    fn few_connections(&self) -> Option<Finding> {
        const ENOUGH: i64 = 6;
        let free = self.free_connections;
        (free < ENOUGH).then(|| {
            finding(
                if free < 2 { Blocks } else { Note },
                &self.at,
                format!("it has {free} connections left"),
                "the copy works with what is left, at least two at each end; end idle sessions, or raise max_connections",
            )
        })
    }

    fn few_locks(&self, needed: i64) -> Option<Finding> {
        // The server has some room beyond what the settings promise, so only what was seen to fail blocks: PostgreSQL 16
        // had 110 slots, and pg_dump of 200 tables ended with "out of shared memory".
        let severity = if needed * 5 > self.lock_slots * 9 {
            Blocks
        } else if needed * 5 > self.lock_slots * 4 {
            Note
        } else {
            return None;
        };
        Some(finding(
            severity,
            &self.at,
            format!("its lock table has room for about {} locks, and pg_dump takes {needed} at once", self.lock_slots),
            "raise max_locks_per_transaction on it and restart it",
        ))
    }
}

/// Everything there is to say of both ends' settings, and of what our role may do on the target.
pub(super) async fn settings(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let (from, to, may_be_replica) = tokio::try_join!(
        Settings::read("source", source),
        Settings::read("target", target),
        may(target, "select set_config('session_replication_role', 'replica', true)"),
    )?;
    let mut findings = of_source(&from, survey);
    findings.extend(of_target(&to, may_be_replica, survey));
    findings.push(disk(&to.at, &from));
    Ok(findings)
}

fn of_source(settings: &Settings, survey: &Survey) -> Vec<Finding> {
    let at = &settings.at;
    let mut findings = vec![settings.replication(survey.source.provider)];
    findings.extend(settings.few_connections());
    findings.extend(settings.few_locks(i64::try_from(survey.tables.len()).unwrap_or(i64::MAX)));
    if settings.statement_timeout_ms > 0 {
        let seconds = settings.statement_timeout_ms as f64 / 1000.0;
        findings.push(finding(
            Note,
            at,
            format!("a statement_timeout of {seconds} s ends longer statements of role {}", settings.user),
            "every session of tierlift sets it to 0",
        ));
    }
    if !settings.data_checksums {
        findings.push(finding(
            Note,
            at,
            "it keeps no data checksums, so a damaged page may be read as if it were sound",
            "what is read is copied and compared as it is; the target should have checksums on",
        ));
    }
    findings
}

fn of_target(settings: &Settings, may_be_replica: bool, survey: &Survey) -> Vec<Finding> {
    let at = &settings.at;
    let mut findings = vec![settings.replication(survey.target.provider)];
    findings.extend(settings.few_connections());
    if settings.read_only {
        findings.push(finding(
            Changes,
            at,
            "sessions there can only read by default (default_transaction_read_only)",
            "tierlift's own sessions write all the same; turn it off before the application is switched over",
        ));
    }
    if !settings.autovacuum {
        findings.push(finding(
            Note,
            at,
            "autovacuum is off",
            "the copy collects statistics itself; turn it on before the application is switched over",
        ));
    }
    if !settings.superuser {
        findings.push(finding(
            Note,
            format!("role {}", settings.user),
            "it is no superuser on the target",
            "it owns what it makes; event triggers, untrusted languages and wrappers that read files are not for it",
        ));
    }
    if !may_be_replica {
        findings.push(finding(
            Note,
            format!("role {}", settings.user),
            "it may not set session_replication_role on the target",
            "nothing to do: triggers and foreign keys are made after the rows, so the copy never needs it",
        ));
    }
    findings
}

/// No server says through SQL how much room its disk has.
fn disk(at: &str, source: &Settings) -> Finding {
    let megabytes = source.database_bytes / 1_000_000;
    finding(
        Note,
        at,
        format!("the source's database takes {megabytes} MB, and a server does not say how much room its disk has"),
        "see that the target's disk has that much free and half again for WAL and building indexes",
    )
}

/// Keys of a URL that another client would understand.
pub(crate) fn ignored_keys(which: &str, url: &PgUrl) -> Option<Finding> {
    (!url.ignored().is_empty()).then(|| {
        finding(
            Note,
            format!("{which} {}", url.endpoint()),
            format!("its URL has parameters for another kind of client: {}", url.ignored().join(", ")),
            "they are not used",
        )
    })
}
