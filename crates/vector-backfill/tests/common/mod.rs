//! A server for the tests of one program, a database for each test.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use pg_sandbox::{PgInstall, PgServer};
use pg_session::{PgUrl, Relation};
use runbook::{Context, Event, Progress, Reporter};
use tokio::sync::Notify;
use vector_backfill::{BackfillOptions, Embedder, EnableOptions, StaticModel};

/// Ended by its watchdog when the program ends.
pub static SERVER: LazyLock<PgServer> = LazyLock::new(|| {
    let install = PgInstall::find(Some(18)).expect("PostgreSQL 18 can be obtained");
    PgServer::builder().install(install).start().expect("a server starts")
});

pub static MODEL: LazyLock<Arc<StaticModel>> = LazyLock::new(|| {
    let dir = pg_sandbox::model_dir().expect("the model can be obtained");
    Arc::new(StaticModel::load(&dir, 1536).expect("the model loads"))
});

/// A database of its own.
pub struct Db(pub String);

impl Db {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("db{}", NEXT.fetch_add(1, Ordering::Relaxed));
        SERVER.create_database(&name).expect("a database is created");
        Self(name)
    }

    pub fn with(sql: &str) -> Self {
        let db = Self::new();
        db.sql(sql);
        db
    }

    /// Rows one a line, columns split by `|`.
    pub fn sql(&self, sql: &str) -> String {
        SERVER.psql(&self.0, sql).expect("statements run").trim().to_owned()
    }

    pub fn url(&self) -> PgUrl {
        SERVER.url(&self.0).parse().expect("the server's own URL")
    }

    pub fn backfill_options(&self, table: &str) -> BackfillOptions {
        BackfillOptions::new(self.url(), Relation::new("public", table), "content", "embedding")
    }

    pub fn enable_options(&self, table: &str, dimensions: usize) -> EnableOptions {
        EnableOptions {
            target: self.url(),
            table: Relation::new("public", table),
            column: "embedding".into(),
            dimensions,
            schema: "public".into(),
        }
    }

    /// Everything pg_dump says of it, sorted: an update moves a row within its table, and that is no difference.
    pub fn dump(&self) -> Vec<String> {
        let dump = SERVER.pg_dump(&self.0, &[]).expect("a dump");
        let mut lines: Vec<_> = dump.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Fails with the lines that differ, not with both dumps.
    pub fn assert_is(&self, dump: &[String]) {
        let now = self.dump();
        let differing = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| b.binary_search(line).is_err()).take(5).cloned().collect()
        };
        assert!(now == dump, "new: {:#?}, gone: {:#?}", differing(&now, dump), differing(dump, &now));
    }

    /// Gives the database to a role of its own that may do nothing else; the URL it connects by.
    pub fn owner_url(&self) -> String {
        let role = format!("owner_{}", self.0);
        self.sql(&format!(
            "create role {role} login password 'pw'; alter database {} owner to {role};
             grant usage, create on schema public to {role}",
            self.0
        ));
        SERVER.url_as(&role, "pw", &self.0)
    }
}

/// Remembers what was reported.
#[derive(Default)]
pub struct Watch {
    events: Mutex<Vec<Event>>,
    reported: Notify,
}

impl Reporter for Watch {
    fn report(&self, event: Event) {
        self.events.lock().expect("no test panics while it holds this").push(event);
        self.reported.notify_waiters();
    }
}

impl Watch {
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("no test panics while it holds this").clone()
    }

    pub fn last_progress(&self) -> Option<Progress> {
        self.events().into_iter().rev().find_map(|event| match event {
            Event::Progress { progress, .. } => Some(progress),
            _ => None,
        })
    }

    pub fn notes(&self) -> Vec<String> {
        let note = |event| if let Event::Note { text, .. } = event { Some(text) } else { None };
        self.events().into_iter().filter_map(note).collect()
    }

    /// Returns when progress was reported `n` times.
    pub async fn nth_progress(&self, n: usize) {
        loop {
            let next = self.reported.notified();
            let mut next = std::pin::pin!(next);
            next.as_mut().enable(); // before counting, so that no report falls between
            if self.events().iter().filter(|event| matches!(event, Event::Progress { .. })).count() >= n {
                return;
            }
            next.await;
        }
    }
}

pub fn context() -> (Context, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    (Context::detached("test", watch.clone()), watch)
}

pub fn context_of_run(run: &str) -> (Context, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    (Context::of_run("test", run, std::path::Path::new("."), Default::default(), watch.clone()), watch)
}

/// A second embedder: tiny vectors from the text's letters, refusals on demand, and a count of what it was asked.
#[derive(Default)]
pub struct Letters {
    pub asked: AtomicUsize,
}

impl Embedder for Letters {
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
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        texts.iter().map(|text| letters(text)).collect()
    }
}

pub fn letters(text: &str) -> Result<Vec<f32>, String> {
    match text {
        text if text.contains("refuse me") => Err("refused as asked".into()),
        text if text.contains("not finite") => Ok(vec![f32::NAN; 8]),
        text if text.contains("too short") => Ok(vec![1.0; 3]),
        text if text.contains("no direction") => Ok(vec![0.0; 8]),
        text => {
            let mut vector = [0.1f32; 8];
            text.bytes().for_each(|byte| vector[usize::from(byte % 8)] += 1.0);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            Ok(vector.iter().map(|x| x / length).collect())
        }
    }
}

/// Fails unless every row of `public.<table>` has exactly the embedding of its current `content`.
pub fn assert_all_current(db: &Db, table: &str) -> usize {
    let rows = db.sql(&format!(
        "select replace(replace(content, E'\\n', ' '), '|', ' ') || '|' || coalesce(embedding::text, 'none') from public.{table}
          where content ~ '\\S'"
    ));
    let mut n = 0;
    for line in rows.lines() {
        let (text, stored) = line.split_once('|').expect("two columns");
        let expect = letters(text).expect("a text that can be embedded");
        let stored: Vec<f32> = serde_json::from_str(stored).unwrap_or_else(|_| panic!("{text:?} has {stored}"));
        assert!(stored.iter().zip(&expect).all(|(a, b)| (a - b).abs() < 1e-6), "{text:?} has {stored:?}");
        n += 1;
    }
    n
}

/// A table of `rows` messages with an empty `embedding vector(8)`.
pub fn notes(rows: usize) -> Db {
    Db::with(&format!(
        "create extension vector;
         create table public.notes (id bigint primary key, content text, embedding vector(8));
         insert into public.notes select i * 3, 'note ' || i || repeat('x', i % 11) from generate_series(1, {rows}) i"
    ))
}
