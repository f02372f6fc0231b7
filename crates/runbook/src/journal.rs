//! What happened to a run: an append-only file of JSON lines, each chained by hash to the one before and fsynced.
//!
//! A line is `{"seq":N,"prev":"<hash of the line before>","at":"<time>","event":{...},"hash":"<hash>"}`; its hash is the
//! SHA-256 of the line's bytes without the hash. A process that dies while it writes leaves a torn last line: an
//! event that never happened, since nothing was done on the strength of it. Whatever else does not verify is an error.
//! The chain can't notice when whole lines are missing at the end: such a file is what a crash there would have left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical::sha256_hex;
use crate::entry::Entry;
use crate::failure::{Failure, FailureKind};

/// The `prev` of the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands before a line's hash.
const HASH_KEY: &str = ",\"hash\":\"";

/// A run's journal, open for appending by this process alone.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    last: Tail,
}

/// A verified line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// The hash of the line before.
    pub prev: String,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: Entry,
    /// Its own hash.
    pub hash: String,
}

/// A verified journal as read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadJournal {
    /// Its lines.
    pub records: Vec<Record>,
    /// How many bytes a torn last line had; 0 when there was none.
    pub torn_bytes: u64,
}

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be read or written.
    #[error("cannot {action} journal {path}")]
    Io {
        /// `read`, `write` ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open for appending.
    #[error("journal {path} is being written by another process")]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// A line is not the one that was written.
    #[error("line {line} of journal {path} {what}")]
    Tampered {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let (kind, hint) = match &error {
            JournalError::Io { .. } => {
                (FailureKind::Failed, "make room or set the permissions right, then resume the run, or roll it back")
            }
            JournalError::Held { .. } => (FailureKind::Locked, "wait until the other process ends, or stop it"),
            JournalError::Tampered { .. } => (
                FailureKind::InvalidInput,
                "the file was damaged or edited: restore it from a copy, or compare both databases by hand before you go on",
            ),
        };
        Self::from_error(kind, "", &error, hint)
    }
}

/// Where the chain goes on.
#[derive(Debug, Clone)]
struct Tail {
    seq: u64,
    hash: String,
    bytes: u64,
}

impl Journal {
    /// Creates a journal with its first event, both durable when this returns.
    ///
    /// # Errors
    /// When the file exists or can't be written.
    pub fn create(path: &Path, first: &Entry) -> Result<Self, JournalError> {
        let file = OpenOptions::new().append(true).create_new(true).open(path).map_err(|source| JournalError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })?;
        let mut journal =
            Self { file, path: path.to_owned(), last: Tail { seq: 0, hash: GENESIS.to_owned(), bytes: 0 } };
        journal.lock()?;
        journal.append(first)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder).map_err(|source| journal.io("write", source))?;
        }
        Ok(journal)
    }

    /// Opens a journal to append to it, verifies it, and cuts a torn last line off.
    ///
    /// # Errors
    /// When another process has it open for appending, when it does not verify, or when it can't be read.
    pub fn open(path: &Path) -> Result<(Self, ReadJournal), JournalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|source| JournalError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        let mut journal =
            Self { file, path: path.to_owned(), last: Tail { seq: 0, hash: GENESIS.to_owned(), bytes: 0 } };
        // Locked before it is read: nobody may append between the two.
        journal.lock()?;
        let bytes = std::fs::read(path).map_err(|source| journal.io("read", source))?;
        let read = verify(path, &bytes)?;
        if read.torn_bytes > 0 {
            journal
                .file
                .set_len(bytes.len() as u64 - read.torn_bytes)
                .and_then(|()| journal.file.sync_all())
                .map_err(|source| journal.io("repair", source))?;
        }
        journal.last.bytes = bytes.len() as u64 - read.torn_bytes;
        if let Some(last) = read.records.last() {
            journal.last.seq = last.seq;
            journal.last.hash.clone_from(&last.hash);
        }
        Ok((journal, read))
    }

    /// Appends an event; it is on disk when this returns.
    ///
    /// # Errors
    /// When it can't be written. What was half written is taken back if that is possible, and otherwise found torn by
    /// the next to open the file.
    pub fn append(&mut self, event: &Entry) -> Result<(), JournalError> {
        let (line, hash) = format_line(self.last.seq + 1, &self.last.hash, Timestamp::now(), event);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            drop(self.file.set_len(self.last.bytes));
            return Err(self.io("write", source));
        }
        self.last = Tail { seq: self.last.seq + 1, hash, bytes: self.last.bytes + line.len() as u64 };
        Ok(())
    }

    fn lock(&self) -> Result<(), JournalError> {
        // `is_held` takes the lock for an instant to see whether it is free; one that goes away is not a holder.
        const TRIES: u32 = 20;
        for attempt in 1..=TRIES {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(source)) => return Err(self.io("lock", source)),
            }
        }
        Err(JournalError::Held { path: self.path.clone() })
    }

    fn io(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { action, path: self.path.clone(), source }
    }
}

/// Reads and verifies a journal that another process may be writing; changes nothing.
///
/// # Errors
/// When it can't be read or does not verify.
pub fn read_journal(path: &Path) -> Result<ReadJournal, JournalError> {
    let bytes =
        std::fs::read(path).map_err(|source| JournalError::Io { action: "read", path: path.to_owned(), source })?;
    verify(path, &bytes)
}

/// Whether a process has the journal open for appending.
pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
    match File::open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a folder's list of names durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn format_line(seq: u64, prev: &str, at: Timestamp, event: &Entry) -> (String, String) {
    #[derive(Serialize)]
    struct Body<'a> {
        seq: u64,
        prev: &'a str,
        at: Timestamp,
        event: &'a Entry,
    }
    let mut line = serde_json::to_string(&Body { seq, prev, at, event }).expect("events have string keys only");
    let hash = sha256_hex(line.as_bytes());
    line.pop();
    line.push_str(HASH_KEY);
    line.push_str(&hash);
    line.push_str("\"}\n");
    (line, hash)
}

fn verify(path: &Path, bytes: &[u8]) -> Result<ReadJournal, JournalError> {
    let mut records: Vec<Record> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        let after = &rest[(line.len() + 1).min(rest.len())..];
        if after.is_empty() && is_torn(line, end.is_some()) {
            return Ok(ReadJournal { records, torn_bytes: rest.len() as u64 });
        }
        let seq = records.len() as u64 + 1;
        let prev = records.last().map_or(GENESIS, |record| record.hash.as_str());
        let record = verify_line(line, seq, prev).map_err(|what| JournalError::Tampered {
            path: path.to_owned(),
            line: seq,
            what,
        })?;
        records.push(record);
        rest = after;
    }
    Ok(ReadJournal { records, torn_bytes: 0 })
}

/// Whether the last line is what a crash leaves: cut short, or (after a power cut) with blocks that were never written.
fn is_torn(line: &[u8], has_newline: bool) -> bool {
    !has_newline
        || line.contains(&0)
        || serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

fn verify_line(line: &[u8], seq: u64, prev: &str) -> Result<Record, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not text".to_owned())?;
    let record: Record = serde_json::from_str(text).map_err(|error| format!("is no journal line: {error}"))?;
    let body = text
        .strip_suffix("\"}")
        .and_then(|rest| rest.strip_suffix(record.hash.as_str()))
        .and_then(|rest| rest.strip_suffix(HASH_KEY))
        .ok_or_else(|| "does not end with its hash".to_owned())?;
    if sha256_hex(format!("{body}}}").as_bytes()) != record.hash {
        return Err("does not have the content its hash is of".to_owned());
    }
    if record.seq != seq {
        return Err(format!("has number {}, expected {seq}: lines were removed, repeated or moved", record.seq));
    }
    if record.prev != prev {
        return Err("does not follow the line before it".to_owned());
    }
    Ok(record)
}
