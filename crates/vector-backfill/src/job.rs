//! How far a backfill has come: schema `tierlift` on the target, written in the transactions that write the vectors.
//!
//! A job is one column of one table. Its keys are cut into chunks once; what is left over by edits made meanwhile is cut
//! again, pass after pass, until nothing is missing.

use pg_session::{Ident, Relation, Session};
use runbook::Context;

use crate::error::Error;
use crate::table::{Key, Table, blocks, count};

/// First half of our advisory locks: `tlbf` in ASCII. The second is the worker's number; 0 guards the job's tables.
pub(crate) const LOCK_CLASS: i32 = 0x746c_6266;

/// One column to fill, resolved against the live catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// `None` when nothing was begun and schema `tierlift` may not be there.
    pub id: Option<i32>,
    pub relation: Relation,
    pub key: Key,
    pub text: String,
    pub column: String,
    /// Schema of pgvector.
    pub vector_schema: String,
}

/// A claimed chunk.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub chunk: i32,
    /// Counted up by each claim; who writes must still hold the last one.
    pub token: i64,
    pub low: Option<String>,
    pub high: Option<String>,
}

/// What the target records of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobState {
    pub id: i32,
    pub text_column: String,
    pub key_column: String,
    pub model: String,
    pub run: Option<String>,
    pub finished: bool,
}

/// Rows without an embedding, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// They have a text and could have one.
    pub rows: u64,
    /// They have no text to embed.
    pub blank: u64,
    /// They could not be embedded.
    pub dead: u64,
}

impl Job {
    /// SQL for the text of alias `t`.
    pub fn text_sql(&self) -> String {
        format!("(t.{})::text", Ident(&self.text))
    }

    /// SQL that is true for rows of alias `t` without anything to embed. Decided by the server alone, so that the last
    /// sweep and the workers can't disagree.
    fn blank_sql(&self) -> String {
        format!("coalesce({}, '') !~ '[^[:space:]]'", self.text_sql())
    }

    /// SQL that is true for rows of alias `t` that could not be embedded and were not edited since.
    fn dead_sql(&self) -> String {
        let Some(id) = self.id else { return "false".to_owned() };
        format!(
            "exists (select from tierlift.backfill_dead d where d.job = {id} and d.key = t.{}::text
                      and d.text_sha256 = sha256(convert_to({}, 'UTF8')))",
            self.key.sql(),
            self.text_sql()
        )
    }

    /// SQL that is true for rows of alias `t` that want an embedding.
    pub fn missing_sql(&self) -> String {
        let (blank, dead) = (self.blank_sql(), self.dead_sql());
        format!("t.{} is null and not ({blank}) and not {dead}", Ident(&self.column))
    }

    /// Counts the rows without an embedding.
    pub async fn missing(&self, session: &Session) -> Result<Missing, Error> {
        let sql = format!(
            "select count(*) filter (where not blank and not dead), count(*) filter (where blank),
                    count(*) filter (where dead and not blank)
               from (select {} as blank, {} as dead from {} t where t.{} is null) s",
            self.blank_sql(),
            self.dead_sql(),
            self.relation,
            Ident(&self.column)
        );
        let row = session.query_one(&sql, &[]).await.map_err(Error::on(session))?;
        let n = |i| u64::try_from(row.get::<_, i64>(i)).expect("a count is not negative");
        Ok(Missing { rows: n(0), blank: n(1), dead: n(2) })
    }

    /// Cuts the rows that want an embedding into chunks of about `chunk_rows`, and says how many rows those are. The first
    /// and the last chunk are open, so rows inserted beyond them belong somewhere.
    pub async fn plan_chunks(&self, session: &Session, chunk_rows: i64) -> Result<u64, Error> {
        let sql = format!(
            "with job as (update tierlift.backfill set pass = pass + 1, finished_at = null where id = $1 returning pass),
                  wanted as (
                    select t.{key}, row_number() over (order by t.{key}) as n, count(*) over () as total
                      from {table} t where {missing}),
                  cut as (
                    select {key}::text as low, n, total, lead({key}::text) over (order by n) as high
                      from wanted where (n - 1) % $2 = 0),
                  put as (
                    insert into tierlift.backfill_chunk (job, pass, low, high, planned_rows)
                    select $1, job.pass, case when n > 1 then low end, high, least($2, total - n + 1)
                      from cut, job order by n
                    returning planned_rows)
             select coalesce(sum(planned_rows), 0)::int8 from put",
            key = self.key.sql(),
            table = self.relation,
            missing = self.missing_sql(),
        );
        let doing = "cannot cut its keys into chunks";
        let object = format!("table {}", self.relation.label());
        let row = session.query_one(&sql, &[&self.id, &chunk_rows]).await.map_err(Error::statement(object, doing))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).expect("a sum of counts is not negative"))
    }

    /// Rows of chunks that are done and of all chunks.
    pub async fn progress(&self, session: &Session) -> Result<(u64, u64), Error> {
        let row = session
            .query_one(
                "select coalesce(sum(embedded_rows), 0)::int8,
                        coalesce(sum(case when done_at is null then planned_rows else embedded_rows end), 0)::int8
                   from tierlift.backfill_chunk where job = $1",
                &[&self.id],
            )
            .await
            .map_err(Error::on(session))?;
        let n = |i| u64::try_from(row.get::<_, i64>(i)).expect("a sum of counts is not negative");
        Ok((n(0), n(1)))
    }

    /// Chunks nobody has finished.
    pub async fn open_chunks(&self, session: &Session) -> Result<u64, Error> {
        let sql = "select count(*) from tierlift.backfill_chunk where job = $1 and done_at is null";
        let row = session.query_one(sql, &[&self.id]).await.map_err(Error::on(session))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).expect("a count is not negative"))
    }

    /// Takes the next chunk for `worker`, whose lock this session holds.
    pub async fn claim(&self, session: &Session, worker: i32, lease_seconds: f64) -> Result<Option<Chunk>, Error> {
        let row = session
            .query_opt(include_str!("sql/claim.sql"), &[&self.id, &worker, &lease_seconds, &LOCK_CLASS])
            .await
            .map_err(Error::on(session))?;
        Ok(row.map(|row| Chunk { chunk: row.get(0), token: row.get(1), low: row.get(2), high: row.get(3) }))
    }

    pub async fn set_finished(&self, session: &Session) -> Result<(), Error> {
        let sql = "update tierlift.backfill set finished_at = clock_timestamp() where id = $1";
        session.execute(sql, &[&self.id]).await.map_err(Error::on(session))?;
        Ok(())
    }
}

/// Gives this session a number that is its own as long as it lives.
pub(crate) async fn enlist(session: &Session) -> Result<i32, Error> {
    let sql =
        "select n, pg_catalog.pg_advisory_lock($1, n) from (select nextval('tierlift.backfill_worker')::int4 as n) s";
    Ok(session.query_one(sql, &[&LOCK_CLASS]).await.map_err(Error::on(session))?.get(0))
}

/// What the target records of the backfill of `column`; `None` when none was begun.
pub(crate) async fn read_state(
    session: &Session,
    relation: &Relation,
    column: &str,
) -> Result<Option<JobState>, Error> {
    let on = Error::on(session);
    let exists: bool =
        session.query_one("select to_regclass('tierlift.backfill') is not null", &[]).await.map_err(&on)?.get(0);
    if !exists {
        return Ok(None);
    }
    let row = session
        .query_opt(
            "select id, text_column, key_column, model, run, finished_at is not null from tierlift.backfill
              where relation = $1 and vector_column = $2",
            &[&relation.to_string(), &column],
        )
        .await
        .map_err(&on)?;
    Ok(row.map(|row| JobState {
        id: row.get(0),
        text_column: row.get(1),
        key_column: row.get(2),
        model: row.get(3),
        run: row.get(4),
        finished: row.get(5),
    }))
}

/// What identifies a job that is to be begun or taken up.
pub(crate) struct Wanted<'a> {
    pub table: &'a Table,
    pub key: &'a Key,
    pub text: &'a str,
    pub column: &'a str,
    pub model: &'a str,
    pub dimensions: usize,
    pub vector_schema: &'a str,
    pub chunk_rows: i64,
}

/// Takes the job up, or begins it: the tables, the rows that need no embedding, the chunks, all in one transaction.
pub(crate) async fn begin_or_take_up(session: &Session, wanted: &Wanted<'_>, cx: &Context) -> Result<Job, Error> {
    let done = begin_in_transaction(session, wanted, cx).await;
    let end = if done.is_ok() { "commit" } else { "rollback" };
    session.batch_execute(end).await.map_err(Error::on(session))?;
    done
}

async fn begin_in_transaction(session: &Session, wanted: &Wanted<'_>, cx: &Context) -> Result<Job, Error> {
    let on = Error::on(session);
    // `if not exists` does not protect two processes that create at the same moment from each other; the lock does.
    let begin = format!("begin; select pg_catalog.pg_advisory_xact_lock({LOCK_CLASS}, 0)");
    session.batch_execute(&begin).await.map_err(&on)?;
    create_tables(session).await?;
    let relation = &wanted.table.relation;
    let mut job = Job {
        id: None,
        relation: relation.clone(),
        key: wanted.key.clone(),
        text: wanted.text.to_owned(),
        column: wanted.column.to_owned(),
        vector_schema: wanted.vector_schema.to_owned(),
    };
    if let Some(state) = read_state(session, relation, wanted.column).await? {
        if (state.model.as_str(), state.text_column.as_str(), &state.key_column)
            != (wanted.model, wanted.text, &wanted.key.column)
        {
            return Err(Error::Blocked(vec![blocks(
                format!("column {}.{}", relation.label(), wanted.column),
                format!(
                    "it is being filled from column {} by key {} with model {}",
                    state.text_column, state.key_column, state.model
                ),
                "undo that backfill first, or choose another vector column",
            )]));
        }
        job.id = Some(state.id);
        if state.finished && state.run.as_deref() != cx.run_id() {
            // What an earlier run embedded is not this one's to take away.
            let sql = "update tierlift.backfill set run = $2, finished_at = null where id = $1";
            session.execute(sql, &[&state.id, &cx.run_id()]).await.map_err(&on)?;
            keep_embedded(session, &job).await?;
        }
        return Ok(job);
    }
    let dimensions = i32::try_from(wanted.dimensions).expect("dimensions were checked to be at most 2000");
    let row = session
        .query_one(
            "insert into tierlift.backfill (relation, vector_column, text_column, key_column, model, dimensions, run)
             values ($1, $2, $3, $4, $5, $6, $7) returning id",
            &[
                &relation.to_string(),
                &wanted.column,
                &wanted.text,
                &wanted.key.column,
                &wanted.model,
                &dimensions,
                &cx.run_id(),
            ],
        )
        .await
        .map_err(&on)?;
    job.id = row.get(0);
    keep_embedded(session, &job).await?;
    job.plan_chunks(session, wanted.chunk_rows).await?;
    Ok(job)
}

/// Remembers the rows that have an embedding: undo leaves theirs alone.
async fn keep_embedded(session: &Session, job: &Job) -> Result<(), Error> {
    let sql = format!(
        "insert into tierlift.backfill_kept (job, key) select $1, t.{}::text from {} t where t.{} is not null
             on conflict do nothing",
        job.key.sql(),
        job.relation,
        Ident(&job.column)
    );
    let refused = Error::statement(format!("table {}", job.relation.label()), "cannot read its keys");
    session.execute(&sql, &[&job.id]).await.map_err(refused)?;
    Ok(())
}

async fn create_tables(session: &Session) -> Result<(), Error> {
    let on = Error::on(session);
    let sql = "select exists (select from pg_catalog.pg_namespace where nspname = 'tierlift')";
    let exists: bool = session.query_one(sql, &[]).await.map_err(&on)?.get(0);
    // `create schema if not exists` asks for the privilege even where there is nothing to create.
    if !exists {
        let refused = Error::statement("schema tierlift", "cannot create it, for the backfill's progress");
        session.batch_execute("create schema tierlift").await.map_err(refused)?;
    }
    let refused = Error::statement("schema tierlift", "cannot create the backfill's tables there");
    session.batch_execute(include_str!("sql/state.sql")).await.map_err(refused)
}

/// Waits until a process that was killed while it began a job has begun it or not.
pub(crate) async fn settle_begin(session: &Session) -> Result<(), Error> {
    let sql = format!("select pg_catalog.pg_advisory_xact_lock({LOCK_CLASS}, 0)");
    session.batch_execute(&sql).await.map_err(Error::on(session))
}

/// Forgets the job; with the last one go the tables, and the schema when nothing else is in it.
pub(crate) async fn forget(session: &Session, id: i32) -> Result<(), Error> {
    let on = Error::on(session);
    let begin = format!("begin; select pg_catalog.pg_advisory_xact_lock({LOCK_CLASS}, 0)");
    session.batch_execute(&begin).await.map_err(&on)?;
    let done = async {
        session.execute("delete from tierlift.backfill where id = $1", &[&id]).await.map_err(&on)?;
        if count(session, "select count(*) from tierlift.backfill").await? == 0 {
            session.batch_execute(include_str!("sql/forget.sql")).await.map_err(&on)?;
        }
        Ok(())
    }
    .await;
    session.batch_execute(if done.is_ok() { "commit" } else { "rollback" }).await.map_err(&on)?;
    done
}
