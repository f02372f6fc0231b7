//! Every kind of difference is found and named by table, key and column.

mod common;

use common::{Pair, cx, url};
use pgmigrate::{CopyOptions, Mismatch, MismatchKind, VerifyOptions, copy, copy_undo, verify};

const TABLES: &str = "
    create table public.kinds (
        id int primary key, t text, c char(8), f float8, n numeric, j jsonb, at timestamptz, b bytea, a int[], m money,
        doubled int generated always as (id * 2) stored);
    insert into public.kinds
    select g, 'text ' || g, 'c' || g, g / 3.0, g * 1.10, jsonb_build_object('k', g, 'a', 1),
           '2026-01-01 00:00+00'::timestamptz + g * interval '1 hour', decode(md5(g::text), 'hex'), array[g, null], g
      from generate_series(1, 2000) g;
    create table public.keyless (a int, b text);
    insert into public.keyless select g % 10, null from generate_series(1, 100) g;
    create table public.two_keys (x int, y text, v int, primary key (x, y));
    insert into public.two_keys select g, 'y' || g, g from generate_series(1, 50) g;
    create sequence public.tickets;
    select nextval('public.tickets');
    create view public.odd as select * from public.kinds where id % 2 = 1;";

#[tokio::test]
async fn finds_every_kind_of_difference() {
    let pair = Pair::start(300);
    pair.from.psql("postgres", "create database kinds").expect("the source makes it");
    pair.to.psql("postgres", "create database kinds").expect("the target makes it");
    pair.from.psql("kinds", TABLES).expect("the source is filled");
    let (source, target) = (url(&pair.from.url("kinds")), url(&pair.to.url("kinds")));
    let mut options = CopyOptions::new(source.clone(), target.clone());
    options.pg_bin = Some(pair.to.install().bin_dir().to_owned());
    let verify_options = VerifyOptions::new(source, target.clone());

    // What is done to the target; how many differences; the first one's table, key, column and kind.
    type Expect = Option<(usize, &'static str, &'static str, Option<&'static str>, MismatchKind)>;
    let cases: &[(&str, Expect)] = &[
        ("select 1", None),
        ("update public.kinds set j = '{\"a\": 1, \"k\": 7}' where id = 7", None),
        ("set timezone = 'Asia/Kolkata'; update public.kinds set at = at where id < 9", None),
        ("alter table public.kinds add column later int default 5", None),
        (
            "update public.kinds set t = 'Text 5' where id = 5",
            Some((1, "public.kinds", "id=5", Some("t"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set t = '' where id = 5",
            Some((1, "public.kinds", "id=5", Some("t"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set t = null where id = 5",
            Some((1, "public.kinds", "id=5", Some("t"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set t = t || ' ' where id = 5",
            Some((1, "public.kinds", "id=5", Some("t"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set c = 'other' where id = 6",
            Some((1, "public.kinds", "id=6", Some("c"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set f = 'Infinity' where id = 8",
            Some((1, "public.kinds", "id=8", Some("f"), MismatchKind::Changed)),
        ),
        // One unit in the last place.
        (
            "update public.kinds set f = 0.33333333333333337 where id = 1",
            Some((1, "public.kinds", "id=1", Some("f"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set n = n + 0.01 where id = 9",
            Some((1, "public.kinds", "id=9", Some("n"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set b = set_byte(b, 3, 255 - get_byte(b, 3)) where id = 10",
            Some((1, "public.kinds", "id=10", Some("b"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds set m = 99 where id = 11",
            Some((1, "public.kinds", "id=11", Some("m"), MismatchKind::Changed)),
        ),
        (
            "update public.kinds k set t = o.t from public.kinds o where (k.id, o.id) in ((20, 21), (21, 20))",
            Some((2, "public.kinds", "id=20", Some("t"), MismatchKind::Changed)),
        ),
        ("delete from public.kinds where id = 1234", Some((1, "public.kinds", "id=1234", None, MismatchKind::Missing))),
        ("insert into public.kinds (id) values (-1)", Some((1, "public.kinds", "id=-1", None, MismatchKind::Extra))),
        (
            "delete from public.keyless where ctid = (select min(ctid) from public.keyless where a = 3)",
            Some((1, "public.keyless", "row at ctid (0,3) of the source", None, MismatchKind::Missing)),
        ),
        // The same number of rows and the same exclusive-or of hashes as before.
        (
            "delete from public.keyless where a = 3 and ctid in (select ctid from public.keyless where a = 3 limit 2);
             insert into public.keyless values (4, null), (4, null)",
            Some((2, "public.keyless", "row at ctid (0,3) of the source", None, MismatchKind::Missing)),
        ),
        (
            "update public.two_keys set v = 0 where x = 7",
            Some((1, "public.two_keys", "(x, y)=(7,y7)", Some("v"), MismatchKind::Changed)),
        ),
        ("drop view public.odd", Some((2, "rule _RETURN on view public.odd", "", None, MismatchKind::Missing))),
        ("drop table public.two_keys", Some((3, "public.two_keys", "", None, MismatchKind::Missing))),
        (
            "alter table public.two_keys drop column v",
            Some((1, "public.two_keys", "", Some("v"), MismatchKind::Missing)),
        ),
        ("select nextval('public.tickets')", Some((1, "sequence public.tickets", "", None, MismatchKind::Sequence))),
    ];
    for (sql, expect) in cases {
        copy(&options, &cx()).await.expect("the copy succeeds");
        pair.to.psql("kinds", sql).expect("the target runs it");
        let seen = verify(&verify_options, &cx()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let first = seen
            .mismatches
            .first()
            .map(|m: &Mismatch| (m.table.as_str(), m.key.as_deref().unwrap_or(""), m.column.as_deref(), m.kind));
        let expect_first = expect.as_ref().map(|(_, table, key, column, kind)| (*table, *key, *column, *kind));
        assert_eq!(first, expect_first, "{sql}: {:#?}", seen.mismatches);
        assert_eq!(seen.mismatches.len(), expect.map_or(0, |e| e.0), "{sql}: {:#?}", seen.mismatches);
        copy_undo(&target, &cx()).await.expect("undo succeeds");
    }
}

#[tokio::test]
async fn lists_no_more_than_it_was_asked_for() {
    let pair = Pair::start(3_000);
    copy(&pair.options(), &cx()).await.expect("the copy succeeds");
    pair.on_target("set session_replication_role = replica; update public.messages set content = content || '!'");
    let mut options = VerifyOptions::new(pair.source_url(), pair.target_url());
    options.limit = 5;
    let seen = verify(&options, &cx()).await.expect("verify runs");
    assert_eq!((seen.mismatches.len(), seen.truncated), (5, true));
}
