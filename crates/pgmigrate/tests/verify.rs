//! Every kind of difference is found and named by table, key and column, nothing else is, and a repair mends it.

mod common;

use std::collections::BTreeSet;

use common::{Two, cx};
use pgmigrate::{Mismatch, MismatchKind, Repair, VerifyOptions, verify};

const KINDS: &str = include_str!("fixtures/kinds.sql");

/// What is done to the target and makes no difference.
const EQUAL: &[(&str, &str)] = &[
    ("nothing", "select 1"),
    (
        "every row elsewhere in its file",
        "update kinds set id = id; delete from keyless; insert into keyless select g % 10, null from generate_series(1, 100) g",
    ),
    ("jsonb key order and spaces", "update kinds set j = '{\"a\": 1,   \"k\": 7}' where id = 7"),
    (
        "timestamps written in another time zone",
        "set timezone = 'Asia/Kolkata'; update kinds set at = at::text::timestamptz where id < 9",
    ),
    ("trailing spaces in char(n): the type pads", "update kinds set c = 'c8   ' where id = 8"),
    (
        "another NaN",
        "update kinds set f8 = 'inf'::float8 - 'inf'::float8, f4 = 'inf'::float4 - 'inf'::float4, floats = array['inf'::float8 - 'inf'::float8, 1] where id = 4",
    ),
    (
        "an array that once had a NULL",
        "update kinds set a[2] = null where id = 9; update kinds set a[2] = 2 where id = 9",
    ),
    ("an array compressed or not", "update kinds set texts = array['x', null, ''] where id = 9"),
    (
        "more columns and tables",
        "alter table kinds add column later int default 5; create table more (a int); insert into more values (1)",
    ),
    ("a column of another width", "alter table two_keys alter column v type bigint"),
    (
        "a large object without its zeros",
        "select lo_unlink(900004); select lo_create(900004); select lo_put(900004, 1048576, '\\x00')",
    ),
    ("more large objects", "select lo_from_bytea(900099, 'x')"),
    (
        "another owner",
        "create role somebody; alter large object 900002 owner to somebody; alter table two_keys owner to somebody",
    ),
];

/// Table, key, column, kind.
type Expected = (&'static str, &'static str, &'static str, MismatchKind);

/// What is done to the target, and what must be found.
const DIFFERENT: &[(&str, &[Expected])] = {
    use MismatchKind::{Changed, Extra, Missing, Sequence};
    const fn kinds(key: &'static str, column: &'static str) -> Expected {
        ("public.kinds", key, column, Changed)
    }
    &[
        // a changed letter, byte, bit
        ("update kinds set t = 'Text 20' where id = 20", &[kinds("id=20", "t")]),
        ("update kinds set b = set_byte(b, 3, 255 - get_byte(b, 3)) where id = 21", &[kinds("id=21", "b")]),
        ("update kinds set bits = b'100' where id = 22", &[kinds("id=22", "bits")]),
        ("update wide set t = overlay(t placing 'X' from 1000000 for 1) where id = 1", &[("public.wide", "id=1", "t", Changed)]),
        // NULL and the empty string
        ("update kinds set t = null where id = 2", &[kinds("id=2", "t")]),
        ("update kinds set t = '' where id = 3", &[kinds("id=3", "t")]),
        ("update kinds set texts = array['x', '', null] where id = 23", &[kinds("id=23", "texts")]),
        ("update kinds set p = null where id = 6", &[kinds("id=6", "p")]),
        ("update kinds set n = 0 where id = 5", &[kinds("id=5", "n")]),
        // spaces at the end
        ("update kinds set t = t || ' ' where id = 24", &[kinds("id=24", "t")]),
        ("update kinds set v = v || ' ' where id = 25", &[kinds("id=25", "v")]),
        ("update kinds set loose = 'loose ' where id = 26", &[kinds("id=26", "loose")]),
        ("update kinds set c = 'other' where id = 27", &[kinds("id=27", "c")]),
        // numbers that are almost the same
        ("update kinds set f8 = 9.333333333333336 where id = 28", &[kinds("id=28", "f8")]),
        ("update kinds set f4 = 9.666668 where id = 29", &[kinds("id=29", "f4")]),
        ("update kinds set n = 1.00 where id = 30", &[kinds("id=30", "n")]),
        ("update kinds set floats = array['-0'::float8, 31] where id = 31", &[kinds("id=31", "floats")]),
        ("update kinds set f8 = 'Infinity' where id = 32", &[kinds("id=32", "f8")]),
        ("update kinds set whole = whole + 4294967296 - 1 where id = 33", &[kinds("id=33", "whole")]),
        ("update kinds set m = 34.01 where id = 34", &[kinds("id=34", "m")]),
        ("update kinds set f4 = 'NaN' where id = 35", &[kinds("id=35", "f4")]),
        // values exchanged between rows, and between columns
        (
            "update kinds k set t = o.t from kinds o where (k.id, o.id) in ((40, 41), (41, 40))",
            &[kinds("id=40", "t"), kinds("id=41", "t")],
        ),
        ("update kinds set t = t2, t2 = t where id = 42", &[kinds("id=42", "t"), kinds("id=42", "t2")]),
        ("update kinds set t = null, t2 = '' where id = 43", &[kinds("id=43", "t"), kinds("id=43", "t2")]),
        ("update kinds set t = 'a', t2 = 'bc' where id = 44", &[kinds("id=44", "t"), kinds("id=44", "t2")]),
        ("update hundred set c20 = 0 where id = 1", &[("public.hundred", "id=1", "c20", Changed)]),
        ("update hundred set c50 = 0 where id = 2", &[("public.hundred", "id=2", "c50", Changed)]),
        ("update hundred set c90 = 0 where id = 3", &[("public.hundred", "id=3", "c90", Changed)]),
        (
            "update citizens c set name = c.name || '!' where name in ('name 1', 'name 2');
             update citizens c set name = case name when 'name 1!' then 'name 2' else 'name 1' end where name like '%!'",
            &[
                ("public.citizens", "id=c4ca4238-a0b9-2382-0dcc-509a6f75849b", "name", Changed),
                ("public.citizens", "id=c81e728d-9d4c-2f63-6f06-7f89cc14862c", "name", Changed),
            ],
        ),
        // types with more to them than their value
        ("update kinds set js = '{\"a\": 2, \"b\": 1}' where id = 50", &[kinds("id=50", "js")]),
        ("update kinds set j = '{\"k\": 51.0, \"a\": 1}' where id = 51", &[kinds("id=51", "j")]),
        ("update kinds set a = '[0:1]={52,2}' where id = 52", &[kinds("id=52", "a")]),
        ("update kinds set a = array[53, null] where id = 53", &[kinds("id=53", "a")]),
        ("update kinds set a = '{}' where id = 54", &[kinds("id=54", "a")]),
        ("update kinds set a = '{{55,2}}' where id = 55", &[kinds("id=55", "a")]),
        ("update kinds set iv = '24:00' where id = 56", &[kinds("id=56", "iv")]),
        ("update kinds set mood = 'sad' where id = 57", &[kinds("id=57", "mood")]),
        ("update kinds set moods = '{sad,ok}' where id = 58", &[kinds("id=58", "moods")]),
        ("update kinds set p = row(59, '') where id = 59", &[kinds("id=59", "p")]),
        ("update kinds set r = '[1,65)' where id = 61", &[kinds("id=61", "r")]),
        ("update kinds set fr = '[1.5,2.5]' where id = 62", &[kinds("id=62", "fr")]),
        ("update kinds set pos = 1 where id = 63", &[kinds("id=63", "pos")]),
        ("update kinds set label = 'L64' where id = 64", &[kinds("id=64", "label")]),
        ("update kinds set at = at + interval '1 microsecond' where id = 65", &[kinds("id=65", "at")]),
        ("update kinds set tz = '07:00+00' where id = 66", &[kinds("id=66", "tz")]),
        ("update kinds set address = '10.0.0.1/9' where id = 67", &[kinds("id=67", "address")]),
        ("update kinds set words = to_tsvector('simple', 'a b 68') where id = 68", &[kinds("id=68", "words")]),
        ("update kinds set letter = 'Q', flag = false where id = 69", &[kinds("id=69", "letter"), kinds("id=69", "flag")]),
        ("update kinds set u = md5('x')::uuid, plain = '2026-01-02', d = '2026-01-02' where id = 70", &[
            kinds("id=70", "u"), kinds("id=70", "plain"), kinds("id=70", "d"),
        ]),
        // rows
        ("delete from kinds where id = 80", &[("public.kinds", "id=80", "", Missing)]),
        ("insert into kinds (id) values (-1)", &[("public.kinds", "id=-1", "", Extra)]),
        ("update kinds set id = 1081 where id = 81", &[
            ("public.kinds", "id=81", "", Missing), ("public.kinds", "id=1081", "", Extra),
        ]),
        ("update two_keys set v = 0 where x = 7", &[("public.two_keys", "(x, y)=(7,y7)", "v", Changed)]),
        (
            "delete from keyless where ctid = (select min(ctid) from keyless where a = 3)",
            &[("public.keyless", "10 against 9", "", Missing)],
        ),
        // as many rows as before, and the same exclusive-or of hashes
        (
            "delete from keyless_twin where ctid in (select ctid from keyless_twin where a = 3 limit 2);
             insert into keyless_twin values (4, null), (4, null)",
            &[("public.keyless_twin", "10 against 8", "", Missing), ("public.keyless_twin", "10 against 12", "", Extra)],
        ),
        ("update listed set v = 'V3' where v = 'v4'", &[
            ("public.listed_1", "1 against 0", "", Missing), ("public.listed_1", "0 against 1", "", Extra),
        ]),
        ("update listed set k = 1 where v = 'v5'", &[
            ("public.listed_1", "0 against 1", "", Extra), ("public.listed_rest", "1 against 0", "", Missing),
        ]),
        ("update only ancestor set b = 'X'", &[("public.ancestor", "a=1", "b", Changed)]),
        ("delete from heir", &[("public.heir", "a=2", "", Missing)]),
        ("insert into no_columns default values", &[("public.no_columns", "5 against 6", "", Extra)]),
        ("delete from emptied where ctid = '(0,1)'", &[("public.emptied", "3 against 2", "", Missing)]),
        ("update unlogged set t = 'c' where id = 2", &[("public.unlogged", "id=2", "t", Changed)]),
        ("delete from numbered where id = 5", &[("public.numbered", "id=5", "", Missing)]),
        ("update numbered set other = 77 where id = 6", &[("public.numbered", "id=6", "other", Changed)]),
        (
            "alter table computed alter column doubled drop expression; alter table computed alter column doubled set default 0;
             update computed set doubled = 5 where id = 3",
            &[("public.computed", "id=3", "doubled", Changed)],
        ),
        ("update \"Odd \"\"Name\"\"\" set \"select\" = null", &[
            ("public.\"Odd \"\"Name\"\"\"", "Col \"q\".1=1", "select", Changed),
            ("public.\"Odd \"\"Name\"\"\"", "Col \"q\".1=2", "select", Changed),
        ]),
        // what is no table
        ("select nextval('tickets')", &[("sequence public.tickets", "", "", Sequence)]),
        ("select setval('untouched', 7, true)", &[("sequence public.untouched", "", "", Sequence)]),
        ("select lo_put(900001, 2999, '\\x00')", &[("large object 900001", "", "", Changed)]),
        ("select lo_put(900002, 5, ' ')", &[("large object 900002", "", "", Changed)]),
        ("select lo_unlink(900003)", &[("large object 900003", "", "", Missing)]),
    ]
};

/// A difference as the tables above have it: rows without a key by how many there are.
fn seen(m: &Mismatch) -> (String, String, String, MismatchKind) {
    let counts = |text: &Option<String>| {
        text.as_deref().and_then(|t| t.strip_suffix(" such row(s)")).unwrap_or_default().to_owned()
    };
    let key = match m.key.as_deref() {
        Some(key) if key.starts_with("row at ctid") => format!("{} against {}", counts(&m.source), counts(&m.target)),
        key => key.unwrap_or_default().to_owned(),
    };
    (m.table.clone(), key, m.column.clone().unwrap_or_default(), m.kind)
}

async fn finds_all_and_mends_all(two: &Two) {
    for sql in [KINDS, "analyze"] {
        two.on_source(sql);
        two.on_target(sql);
    }
    // Settings of the other end that decide how values are printed.
    two.on_target(
        "alter database kinds set timezone = 'America/St_Johns'; alter database kinds set datestyle = 'German';
         alter database kinds set intervalstyle = 'sql_standard'; alter database kinds set extra_float_digits = -3;
         alter database kinds set bytea_output = 'escape'; alter database kinds set search_path = 'pg_catalog'",
    );
    let mut options = VerifyOptions::new(two.source_url(), two.target_url());
    options.limit = 1_000;
    for (what, sql) in EQUAL {
        two.on_target(&format!("set search_path = public; {sql}"));
        let found = verify(&options, &cx()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(found.is_equal(), "{what}: {:#?}", found.mismatches);
        assert_eq!((found.large_objects, found.rows), (4, 735), "{what}");
    }
    let mut expected = BTreeSet::new();
    for (sql, differences) in DIFFERENT {
        two.on_target(&format!("set search_path = public; {sql}"));
        let own = |(table, key, column, kind): &Expected| {
            ((*table).to_owned(), (*key).to_owned(), (*column).to_owned(), *kind)
        };
        expected.extend(differences.iter().map(own));
    }
    let plan = Repair::plan(&options, &cx()).await.expect("both ends can be read");
    let found: BTreeSet<_> = plan.verification().mismatches.iter().map(seen).collect();
    let missed: Vec<_> = expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:#?}\ninvented {invented:#?}");

    let report = plan.apply(&cx()).await.expect("the target can be mended");
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.verification.is_equal(), "{:#?}", report.verification.mismatches);
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    assert!(found.is_equal(), "{:#?}", found.mismatches);
}

#[tokio::test]
async fn finds_every_kind_of_difference_from_16_to_18_and_mends_it() {
    finds_all_and_mends_all(&Two::start(16, 18, "kinds")).await;
}

#[tokio::test]
async fn finds_every_kind_of_difference_from_18_to_18_and_mends_it() {
    finds_all_and_mends_all(&Two::start(18, 18, "kinds")).await;
}

#[tokio::test]
async fn names_what_is_missing_of_the_schema() {
    let two = Two::start(16, 18, "structure");
    two.on_source(KINDS);
    two.on_target(KINDS);
    let options = VerifyOptions::new(two.source_url(), two.target_url());
    let cases: &[(&str, &[&str])] = &[
        (
            "drop view odd",
            &["rule _RETURN on view public.odd: missing on the target", "view public.odd: missing on the target"],
        ),
        ("alter table two_keys drop column v", &["public.two_keys, column v: missing on the target"]),
        ("drop table citizens", &["public.citizens: missing on the target"]),
        ("drop sequence untouched", &["sequence public.untouched: missing on the target"]),
    ];
    for (sql, expect) in cases {
        two.on_target(sql);
        let found = verify(&options, &cx()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let seen: Vec<String> = found.mismatches.iter().map(ToString::to_string).collect();
        for line in *expect {
            assert!(seen.contains(&(*line).to_owned()), "{sql}: {seen:#?}");
        }
    }
}

#[tokio::test]
async fn counts_all_and_lists_no_more_than_it_was_asked_for() {
    let two = Two::start(18, 18, "many");
    let made = "create table many (id int primary key, t text);
                insert into many select g, 't' from generate_series(1, 60000) g";
    two.on_source(made);
    two.on_target(made);
    two.on_target("update many set t = 'T' where id <= 50000; delete from many where id > 59000; insert into many values (-1, '')");
    let mut options = VerifyOptions::new(two.source_url(), two.target_url());
    for limit in [0, 5] {
        options.limit = limit;
        let seen = verify(&options, &cx()).await.expect("verify runs");
        assert_eq!((seen.mismatches.len(), seen.truncated, seen.is_equal()), (limit, true, false));
        let counted: Vec<String> = seen.differing.iter().map(ToString::to_string).collect();
        assert_eq!(
            counted,
            ["public.many: 51001 row(s) differ: 1000 missing on the target, 1 only on the target, 50000 changed"]
        );
    }
    let report = Repair::plan(&options, &cx()).await.expect("read").apply(&cx()).await.expect("mended");
    assert!(report.verification.is_equal(), "{:?}", report.verification);
}

#[tokio::test]
async fn text_kept_in_another_encoding_is_compared_by_its_characters() {
    let two = Two::start(16, 18, "letters");
    let latin = "create database latin template template0 encoding 'LATIN1' locale 'C'";
    two.from.psql("postgres", latin).expect("it is made");
    let made = "create table words (id int primary key, t text not null, v varchar(9), j jsonb, js json);
                insert into words values (1, 'caf\u{e9}', '\u{fc}ber', '{\"\u{e5}\": \"\u{f8}\"}', '\"\u{df}\"'), (2, 'a', null, null, null)";
    two.from.psql("latin", &format!("set client_encoding = 'UTF8'; {made}")).expect("it is made");
    two.on_target(made);
    let options = VerifyOptions::new(common::url(&two.from.url("latin")), two.target_url());
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    assert!(found.is_equal(), "{:#?}", found.mismatches);
    two.on_target("update words set v = 'uber' where id = 1");
    let found = verify(&options, &cx()).await.expect("both ends can be read");
    let named: Vec<String> = found.mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["public.words, id=1, column v: differs"]);
}
