//! Whether a URL leads to one server whose sessions stay where they are: by its name, and by what it does.

use pg_session::{Behind, PgUrl, look_behind};
use runbook::{Finding, Severity};

use crate::error::Error;
use crate::findings::finding;
use crate::provider::transaction_pooler;

/// Refuses ends that no copy can be made through.
///
/// # Errors
/// `Blocked` with what is behind the URL and what to use instead; or an end cannot be reached.
pub(crate) async fn check(source: &PgUrl, target: &PgUrl) -> Result<(), Error> {
    let ends = [("source", source), ("target", target)];
    let mut findings: Vec<Finding> = ends.iter().filter_map(|(end, url)| named(end, url)).collect();
    if findings.is_empty() {
        // Nothing that such an end answers can be trusted to come from one session, so it is looked at only here.
        let (of_source, of_target) = tokio::try_join!(look_behind(source), look_behind(target))?;
        let seen = ends.into_iter().zip([of_source, of_target]);
        findings.extend(seen.filter_map(|((end, url), behind)| behaved(end, url, behind)));
    }
    if findings.is_empty() { Ok(()) } else { Err(Error::Blocked(findings)) }
}

fn named(end: &str, url: &PgUrl) -> Option<Finding> {
    let (what, instead) = transaction_pooler(url)?;
    let message = format!("{what}: it shares no snapshot between connections");
    Some(finding(Severity::Blocks, format!("{end} {}", url.endpoint()), message, instead))
}

fn behaved(end: &str, url: &PgUrl, behind: Behind) -> Option<Finding> {
    let (message, remedy) = match behind {
        Behind::OneServer { .. } => return None,
        Behind::TransactionPooler => (
            "it is a connection pooler in transaction mode: each transaction gets another backend, so that settings, \
             locks and snapshots do not last",
            "connect to the server itself, or to the pooler's session mode (PgBouncer: a database entry with \
             pool_mode=session)",
        ),
        Behind::SeveralServers { .. } => (
            "its connections end at different servers (a load balancer, a read pool, or a name with several \
             addresses), which share no snapshot",
            match end {
                "source" => "connect to one of them by its own address; a standby will do for reading",
                _ => "connect to the primary by its own address",
            },
        ),
    };
    Some(finding(Severity::Blocks, format!("{end} {}", url.endpoint()), message, remedy))
}
