//! What can go wrong between a table and its embeddings, each with its object and what to do next.

use std::path::PathBuf;

use pg_session::{DbError, Session, SessionError};
use runbook::{Failure, FailureKind, Finding, Severity};

/// Why a table could not be embedded, indexed or searched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server could not be reached, or refused a statement that concerns no particular object.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A statement about one object failed.
    #[error("{doing}: {source}")]
    Statement {
        /// The object, e.g. `table public.messages`.
        object: String,
        /// What was tried, e.g. `cannot add column embedding`.
        doing: String,
        /// What the server said.
        #[source]
        source: Box<DbError>,
    },
    /// A read-only look found what must be settled first.
    #[error("{} finding(s) stop it", .0.len())]
    Blocked(Vec<Finding>),
    /// A file of the model is not there.
    #[error("the embedding model's file is not there")]
    NoModel {
        /// The file.
        path: PathBuf,
    },
    /// A file of the model can't be used.
    #[error("the embedding model can't be read: {reason}")]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The model's vectors can't be made this long.
    #[error("{dimensions} dimensions can't be had from a model of {native}")]
    Dimensions {
        /// What was asked for.
        dimensions: usize,
        /// What the model has.
        native: usize,
    },
    /// An argument that can't be used.
    #[error("{message}")]
    Argument {
        /// Which argument, e.g. `k`.
        object: String,
        /// What is wrong with it.
        message: String,
    },
    /// A measured gate was missed.
    #[error("{message}")]
    Gate {
        /// Which index.
        object: String,
        /// What was measured and what was asked for.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The work is not where it should be.
    #[error("{message}")]
    NotInPlace {
        /// Table, column or index.
        object: String,
        /// What is missing.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Something that can't be unless tierlift is at fault.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A refused statement that concerns no particular object, for `map_err`.
    pub(crate) fn on(session: &Session) -> impl Fn(tokio_postgres::Error) -> Self + '_ {
        |error| Self::Session(session.error(&error))
    }

    /// A refused statement about `object`, for `map_err`.
    pub(crate) fn statement(
        object: impl Into<String>,
        doing: impl Into<String>,
    ) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |error| Self::Statement {
            object: object.into(),
            doing: doing.into(),
            source: Box::new(DbError::from(error)),
        }
    }

    /// What the operator should do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Session(error) => error.hint(),
            Self::Statement { source, .. } => match source.code.as_deref() {
                Some("42501") => "connect as the role that owns the object, or grant that privilege".into(),
                Some("55P03" | "57014") => "end the session that holds the lock, then try again".into(),
                Some("53100") => "the server's disk is full; enlarge it, then resume".into(),
                Some("53200" | "54000") => {
                    "the server has not enough memory for it; fewer lists need less, or choose a larger machine".into()
                }
                Some("2BP01") => "drop what depends on it (the server's detail names it), then try again".into(),
                _ => "settle what the server says, then try again: what is done stays done".into(),
            },
            Self::Blocked(findings) => findings.first().map_or_else(String::new, |finding| finding.remedy.clone()),
            Self::NoModel { .. } | Self::Model { .. } => {
                "set TIERLIFT_MODEL_DIR to the folder that holds the model's two files, or run `cargo xtask model`, \
                 which fetches them and prints where they are"
                    .into()
            }
            Self::Dimensions { native, .. } => {
                format!("ask for a multiple of {native}, at most {} times as many", crate::lift::COPIES_MAX)
            }
            Self::Argument { .. } => "correct the step's `with`, or the command's argument".into(),
            Self::Gate { hint, .. } | Self::NotInPlace { hint, .. } => hint.clone(),
            Self::Internal(_) => "report this; what is done stays done".into(),
        }
    }

    /// Whether a new attempt may not meet it again.
    pub(crate) fn is_transient(&self) -> bool {
        let source = match self {
            Self::Statement { source, .. } => source,
            Self::Session(SessionError::Statement { source, .. }) => source,
            Self::Session(SessionError::Unavailable { .. } | SessionError::Unreachable { .. }) => return true,
            _ => return false,
        };
        match source.code.as_deref() {
            None => true, // the connection broke
            Some(code) => {
                code.starts_with("08")
                    || ["57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03"].contains(&code)
            }
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Session(error) if error.is_input() => FailureKind::InvalidInput,
            Self::NoModel { .. } | Self::Model { .. } | Self::Dimensions { .. } | Self::Argument { .. } => {
                FailureKind::InvalidInput
            }
            Self::Blocked(_) | Self::Gate { .. } => FailureKind::Blocked,
            // A privilege is missing: nothing was tried that could have half worked.
            Self::Session(SessionError::Statement { source, .. }) if source.code.as_deref() == Some("42501") => {
                FailureKind::Blocked
            }
            Self::Statement { source, .. } if source.code.as_deref() == Some("42501") => FailureKind::Blocked,
            Self::Internal(_) => FailureKind::Internal,
            Self::Session(_) | Self::Statement { .. } | Self::NotInPlace { .. } => FailureKind::Failed,
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Session(_) | Self::Internal(_) => String::new(),
            Self::Blocked(findings) => findings.first().map_or_else(String::new, |finding| finding.object.clone()),
            Self::NoModel { path } | Self::Model { path, .. } => format!("file {}", path.display()),
            Self::Dimensions { .. } => "dimensions".into(),
            Self::Statement { object, .. }
            | Self::Argument { object, .. }
            | Self::Gate { object, .. }
            | Self::NotInPlace { object, .. } => object.clone(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Failure::new(error.kind(), error.object(), error.to_string(), error.hint());
        if let Error::Blocked(findings) = &error {
            let mut blocks = findings.iter().filter(|finding| finding.severity == Severity::Blocks);
            if let Some(first) = blocks.next() {
                failure.object.clone_from(&first.object);
                failure.message.clone_from(&first.message);
                failure.hint.clone_from(&first.remedy);
            }
            failure.causes = blocks.map(|f| format!("{}: {}; {}", f.object, f.message, f.remedy)).collect();
        }
        failure
    }
}
