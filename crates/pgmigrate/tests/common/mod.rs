//! Two servers with Oviya's source and an empty target, and what the tests ask of them.

#![allow(dead_code)] // each test file uses its own part

pub mod normal;

use std::sync::Arc;

use pg_sandbox::oviya::{self, OviyaSource, OviyaTarget};
use pg_sandbox::{PgInstall, PgServer, StopMode};
use pg_session::PgUrl;
use pgmigrate::CopyOptions;
use runbook::{Context, Event, Quiet, Reporter};

/// A source on PostgreSQL 16 and a target on 18, stopped when dropped.
pub struct Pair {
    pub from: PgServer,
    pub to: PgServer,
    pub source: OviyaSource,
    pub target: OviyaTarget,
}

impl Pair {
    /// Oviya with this many messages, and an empty database.
    pub fn start(messages: u32) -> Self {
        let start = |major| {
            let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
            PgServer::builder().install(install).start().expect("the server starts")
        };
        let (from, to) = (start(16), start(18));
        let source = oviya::load_source(&from, messages).expect("the source loads");
        let target = oviya::prepare_target(&to).expect("the target is prepared");
        Self { from, to, source, target }
    }

    pub fn source_url(&self) -> PgUrl {
        url(&self.source.owner_url)
    }

    pub fn target_url(&self) -> PgUrl {
        url(&self.target.owner_url)
    }

    /// Small parts, so that tables of a test's size are cut too.
    pub fn options(&self) -> CopyOptions {
        let mut options = CopyOptions::new(self.source_url(), self.target_url());
        options.jobs = Some(2);
        options.split_bytes = Some(256 * 1024);
        options.pg_bin = Some(self.to.install().bin_dir().to_owned());
        options
    }

    /// SQL as the superuser on the source.
    pub fn on_source(&self, sql: &str) -> String {
        self.from.psql(&self.source.database, sql).expect("the source runs it")
    }

    /// SQL as the superuser on the target.
    pub fn on_target(&self, sql: &str) -> String {
        self.to.psql(&self.target.database, sql).expect("the target runs it")
    }

    /// Everything the target's cluster holds, as pg_dump and pg_dumpall see it.
    pub fn target_state(&self) -> String {
        let dump = self.to.pg_dump(&self.target.database, &[]).expect("pg_dump runs");
        let globals = self.to.pg_dumpall_globals().expect("pg_dumpall runs");
        stable(&dump) + &stable(&globals)
    }

    /// Everything the source's cluster holds.
    pub fn source_state(&self) -> String {
        let dump = self.from.pg_dump(&self.source.database, &["--create"]).expect("pg_dump runs");
        let globals = self.from.pg_dumpall_globals().expect("pg_dumpall runs");
        stable(&dump) + &stable(&globals)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for server in [&mut self.from, &mut self.to] {
            // Fast: sessions of a failed test may still be open.
            server.stop(StopMode::Fast).expect("the server stops");
        }
    }
}

/// Without the tokens that differ from one dump to the next.
pub fn stable(dump: &str) -> String {
    let keeps = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    dump.lines().filter(keeps).flat_map(|line| [line, "\n"]).collect()
}

pub fn url(text: &str) -> PgUrl {
    text.parse().expect("the sandbox makes good URLs")
}

/// Keeps what is said.
#[derive(Default)]
pub struct Notes(std::sync::Mutex<Vec<String>>);

impl Reporter for Notes {
    fn report(&self, event: Event) {
        if let Event::Note { text, .. } = event {
            self.0.lock().expect("no holder panics").push(text);
        }
    }
}

impl Notes {
    /// A context without a run that tells these.
    pub fn cx(self: &Arc<Self>) -> Context {
        Context::detached("test", self.clone())
    }

    /// All of it, a line each.
    pub fn text(&self) -> String {
        self.0.lock().expect("no holder panics").join("\n")
    }
}

/// A context without a run, watched by nobody.
pub fn cx() -> Context {
    Context::detached("test", Arc::new(Quiet))
}

/// Two servers for many small cases, a database of the same name on each.
pub struct Servers {
    pub from: PgServer,
    pub to: PgServer,
}

impl Servers {
    pub fn start(from: u16, to: u16) -> Self {
        Self::with(from, &[], to, &[])
    }

    /// With lines of postgresql.conf.
    pub fn with(from: u16, from_settings: &[(&str, &str)], to: u16, to_settings: &[(&str, &str)]) -> Self {
        let start = |major, settings: &[(&str, &str)]| {
            let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
            let builder = PgServer::builder().install(install);
            let builder = settings.iter().fold(builder, |builder, (name, value)| builder.setting(name, value));
            builder.start().expect("the server starts")
        };
        Self { from: start(from, from_settings), to: start(to, to_settings) }
    }

    /// Makes the database on both ends, the target's owned by `owner`, and fills the source.
    pub fn case(&self, database: &str, owner: &str, source_sql: &str) -> CopyOptions {
        self.source(database, source_sql);
        self.onto(database, database, owner)
    }

    /// Makes and fills a database on the source.
    pub fn source(&self, database: &str, sql: &str) {
        self.from.create_database(database).expect("the database is made");
        self.from.psql(database, sql).expect("the source is filled");
    }

    /// A copy of a database that is there into a new one, owned by `owner`.
    pub fn onto(&self, source: &str, database: &str, owner: &str) -> CopyOptions {
        self.to.psql("postgres", &format!("create database {database} owner {owner}")).expect("the database is made");
        let newer = if self.from.install().major() > self.to.install().major() { &self.from } else { &self.to };
        let target = if owner == PgServer::SUPERUSER {
            self.to.url(database)
        } else {
            self.to.url_as(owner, PASSWORD, database)
        };
        let mut options = CopyOptions::new(url(&self.from.url(source)), url(&target));
        options.jobs = Some(2);
        options.pg_bin = Some(newer.install().bin_dir().to_owned());
        options
    }

    /// A role that logs in, on one of them.
    pub fn role(server: &PgServer, name: &str, attributes: &str) {
        server
            .psql("postgres", &format!("create role {name} login password '{PASSWORD}' {attributes}"))
            .expect("the role is made");
    }

    /// Everything the target holds of a database and of roles.
    pub fn target_state(&self, database: &str) -> String {
        let dump = self.to.pg_dump(database, &[]).expect("pg_dump runs");
        stable(&dump) + &stable(&self.to.pg_dumpall_globals().expect("pg_dumpall runs"))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in [&mut self.from, &mut self.to] {
            server.stop(StopMode::Fast).expect("the server stops");
        }
    }
}

/// Of every role that a test makes.
pub const PASSWORD: &str = "a sandbox needs none better";

/// A context that keeps what is noted.
pub fn noting() -> (Context, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    (notes.cx(), notes)
}

/// Two databases of one name, empty, each owned by a superuser.
pub struct Two {
    pub from: PgServer,
    pub to: PgServer,
    pub database: String,
}

impl Two {
    /// On servers of these major versions.
    pub fn start(from: u16, to: u16, database: &str) -> Self {
        let start = |major| {
            let install = PgInstall::find(Some(major)).expect("the sandbox has this version");
            PgServer::builder().install(install).start().expect("the server starts")
        };
        let (from, to) = (start(from), start(to));
        for server in [&from, &to] {
            server.create_database(database).expect("the server makes a database");
        }
        Self { from, to, database: database.to_owned() }
    }

    pub fn source_url(&self) -> PgUrl {
        url(&self.from.url(&self.database))
    }

    pub fn target_url(&self) -> PgUrl {
        url(&self.to.url(&self.database))
    }

    /// SQL as the superuser on the source.
    pub fn on_source(&self, sql: &str) -> String {
        self.from.psql(&self.database, sql).unwrap_or_else(|e| panic!("source: {sql:.300}: {e}"))
    }

    /// SQL as the superuser on the target.
    pub fn on_target(&self, sql: &str) -> String {
        self.to.psql(&self.database, sql).unwrap_or_else(|e| panic!("target: {sql:.300}: {e}"))
    }
}
