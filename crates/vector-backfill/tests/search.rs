//! The demo's messages: indexed, measured, searched.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{Db, MODEL, SERVER, context};
use pg_sandbox::oviya;
use pg_session::Relation;
use vector_backfill::{
    BackfillOptions, COSINE, EnableOptions, Error, IndexOptions, RecallOptions, SearchOptions, backfill, build_index,
    build_memory_bytes, enable, index_before, measure_recall, probes_before, search, store_probes, undo_index,
};

fn index_options(db: &Db, table: &str) -> IndexOptions {
    IndexOptions {
        target: db.url(),
        table: Relation::new("public", table),
        column: "embedding".into(),
        lists: None,
        opclass: COSINE.into(),
        concurrently: false,
    }
}

fn recall_options(db: &Db, table: &str, min_recall: f64) -> RecallOptions {
    RecallOptions {
        target: db.url(),
        table: Relation::new("public", table),
        text: "content".into(),
        column: "embedding".into(),
        k: 10,
        min_recall,
        max_p95_ms: None,
        queries: vec![],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_right_topic_and_reaches_the_recall_asked_for() {
    let source = oviya::load_source(&SERVER, 20_000).unwrap();
    let db = Db(source.database);
    let (cx, _watch) = context();
    enable(&db.enable_options("messages", 1536)).await.unwrap();
    backfill(&db.backfill_options("messages"), MODEL.clone(), &cx).await.unwrap();
    let topics: HashMap<String, String> = db
        .sql("select id, metadata ->> 'topic' from public.messages")
        .lines()
        .filter_map(|line| line.split_once('|').map(|(id, topic)| (id.to_owned(), topic.to_owned())))
        .collect();
    let options = SearchOptions {
        target: db.url(),
        table: Relation::new("public", "messages"),
        text: "content".into(),
        column: "embedding".into(),
        k: 10,
        probes: None,
    };
    let searches_find_their_topics = async || {
        let mut by_topic: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (query, topic) in oviya::EXAMPLE_SEARCHES {
            let hits = search(&options, query, MODEL.as_ref()).await.unwrap();
            assert_eq!(hits.len(), 10);
            assert!(hits.windows(2).all(|pair| pair[0].distance <= pair[1].distance), "{hits:?}");
            let right = hits.iter().filter(|hit| topics[&hit.key] == *topic).count();
            assert!(right >= 6, "{query}: {right} of 10, first {:?}", hits[0]);
            let sums = by_topic.entry(topic).or_default();
            *sums = (sums.0 + right, sums.1 + 10);
        }
        assert!(by_topic.len() >= 12, "{by_topic:?}");
        let (right, all) = by_topic.values().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
        assert!(right * 10 >= all * 9, "{right} of {all} hits are about what was asked: {by_topic:?}");
    };
    searches_find_their_topics().await; // exactly

    let index = index_options(&db, "messages");
    let (_, before) = index_before(&index).await.unwrap();
    let built = build_index(&index, &before, &cx).await.unwrap();
    assert_eq!((built.lists, built.rows, built.index.as_str()), (20, 20_000, "public.messages_embedding_ivfflat"));
    assert!(built.bytes > 20_000 * 6_000 && built.memory_bytes >= build_memory_bytes(20, 1536), "{built:?}");
    searches_find_their_topics().await; // through the index

    let options = recall_options(&db, "messages", 0.9);
    let measured = measure_recall(&options, MODEL.as_ref(), &cx).await.unwrap();
    let chosen = measured.chosen;
    assert!(chosen.recall >= 0.9 && chosen.recall_low <= chosen.recall && chosen.recall <= chosen.recall_high);
    assert_eq!((measured.rows, measured.lists, measured.queries), (20_000, 20, 100));
    // The smallest that does: one less was measured and does not, unless it is the least there is.
    let less = measured.curve.iter().find(|point| point.probes + 1 == chosen.probes);
    assert!(chosen.probes == 1 || less.is_some_and(|point| point.recall < 0.9), "{measured:?}");
    assert!(chosen.p50_ms <= chosen.p95_ms && chosen.p50_ms < measured.exact_ms, "{measured:?}");
    options.gate(&measured).unwrap();

    // Every list: exact, so the whole chain agrees with the server to the last neighbour.
    let queries = oviya::EXAMPLE_SEARCHES.iter().map(|(query, _)| (*query).to_owned()).collect();
    let all = RecallOptions { queries, ..recall_options(&db, "messages", 1.0) };
    let all = measure_recall(&all, MODEL.as_ref(), &cx).await.unwrap();
    assert!(all.chosen.recall == 1.0 && all.queries == oviya::EXAMPLE_SEARCHES.len(), "{all:?}");

    let slow = RecallOptions { max_p95_ms: Some(0.000_1), ..options };
    let Err(Error::Gate { message, .. }) = slow.gate(&measured) else { panic!("no search is that fast") };
    assert!(message.contains("0.0001 ms"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_after_the_data_and_undone_alone() {
    let db = Db::with(
        "create extension vector;
         create table public.notes (id int primary key, content text, embedding vector(8)) with (parallel_workers = 3);
         insert into public.notes (id, content) select i, 'note ' || i from generate_series(1, 2000) i",
    );
    let (cx, _watch) = context();
    let options = index_options(&db, "notes");
    let (done, before) = index_before(&options).await.unwrap();
    assert!(!done && before.parallel_workers.as_deref() == Some("3"));
    let error = build_index(&options, &before, &cx).await.unwrap_err();
    assert!(
        matches!(&error, Error::Blocked(findings) if findings[0].message.contains("no embedding yet")),
        "{error:?}"
    );

    db.sql(
        "update public.notes set embedding = array_fill((id % 97 + 1)::real, array[8])::vector + '[1,2,3,4,5,6,7,8]'",
    );
    let dump = db.dump();
    for concurrently in [false, true] {
        let options = IndexOptions { concurrently, ..options.clone() };
        undo_index(&options, &before).await.unwrap(); // nothing to undo
        let built = build_index(&options, &before, &cx).await.unwrap();
        assert_eq!((built.lists, built.rows), (10, 2000));
        assert!(index_before(&options).await.unwrap().0);
        let again = build_index(&options, &before, &cx).await.unwrap();
        assert_eq!((again.seconds, again.bytes), (0.0, built.bytes));
        let reloptions = "select array_to_string(reloptions, ',') from pg_class where oid = 'public.notes'::regclass";
        assert_eq!(db.sql(reloptions), "parallel_workers=3");
        // A build that was cut off leaves an unusable index: dropped, and built again.
        db.sql("update pg_index set indisvalid = false where indexrelid = 'public.notes_embedding_ivfflat'::regclass");
        assert!(!index_before(&options).await.unwrap().0);
        assert!(build_index(&options, &before, &cx).await.unwrap().seconds > 0.0);
        let other = IndexOptions { lists: Some(5), ..options.clone() };
        let error = build_index(&other, &before, &cx).await.unwrap_err();
        assert!(matches!(&error, Error::Blocked(f) if f[0].message.contains("with 10 lists")), "{error:?}");
        undo_index(&options, &before).await.unwrap();
        undo_index(&options, &before).await.unwrap();
        db.assert_is(&dump);
    }
    // Somebody else's index of that name is left alone.
    db.sql("create index notes_embedding_ivfflat on public.notes (content)");
    let error = build_index(&options, &before, &cx).await.unwrap_err();
    assert!(matches!(&error, Error::Blocked(f) if f[0].message.contains("btree (content")), "{error:?}");
    undo_index(&options, &before).await.unwrap();
    assert_eq!(db.sql("select to_regclass('public.notes_embedding_ivfflat') is null"), "f");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_probes_are_put_back() {
    let db = Db::with("create extension vector");
    let url: pg_session::PgUrl = db.owner_url().parse().unwrap();
    let shown = || db.sql("select '[1]'::vector; show ivfflat.probes");
    for before in [None, Some("4")] {
        store_probes(&url, before).await.unwrap();
        let kept = probes_before(&url).await.unwrap();
        assert_eq!(kept.probes.as_deref(), before);
        store_probes(&url, Some("7")).await.unwrap();
        assert!(shown().ends_with('7'), "{}", shown());
        store_probes(&url, kept.probes.as_deref()).await.unwrap();
        assert_eq!(probes_before(&url).await.unwrap(), kept);
    }
}

/// Dropped at any moment: what is on its way on the server is waited for, so undo misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_cut_off_is_undone_or_finished() {
    let db = Db::with(
        "create extension vector;
         create table public.notes (id int primary key, content text, embedding vector(256));
         insert into public.notes select i, 'note ' || i, array_fill((i % 97 + 1)::real, array[256])::vector
           from generate_series(1, 20000) i",
    );
    let options = index_options(&db, "notes");
    let (_, before) = index_before(&options).await.unwrap();
    let dump = db.dump();
    for cut in 1..6 {
        let (cx, watch) = context();
        tokio::select! {
            done = build_index(&options, &before, &cx) => drop(done.unwrap()),
            () = watch.nth_progress(cut) => {}
        }
        undo_index(&options, &before).await.unwrap();
        db.assert_is(&dump);
    }
    let (cx, watch) = context();
    tokio::select! {
        done = build_index(&options, &before, &cx) => drop(done.unwrap()),
        () = watch.nth_progress(1) => {}
    }
    assert_eq!(build_index(&options, &before, &cx).await.unwrap().rows, 20_000);
    assert!(index_before(&options).await.unwrap().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_smaller_than_k_has_full_recall() {
    let db = Db::with(
        "create extension vector;
         create table public.notes (id int primary key, content text, embedding vector(1536));
         insert into public.notes values (1, 'the dog barks'), (2, 'a loan from the bank'), (3, 'I slept badly')",
    );
    let (cx, _watch) = context();
    backfill(&db.backfill_options("notes"), MODEL.clone(), &cx).await.unwrap();
    let options = index_options(&db, "notes");
    let (_, before) = index_before(&options).await.unwrap();
    build_index(&options, &before, &cx).await.unwrap();
    let measured = measure_recall(&recall_options(&db, "notes", 1.0), MODEL.as_ref(), &cx).await.unwrap();
    assert_eq!((measured.chosen.recall, measured.rows), (1.0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn older_servers_do_too() {
    let install = pg_sandbox::PgInstall::find(Some(16)).unwrap();
    let server = pg_sandbox::PgServer::builder().install(install).start().unwrap();
    server
        .psql(
            "postgres",
            "create table public.notes (id int primary key, content text);
             insert into public.notes select i, 'note number ' || i from generate_series(1, 500) i",
        )
        .unwrap();
    let (cx, _watch) = context();
    let db = Db("unused".into());
    let target: pg_session::PgUrl = server.url("postgres").parse().unwrap();
    let at = |options: BackfillOptions| BackfillOptions { target: target.clone(), ..options };
    let enabled = EnableOptions { target: target.clone(), ..db.enable_options("notes", 1536) };
    let report = enable(&enabled).await.unwrap();
    assert!(report.created_extension && report.added_column, "{report:?}");
    assert_eq!(backfill(&at(db.backfill_options("notes")), MODEL.clone(), &cx).await.unwrap().rows, 500);
    let index = IndexOptions { target: target.clone(), ..index_options(&db, "notes") };
    let (_, before) = index_before(&index).await.unwrap();
    assert_eq!(build_index(&index, &before, &cx).await.unwrap().lists, 10);
    let recall = RecallOptions { target: target.clone(), ..recall_options(&db, "notes", 0.9) };
    assert!(measure_recall(&recall, MODEL.as_ref(), &cx).await.unwrap().chosen.recall >= 0.9);
}
