//! The promise of the fence: an application that keeps writing loses nothing. What the source acknowledged is on the
//! target; from the fence on it acknowledges nothing; after a rollback it takes writes again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use acceptance::{Site, Watched};

/// Longest wait for one reply; only a test that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

const INSERT: &str = "insert into public.messages (conversation_id, user_id, content)
    select id, user_id, 'written meanwhile' from public.conversations limit 1 returning id";

/// What became of one insert.
enum Reply {
    /// The server committed it, under this id.
    Acknowledged(i64),
    /// It did not; the SQLSTATE, if the server said one.
    Refused(Option<String>),
}

/// An application with one connection, which writes as fast as it can and connects again whenever it is refused.
struct App {
    stop: Arc<AtomicBool>,
    replies: Receiver<Reply>,
    thread: JoinHandle<()>,
    acknowledged: BTreeSet<i64>,
}

impl App {
    fn start(url: &str) -> Self {
        let (tell, replies) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (url, stopped) = (url.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            while !stopped.load(Ordering::Relaxed) {
                runtime.block_on(write(&url, &stopped, &tell));
            }
        });
        Self { stop, replies, thread, acknowledged: BTreeSet::new() }
    }

    /// Reads replies until one fits, and keeps what was acknowledged.
    fn wait_for(&mut self, what: &str, fits: impl Fn(&Reply) -> bool) {
        loop {
            let reply = self.replies.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the application never {what}"));
            if let Reply::Acknowledged(id) = reply {
                self.acknowledged.insert(id);
            }
            if fits(&reply) {
                return;
            }
        }
    }

    /// How many writes were acknowledged since the last look.
    fn acknowledged_since(&self) -> usize {
        self.replies.try_iter().filter(|reply| matches!(reply, Reply::Acknowledged(_))).count()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the application does not panic");
    }
}

/// One connection's life.
async fn write(url: &str, stopped: &AtomicBool, tell: &Sender<Reply>) {
    let refused = |error: &tokio_postgres::Error| Reply::Refused(error.code().map(|code| code.code().to_owned()));
    // Nobody listens any more when the test has failed; it then ends this through `stopped` or with the process.
    let say = |reply| tell.send(reply).ok();
    let (client, connection) = match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
        Ok(pair) => pair,
        Err(error) => {
            say(refused(&error));
            return;
        }
    };
    let driver = tokio::spawn(connection);
    while !stopped.load(Ordering::Relaxed) {
        match client.query_one(INSERT, &[]).await {
            Ok(row) => say(Reply::Acknowledged(row.get(0))),
            Err(error) => {
                say(refused(&error));
                break;
            }
        };
    }
    drop(client);
    // Its own error is the one that the last statement reported.
    drop(driver.await);
}

#[test]
fn what_was_acknowledged_is_on_the_target_and_nothing_after_the_fence() {
    let site = Site::new(500);
    let acknowledged = |reply: &Reply| matches!(reply, Reply::Acknowledged(_));
    let mut app = App::start(&site.old.app_url);
    app.wait_for("wrote before the run", acknowledged);

    let mut run = Watched::start(site.tierlift(&["migrate", "--to", "tier2", "--yes"]));
    let ended = ["step_done", "step_failed"];
    let fenced = run.wait_for(|event| {
        event["step"] == "fence" && event["event"].as_str().is_some_and(|name| ended.contains(&name))
    });
    assert_eq!(fenced.as_ref().map(|event| &event["event"]), Some(&"step_done".into()), "{fenced:?}");
    app.wait_for("was refused", |reply| matches!(reply, Reply::Refused(Some(code)) if code == READ_ONLY));
    assert_eq!(run.finish(), 0);
    assert_eq!(app.acknowledged_since(), 0, "a write was acknowledged behind the fence");

    let ids =
        site.on_target("select string_agg(id::text, ' ') from public.messages where content = 'written meanwhile'");
    let arrived: BTreeSet<i64> = ids.split_whitespace().map(|id| id.parse().expect("an id")).collect();
    let lost: Vec<&i64> = app.acknowledged.difference(&arrived).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are not on the target", lost.len(), app.acknowledged.len());
    site.assert_migrated();

    site.run(&["rollback", &site.run_id(), "--yes"]).expect_code(0);
    app.wait_for("wrote after the rollback", acknowledged);
    app.end();
}
