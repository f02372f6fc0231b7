//! Connection URLs as libpq, Prisma, SQLAlchemy and the providers' dashboards hand them out.
//!
//! tokio-postgres refuses `sslmode=verify-full`, `pgbouncer=true` and other keys people paste, so we parse
//! ourselves: known keys are used, harmless foreign ones are kept in [`PgUrl::ignored`] to be shown, and what would
//! change the meaning but cannot be had is refused by name. `docs/connecting.md` has the table.

mod keys;
mod parse;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::SessionError;
use crate::tls::{Environment, RootCerts};

/// When to use TLS and how much of the certificate to check; libpq's six meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always, without looking at the certificate (unless there is a root certificate: then as `VerifyCa`, as in libpq).
    Require,
    /// Always, and the certificate must come from a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must name the host.
    VerifyFull,
}

/// Whether the password's proof is bound to the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    Prefer,
    /// Always: a server that proves no knowledge of the password over this very channel is refused.
    Require,
}

/// What a URL says about TLS; files that it does not name are found by [`crate::tls`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub mode: SslMode,
    /// `system`, or a file.
    pub root_cert: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub channel_binding: ChannelBinding,
    /// TLS from the first byte (`sslnegotiation=direct`, PostgreSQL 17 and newer).
    pub direct: bool,
    /// Tell the server which host is meant; off only by `sslsni=0`.
    pub sni: bool,
    /// Nothing below TLS 1.3.
    pub tls13_only: bool,
}

/// Where a database is and who asks. Holds the password, never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PgUrl {
    host: String,
    host_addr: Option<IpAddr>,
    port: u16,
    user: String,
    password: Option<String>,
    dbname: String,
    pub(crate) tls: TlsOptions,
    pub(crate) options: Option<String>,
    pub(crate) connect_timeout_s: u64,
    ignored: Vec<String>,
}

impl PgUrl {
    /// Host name or address without brackets, or the folder of a Unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address to use instead of asking the resolver for the host's (`hostaddr`).
    pub(crate) fn host_addr(&self) -> Option<IpAddr> {
        self.host_addr
    }

    /// TCP port; for a Unix socket the number in its file's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Role to connect as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Database name.
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// The password. Only for handing to a client, never for printing.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// When TLS is used, and how much of the certificate is looked at.
    pub fn ssl_mode(&self) -> SslMode {
        self.tls.mode
    }

    /// True when the server is reached through a Unix socket, where there is no TLS to be had or needed.
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Keys in the URL that were understood as another client's and not used.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The same server and role, another database.
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), ..self.clone() }
    }

    /// `host:port/db` (of a Unix socket its file and `/db`), for messages and for naming the one-run-a-target lock.
    pub fn endpoint(&self) -> String {
        let (host, port, db) = (&self.host, self.port, &self.dbname);
        if self.is_unix_socket() {
            format!("{}/.s.PGSQL.{port}/{db}", host.trim_end_matches('/'))
        } else if host.contains(':') {
            format!("[{host}]:{port}/{db}")
        } else {
            format!("{host}:{port}/{db}")
        }
    }

    /// libpq connection string without the password, safe on a child's command line.
    ///
    /// It says everything about TLS that a session of ours would do, so the child needs no `PG*` variables.
    pub fn libpq_conninfo(&self) -> String {
        let quote = |v: &str| format!("'{}'", v.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut parts = vec![
            format!("host={}", quote(&self.host)),
            format!("port={}", self.port),
            format!("user={}", quote(&self.user)),
            format!("dbname={}", quote(&self.dbname)),
            format!("connect_timeout={}", self.connect_timeout_s),
        ];
        if let Some(addr) = self.host_addr {
            parts.push(format!("hostaddr={addr}"));
        }
        if !self.is_unix_socket() {
            parts.push(format!("sslmode={}", self.tls.mode.as_libpq()));
            let environment = Environment::of_process();
            let files = [
                ("sslrootcert", RootCerts::find(&self.tls, &environment).as_libpq()),
                ("sslcert", environment.client_cert(&self.tls)),
                ("sslkey", environment.client_key(&self.tls)),
            ];
            for (key, file) in files {
                parts.extend(file.map(|file| format!("{key}={}", quote(&file.to_string_lossy()))));
            }
            // Left out where they say the default: older versions of libpq do not know the keys.
            match self.tls.channel_binding {
                ChannelBinding::Prefer => {}
                ChannelBinding::Require => parts.push("channel_binding=require".into()),
                ChannelBinding::Disable => parts.push("channel_binding=disable".into()),
            }
            for (key, is_set) in [
                ("sslnegotiation=direct", self.tls.direct),
                ("sslsni=0", !self.tls.sni),
                ("ssl_min_protocol_version=TLSv1.3", self.tls.tls13_only),
            ] {
                parts.extend(is_set.then(|| key.to_owned()));
            }
        }
        if let Some(options) = &self.options {
            parts.push(format!("options={}", quote(options)));
        }
        parts.join(" ")
    }

    /// A line for a `PGPASSFILE` (mode 0600) that lets a libpq child in; `None` without a password.
    pub fn passfile_line(&self) -> Option<String> {
        let escape = |v: &str| v.replace('\\', "\\\\").replace(':', "\\:");
        let password = self.password.as_deref()?;
        // Any host: libpq calls a socket in its default folder `localhost`, and the file serves one child anyway.
        Some(format!("*:{}:{}:{}:{}\n", self.port, escape(&self.dbname), escape(&self.user), escape(password)))
    }
}

impl SslMode {
    fn as_libpq(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_libpq())
    }
}

impl FromStr for PgUrl {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        // Never echo `text`: whatever is wrong with it, it may hold a password.
        parse::parse(text).map_err(|reason| SessionError::InvalidUrl { reason })
    }
}

impl fmt::Display for PgUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.endpoint(), self.user)
    }
}

impl fmt::Debug for PgUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgUrl({self})")
    }
}

impl<'de> Deserialize<'de> for PgUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Serialises as the redacted form, so that a URL that strays into a report shows no password.
impl Serialize for PgUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
