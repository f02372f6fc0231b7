//! Connection URLs as libpq, Prisma and the providers' dashboards hand them out.
//!
//! tokio-postgres refuses `sslmode=verify-full`, `pgbouncer=true` and other keys people paste, so we parse
//! ourselves: known keys are used, harmless foreign ones are kept in [`PgUrl::ignored`] to be shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::SessionError;

/// When to use TLS and how much of the certificate to check; libpq's six meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always, without looking at the certificate (unless `sslrootcert` is given: then as `VerifyCa`, as in libpq).
    Require,
    /// Always, and the certificate must come from a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must name the host.
    VerifyFull,
}

/// Where a database is and who asks. Holds the password, never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PgUrl {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    dbname: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    pub(crate) channel_binding: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) connect_timeout_s: u64,
    ignored: Vec<String>,
}

/// Keys that other clients understand and that mean nothing to a direct session.
const FOREIGN_KEYS: &[&str] = &[
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "statement_cache_size",
    "schema",
    "application_name",
    "fallback_application_name",
    "target_session_attrs",
    "client_encoding",
    "sslaccept",
    "supa",
    "pool_mode",
    "gssencmode",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "load_balance_hosts",
    "sslsni",
    "sslnegotiation",
    "workaround",
];

impl PgUrl {
    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
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

    /// Keys in the URL that were understood as another client's and not used.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The same server and role, another database.
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), ..self.clone() }
    }

    /// `host:port/db`, for messages and for naming the one-run-a-target lock.
    pub fn endpoint(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}/{}", self.port, self.dbname)
    }

    /// libpq connection string without the password, safe on a child's command line.
    pub fn libpq_conninfo(&self) -> String {
        let quote = |v: &str| format!("'{}'", v.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut parts = vec![
            format!("host={}", quote(&self.host)),
            format!("port={}", self.port),
            format!("user={}", quote(&self.user)),
            format!("dbname={}", quote(&self.dbname)),
            format!("connect_timeout={}", self.connect_timeout_s),
            format!("sslmode={}", self.ssl_mode.as_libpq()),
        ];
        if let Some(cert) = &self.ssl_root_cert {
            parts.push(format!("sslrootcert={}", quote(&cert.to_string_lossy())));
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
        Some(format!(
            "{}:{}:{}:{}:{}\n",
            escape(&self.host),
            self.port,
            escape(&self.dbname),
            escape(&self.user),
            escape(password)
        ))
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

impl FromStr for PgUrl {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        // Never echo `text`: whatever is wrong with it, it may hold a password.
        let bad = |reason: String| SessionError::InvalidUrl { reason };
        let text = text.trim();
        let rest = text
            .strip_prefix("postgresql://")
            .or_else(|| text.strip_prefix("postgres://"))
            .ok_or_else(|| bad("it does not start with postgresql:// or postgres://".into()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password pasted unescaped may hold `/` or `@`: the last `@` before the path separates.
        let (userinfo, hostpath) = match rest.rfind('@') {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        let (authority, path) = hostpath.split_once('/').unwrap_or((hostpath, ""));
        let (user, password) = match userinfo {
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (decode(user, "user")?, Some(decode(password, "password")?)),
                None => (decode(info, "user")?, None),
            },
            None => (String::new(), None),
        };
        if authority.contains(',') {
            return Err(bad("it lists several hosts, and a snapshot belongs to exactly one server".into()));
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| bad("its port is not a number from 1 to 65535".into()))?;
        let mut url = Self {
            host: decode(host, "host")?,
            port,
            user,
            password: password.filter(|p| !p.is_empty()),
            dbname: decode(path.trim_end_matches('/'), "database")?,
            ssl_mode: SslMode::Prefer,
            ssl_root_cert: None,
            channel_binding: None,
            options: None,
            connect_timeout_s: 15,
            ignored: Vec::new(),
        };
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(key, decode(value, key)?)?;
        }
        if url.host.is_empty() {
            return Err(bad("it names no host".into()));
        }
        if url.user.is_empty() {
            return Err(bad("it names no user".into()));
        }
        if url.dbname.is_empty() {
            // libpq falls back to the user's name, which for a migration is too easily the wrong database.
            return Err(bad("it names no database".into()));
        }
        Ok(url)
    }
}

impl PgUrl {
    fn set(&mut self, key: &str, value: String) -> Result<(), SessionError> {
        let bad = |reason: String| SessionError::InvalidUrl { reason };
        match key {
            "host" => self.host = value,
            "port" => {
                self.port = value.parse().map_err(|_| bad("its port is not a number from 1 to 65535".into()))?;
            }
            "user" => self.user = value,
            "password" => self.password = Some(value),
            "dbname" => self.dbname = value,
            "sslmode" => {
                self.ssl_mode = match value.as_str() {
                    "disable" => SslMode::Disable,
                    "allow" => SslMode::Allow,
                    "prefer" => SslMode::Prefer,
                    "require" | "no-verify" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    other => {
                        return Err(bad(format!(
                            "its sslmode {other:?} is none of disable, allow, prefer, require, verify-ca, verify-full"
                        )));
                    }
                }
            }
            "ssl" => self.ssl_mode = if value == "true" { SslMode::Require } else { SslMode::Disable },
            "sslrootcert" => self.ssl_root_cert = Some(PathBuf::from(value)),
            "channel_binding" => match value.as_str() {
                "disable" | "prefer" | "require" => self.channel_binding = Some(value),
                other => {
                    return Err(bad(format!("its channel_binding {other:?} is none of disable, prefer, require")));
                }
            },
            "options" => self.options = Some(value),
            "connect_timeout" => {
                let seconds: u64 =
                    value.parse().map_err(|_| bad("its connect_timeout is not a number of seconds".into()))?;
                self.connect_timeout_s = seconds.clamp(2, 600);
            }
            key if FOREIGN_KEYS.contains(&key) => self.ignored.push(key.to_owned()),
            other => return Err(bad(format!("its parameter {other:?} is not one we know"))),
        }
        Ok(())
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok().filter(|p| *p > 0)?)),
            None => tail.is_empty().then_some((host, 5432)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok().filter(|p| *p > 0)?)),
        None => Some((authority, 5432)),
    }
}

fn decode(text: &str, what: &str) -> Result<String, SessionError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hex digits fit a byte"));
                i += 3;
            }
            // A lone `%` is a password pasted unescaped; taking it as it stands is what the person meant.
            (byte, _, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| SessionError::InvalidUrl { reason: format!("its {what} is not UTF-8") })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, shown: &str, password: Option<&str>, ssl: SslMode) {
        let parsed: PgUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!((parsed.to_string().as_str(), parsed.password(), parsed.ssl_mode), (shown, password, ssl), "{url}");
        if let Some(password) = password {
            let json = serde_json::to_string(&parsed).expect("a string serialises");
            assert!(!format!("{parsed:?} {parsed} {json} {}", parsed.libpq_conninfo()).contains(password), "{url}");
        }
    }

    #[test]
    fn reads_urls_as_dashboards_print_them() {
        let neon =
            "postgresql://u:pw@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require";
        check(neon, "ep-cool-1.eu-central-1.aws.neon.tech:5432/neondb as u", Some("pw"), SslMode::Require);
        let pooler = "postgres://postgres.abcd:p%40ss@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1";
        check(pooler, "aws-0-eu.pooler.supabase.com:6543/postgres as postgres.abcd", Some("p@ss"), SslMode::Prefer);
        check("postgres://u:a@b/c@h/db", "h:5432/db as u", Some("a@b/c"), SslMode::Prefer);
        check("postgres://u:100%sure@h/db", "h:5432/db as u", Some("100%sure"), SslMode::Prefer);
        check("postgres://u@[::1]:5433/db?sslmode=verify-full", "[::1]:5433/db as u", None, SslMode::VerifyFull);
        check("postgres:///db?host=h&user=u&password=x1y2", "h:5432/db as u", Some("x1y2"), SslMode::Prefer);
    }

    #[test]
    fn refuses_what_it_cannot_use_without_echoing_it() {
        let check = |url: &str, reason: &str| {
            let error = url.parse::<PgUrl>().expect_err(url).to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("sekret"), "{error}");
        };
        check("mysql://u:sekret@h/db", "does not start with postgresql://");
        check("postgres://u:sekret@h:99999/db", "port is not a number");
        check("postgres://u:sekret@h1,h2/db", "several hosts");
        check("postgres://u:sekret@/db", "names no host");
        check("postgres://h/db", "names no user");
        check("postgres://u:sekret@h/", "names no database");
        check("postgres://u:sekret@h/db?sslmode=maybe", "sslmode");
        check("postgres://u:sekret@h/db?frobnicate=1", "frobnicate");
    }
}
