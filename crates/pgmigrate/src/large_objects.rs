//! Large objects: their bytes, comments and privileges, under their old oids.
//!
//! They go one after another in order of their oid: many small ones a round trip, a large one in pieces. What a
//! transaction brings is recorded in that transaction, so that a copy that was killed goes on behind it, and so that
//! undo knows exactly which objects the copy made. Nothing here needs more than the rights of an ordinary role:
//! `pg_largeobject` itself is open to superusers alone.

use pg_session::{DbError, Ident, Session, literal};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::error::Error;
use crate::roles::Roles;
use crate::stream::Meter;

/// Bytes that travel at once: of several small objects or of one large one.
const PIECE_BYTES: i64 = 1024 * 1024;

/// Objects asked for, and removed, at once. Each takes a lock when it is removed, and a server has about 6,400.
const PAGE: i64 = 1000;

/// What the target has of an earlier attempt, and what this one brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// Whole objects on the target now.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies those that are not there yet. `source` is in a transaction, whose snapshot is the copy's.
pub(crate) async fn copy(source: &Session, target: &Session, roles: &Roles, meter: &Meter) -> Result<(), Error> {
    let mut from = resume_point(target).await?;
    let (sender, receiver) = mpsc::channel(1);
    let read = async {
        let sender = sender; // dropped at the end, which ends the writer
        loop {
            let page = page(source, from.0).await?;
            let Some(last) = page.last().map(|object| object.oid) else { return Ok(()) };
            if !send_page(source, page, from.1, &sender).await? {
                return Ok(()); // the writer has failed and reports why
            }
            from = (last, 0);
        }
    };
    tokio::try_join!(read, write(target, receiver, roles, meter)).map(|_| ())
}

/// How many objects a copy has brought to the target so far.
pub(crate) async fn brought(target: &Session) -> Result<Objects, Error> {
    let row = target
        .query_typed_one(
            "select coalesce(sum(cardinality(oids)) filter (where complete), 0)::int8,
                    coalesce(sum(bytes) filter (where complete), 0)::int8 from tierlift.copy_large_object",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let unsigned = crate::catalog::unsigned;
    Ok(Objects { count: unsigned(row.get(0)), bytes: unsigned(row.get(1)) })
}

/// Removes what a copy brought, and nothing else. Returns how many transactions had brought it.
pub(crate) async fn remove(target: &Session) -> Result<u64, Error> {
    let exists: bool = target
        .query_one("select to_regclass('tierlift.copy_large_object') is not null", &[])
        .await
        .map_err(Error::on(target))?
        .get(0);
    const SQL: &str = "with batch as (
            delete from tierlift.copy_large_object
             where last_oid = (select max(last_oid) from tierlift.copy_large_object) returning oids)
        select count(pg_catalog.lo_unlink(m.oid)), (select count(*) from batch)
          from batch cross join unnest(oids) o join pg_catalog.pg_largeobject_metadata m on m.oid = o";
    if !exists {
        return Ok(0); // the copy was made by a version without them
    }
    let mut removed = 0;
    loop {
        let row = target.query_one(SQL, &[]).await.map_err(Error::on(target))?;
        if row.get::<_, i64>(1) == 0 {
            return Ok(removed);
        }
        removed += 1;
    }
}

/// A large object of the source.
#[derive(Debug)]
struct Object {
    oid: u32,
    bytes: i64,
    comment: Option<String>,
    owner: String,
    /// `None`: those that every new object has.
    privileges: Option<Vec<Privilege>>,
}

#[derive(Debug, Deserialize)]
struct Privilege {
    /// `None`: everybody.
    grantee: Option<String>,
    privilege: String,
    grantable: bool,
}

/// What is written in one transaction: whole objects, or a slice of one.
struct Piece {
    objects: Vec<Object>,
    data: Vec<Vec<u8>>,
    /// Where the slice begins; 0 also for whole objects.
    offset: i64,
    /// The objects are whole with this.
    complete: bool,
}

/// The oid behind which to go on, and how much of the next object is there.
async fn resume_point(target: &Session) -> Result<(u32, i64), Error> {
    let row = target
        .query_opt(
            "select last_oid, bytes, complete from tierlift.copy_large_object order by last_oid desc limit 1",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    Ok(row.map_or((0, 0), |row| match (row.get(0), row.get(1), row.get(2)) {
        (last, _, true) => (last, 0),
        (last, bytes, false) => (last - 1, bytes), // no object has the oid 0
    }))
}

async fn page(source: &Session, after: u32) -> Result<Vec<Object>, Error> {
    let rows =
        source.query(include_str!("sql/large_objects.sql"), &[&after, &PAGE]).await.map_err(Error::on(source))?;
    rows.iter()
        .map(|row| {
            let privileges = row.get::<_, Option<serde_json::Value>>(4).map(serde_json::from_value).transpose();
            let privileges = privileges
                .map_err(|e| Error::Internal(format!("privileges of a large object came back in another form: {e}")))?;
            Ok(Object { oid: row.get(0), bytes: row.get(1), comment: row.get(2), owner: row.get(3), privileges })
        })
        .collect()
}

/// Reads a page's objects; `offset` is where the first of them goes on. False when nobody takes them any more.
async fn send_page(
    source: &Session,
    page: Vec<Object>,
    mut offset: i64,
    sender: &mpsc::Sender<Piece>,
) -> Result<bool, Error> {
    let mut small = Vec::new();
    let mut small_bytes = 0;
    for object in page {
        let large = object.bytes > PIECE_BYTES;
        if !small.is_empty() && (large || small_bytes + object.bytes > PIECE_BYTES) {
            if !send_small(source, std::mem::take(&mut small), sender).await? {
                return Ok(false);
            }
            small_bytes = 0;
        }
        if large {
            if !send_large(source, object, offset, sender).await? {
                return Ok(false);
            }
        } else {
            small_bytes += object.bytes;
            small.push(object);
        }
        offset = 0;
    }
    Ok(small.is_empty() || send_small(source, small, sender).await?)
}

async fn send_small(source: &Session, objects: Vec<Object>, sender: &mpsc::Sender<Piece>) -> Result<bool, Error> {
    let oids: Vec<u32> = objects.iter().map(|o| o.oid).collect();
    let rows = source
        .query("select pg_catalog.lo_get(o) from unnest($1::oid[]) with ordinality u (o, n) order by n", &[&oids])
        .await
        .map_err(Error::on(source))?;
    let data = rows.iter().map(|row| row.get(0)).collect();
    Ok(sender.send(Piece { objects, data, offset: 0, complete: true }).await.is_ok())
}

async fn send_large(
    source: &Session,
    object: Object,
    mut offset: i64,
    sender: &mpsc::Sender<Piece>,
) -> Result<bool, Error> {
    let read = source.prepare("select pg_catalog.lo_get($1, $2, $3)").await.map_err(Error::on(source))?;
    let length = i32::try_from(PIECE_BYTES).unwrap_or(i32::MAX); // it is a megabyte
    loop {
        let row = source.query_one(&read, &[&object.oid, &offset, &length]).await.map_err(Error::on(source))?;
        let end = offset + PIECE_BYTES;
        if end >= object.bytes {
            let piece = Piece { objects: vec![object], data: vec![row.get(0)], offset, complete: true };
            return Ok(sender.send(piece).await.is_ok());
        }
        let so_far = Object { comment: None, privileges: None, owner: String::new(), ..object };
        let piece = Piece { objects: vec![so_far], data: vec![row.get(0)], offset, complete: false };
        if sender.send(piece).await.is_err() {
            return Ok(false);
        }
        offset = end;
    }
}

async fn write(
    target: &Session,
    mut receiver: mpsc::Receiver<Piece>,
    roles: &Roles,
    meter: &Meter,
) -> Result<(), Error> {
    let mut writer = None;
    while let Some(piece) = receiver.recv().await {
        let statements = match writer.take() {
            Some(statements) => statements,
            None => Statements::prepare(target).await.map_err(Error::on(target))?,
        };
        if let Err(error) = write_piece(target, &statements, &piece, roles).await {
            // Best effort: a broken connection has rolled back by itself.
            drop(target.batch_execute("rollback").await);
            return Err(Error::Entry { object: piece.label(), source: DbError::from(error) });
        }
        meter.add(0, piece.data.iter().map(|d| d.len() as u64).sum());
        writer = Some(statements);
    }
    Ok(())
}

/// What pieces are written with.
struct Statements {
    create: Statement,
    put: Statement,
}

impl Statements {
    async fn prepare(target: &Session) -> Result<Self, tokio_postgres::Error> {
        const CREATE: &str =
            "select count(pg_catalog.lo_from_bytea(o, d)) from unnest($1::oid[], $2::bytea[]) u (o, d)";
        const PUT: &str = "select count(pg_catalog.lo_put(o, $3, d)) from unnest($1::oid[], $2::bytea[]) u (o, d)";
        let (create, put) = tokio::try_join!(target.prepare(CREATE), target.prepare(PUT))?;
        Ok(Self { create, put })
    }
}

/// One transaction and one round trip: what follows a statement that fails fails too, and nothing of it stays.
async fn write_piece(
    target: &Session,
    statements: &Statements,
    piece: &Piece,
    roles: &Roles,
) -> Result<(), tokio_postgres::Error> {
    // As the workers do: nothing is lost once the copy's last commit, which is synchronous, has returned.
    let opening = "begin; set local synchronous_commit = off;";
    let ending = format!("{}{}commit;", piece.record_sql(), piece.attributes_sql(roles));
    let oids: Vec<u32> = piece.objects.iter().map(|object| object.oid).collect();
    let (create, put): (&[&(dyn ToSql + Sync)], &[&(dyn ToSql + Sync)]) =
        (&[&oids, &piece.data], &[&oids, &piece.data, &piece.offset]);
    let (opened, written, ended) = tokio::join!(
        target.batch_execute(opening),
        async {
            match piece.offset {
                0 => target.execute(&statements.create, create).await,
                _ => target.execute(&statements.put, put).await,
            }
        },
        target.batch_execute(&ending)
    );
    opened.and(written.map(|_| ())).and(ended)
}

impl Piece {
    fn label(&self) -> String {
        match self.objects.as_slice() {
            [first, .., last] => format!("one of the large objects {} to {}", first.oid, last.oid),
            some => format!("large object {}", some.first().map_or(0, |object| object.oid)),
        }
    }

    fn record_sql(&self) -> String {
        let oids: Vec<String> = self.objects.iter().map(|object| object.oid.to_string()).collect();
        let bytes = self.offset + self.data.iter().map(|d| i64::try_from(d.len()).unwrap_or(i64::MAX)).sum::<i64>();
        format!(
            "insert into tierlift.copy_large_object (last_oid, oids, bytes, complete)
             values ({}, '{{{}}}', {bytes}, {})
             on conflict (last_oid) do update set bytes = excluded.bytes, complete = excluded.complete;\n",
            oids.last().map_or("0", String::as_str),
            oids.join(","),
            self.complete
        )
    }

    /// Comments and privileges; only once an object is whole, for its owner may lose the right to write it.
    fn attributes_sql(&self, roles: &Roles) -> String {
        let whole = self.objects.iter().filter(|_| self.complete);
        whole.map(|object| object.attributes_sql(roles)).collect()
    }
}

impl Object {
    fn attributes_sql(&self, roles: &Roles) -> String {
        let oid = self.oid;
        let mut sql = String::new();
        if let Some(comment) = &self.comment {
            sql.push_str(&format!("comment on large object {oid} is {};\n", literal(comment)));
        }
        let Some(privileges) = &self.privileges else { return sql };
        let of_owner = privileges.iter().filter(|p| p.grantee.as_deref() == Some(&self.owner));
        if of_owner.count() < 2 {
            sql.push_str(&format!("revoke all on large object {oid} from {};\n", Ident(&roles.target_user)));
        }
        for Privilege { grantee, privilege, grantable } in privileges {
            let grantee = match grantee {
                Some(role) if *role == self.owner => Ident(&roles.target_user).to_string(),
                Some(role) => Ident(roles.known(role)).to_string(),
                None => "public".to_owned(),
            };
            let option = if *grantable { " with grant option" } else { "" };
            sql.push_str(&format!("grant {privilege} on large object {oid} to {grantee}{option};\n"));
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_privileges_follow_an_object() {
        let roles = Roles { missing: vec!["reader".into()], present: vec!["me".into()], target_user: "me".into() };
        let check = |comment: Option<&str>, privileges: Option<&[(Option<&str>, &str, bool)]>, expect: &str| {
            let privileges = privileges.map(|list| {
                list.iter()
                    .map(|(grantee, privilege, grantable)| Privilege {
                        grantee: grantee.map(str::to_owned),
                        privilege: (*privilege).to_owned(),
                        grantable: *grantable,
                    })
                    .collect()
            });
            let object =
                Object { oid: 7, bytes: 0, comment: comment.map(str::to_owned), owner: "them".into(), privileges };
            assert_eq!(object.attributes_sql(&roles), expect);
        };
        check(None, None, "");
        check(Some("it's"), None, "comment on large object 7 is 'it''s';\n");
        check(None, Some(&[]), "revoke all on large object 7 from \"me\";\n");
        let whole = [(Some("them"), "SELECT", false), (Some("them"), "UPDATE", false), (None, "SELECT", false)];
        check(
            None,
            Some(&whole),
            "grant SELECT on large object 7 to \"me\";\ngrant UPDATE on large object 7 to \"me\";\n\
             grant SELECT on large object 7 to public;\n",
        );
        check(
            None,
            Some(&[(Some("reader"), "SELECT", true), (Some("nobody else knows"), "UPDATE", false)]),
            "revoke all on large object 7 from \"me\";\n\
             grant SELECT on large object 7 to \"reader\" with grant option;\ngrant UPDATE on large object 7 to \"me\";\n",
        );
    }
}
