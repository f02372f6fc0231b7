//! What really stands behind a URL: one server, several, or a pooler that hands out backends by the transaction.
//!
//! Names and ports tell it of the providers' own poolers; this tells it by behaviour, of any. A copy needs one server
//! (an exported snapshot belongs to it) and sessions that keep their backend (settings, locks, snapshots).

use crate::error::SessionError;
use crate::session::{Access, Session};
use crate::url::PgUrl;

/// What stands behind a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// One server, or a pooler in session mode before one.
    OneServer {
        /// It is a standby.
        standby: bool,
    },
    /// A pooler that gives each transaction another backend.
    TransactionPooler,
    /// Connections end at different servers.
    SeveralServers {
        /// At least one of them is a standby.
        standby: bool,
    },
}

/// Opens three sessions and compares what answers them. Two servers behind a balancer that chooses at random go
/// unnoticed once in four times; then importing the snapshot fails.
///
/// # Errors
/// As [`Session::connect`].
pub async fn look_behind(url: &PgUrl) -> Result<Behind, SessionError> {
    let open = || Session::connect(url, Access::ReadOnly);
    let (a, b, c) = tokio::try_join!(open(), open(), open())?;
    // Asked in this order, one after the other. A pooler that hands out the connection it got back last gives the same
    // backend to every session; one that takes them in turn gives the first session two.
    let pids = [pid(&a).await?, pid(&a).await?, pid(&b).await?];
    let kept = pids[0] == a.backend().pid && pids[1] == a.backend().pid && pids[2] == b.backend().pid;
    let servers = [&a, &b, &c].map(|session| &session.backend().server);
    let standby = servers.iter().any(|server| server.standby);
    let is_one = servers.iter().all(|server| *server == servers[0]);
    Ok(match (is_one, kept && pids[0] != pids[2]) {
        (false, _) => Behind::SeveralServers { standby },
        (true, false) => Behind::TransactionPooler,
        (true, true) => Behind::OneServer { standby },
    })
}

/// The backend that answers now; asked without a prepared statement, see [`Session::connect`].
async fn pid(session: &Session) -> Result<u32, SessionError> {
    let answer = session.simple_query("select pg_catalog.pg_backend_pid()").await.map_err(|e| session.error(&e))?;
    let text = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}
