//! Two servers with Oviya's source and an empty target, and what the tests ask of them.

#![allow(dead_code)] // each test file uses its own part

use std::sync::Arc;

use pg_sandbox::oviya::{self, OviyaSource, OviyaTarget};
use pg_sandbox::{PgInstall, PgServer, StopMode};
use pg_session::PgUrl;
use pgmigrate::CopyOptions;
use runbook::{Context, Quiet};

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

/// A context without a run, watched by nobody.
pub fn cx() -> Context {
    Context::detached("test", Arc::new(Quiet))
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
