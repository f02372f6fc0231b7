//! Backfills against a real server: what is embedded, what is not, and that nothing is done twice.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Db, Letters, MODEL, SERVER, assert_all_current, context, letters, notes};
use pg_sandbox::oviya;
use vector_backfill::{BackfillOptions, Embedder, Error, backfill, enable, undo_backfill};

fn small_chunks(db: &Db) -> BackfillOptions {
    BackfillOptions { chunk_rows: 10, ..db.backfill_options("notes") }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeds_fifty_thousand_messages() {
    let source = oviya::load_source(&SERVER, 50_000).unwrap();
    let db = Db(source.database);
    enable(&db.enable_options("messages", 1536)).await.unwrap();
    let (cx, watch) = context();
    let report = backfill(&db.backfill_options("messages"), MODEL.clone(), &cx).await.unwrap();
    assert_eq!((report.rows, report.rows_total, report.skipped, report.dead), (50_000, 50_000, 0, 0));
    assert_eq!((report.dimensions, report.lifted_from), (1536, Some(256)));
    // A tenth of what two idle cores do, so that a busy machine passes and a row at a time does not.
    assert!(report.rows_per_second > 1000.0, "{report:?}");
    assert_eq!(db.sql("select count(*) from public.messages where embedding is null"), "0");
    let progress = watch.last_progress().unwrap();
    assert_eq!((progress.rows, progress.rows_total, progress.finished), (50_000, Some(50_000), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_any_key_of_one_column() {
    let check = async |table: &str, key_of_i: &str| {
        let db = Db::with(&format!(
            "create extension vector;
             create type public.colour as enum ('red', 'green', 'blue');
             create domain public.handle as varchar(40) check (value <> '');
             create table public.notes ({table}, content text not null, embedding vector(8));
             insert into public.notes select {key_of_i}, 'note ' || i from generate_series(1, 137) i
                 on conflict do nothing"
        ));
        let (cx, _watch) = context();
        let report = backfill(&small_chunks(&db), Arc::new(Letters::default()), &cx).await.unwrap();
        assert_eq!(usize::try_from(report.rows).unwrap(), assert_all_current(&db, "notes"), "{table}");
    };
    check("id bigint primary key", "i * 1000000007::bigint").await;
    check("id smallint primary key", "i - 70").await;
    check("\"Key \"\"K\" uuid primary key", "gen_random_uuid()").await;
    check("id text primary key", "chr(32 + i % 90) || '''\"\\é' || i").await;
    check("id text collate \"C\" primary key", "chr(200 + i) || i").await;
    check("id varchar(20) primary key", "upper(md5(i::text)::varchar(20))").await;
    check("id character(8) primary key", "i::text").await;
    check("id public.handle primary key", "'h' || i").await;
    check("id public.colour primary key", "(enum_range(null::public.colour))[1 + i % 3]").await;
    check("id numeric primary key", "i / 7.0").await;
    check("id float8 primary key", "i / 7.0::float8").await;
    check("id timestamptz primary key", "now() + i * interval '1 microsecond'").await;
    check("id bytea primary key", "sha256(i::text::bytea)").await;
    check("id inet primary key", "'10.0.0.0'::inet + i").await;
    check("a int, b int not null unique, primary key (a, b)", "i % 3, i").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitioned_tables_are_one_table() {
    let db = Db::with(
        "create extension vector;
         create table public.notes (id int primary key, content text, embedding vector(8)) partition by hash (id);
         create table public.notes_0 partition of public.notes for values with (modulus 2, remainder 0);
         create table public.notes_1 partition of public.notes for values with (modulus 2, remainder 1);
         insert into public.notes select i, 'note ' || i from generate_series(1, 100) i",
    );
    let (cx, _watch) = context();
    assert_eq!(backfill(&small_chunks(&db), Arc::new(Letters::default()), &cx).await.unwrap().rows, 100);
    assert_eq!(assert_all_current(&db, "notes"), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_costs_no_other() {
    let db = notes(50);
    db.sql(
        "update public.notes set content = null where id = 3; update public.notes set content = '' where id = 6;
         update public.notes set content = E' \\n\\t ' where id = 9;
         update public.notes set content = 'please refuse me' where id = 12;
         update public.notes set content = 'not finite' where id = 15;
         update public.notes set content = 'too short' where id = 18;
         update public.notes set content = 'no direction' where id = 21;
         update public.notes set content = repeat('long ', 200000) where id = 24",
    );
    let (cx, _watch) = context();
    let embedder = Arc::new(Letters::default());
    let report = backfill(&small_chunks(&db), embedder.clone(), &cx).await.unwrap();
    assert_eq!((report.rows, report.skipped, report.dead, report.missing), (43, 3, 4, 0));
    assert_eq!(
        db.sql("select key, reason, sample, attempts from tierlift.backfill_dead order by key::int"),
        "12|refused as asked|please refuse me|1\n15|the model gave a vector that is not finite|not finite|1\n\
         18|the model gave 3 dimensions instead of 8|too short|1\n\
         21|the model gave a vector of zeros, which has no direction|no direction|1"
    );
    // Again: nothing is asked twice. An edited text is a new text.
    let asked = embedder.asked.load(Ordering::Relaxed);
    let again = backfill(&small_chunks(&db), embedder.clone(), &cx).await.unwrap();
    assert_eq!((again.rows, again.rows_total, again.skipped, again.dead), (0, 43, 3, 4));
    assert_eq!(embedder.asked.load(Ordering::Relaxed), asked);
    db.sql("update public.notes set content = 'better now' where id = 12");
    let third = backfill(&small_chunks(&db), embedder, &cx).await.unwrap();
    assert_eq!((third.rows, third.rows_total, third.dead), (1, 44, 3));
}

/// Drops the backfill at its first, second, third ... sign of progress, and takes it up again.
#[tokio::test(flavor = "multi_thread")]
async fn goes_on_after_being_cut_off_anywhere() {
    const ROWS: usize = 2000;
    let db = notes(ROWS);
    let embedder = Arc::new(Letters::default());
    let options = BackfillOptions { workers: 3, chunk_rows: 20, ..db.backfill_options("notes") };
    let mut cuts = 0;
    let last = loop {
        let (cx, watch) = context();
        let before: u64 = db.sql("select count(embedding) from public.notes").parse().unwrap();
        let nth = 2 + cuts % 5;
        tokio::select! {
            done = backfill(&options, embedder.clone(), &cx) => {
                let report = done.unwrap();
                assert_eq!(before + report.rows, ROWS as u64, "a committed chunk was embedded again");
                break report;
            }
            () = watch.nth_progress(nth) => cuts += 1,
        }
        assert!(cuts < 1000, "it gets nowhere");
    };
    assert!(cuts > 5, "only {cuts} cuts");
    assert_eq!(last.rows_total, ROWS as u64);
    assert_eq!(assert_all_current(&db, "notes"), ROWS);
    // Lost work: what each worker had embedded and in hand, three chunks at most.
    let asked = embedder.asked.load(Ordering::Relaxed);
    assert!(asked <= ROWS + cuts * 3 * 3 * 20, "{asked} texts were embedded, with {cuts} cuts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_chunk_is_written_once() {
    let db = notes(600);
    let (cx, _watch) = context();
    // Every lease is over as it begins, so workers take chunks out of each other's hands.
    let options = BackfillOptions { workers: 4, lease_seconds: 0.0, ..small_chunks(&db) };
    let report = backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap();
    assert_eq!((report.rows, report.rows_total), (600, 600));
    assert_eq!(db.sql("select sum(embedded_rows), max(token) > 1 from tierlift.backfill_chunk"), "600|t");
    assert_eq!(assert_all_current(&db, "notes"), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work() {
    let db = notes(3000);
    let (cx, _watch) = context();
    let (one, two) = (small_chunks(&db), small_chunks(&db));
    let (one, two) = tokio::join!(
        backfill(&one, Arc::new(Letters::default()), &cx),
        backfill(&two, Arc::new(Letters::default()), &cx)
    );
    assert_eq!(one.unwrap().rows + two.unwrap().rows, 3000);
    assert_eq!(assert_all_current(&db, "notes"), 3000);
}

/// Edits, deletes and inserts rows at the worst moment: after they were read, before they are written.
struct Meddler {
    db: Db,
    calls: AtomicUsize,
}

impl Embedder for Meddler {
    fn model(&self) -> &str {
        "letters"
    }

    fn dimensions(&self) -> usize {
        8
    }

    fn lifted_from(&self) -> Option<usize> {
        None
    }

    fn embed(&self, texts: &[&str]) -> Vec<Result<Vec<f32>, String>> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            self.db.sql(
                "update public.notes set content = content || ' edited' where id % 5 = 0;
                 delete from public.notes where id % 100 = 0;
                 insert into public.notes (id, content) values (-1, 'below the first'), (1000000, 'above the last')",
            );
        }
        texts.iter().map(|text| letters(text)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_edited_meanwhile_get_the_vector_of_what_they_say_now() {
    let db = notes(400);
    let (cx, _watch) = context();
    let options = BackfillOptions { workers: 1, ..small_chunks(&db) };
    let meddler = Arc::new(Meddler { db: Db(db.0.clone()), calls: AtomicUsize::new(0) });
    let report = backfill(&options, meddler, &cx).await.unwrap();
    assert_eq!((report.rows, report.missing), (398, 0)); // 400, four deleted, two inserted
    assert_eq!(assert_all_current(&db, "notes"), 398);
    assert_eq!(db.sql("select max(pass) from tierlift.backfill_chunk"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_takes_away_what_was_added_and_no_more() {
    let db = notes(100);
    db.sql("update public.notes set embedding = '[1,2,3,4,5,6,7,8]' where id <= 30; vacuum full public.notes");
    let rows = "select string_agg(n::text, ';' order by id) from public.notes n";
    let (dump, before) = (db.sql(rows), db.sql("select count(embedding) from public.notes"));
    assert_eq!(before, "10");
    let (cx, watch) = context();
    let options = small_chunks(&db);
    let undo = async || undo_backfill(&options.target, &options.table, &options.column).await.unwrap();
    undo().await; // nothing was begun
    tokio::select! { // half done
        _ = backfill(&options, Arc::new(Letters::default()), &cx) => panic!("it was to be cut off"),
        () = watch.nth_progress(3) => {}
    }
    undo().await;
    assert_eq!(db.sql(rows), dump);
    assert_eq!(db.sql("select to_regnamespace('tierlift') is null"), "t");
    for _ in 0..2 {
        let report = backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap();
        assert_eq!(report.rows, 90);
        undo().await;
        undo().await;
        assert_eq!(db.sql(rows), dump);
    }
    // What an earlier run embedded is not a later one's to take away.
    backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap();
    db.sql("insert into public.notes values (9999, 'late')");
    let (later, _watch) = common::context_of_run("later");
    assert_eq!(backfill(&options, Arc::new(Letters::default()), &later).await.unwrap().rows, 1);
    undo().await;
    assert_eq!(db.sql("select count(embedding), count(*) from public.notes"), "100|101");
    // A schema that is somebody else's too stays.
    db.sql("create schema tierlift; create table tierlift.copy (id int)");
    backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap();
    undo().await;
    let left = "select string_agg(relname, ' ') from pg_class where relnamespace = 'tierlift'::regnamespace";
    assert_eq!(db.sql(left), "copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_the_application_do_not_fire() {
    let db = notes(30);
    db.sql(
        "alter table public.notes add column touched int not null default 0, add column other int;
         create function public.touch() returns trigger language plpgsql as
           $$ begin new.touched := new.touched + 1; return new; end $$;
         create trigger touch before update on public.notes for each row execute function public.touch();
         create trigger only_other before update of other on public.notes for each row execute function public.touch()",
    );
    let (cx, _watch) = context();
    backfill(&small_chunks(&db), Arc::new(Letters::default()), &cx).await.unwrap();
    assert_eq!(db.sql("select count(embedding), sum(touched) from public.notes"), "30|0");
    undo_backfill(&db.url(), &small_chunks(&db).table, "embedding").await.unwrap();
    assert_eq!(db.sql("select count(embedding), sum(touched) from public.notes"), "0|0");

    // A role that may not keep them from firing is told so, and nothing is written.
    let role = format!("plain_{}", db.0);
    db.sql(&format!(
        "create role {role} login password 'pw'; alter table public.notes owner to {role};
         grant create, temporary on database {0} to {role}",
        db.0
    ));
    let options = BackfillOptions { target: SERVER.url_as(&role, "pw", &db.0).parse().unwrap(), ..small_chunks(&db) };
    let error = backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap_err();
    let Error::Blocked(findings) = &error else { panic!("{error:?}") };
    assert!(findings[0].message.contains("its trigger touch") && findings[0].remedy.contains("disable trigger"));
    db.sql("alter table public.notes disable trigger touch");
    assert_eq!(backfill(&options, Arc::new(Letters::default()), &cx).await.unwrap().rows, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_must_not_mix_in() {
    struct Other;
    impl Embedder for Other {
        fn model(&self) -> &str {
            "other"
        }
        fn dimensions(&self) -> usize {
            8
        }
        fn lifted_from(&self) -> Option<usize> {
            None
        }
        fn embed(&self, texts: &[&str]) -> Vec<Result<Vec<f32>, String>> {
            texts.iter().map(|text| letters(text)).collect()
        }
    }
    let db = notes(100);
    let (cx, watch) = context();
    let options = small_chunks(&db);
    tokio::select! {
        _ = backfill(&options, Arc::new(Letters::default()), &cx) => panic!("it was to be cut off"),
        () = watch.nth_progress(2) => {}
    }
    let error = backfill(&small_chunks(&db), Arc::new(Other), &cx).await.unwrap_err();
    assert!(
        matches!(&error, Error::Blocked(findings) if findings[0].message.contains("with model letters")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_through_a_crash_of_the_server() {
    let install = pg_sandbox::PgInstall::find(Some(18)).unwrap();
    let mut server = pg_sandbox::PgServer::builder().install(install).start().unwrap();
    server
        .psql(
            "postgres",
            "create extension vector;
         create table public.notes (id int primary key, content text, embedding vector(8));
         insert into public.notes select i, 'note ' || i from generate_series(1, 3000) i",
        )
        .unwrap();
    let target = server.url("postgres").parse().unwrap();
    let table = pg_session::Relation::new("public", "notes");
    let options = BackfillOptions { chunk_rows: 10, ..BackfillOptions::new(target, table, "content", "embedding") };
    let (cx, watch) = context();
    let work = tokio::spawn(async move { backfill(&options, Arc::new(Letters::default()), &cx).await });
    watch.nth_progress(20).await;
    tokio::task::block_in_place(|| {
        server.kill_hard().unwrap();
        server.restart().unwrap();
    });
    let report = work.await.unwrap().unwrap();
    let sql = "select count(embedding), (select sum(embedded_rows) from tierlift.backfill_chunk) from public.notes";
    assert_eq!(server.psql("postgres", sql).unwrap().trim(), "3000|3000");
    assert!(report.rows <= 3000 && watch.notes().iter().any(|note| note.ends_with("trying again")), "{report:?}");
}
