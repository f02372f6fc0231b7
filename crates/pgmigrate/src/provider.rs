//! What each provider puts into a database that is not the application's.

use pg_session::{PgUrl, Session};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Who runs a server, as far as it changes what may be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Supabase: managed schemas, roles behind PostgREST, `auth.uid()`.
    Supabase,
    /// Neon: proxies, computes that sleep.
    Neon,
    /// Google Cloud SQL: no superuser.
    CloudSql,
    /// Google AlloyDB: no superuser.
    AlloyDb,
    /// Nobody in particular.
    Plain,
}

/// Schemas that Supabase owns and fills; an application's objects are not in them.
const SUPABASE_SCHEMAS: &[&str] = &[
    "auth",
    "storage",
    "realtime",
    "_realtime",
    "_analytics",
    "_supavisor",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "cron",
    "pgmq",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "pgbouncer",
    "vault",
    "supabase_functions",
    "supabase_migrations",
    "etl",
    "tiger",
    "tiger_data",
    "topology",
];

/// Extensions a provider installs in every project, whether the application wants them or not.
const SUPABASE_EXTENSIONS: &[&str] = &[
    "pg_net",
    "pg_graphql",
    "pgsodium",
    "supabase_vault",
    "pgjwt",
    "wrappers",
    "timescaledb",
    "pg_stat_statements",
    "pgcrypto",
    "uuid-ossp",
    "pg_cron",
    "pgmq",
];

impl Provider {
    /// Detected from the host name, else from roles that only that provider creates.
    pub async fn detect(session: &Session) -> Result<Self, Error> {
        if let Some(provider) = Self::from_host(session.url().host()) {
            return Ok(provider);
        }
        let row = session
            .query_typed_one(
                // A role that can do nothing may be a stub that came with a copy from Supabase.
                "select coalesce(array_agg(rolname::text), '{}') from pg_roles
                  where rolname in ('neon_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser')
                     or (rolname = 'supabase_admin' and (rolsuper or rolcanlogin))",
                &[],
            )
            .await
            .map_err(Error::on(session))?;
        let roles: Vec<String> = row.get(0);
        let has = |name: &str| roles.iter().any(|r| r == name);
        Ok(if has("supabase_admin") {
            Self::Supabase
        } else if has("neon_superuser") {
            Self::Neon
        } else if has("alloydbsuperuser") {
            Self::AlloyDb
        } else if has("cloudsqlsuperuser") {
            Self::CloudSql
        } else {
            Self::Plain
        })
    }

    fn from_host(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let is_under = |domain: &str| host.ends_with(domain);
        if is_under(".supabase.co") || is_under(".supabase.com") {
            Some(Self::Supabase)
        } else if is_under(".neon.tech") {
            Some(Self::Neon)
        } else {
            None
        }
    }

    /// True for a schema that is the provider's and stays behind.
    pub fn manages_schema(self, name: &str) -> bool {
        self == Self::Supabase && (SUPABASE_SCHEMAS.contains(&name) || name.starts_with("timescaledb_"))
    }

    /// True for an extension that is there whether or not the application asked for it.
    pub fn preinstalls(self, extension: &str) -> bool {
        match self {
            Self::Supabase => SUPABASE_EXTENSIONS.contains(&extension),
            Self::Neon => matches!(extension, "neon" | "neon_utils"),
            Self::CloudSql => extension == "google_vacuum_mgmt",
            Self::AlloyDb => extension.starts_with("google_"),
            Self::Plain => false,
        }
    }

    /// True for a role that is the provider's own and whose default privileges make no sense elsewhere.
    pub fn manages_role(self, role: &str) -> bool {
        self == Self::Supabase
            && (role.starts_with("supabase_") || matches!(role, "dashboard_user" | "pgbouncer" | "authenticator"))
    }
}

/// Why a URL leads to a pooler in transaction mode, and what to use instead; `None` when it does not.
///
/// Such a pooler gives every transaction another backend: no session settings, no shared snapshot.
pub fn transaction_pooler(url: &PgUrl) -> Option<(String, String)> {
    let host = url.host().to_ascii_lowercase();
    let first_label = host.split('.').next().unwrap_or(&host); // a split always yields at least one piece
    if let Some(direct) = first_label.strip_suffix("-pooler") {
        let rest = &host[first_label.len()..];
        return Some((
            format!("host {host} is a pooler in transaction mode"),
            format!("use the direct host {direct}{rest} instead"),
        ));
    }
    let supabase = host.ends_with(".supabase.com") || host.ends_with(".supabase.co");
    if url.port() != 6543 || !(supabase || host.contains("pooler")) {
        return None;
    }
    let instead = if host.contains("pooler") {
        format!(
            "use the session pooler {host}:5432 instead, or the project's direct host db.<project>.supabase.co:5432"
        )
    } else {
        format!("use {host}:5432 instead")
    };
    Some((format!("port 6543 of {host} is a pooler in transaction mode"), instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_host_to_use_instead_of_a_transaction_pooler() {
        let check = |url: &str, expect: Option<&str>| {
            let url: PgUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
            let found = transaction_pooler(&url);
            assert_eq!(found.is_some(), expect.is_some(), "{url}");
            if let (Some((_, instead)), Some(expect)) = (found, expect) {
                assert!(instead.contains(expect), "{instead}");
            }
        };
        check("postgres://u@ep-a-1-pooler.eu.aws.neon.tech/db", Some("ep-a-1.eu.aws.neon.tech"));
        check("postgres://u@ep-a-1.eu.aws.neon.tech/db", None);
        check("postgres://u@aws-0-eu.pooler.supabase.com:6543/postgres", Some("aws-0-eu.pooler.supabase.com:5432"));
        check("postgres://u@aws-0-eu.pooler.supabase.com:5432/postgres", None);
        check("postgres://u@db.abc.supabase.co:6543/postgres", Some("db.abc.supabase.co:5432"));
        check("postgres://u@127.0.0.1:6543/postgres", None);
    }
}
