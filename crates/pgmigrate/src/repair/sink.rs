//! Where repair SQL goes: to a file that only its owner may read, or to the target.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use pg_session::Session;
use tokio_postgres::CopyInSink;

use crate::error::Error;

/// A new file for repair SQL. It holds rows of the application, so nobody else may read it, and it is removed again unless
/// it was finished.
pub struct RepairFile {
    path: PathBuf,
    file: BufWriter<File>,
    finished: bool,
}

impl RepairFile {
    /// Creates it.
    ///
    /// # Errors
    /// `Arguments` when there is something of that name, or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
            let name = path.display();
            Error::Arguments(match e.kind() {
                ErrorKind::AlreadyExists => format!("{name} exists already: remove it, or name another file"),
                _ => format!("{name} cannot be created: {e}"),
            })
        })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), finished: false })
    }

    /// What it is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))
    }

    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|e| self.failed(e))?;
        self.finished = true;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { what: format!("cannot write {}", self.path.display()), source }
    }
}

impl Drop for RepairFile {
    fn drop(&mut self) {
        if !self.finished {
            // Half a file must not be taken for a whole one; whoever dropped it reports why.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Where statements and rows go.
pub(crate) enum Sink<'a> {
    File(&'a mut RepairFile),
    Server { session: &'a Session, copy: Option<Pin<Box<CopyInSink<Bytes>>>>, label: String },
}

impl<'a> Sink<'a> {
    /// To the target; `label` names in errors what is mended.
    pub fn server(session: &'a Session, label: String) -> Self {
        Self::Server { session, copy: None, label }
    }

    /// One or more statements.
    pub async fn sql(&mut self, sql: &str) -> Result<(), Error> {
        match self {
            Self::File(file) => file.write(sql.as_bytes()),
            Self::Server { session, label, .. } => {
                session.batch_execute(sql).await.map_err(Error::table(label, "target"))
            }
        }
    }

    /// A `copy ... from stdin`, to be followed by its data.
    pub async fn begin_copy(&mut self, statement: &str) -> Result<(), Error> {
        match self {
            Self::File(file) => file.write(statement.as_bytes()),
            Self::Server { session, copy, label } => {
                let sink = session.copy_in(statement).await.map_err(Error::table(label, "target"))?;
                *copy = Some(Box::pin(sink));
                Ok(())
            }
        }
    }

    /// Some of its data, in COPY's text format.
    pub async fn data(&mut self, data: Bytes) -> Result<(), Error> {
        match self {
            Self::File(file) => file.write(&data),
            Self::Server { copy: Some(copy), label, .. } => {
                copy.send(data).await.map_err(Error::table(label, "target"))
            }
            Self::Server { label, .. } => Err(Error::Internal(format!("{label}: rows came before their statement"))),
        }
    }

    /// The end of its data.
    pub async fn end_copy(&mut self) -> Result<(), Error> {
        match self {
            Self::File(file) => file.write(b"\\.\n"),
            Self::Server { copy, label, .. } => match copy.take() {
                Some(mut copy) => copy.as_mut().finish().await.map(drop).map_err(Error::table(label, "target")),
                None => Err(Error::Internal(format!("{label}: rows ended before they began"))),
            },
        }
    }
}
