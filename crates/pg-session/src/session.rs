//! One connection with pinned settings.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

use crate::connect::{self, Open};
use crate::error::{DbError, SessionError};
use crate::patience::Patience;
use crate::url::PgUrl;

/// Whether a session may write. Dry runs and assess open nothing but `ReadOnly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `default_transaction_read_only = on`.
    ReadOnly,
    /// `default_transaction_read_only = off`, also where a fence has turned the database's default on.
    ReadWrite,
}

/// A client whose output formats, timeouts and `search_path` are ours rather than the server's or the role's.
///
/// Dropping it closes the connection; a statement still running is noticed by the server within two seconds
/// (`client_connection_check_interval`) and ended.
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    /// Why the server ended it, if it did.
    ended: Arc<OnceLock<DbError>>,
    /// What the server warned of since it was last asked.
    warnings: Arc<Mutex<Vec<DbError>>>,
    url: PgUrl,
    encrypted: bool,
    server_version_num: u32,
    backend: Backend,
}

/// The process a session talked to while it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backend {
    pub pid: u32,
    pub server: Server,
}

/// One running server. A cluster's identifier would not do: a primary and its standbys share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Server {
    /// When its postmaster started, to the microsecond.
    pub started: String,
    pub standby: bool,
}

impl Session {
    /// Connects as the URL says and pins the settings. A server that is still waking (57P03, a connection closed during
    /// the handshake, a proxy that says so) is tried again until the URL's `connect_timeout` (15 s unless it says
    /// otherwise), which bounds the whole call;
    /// time in which this process was held still does not count.
    ///
    /// # Errors
    /// Every variant of [`SessionError`], each naming the endpoint.
    pub async fn connect(url: &PgUrl, access: Access) -> Result<Self, SessionError> {
        let mut patience = Patience::new(Duration::from_secs(url.connect_timeout_s));
        let Open { client, mut connection, encrypted } = connect::open(url, &mut patience).await?;
        let major = connection.parameter("server_version").and_then(major_of);
        let (ended, warnings) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(Vec::new())));
        // The driver ends when the client is dropped or the connection breaks.
        let driver = tokio::spawn({
            let (ended, warnings) = (Arc::clone(&ended), Arc::clone(&warnings));
            async move {
                // The connection lives until its end is noted: only then does the client's next call fail.
                while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                    match message {
                        Ok(AsyncMessage::Notice(warning)) => keep(&warnings, DbError::from(&warning)),
                        Ok(_) => {}
                        Err(error) => {
                            ended.get_or_init(|| DbError::from(&error));
                            return;
                        }
                    }
                }
            }
        });
        let (url, backend) = (url.clone(), Backend::default());
        let mut session = Self { client, driver, ended, warnings, url, encrypted, server_version_num: 0, backend };
        match patience.bound(session.pin_settings(access, major)).await {
            Some(pinned) => pinned?,
            None => {
                return Err(SessionError::Unavailable {
                    endpoint: session.url.endpoint(),
                    reason: format!(
                        "it let us in, but answered nothing within {} s; a pooler does that while its pool is full",
                        session.url.connect_timeout_s
                    ),
                });
            }
        }
        Ok(session)
    }

    /// Where it is connected to.
    pub fn url(&self) -> &PgUrl {
        &self.url
    }

    /// True when it uses TLS, which with `sslmode=prefer` the server decides.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// `server_version_num`, e.g. 160004.
    pub fn version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Major version, e.g. 16.
    pub fn major(&self) -> u32 {
        self.server_version_num / 10_000
    }

    /// A statement's error with this session's endpoint. Of a session that the server has ended, its reason for that:
    /// the statement that finds out is only told that the connection is closed.
    pub fn error(&self, error: &tokio_postgres::Error) -> SessionError {
        let source = match self.ended.get().filter(|_| error.is_closed()) {
            Some(reason) => reason.clone(),
            None => DbError::from(error),
        };
        SessionError::Statement { endpoint: self.url.endpoint(), source }
    }

    /// What the server warned of since this was last called: what it did not do without calling that an error. Complete
    /// once a statement's answer is there.
    pub fn take_warnings(&self) -> Vec<DbError> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which process of which server answered while connecting.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Pins everything in one round trip, without prepared statements: behind a pooler that gives every transaction
    /// another backend, those would fail at random, and this must get far enough to say that it is one.
    async fn pin_settings(&mut self, access: Access, major: Option<u32>) -> Result<(), SessionError> {
        // Text forms must be the same at both ends for verify; timeouts of the role or database (Supabase: two
        // minutes) must not end a long copy; a client that the network has swallowed must not hold its locks for two
        // hours; an empty search_path makes every printed name schema-qualified; NULL must be read as NULL.
        let read_only = match access {
            Access::ReadOnly => "on",
            Access::ReadWrite => "off",
        };
        // The session that holds an advisory lock is idle for hours.
        let idle_timeout = if major >= Some(14) { "set idle_session_timeout = 0;" } else { "" };
        let transaction_timeout = if major >= Some(17) { "set transaction_timeout = 0;" } else { "" };
        let settings = format!(
            "set default_transaction_read_only = {read_only};
             set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
             {transaction_timeout} {idle_timeout}
             set client_encoding = 'UTF8'; set timezone = 'UTC'; set datestyle = 'ISO, YMD';
             set intervalstyle = 'iso_8601'; set extra_float_digits = 3; set bytea_output = 'hex';
             set lc_monetary = 'C'; set xmloption = 'content'; set standard_conforming_strings = on;
             set quote_all_identifiers = off; set array_nulls = on; set transform_null_equals = off;
             set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3;
             set search_path = ''; set row_security = off; set client_min_messages = 'warning';
             select current_setting('server_version_num'), pg_backend_pid(), pg_postmaster_start_time(),
                    pg_is_in_recovery()"
        );
        // Refused on platforms that cannot watch a socket; then a dead client is noticed at its next read.
        let watching = async {
            match major >= Some(14) {
                true => self.client.batch_execute("set client_connection_check_interval = '2s'").await,
                false => Ok(()),
            }
        };
        let (answer, watched) = tokio::join!(self.client.simple_query(&settings), watching);
        let answer = answer.map_err(|e| self.error(&e))?;
        match watched {
            Err(e) if e.code() != Some(&SqlState::INVALID_PARAMETER_VALUE) => return Err(self.error(&e)),
            _ => {}
        }
        let (version, backend) = identity(&answer).ok_or_else(|| SessionError::Unavailable {
            endpoint: self.url.endpoint(),
            reason: "it does not say its version as PostgreSQL does".into(),
        })?;
        self.server_version_num = version;
        self.backend = backend;
        Ok(())
    }
}

/// Of a server that warns all the time the first are enough.
fn keep(warnings: &Mutex<Vec<DbError>>, warning: DbError) {
    const MOST: usize = 100;
    let mut kept = warnings.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < MOST {
        kept.push(warning);
    }
}

/// The only row among the answers: version, pid, start of the postmaster, whether it is a standby.
fn identity(answer: &[SimpleQueryMessage]) -> Option<(u32, Backend)> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let server = Server { started: row.get(2)?.to_owned(), standby: row.get(3)? == "t" };
    Some((row.get(0)?.parse().ok()?, Backend { pid: row.get(1)?.parse().ok()?, server }))
}

/// `server_version` as the server announces it: `16.4 (Debian 16.4-1)`, `18beta1`.
fn major_of(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
