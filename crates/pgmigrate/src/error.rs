//! What can go wrong in a migration, each with its object and what to do next.

use std::time::Duration;

use pg_session::{DbError, Holder, Session, SessionError};
use runbook::{Failure, FailureKind, Finding, Severity};

use crate::dump;
use crate::findings::grouped;

/// A migration step that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server could not be reached or refused a statement that concerns no particular object.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Assess found something that must be settled first.
    #[error("{} finding(s) stop it", .0.len())]
    Blocked(Vec<Finding>),
    /// No `pg_dump` that is new enough was found.
    #[error("no pg_dump of version {needed} or newer{} was found ({found})", if *.tls { " that can use TLS" } else { "" })]
    NoPgDump {
        /// Major version of the source.
        needed: u32,
        /// It must be able to use TLS, as our own connection to the source does.
        tls: bool,
        /// What was found instead.
        found: String,
    },
    /// `pg_dump` ran and failed.
    #[error("pg_dump failed: {stderr}")]
    PgDump {
        /// The end of what it said.
        stderr: String,
    },
    /// A child process or a temporary file could not be had.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The operating system's word for it.
        #[source]
        source: std::io::Error,
    },
    /// The target refused one object of the schema, or was gone before it was made.
    #[error("{}: {source}", if .source.code.is_some() { "the target refused it" } else { "the target broke off" })]
    Entry {
        /// Kind and name, e.g. `view public.mood`.
        object: String,
        /// The server's own error.
        #[source]
        source: DbError,
    },
    /// A table's rows could not be copied or compared.
    #[error("{side}: {source}")]
    Table {
        /// The table, as a person would write it.
        table: String,
        /// `source` or `target`.
        side: &'static str,
        /// The server's own error.
        #[source]
        source: DbError,
    },
    /// The target holds a copy of another source, or one that this call must not touch.
    #[error("{0}")]
    OtherCopy(String),
    /// A copy cannot be taken back without what others have built on it since.
    #[error("these were not made by the copy and would go with it: {}", .objects.join(", "))]
    InTheWay {
        /// Each with what it needs of the copy's.
        objects: Vec<String>,
    },
    /// Another process is copying to, or taking a copy back from, the same target.
    #[error("another tierlift process is at work on it{}", .holder.as_ref().map(|h| format!(" (since {}, backend {})", h.since, h.pid)).unwrap_or_default())]
    Locked {
        /// `host:port/db`.
        target: String,
        /// Who, as the server sees it.
        holder: Option<Holder>,
    },
    /// Sessions of an attempt that was cut off are still at work.
    #[error("backends of an earlier attempt do not end: {}", .pids.join(", "))]
    Orphans {
        /// `host:port/db`.
        target: String,
        /// Process ids on the server.
        pids: Vec<String>,
    },
    /// A connection broke in the middle, and again and again.
    #[error("{cause}{}", gave_up(*.attempts, .tried))]
    CutOff {
        /// How often it was tried.
        attempts: u32,
        /// How long nothing was achieved.
        tried: Duration,
        /// What the last attempt met.
        cause: Box<Error>,
    },
    /// Contents differ.
    #[error("{message}")]
    Differs {
        /// First difference: table, key, column.
        object: String,
        /// How many, and the first few.
        message: String,
    },
    /// Writes on the source could not be stopped, or were not.
    #[error("{message}")]
    Fence {
        /// Database or table.
        object: String,
        /// What happened.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Arguments that cannot be used.
    #[error("{0}")]
    Arguments(String),
    /// A row refers to one that is not there, or would.
    #[error("{message}")]
    Dangling {
        /// The foreign key, or the table.
        object: String,
        /// What was found.
        message: String,
    },
    /// An option that cannot be used with these databases.
    #[error("{message}")]
    Option {
        /// The option as it was given.
        option: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Something that cannot be unless tierlift is at fault.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A refused statement on `session`, for `map_err`.
    pub(crate) fn on(session: &Session) -> impl Fn(tokio_postgres::Error) -> Self + '_ {
        |error| Self::Session(session.error(&error))
    }

    /// A table's trouble on one side, for `map_err`.
    pub(crate) fn table<'a>(table: &'a str, side: &'static str) -> impl Fn(tokio_postgres::Error) -> Self + 'a {
        move |error| Self::Table { table: table.to_owned(), side, source: DbError::from(error) }
    }

    /// True when a lock was not had in time.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Session(SessionError::Statement { source, .. }) if source.code.as_deref() == Some("55P03"))
    }

    /// What the operator should do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Session(error) => error.hint(),
            Self::Blocked(findings) => {
                findings.first().map(|f| f.remedy.clone()).unwrap_or_else(|| "see the findings".into())
            }
            Self::NoPgDump { needed, .. } => format!(
                "install the PostgreSQL client tools, version {needed} or newer, or set TIERLIFT_PG_BIN to their bin folder"
            ),
            Self::PgDump { stderr } if dump::lost_its_connection(stderr) => {
                "see in the source server's log why it ended the connection, then start it again".into()
            }
            Self::PgDump { .. } => {
                "read pg_dump's message; the source role must be able to read the whole schema".into()
            }
            Self::Io { .. } => "check disk space and permissions of the temporary folder".into(),
            Self::Entry { source, .. } | Self::Table { source, .. } if settled_by(source).is_some() => {
                settled_by(source).map_or_else(String::new, |what| format!("{what}; {AGAIN}"))
            }
            Self::Entry { object, .. } => {
                format!(
                    "make the target able to hold {object} (or drop it on the source if it is not needed), then start again"
                )
            }
            Self::Table { source, .. } => {
                format!("{}; {AGAIN}", source.advice().unwrap_or("settle what the server says"))
            }
            Self::Orphans { pids, .. } => {
                format!("look at backend {} in pg_stat_activity of the target and end it; {AGAIN}", pids.join(", "))
            }
            Self::CutOff { cause, .. } => {
                let advice = match cause.as_ref() {
                    Self::Session(error) if error.is_input() => Some(error.hint()),
                    Self::Session(SessionError::Statement { source, .. }) | Self::Table { source, .. } => {
                        source.advice().map(str::to_owned)
                    }
                    _ => None,
                };
                let advice = advice.unwrap_or("find out in the server's log why it ended the connection".into());
                format!("{advice}; {AGAIN}")
            }
            Self::OtherCopy(_) => "roll that copy back first, or use another empty database".into(),
            Self::InTheWay { .. } => {
                "nothing was dropped; drop them, or rewrite them without what they need, then roll back again".into()
            }
            Self::Locked { .. } => "wait until it has ended, or end it, then try again".into(),
            Self::Differs { .. } => "do not switch over; find out who wrote to either side, then copy again".into(),
            Self::Dangling { .. } => {
                "a filter (--where, --include, --exclude) may have left that row behind: widen it, or remove the rows that refer to it; then roll back and copy again".into()
            }
            Self::Fence { hint, .. } | Self::Option { hint, .. } => hint.clone(),
            Self::Arguments(_) => "correct the step's arguments".into(),
            Self::Internal(_) => "report this; the journal and the databases are as the last line says".into(),
        }
    }

    /// The message behind the name of what it is about.
    pub(crate) fn with_object(&self) -> String {
        match self.object() {
            object if object.is_empty() => self.to_string(),
            object => format!("{object}: {self}"),
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Session(SessionError::Statement { source, .. }) if source.code.as_deref() == Some("42501") => {
                FailureKind::Blocked
            }
            Self::Session(error) if error.is_input() => FailureKind::InvalidInput,
            Self::NoPgDump { .. } | Self::Arguments(_) | Self::Option { .. } => FailureKind::InvalidInput,
            Self::Blocked(_) | Self::Differs { .. } | Self::OtherCopy(_) | Self::InTheWay { .. } => {
                FailureKind::Blocked
            }
            Self::Internal(_) => FailureKind::Internal,
            Self::Locked { .. } => FailureKind::Locked,
            _ => FailureKind::Failed,
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Blocked(findings) => findings.first().map(|f| f.object.clone()).unwrap_or_default(),
            Self::Entry { object, .. }
            | Self::Dangling { object, .. }
            | Self::Differs { object, .. }
            | Self::Fence { object, .. } => object.clone(),
            Self::Option { option, .. } => option.clone(),
            Self::Table { table, .. } => format!("table {table}"),
            Self::Locked { target, .. } | Self::Orphans { target, .. } => format!("target {target}"),
            Self::CutOff { cause, .. } => cause.object(),
            Self::PgDump { .. } => "schema of the source".into(),
            Self::InTheWay { objects } => objects.first().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }
}

fn gave_up(attempts: u32, tried: &Duration) -> String {
    match attempts {
        1 => String::new(),
        _ => format!("; gave up after {attempts} attempts, the last {:.0} s without getting on", tried.as_secs_f64()),
    }
}

/// What the operator must know to dare the next step.
const AGAIN: &str = "then start it again: what is finished is kept and not repeated";

/// What makes a server accept the same statement later, where its error says so.
fn settled_by(error: &DbError) -> Option<&'static str> {
    Some(match error.code.as_deref() {
        None | Some("57P01" | "57P02" | "57P03") => "see in the server's log why it ended the connection",
        Some("57014") => {
            "it was cancelled on the server, by somebody or by a limit of the role or database; find out by whom"
        }
        Some("53100") => "the server's disk is full: enlarge it",
        Some("53200") => "the server is out of memory: give it more, or copy with fewer --jobs",
        Some("53300") => "the server has no connection left: free some, or copy with fewer --jobs",
        Some("23514") => {
            "a row of the source is refused there: a check that looks at other tables or at the time must be dropped on the \
             source and added on the target after the copy, and partitions cut by the order of text need the source's collation"
        }
        Some("55P03" | "40P01") => "another session holds a lock on it: end that session",
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Failure::new(error.kind(), error.object(), error.to_string(), error.hint());
        if let Error::Blocked(findings) = &error {
            let blocks: Vec<_> = grouped(findings).into_iter().filter(|f| f.severity == Severity::Blocks).collect();
            if let Some((first, rest)) = blocks.split_first() {
                failure.object.clone_from(&first.object);
                failure.message.clone_from(&first.message);
                failure.hint.clone_from(&first.remedy);
                failure.causes = rest.iter().map(|f| format!("{}: {}; {}", f.object, f.message, f.remedy)).collect();
            }
        }
        failure
    }
}
