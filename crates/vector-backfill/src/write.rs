//! Putting vectors in place: binary COPY into a temporary table, one update from there, in one transaction with the
//! chunk's end.
//!
//! An update a row, its vector as text, writes 640 to 1,200 rows a second; this writes 6,000 by one connection.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use pg_session::{Ident, Session};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::job::{Chunk, Job};

/// Bytes handed to the connection at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A row that could not be embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    pub key: String,
    pub sha256: Vec<u8>,
    pub reason: String,
    /// The beginning of its text.
    pub sample: String,
}

/// Everything a chunk needs to be written, made off the async threads.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub chunk: Chunk,
    /// The rows in COPY's binary format.
    pub copy: Bytes,
    pub dead: Vec<Dead>,
}

/// How writing a chunk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Committed. Rows edited or deleted since they were read are not among these.
    Rows(u64),
    /// Somebody else holds the chunk by now; nothing was written.
    Lost,
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Rows of (key as text, hash of the text, vector) in COPY's binary format.
pub(crate) struct CopyRows(BytesMut);

impl CopyRows {
    pub fn with_capacity(rows: usize, dimensions: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(32 + rows * (dimensions * 4 + 100));
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        buffer.put_u32(0); // flags
        buffer.put_u32(0); // length of the header's extension
        Self(buffer)
    }

    pub fn push(&mut self, key: &str, sha256: &[u8; 32], vector: &[f32]) {
        let Self(buffer) = self;
        buffer.put_i16(3);
        buffer.put_i32(i32::try_from(key.len()).expect("a key comes from an index, whose entries are below 8 kB"));
        buffer.put_slice(key.as_bytes());
        buffer.put_i32(32);
        buffer.put_slice(sha256);
        // pgvector's own binary form: dimensions, two bytes unused, big-endian floats.
        let dimensions = i16::try_from(vector.len()).expect("dimensions were checked to be at most 2000");
        buffer.put_i32(4 + 4 * i32::from(dimensions));
        buffer.put_i16(dimensions);
        buffer.put_i16(0);
        vector.iter().for_each(|x| buffer.put_f32(*x));
    }

    pub fn finish(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }
}

/// Creates what [`write`] needs in this session.
pub(crate) async fn prepare_session(session: &Session, job: &Job, dimensions: usize) -> Result<(), Error> {
    // A vector that fits a page stays in it: the temporary table needs no TOAST.
    let storage = if dimensions * 4 < 7_000 { "plain" } else { "external" };
    let sql = format!(
        "create temporary table pg_temp.tierlift_vectors (key text, text_sha256 bytea, embedding {}.vector({dimensions}))
           on commit delete rows;
         alter table pg_temp.tierlift_vectors alter column embedding set storage {storage}",
        Ident(&job.vector_schema)
    );
    let refused = Error::statement(format!("database {}", session.url().dbname()), "cannot create a temporary table");
    session.batch_execute(&sql).await.map_err(refused)
}

/// Writes a chunk: all of it and its end, or nothing.
pub(crate) async fn write(
    session: &mut Session,
    job: &Job,
    prepared: &Prepared,
    as_replica: bool,
) -> Result<Written, Error> {
    let object = format!("table {}", job.relation.label());
    let failed = |doing: &'static str| Error::statement(object.clone(), doing);
    let transaction = session.transaction().await.map_err(failed("cannot begin"))?;
    if as_replica {
        let sql = "set local session_replication_role = replica";
        transaction.batch_execute(sql).await.map_err(failed("cannot keep its triggers from firing"))?;
    }
    let sink = transaction
        .copy_in("copy pg_temp.tierlift_vectors (key, text_sha256, embedding) from stdin (format binary)")
        .await
        .map_err(failed("cannot send vectors"))?;
    let mut sink = std::pin::pin!(sink);
    let mut rest = prepared.copy.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        sink.as_mut().send(piece).await.map_err(failed("cannot send vectors"))?;
    }
    sink.as_mut().finish().await.map_err(failed("cannot send vectors"))?;

    let Chunk { chunk, token, low, high } = &prepared.chunk;
    let column = Ident(&job.column);
    // The range lets the server find the rows by their index although it knows nothing of the temporary table.
    let update = format!(
        "update {table} t set {column} = s.embedding from pg_temp.tierlift_vectors s
          where t.{key} {equal} s.key::{key_type} and t.{column} is null
            and sha256(convert_to({text}, 'UTF8')) = s.text_sha256{within}",
        table = job.relation,
        key = job.key.sql(),
        equal = job.key.equal,
        key_type = job.key.type_name,
        text = job.text_sql(),
        within = job.key.within(low.as_deref(), high.as_deref()),
    );
    let bounds: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        low.iter().chain(high).map(|bound| bound as _).collect();
    let rows = transaction.execute(&update, &bounds).await.map_err(failed("cannot write vectors"))?;
    if !prepared.dead.is_empty() {
        let field = |f: fn(&Dead) -> &str| prepared.dead.iter().map(f).collect::<Vec<_>>();
        let hashes: Vec<&[u8]> = prepared.dead.iter().map(|dead| dead.sha256.as_slice()).collect();
        let keys = field(|dead| &dead.key);
        let (reasons, samples) = (field(|dead| &dead.reason), field(|dead| &dead.sample));
        transaction
            .execute(include_str!("sql/dead.sql"), &[&job.id, &keys, &hashes, &reasons, &samples])
            .await
            .map_err(failed("cannot record the rows that can't be embedded"))?;
    }
    let embedded = i64::try_from(rows).expect("rows of a chunk");
    let held = transaction
        .execute(
            "update tierlift.backfill_chunk
                set done_at = clock_timestamp(), embedded_rows = $4, worker = null, lease_until = null
              where job = $1 and chunk = $2 and token = $3 and done_at is null",
            &[&job.id, chunk, token, &embedded],
        )
        .await
        .map_err(failed("cannot record the chunk's end"))?;
    if held == 0 {
        transaction.rollback().await.map_err(failed("cannot roll back"))?;
        return Ok(Written::Lost);
    }
    transaction.commit().await.map_err(failed("cannot commit"))?;
    Ok(Written::Rows(rows))
}
