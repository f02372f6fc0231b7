//! The demo's messages: indexed, measured, searched.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{Db, MODEL, SERVER, context};
use pg_sandbox::oviya;
use pg_session::Relation;
use vector_backfill::{
    COSINE, Error, IndexOptions, RecallOptions, SearchOptions, backfill, build_index, build_memory_bytes, enable,
    index_before, measure_recall, probes_before, search, store_probes, undo_index,
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
    let all = measure_recall(&recall_options(&db, "messages", 1.0), MODEL.as_ref(), &cx).await.unwrap();
    assert!(all.chosen.recall == 1.0 && all.chosen.probes <= 20, "{all:?}");

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
