//! What every scenario needs: a Supabase-shaped source, an empty Cloud-SQL-shaped target, the real program, and ways
//! to look at both ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pg_sandbox::{PgInstall, PgServer, oviya};
use serde_json::Value;

/// The two databases of one scenario, and a folder for everything the program writes.
pub struct Site {
    /// PostgreSQL 16, shaped like a Supabase project.
    pub source: PgServer,
    /// PostgreSQL 18, shaped like an empty Cloud SQL database.
    pub target: PgServer,
    /// What was loaded.
    pub old: oviya::OviyaSource,
    /// What was prepared.
    pub new: oviya::OviyaTarget,
    /// State, rendered files, everything.
    pub dir: tempfile::TempDir,
}

impl Site {
    /// Starts both servers and loads `messages` messages.
    pub fn new(messages: u32) -> Self {
        let start = |major: u16| {
            let install = PgInstall::find(Some(major)).expect("PostgreSQL can be obtained");
            PgServer::builder().install(install).start().expect("a server starts")
        };
        let (source, target) = std::thread::scope(|scope| {
            let source = scope.spawn(|| start(16));
            let target = start(18);
            (source.join().expect("the starting thread does not panic"), target)
        });
        let old = oviya::load_source(&source, messages).expect("the source loads");
        let new = oviya::prepare_target(&target).expect("the target is prepared");
        Self { source, target, old, new, dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The program, told where everything is, through the environment only.
    pub fn tierlift(&self, args: &[&str]) -> Command {
        self.tierlift_with(args, &self.old.owner_url, &self.new.owner_url)
    }

    /// The same with other URLs.
    pub fn tierlift_with(&self, args: &[&str], source: &str, target: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .envs(self.environment())
            .env("OVIYA_SOURCE_URL", source)
            .env("OVIYA_TARGET_URL", target);
        command
    }

    /// Everything the program is told, by variable.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let path = |path: &Path| path.to_str().expect("test paths are UTF-8").to_owned();
        let client = PgInstall::find(Some(18)).expect("PostgreSQL 18 can be obtained");
        BTreeMap::from([
            ("TIERLIFT_PLAYBOOKS".to_owned(), path(&playbooks())),
            ("TIERLIFT_STATE_DIR".to_owned(), path(&self.state_dir())),
            ("TIERLIFT_PG_BIN".to_owned(), path(client.bin_dir())),
            ("TIERLIFT_MODEL_DIR".to_owned(), path(&pg_sandbox::model_dir().expect("the model can be obtained"))),
            ("TIERLIFT_SYSTEM_FILE".to_owned(), path(&playbooks().join("oviya/system.yaml"))),
            ("OVIYA_SOURCE_URL".to_owned(), self.old.owner_url.clone()),
            ("OVIYA_TARGET_URL".to_owned(), self.new.owner_url.clone()),
            ("OVIYA_DEPLOY_DIR".to_owned(), path(&self.deploy_dir())),
        ])
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.tierlift(args))
    }

    /// Where runs are kept.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Where rendered files go.
    pub fn deploy_dir(&self) -> PathBuf {
        self.dir.path().join("deploy")
    }

    /// The only run's id.
    pub fn run_id(&self) -> String {
        let runs: Vec<String> = std::fs::read_dir(self.state_dir().join("runs"))
            .expect("there are runs")
            .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(runs.len(), 1, "expected one run: {runs:?}");
        runs.into_iter().next().expect("one")
    }

    /// The lines of the only run's journal.
    pub fn journal(&self) -> Vec<Value> {
        let path = self.state_dir().join("runs").join(self.run_id()).join("journal.jsonl");
        let text = std::fs::read_to_string(path).expect("a journal");
        text.lines().map(|line| serde_json::from_str(line).expect("a journal line is JSON")).collect()
    }

    /// Everything both servers hold that a migration could change: dumps, roles, settings.
    pub fn both_ends(&self) -> BothEnds {
        BothEnds {
            source: end(&self.source, &self.old.database),
            target: end(&self.target, &self.new.database),
            files: tree(&self.deploy_dir()),
        }
    }

    /// One value from the source, as its superuser.
    pub fn on_source(&self, sql: &str) -> String {
        self.source.psql(&self.old.database, sql).expect("the source answers").trim().to_owned()
    }

    /// One value from the target, as its superuser.
    pub fn on_target(&self, sql: &str) -> String {
        self.target.psql(&self.new.database, sql).expect("the target answers").trim().to_owned()
    }

    /// Fails unless every message arrived as it is on the source, and is embedded.
    pub fn assert_migrated(&self) {
        let contents = "select count(*) || ' ' || sum(hashtextextended((id, conversation_id, content, metadata, created_at)::text, 0))
                        from public.messages";
        assert_eq!(self.on_source(contents), self.on_target(contents));
        assert_eq!(self.on_target("select count(*) from public.messages where embedding is null"), "0");
    }
}

/// What both ends looked like at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothEnds {
    source: String,
    target: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl BothEnds {
    /// Fails with the first differing line rather than with megabytes.
    pub fn assert_same(&self, after: &Self, when: &str) {
        for (name, before, after) in [("source", &self.source, &after.source), ("target", &self.target, &after.target)]
        {
            if before != after {
                let differing = before.lines().zip(after.lines()).find(|(a, b)| a != b);
                panic!(
                    "{when}: the {name} changed: {differing:?}; {} lines before, {} after",
                    before.lines().count(),
                    after.lines().count()
                );
            }
        }
        assert_eq!(
            self.files.keys().collect::<Vec<_>>(),
            after.files.keys().collect::<Vec<_>>(),
            "{when}: other files than before"
        );
        assert!(self.files == after.files, "{when}: a file changed");
    }
}

/// A full dump, the roles, and the settings of roles and databases, without what changes from dump to dump.
fn end(server: &PgServer, database: &str) -> String {
    let dump = server.pg_dump(database, &[]).expect("pg_dump works");
    let globals = server.pg_dumpall_globals().expect("pg_dumpall works");
    let settings = server
        .psql(
            database,
            "select coalesce(d.datname, '-'), coalesce(r.rolname, '-'), s.setconfig
             from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase
             left join pg_roles r on r.oid = s.setrole order by 1, 2",
        )
        .expect("the settings can be read");
    format!("{dump}\n{globals}\n{settings}")
        .lines()
        .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every file below `dir` with its bytes; empty when it does not exist.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(&path).expect("a readable file"));
            }
        }
    }
    files
}

/// How one run of the program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// What it printed as data.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Outcome {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the program starts");
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Fails, showing everything, unless it ended with `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// A running program whose events are read as they come.
pub struct Watched {
    child: Child,
    events: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watched {
    /// Starts it with `--json`.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        Self { child, events: BufReader::new(stdout).lines() }
    }

    /// Reads on until an event fits; `None` when the program ended first.
    pub fn wait_for(&mut self, mut fits: impl FnMut(&Value) -> bool) -> Option<Value> {
        for line in self.events.by_ref() {
            let event: Value = serde_json::from_str(&line.ok()?).expect("--json prints JSON lines");
            if fits(&event) {
                return Some(event);
            }
        }
        None
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, e.g. `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGKILL, and reaps it.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be reaped");
    }

    /// Waits for its end, and returns its exit code and the events that were not read yet; `None` when it did not end in
    /// time and was killed.
    pub fn finish_within(mut self, limit: Duration) -> Option<(i32, Vec<Value>)> {
        let deadline = Instant::now() + limit;
        let events = self.events;
        let reader = std::thread::spawn(move || {
            let parse = |line: String| serde_json::from_str(&line).expect("--json prints JSON lines");
            events.map_while(Result::ok).map(parse).collect::<Vec<Value>>()
        });
        while !reader.is_finished() {
            if Instant::now() > deadline {
                self.child.kill().expect("it can be killed");
                self.child.wait().expect("it can be reaped");
                return None;
            }
            std::thread::sleep(Duration::from_millis(2)); // poll: the standard library waits for a child without limit
        }
        let code = self.child.wait().expect("it can be reaped").code().unwrap_or(-1);
        Some((code, reader.join().expect("its output is JSON lines")))
    }

    /// Waits for its end.
    pub fn finish(mut self) -> i32 {
        for line in self.events.by_ref() {
            line.expect("its output can be read");
        }
        self.child.wait().expect("it can be reaped").code().unwrap_or(-1)
    }
}

/// Sends a process that the test started a signal by name.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "cannot send {name} to {pid}");
}

/// A session that keeps a transaction open, as a forgotten psql does.
pub struct OpenSession {
    // The connection is driven by this runtime's threads.
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl OpenSession {
    /// Connects and runs `sql`, usually a `begin` and a lock.
    pub fn start(url: &str, sql: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the server answers");
            tokio::spawn(connection);
            client.batch_execute(sql).await.expect("the statement works");
            client
        });
        Self { runtime, client }
    }

    /// Ends its transaction.
    pub fn end(self) {
        self.runtime.block_on(self.client.batch_execute("rollback")).expect("the transaction ends");
    }
}

/// The program under test.
pub fn program() -> PathBuf {
    // Test binaries live in <profile>/deps, programs beside that folder.
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("test binaries are two folders below the profile's");
    profile.join(format!("tierlift-under-test{}", std::env::consts::EXE_SUFFIX))
}

/// The ids of the transition's steps, in order.
pub fn steps() -> Vec<String> {
    let playbook = runbook::Playbook::load(&playbooks().join("oviya/tier1-to-tier2.yaml")).expect("a playbook");
    playbook.steps.into_iter().map(|step| step.id).collect()
}

/// The project's own playbooks.
pub fn playbooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").join("playbooks")
}

/// The project's transition, planned and run by the engine in this process with any registry: what `migrate` does,
/// without a command line. The environment is not touched: URLs are looked up in the site.
pub fn migrate_in_process(site: &Site, registry: std::sync::Arc<dyn runbook::Registry>) -> runbook::RunOutcome {
    use runbook::{Engine, Inputs, Playbook, Quiet, Store, Terms, plan, preview_steps};
    let environment = site.environment();
    let lookup = move |name: &str| environment.get(name).cloned();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let playbook = Playbook::load(&playbooks().join("oviya/tier1-to-tier2.yaml")).expect("a playbook");
        let inputs = Inputs::resolve(&playbook, &lookup).expect("inputs");
        let quiet = std::sync::Arc::new(Quiet);
        let previews = preview_steps(&playbook, &inputs, registry.as_ref(), quiet.clone())
            .await
            .expect("every step can be looked at");
        let now = jiff::Timestamp::now();
        let terms = Terms {
            target: "the target of a test".to_owned(),
            fingerprint: BTreeMap::new(),
            cost: None,
            created_at: now,
            expires_at: now + jiff::SignedDuration::from_hours(1),
        };
        let plan = plan(&playbook, &inputs, &previews, terms).expect("a plan");
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let engine = Engine::new(registry, quiet, Store::at(site.state_dir()), stopped);
        engine.run(&plan).await.expect("the run has an outcome").outcome
    })
}
