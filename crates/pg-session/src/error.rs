//! What can go wrong between us and a server, each with its object and what to do next.

use std::fmt;

use tokio_postgres::error::SqlState;

/// A failure to connect to, or to talk to, a server.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The URL can't be used. Its text is never repeated: it may hold a password.
    #[error("the connection URL can't be used: {reason}")]
    InvalidUrl {
        /// Why.
        reason: String,
    },
    /// Nobody answered at that address.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// `host:port/db`.
        endpoint: String,
        /// The operating system's or resolver's word for it.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// TLS could not be agreed on, or what it should prove was not proved.
    #[error("no secure connection to {endpoint}: {reason}")]
    Tls {
        /// `host:port/db`.
        endpoint: String,
        /// Why.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// The server refused the role or its password.
    #[error("{endpoint} refused role {user}: {reason}")]
    Refused {
        /// `host:port/db`.
        endpoint: String,
        /// Role name.
        user: String,
        /// The server's own words.
        reason: String,
    },
    /// The database does not exist.
    #[error("{endpoint}: {reason}")]
    NoDatabase {
        /// `host:port/db`.
        endpoint: String,
        /// The server's own words.
        reason: String,
    },
    /// The server took no more connections, or is starting or stopping.
    #[error("{endpoint} takes no connection now: {reason}")]
    Unavailable {
        /// `host:port/db`.
        endpoint: String,
        /// The server's own words.
        reason: String,
    },
    /// A statement failed.
    #[error("{endpoint}: {source}")]
    Statement {
        /// `host:port/db`.
        endpoint: String,
        /// What the server said.
        #[source]
        source: DbError,
    },
}

impl SessionError {
    /// What the operator should do next.
    pub fn hint(&self) -> String {
        match self {
            Self::InvalidUrl { .. } => {
                "give it as postgresql://USER:PASSWORD@HOST:5432/DATABASE, as the provider's dashboard prints it".into()
            }
            Self::Unreachable { advice, .. } | Self::Tls { advice, .. } => advice.clone(),
            // The server's words, which since PostgreSQL 14 say whether the connection was encrypted.
            Self::Refused { reason, .. } if reason.contains("no encryption") => {
                "the server takes this role only with TLS: add sslmode=require to the URL (or its host and role are \
                 missing in pg_hba.conf)"
                    .into()
            }
            Self::Refused { reason, .. } if reason.contains("SSL encryption") => {
                "the server takes this role from here only without TLS, if at all: see its pg_hba.conf".into()
            }
            Self::Refused { reason, .. } if reason.contains("client certificate") => {
                "name a client certificate that the server trusts with sslcert=FILE&sslkey=FILE in the URL".into()
            }
            Self::Refused { user, .. } => {
                format!("check the password of role {user} and that it may connect to this database from here")
            }
            Self::NoDatabase { .. } => "check the database's name at the end of the URL, or create it first".into(),
            Self::Unavailable { .. } => {
                "wait until the server has finished starting or frees connections, then try again".into()
            }
            Self::Statement { source, .. } => {
                let unknown = match source.code.as_deref() {
                    None | Some("57P01" | "57P02" | "57P03") => {
                        "see in the server's log why it ended the connection, then start it again"
                    }
                    _ => "read the server's message above; its log has the full statement",
                };
                source.advice().unwrap_or(unknown).into()
            }
        }
    }

    /// True when the input (URL, credentials, address) is at fault rather than anything we did.
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Statement { .. })
    }
}

/// What a server (or the connection to it) said of one statement, in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbError {
    /// SQLSTATE; `None` when the connection itself broke.
    pub code: Option<String>,
    /// Primary message.
    pub message: String,
    /// Detail, if any. Servers put row values here, never credentials.
    pub detail: Option<String>,
    /// Where in the statement, 1-based character position, if the server said.
    pub position: Option<u32>,
}

impl DbError {
    /// What to do about it, where the error itself tells.
    pub fn advice(&self) -> Option<&'static str> {
        let says = |words: &str| self.message.contains(words);
        Some(match self.code.as_deref()? {
            // 40001, of a query or (FATAL) of an idle session with an open snapshot.
            _ if says("conflict with recovery") => {
                "this standby had to apply a change that a long reader was in the way of: set hot_standby_feedback = on \
                 (and max_standby_streaming_delay = -1) on it for the time of the copy, or use the primary as source"
            }
            "26000" | "42P05" if says("prepared statement") => {
                "this is a connection pooler in transaction mode: connect to the server itself, or to the pooler's \
                 session mode"
            }
            // PostgreSQL words it in either way, depending on its version.
            "22023" | "42704" if says("snapshot") => {
                "the connections of this URL do not all end at one server: a load balancer or several addresses are \
                 behind it; connect to one server by its own address"
            }
            "08P01" if says("query_wait_timeout") => {
                "the connection pooler in between has too few connections: raise its pool size, or connect to the \
                 server itself"
            }
            "42501" => "grant the role that privilege, or connect as the owner of the object",
            "55P03" | "57014" => "something else holds a lock it needs; end that session, then try again",
            "53100" => "the server's disk is full; enlarge it, then resume",
            _ => return None,
        })
    }
}

impl From<&tokio_postgres::Error> for DbError {
    fn from(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::from(db),
            None => {
                let mut message = error.to_string();
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    message = format!("{message}: {cause}");
                    source = cause.source();
                }
                Self { code: None, message, detail: None, position: None }
            }
        }
    }
}

impl From<&tokio_postgres::error::DbError> for DbError {
    fn from(db: &tokio_postgres::error::DbError) -> Self {
        Self {
            code: Some(db.code().code().to_owned()),
            message: db.message().to_owned(),
            detail: db.detail().map(str::to_owned),
            position: match db.position() {
                Some(tokio_postgres::error::ErrorPosition::Original(at)) => Some(*at),
                _ => None,
            },
        }
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for DbError {}

/// True for errors that a new attempt may not meet again: a broken connection, a server that is restarting
/// (57P01-57P03), too many connections (53300), serialization failure (40001), deadlock (40P01), lock timeout (55P03).
pub fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => error.is_closed() || std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>()),
        Some(code) => {
            code.code().starts_with("08")
                || [
                    &SqlState::ADMIN_SHUTDOWN,
                    &SqlState::CRASH_SHUTDOWN,
                    &SqlState::CANNOT_CONNECT_NOW,
                    &SqlState::TOO_MANY_CONNECTIONS,
                    &SqlState::T_R_SERIALIZATION_FAILURE,
                    &SqlState::T_R_DEADLOCK_DETECTED,
                    &SqlState::LOCK_NOT_AVAILABLE,
                ]
                .contains(&code)
        }
    }
}
