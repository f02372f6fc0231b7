//! Estimates made before a copy, held against what it then carried.

mod common;

use std::thread;

use common::{cx, url};
use pg_sandbox::{PgInstall, PgServer};
use pgmigrate::{AssessOptions, CopyOptions, Forecast, assess, copy};

/// Three shapes, none of them analysed: what is known of their rows comes from the sample.
const SHAPES: &[(&str, &str)] = &[
    (
        "narrow",
        "create table public.readings (id bigint, sensor int, value float8);
         insert into public.readings select i, i % 100, i / 3.0 from generate_series(1, 400000) i;
         alter table public.readings add primary key (id);
         create index on public.readings (sensor)",
    ),
    (
        "wide",
        "create table public.pages (id int primary key, body text);
         alter table public.pages alter body set storage external;
         insert into public.pages select i, repeat(md5(i::text), 150) from generate_series(1, 5000) i",
    ),
    (
        "many",
        "do $$ begin
           for i in 1..150 loop
             execute format('create table public.small_%s (id int primary key, note text)', i);
             execute format('insert into public.small_%s select j, ''note'' from generate_series(1, 40) j', i);
           end loop;
         end $$; analyze",
    ),
];

#[tokio::test]
async fn an_estimate_is_near_what_is_carried() {
    let start = |major| {
        thread::spawn(move || {
            let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
            PgServer::builder().install(install).setting("autovacuum", "off").start().expect("the server starts")
        })
    };
    let (from, to) = (start(16), start(18));
    let [from, to] = [from, to].map(|server| server.join().expect("the server starts"));
    for (name, sql) in SHAPES {
        from.create_database(name).expect("the source is made");
        to.create_database(name).expect("the target is made");
        from.psql(name, sql).expect("the source is filled");
        let (source, target) = (url(&from.url(name)), url(&to.url(name)));
        let options = AssessOptions::new(source.clone(), target.clone());
        // A machine that stands still for a second leaves no time for a sample.
        let mut forecast = Forecast::default();
        for _ in 0..5 {
            forecast = assess(&options, &cx()).await.expect("assess runs").forecast;
            if *name == "many" || forecast.source_bytes_per_second.is_some() {
                break;
            }
        }
        sums_up(&forecast);

        let mut options = CopyOptions::new(source, target);
        options.pg_bin = Some(to.install().bin_dir().to_owned());
        let report = copy(&options, &cx()).await.expect("the copy succeeds");
        let near = |what: &str, estimated: u64, actual: u64, limit: f64| {
            let off = (estimated as f64 - actual as f64).abs() / actual as f64;
            assert!(off <= limit, "{name}: {estimated} {what} for {actual}");
        };
        near("rows", forecast.rows, report.rows, 0.05);
        // Many small tables are not sampled, and most of the only block of each is free.
        near("bytes", forecast.bytes, report.bytes, if *name == "many" { 10.0 } else { 0.1 });
        let accuracy = report.accuracy.expect("it was done in one attempt");
        assert!((accuracy.rows.actual - report.rows as f64).abs() < 0.5, "{accuracy}");
        // A machine that does other things at the same time makes any estimate of time wrong: only its order counts.
        let (estimated, actual) = (accuracy.seconds.estimated, accuracy.seconds.actual);
        assert!(estimated < actual * 10.0 + 2.0, "{name}: {accuracy}");
        assert!(actual < estimated * 30.0 + 10.0, "{name}: {accuracy}");
    }
}

fn sums_up(forecast: &Forecast) {
    let parts = forecast.schema_seconds + forecast.rows_seconds + forecast.index_seconds + forecast.round_trip_seconds;
    assert!((parts - forecast.seconds).abs() < 1e-6, "{forecast:?}");
    let worst = forecast.worst_case();
    assert_eq!((worst.rows, worst.bytes), (Some(forecast.rows), Some(forecast.bytes)));
    assert!(worst.seconds.is_some_and(|s| s > forecast.seconds), "{forecast:?}");
}
