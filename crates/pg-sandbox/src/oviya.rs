//! Oviya, the application of the demo: its database as Supabase holds it, and an empty one as Cloud SQL gives it.
//!
//! The source has what makes a move from Supabase hard: managed schemas with owners of their own, foreign keys to
//! `auth.users`, row security that calls `auth.uid()`, an event trigger, a publication, default privileges, a two-minute
//! `statement_timeout`, and an owner that is no superuser. The files under `fixtures/oviya` say which is which.
//!
//! Its messages are made from `fixtures/oviya/corpus.tsv`: 432 phrases, 36 for each of 12 topics, 6 for each emotion of
//! a topic. The topic is in `metadata ->> 'topic'`, so the answers of a search can be judged by it; every load of the
//! same size gives the same rows of the application.

mod corpus;
mod rows;

use std::fmt;

pub use corpus::{EMOTIONS, EXAMPLE_SEARCHES, Phrase, phrases, topics};

use crate::process::random_password;
use crate::{PgServer, SandboxError};

const DATABASE: &str = "oviya";
const OWNER: &str = "oviya_owner";
const APP: &str = "oviya_app";
const TARGET_OWNER: &str = "tierlift";

/// The loaded source.
#[derive(Clone, PartialEq, Eq)]
pub struct OviyaSource {
    /// The database's name.
    pub database: String,
    /// The role that owns the database and everything in `public`; no superuser, as `postgres` on Supabase.
    pub owner: String,
    /// Connects as the owner.
    pub owner_url: String,
    /// The role the application's backend uses: reads and writes rows of the four tables.
    pub app: String,
    /// Connects as the application.
    pub app_url: String,
    /// Rows of `auth.users` and of `public.profiles`.
    pub users: u32,
    /// Rows of `public.conversations`.
    pub conversations: u32,
    /// Rows of `public.messages`.
    pub messages: u32,
    /// Rows of `public.mood_entries`.
    pub mood_entries: u32,
}

/// The empty target.
#[derive(Clone, PartialEq, Eq)]
pub struct OviyaTarget {
    /// The database's name.
    pub database: String,
    /// The role that owns the database: may create roles, databases and `vector`, and is no superuser.
    pub owner: String,
    /// Connects as the owner.
    pub owner_url: String,
}

/// Makes the roles and the database of a Supabase project on a fresh server (PostgreSQL 16 is what Oviya runs on) and
/// fills it with `messages` messages and as many people and conversations as go with them.
///
/// 50,000 messages take about a second.
pub fn load_source(server: &PgServer, messages: u32) -> Result<OviyaSource, SandboxError> {
    let (owner_password, app_password) = (random_password()?, random_password()?);
    let roles = [
        include_str!("../fixtures/oviya/roles.sql"),
        &format!("alter role {OWNER} password '{owner_password}';\n"),
        &format!("alter role {APP} password '{app_password}';\n"),
        &format!("create database {DATABASE} owner {OWNER};\n"),
        // For every session that does not set its own, a migration's included.
        &format!("alter database {DATABASE} set statement_timeout = '2min';\n"),
    ];
    server.psql("postgres", &roles.concat())?;

    let size = rows::Size::of(messages);
    let mut script = String::from("set statement_timeout = 0;\n");
    script += include_str!("../fixtures/oviya/managed.sql");
    script += &format!("set role {OWNER};\n");
    script += include_str!("../fixtures/oviya/app_tables.sql");
    rows::write(&mut script, &size);
    script += include_str!("../fixtures/oviya/app_rest.sql");
    script += "reset role;\nvacuum (analyze);\n";
    server.psql(DATABASE, &script)?;

    Ok(OviyaSource {
        database: DATABASE.to_owned(),
        owner: OWNER.to_owned(),
        owner_url: server.url_as(OWNER, &owner_password, DATABASE),
        app: APP.to_owned(),
        app_url: server.url_as(APP, &app_password, DATABASE),
        users: size.users,
        conversations: size.conversations,
        messages: size.messages,
        mood_entries: size.conversations,
    })
}

/// Makes the roles of a Cloud SQL instance and an empty database on a fresh server.
///
/// The owner can create the extension `vector`, because the embedded PostgreSQL has it marked as trusted. An installed
/// one (`TIERLIFT_PG_BIN`) is used as it is: there the superuser has to create it, or to trust it in `vector.control`.
pub fn prepare_target(server: &PgServer) -> Result<OviyaTarget, SandboxError> {
    let password = random_password()?;
    let roles = [
        include_str!("../fixtures/oviya/cloud_sql_roles.sql"),
        &format!("alter role {TARGET_OWNER} password '{password}';\n"),
        &format!("create database {DATABASE} owner {TARGET_OWNER};\n"),
    ];
    server.psql("postgres", &roles.concat())?;
    Ok(OviyaTarget {
        database: DATABASE.to_owned(),
        owner: TARGET_OWNER.to_owned(),
        owner_url: server.url_as(TARGET_OWNER, &password, DATABASE),
    })
}

/// Without the URLs, which hold passwords.
impl fmt::Debug for OviyaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OviyaSource")
            .field("database", &self.database)
            .field("users", &self.users)
            .field("conversations", &self.conversations)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for OviyaTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OviyaTarget").field("database", &self.database).finish_non_exhaustive()
    }
}
