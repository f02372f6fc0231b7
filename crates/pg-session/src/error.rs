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
    },
    /// TLS could not be agreed on, or the certificate was refused.
    #[error("no TLS with {endpoint}: {reason}")]
    Tls {
        /// `host:port/db`.
        endpoint: String,
        /// Why.
        reason: String,
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
            Self::Unreachable { .. } => {
                "check host name and port, that this machine may reach it (firewall, allow list, IPv6), and that the server is up"
                    .into()
            }
            Self::Tls { .. } => {
                "check sslmode and sslrootcert in the URL; verify-full needs the provider's CA certificate and the host's real name".into()
            }
            Self::Refused { user, .. } => {
                format!("check the password of role {user} and that it may connect to this database from here")
            }
            Self::NoDatabase { .. } => "check the database's name at the end of the URL, or create it first".into(),
            Self::Unavailable { .. } => "wait until the server has finished starting or frees connections, then try again".into(),
            Self::Statement { source, .. } => match source.code.as_deref() {
                Some("42501") => "grant the role that privilege, or connect as the owner of the object".into(),
                Some("55P03" | "57014") => "something else holds a lock it needs; end that session, then try again".into(),
                None | Some("57P01" | "57P02" | "57P03") => {
                    "see in the server's log why it ended the connection, then start it again".into()
                }
                Some("53100") => "the server's disk is full; enlarge it, then resume".into(),
                _ => "read the server's message above; its log has the full statement".into(),
            },
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

impl From<&tokio_postgres::Error> for DbError {
    fn from(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self {
                code: Some(db.code().code().to_owned()),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
                position: match db.position() {
                    Some(tokio_postgres::error::ErrorPosition::Original(at)) => Some(*at),
                    _ => None,
                },
            },
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
