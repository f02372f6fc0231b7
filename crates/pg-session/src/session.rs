//! One connection with pinned settings.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::error::{DbError, SessionError, is_transient};
use crate::tls;
use crate::url::{PgUrl, SslMode};

/// Whether a session may write. Dry runs and assess open nothing but `ReadOnly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `default_transaction_read_only = on`.
    ReadOnly,
    /// `default_transaction_read_only = off`, also where a fence has turned the database's default on.
    ReadWrite,
}

/// A client whose output formats, timeouts and `search_path` are ours rather than the server's or the role's.
///
/// Dropping it closes the connection; a statement still running is noticed by the server within two seconds
/// (`client_connection_check_interval`) and ended.
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    url: PgUrl,
    server_version_num: u32,
}

impl Session {
    /// Connects as the URL says and pins the settings. A server that is still waking (57P03, or a connection closed
    /// during the handshake) is tried again until the URL's `connect_timeout` (15 s unless it says otherwise).
    ///
    /// # Errors
    /// Every variant of [`SessionError`], each naming the endpoint.
    pub async fn connect(url: &PgUrl, access: Access) -> Result<Self, SessionError> {
        let deadline = Instant::now() + Duration::from_secs(url.connect_timeout_s);
        let mut pause = Duration::from_millis(100);
        let (client, driver) = loop {
            match connect_once(url).await {
                Ok(pair) => break pair,
                Err((error, transient)) if transient && Instant::now() + pause < deadline => {
                    drop(error);
                    tokio::time::sleep(pause).await; // backoff between attempts
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Err((error, _)) => return Err(error),
            }
        };
        let mut session = Self { client, driver, url: url.clone(), server_version_num: 0 };
        session.pin_settings(access).await.map_err(|e| session.error(&e))?;
        Ok(session)
    }

    /// Where it is connected to.
    pub fn url(&self) -> &PgUrl {
        &self.url
    }

    /// `server_version_num`, e.g. 160004.
    pub fn version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Major version, e.g. 16.
    pub fn major(&self) -> u32 {
        self.server_version_num / 10_000
    }

    /// A statement's error with this session's endpoint.
    pub fn error(&self, error: &tokio_postgres::Error) -> SessionError {
        SessionError::Statement { endpoint: self.url.endpoint(), source: DbError::from(error) }
    }

    async fn pin_settings(&mut self, access: Access) -> Result<(), tokio_postgres::Error> {
        // Text forms must be the same at both ends for verify; timeouts of the role or database (Supabase: two
        // minutes) must not end a long copy; an empty search_path makes every printed name schema-qualified.
        let read_only = match access {
            Access::ReadOnly => "on",
            Access::ReadWrite => "off",
        };
        let settings = format!(
            "set default_transaction_read_only = {read_only};
             set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
             set client_encoding = 'UTF8'; set timezone = 'UTC'; set datestyle = 'ISO, YMD';
             set intervalstyle = 'iso_8601'; set extra_float_digits = 3; set bytea_output = 'hex';
             set lc_monetary = 'C'; set xmloption = 'content'; set standard_conforming_strings = on;
             set search_path = ''; set row_security = off; set client_min_messages = 'warning'"
        );
        // Settings that only some versions have. Sent together: a session costs one round trip here, not four.
        let if_known = |name: &str, value: &str| {
            format!("select set_config(name, '{value}', false) from pg_catalog.pg_settings where name = '{name}'")
        };
        let (check, timeout) =
            (if_known("client_connection_check_interval", "2s"), if_known("transaction_timeout", "0"));
        // The session that holds an advisory lock is idle for hours.
        let idle = if_known("idle_session_timeout", "0");
        let (pinned, version, checked, untimed, kept) = tokio::join!(
            self.client.batch_execute(&settings),
            self.client.simple_query("select current_setting('server_version_num')"),
            self.client.batch_execute(&check),
            self.client.batch_execute(&timeout),
            self.client.batch_execute(&idle),
        );
        pinned?;
        untimed?;
        kept?;
        // Refused on platforms that cannot watch a socket; then a dead client is noticed at its next read.
        match checked {
            Err(e) if e.code() != Some(&SqlState::INVALID_PARAMETER_VALUE) => return Err(e),
            _ => {}
        }
        let number = version?.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
            _ => None,
        });
        self.server_version_num = number.expect("server_version_num is one row with one whole number");
        Ok(())
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One attempt; the flag says whether another may help.
async fn connect_once(url: &PgUrl) -> Result<(Client, JoinHandle<()>), (SessionError, bool)> {
    // libpq's `allow`: first without TLS, with it when the server insists (28000).
    let modes: &[SslMode] = match url.ssl_mode {
        SslMode::Allow => &[SslMode::Disable, SslMode::Require],
        ref one => std::slice::from_ref(one),
    };
    let mut last = None;
    for mode in modes {
        let config = config(url, *mode);
        let tls =
            tls::connector(url).map_err(|reason| (SessionError::Tls { endpoint: url.endpoint(), reason }, false))?;
        match config.connect(tls).await {
            Ok((client, connection)) => {
                // The driver ends when the client is dropped or the connection breaks; either way the client's
                // next call reports it.
                let driver = tokio::spawn(async move { drop(connection.await) });
                return Ok((client, driver));
            }
            Err(error) => {
                let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
                last = Some((explain(url, &error), worth_retrying(&error)));
                if !refused {
                    break;
                }
            }
        }
    }
    Err(last.expect("at least one mode was tried"))
}

fn config(url: &PgUrl, mode: SslMode) -> Config {
    let mut config = Config::new();
    config
        .host(url.host())
        .port(url.port())
        .user(url.user())
        .dbname(url.dbname())
        .application_name("tierlift")
        .connect_timeout(Duration::from_secs(url.connect_timeout_s))
        .keepalives_idle(Duration::from_secs(30))
        .ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer | SslMode::Allow => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
    if let Some(password) = url.password() {
        config.password(password);
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    match url.channel_binding.as_deref() {
        Some("require") => config.channel_binding(tokio_postgres::config::ChannelBinding::Require),
        Some("disable") => config.channel_binding(tokio_postgres::config::ChannelBinding::Disable),
        _ => config.channel_binding(tokio_postgres::config::ChannelBinding::Prefer),
    };
    config
}

/// A refused TCP connection is final (wrong port, server down); a server that is waking or out of slots is not.
fn worth_retrying(error: &tokio_postgres::Error) -> bool {
    let refused = source_io(error).is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    let resolved = source_io(error).is_none_or(|io| io.raw_os_error().is_some());
    is_transient(error) && !refused && resolved
}

fn source_io<'a>(error: &'a tokio_postgres::Error) -> Option<&'a std::io::Error> {
    std::error::Error::source(error).and_then(|e: &'a (dyn std::error::Error + 'static)| e.downcast_ref())
}

fn explain(url: &PgUrl, error: &tokio_postgres::Error) -> SessionError {
    let endpoint = url.endpoint();
    let db = DbError::from(error);
    let reason = db.message.clone();
    match db.code.as_deref() {
        Some("28P01" | "28000" | "42501") => SessionError::Refused { endpoint, user: url.user().to_owned(), reason },
        Some("3D000") => SessionError::NoDatabase { endpoint, reason },
        Some("53300" | "57P01" | "57P02" | "57P03") => SessionError::Unavailable { endpoint, reason },
        Some(_) => SessionError::Refused { endpoint, user: url.user().to_owned(), reason },
        None if reason.starts_with("error performing TLS") => SessionError::Tls { endpoint, reason },
        None if reason.contains("password missing") => SessionError::Refused {
            endpoint,
            user: url.user().to_owned(),
            reason: "it asks for a password and the URL has none".into(),
        },
        None if reason.contains("authentication error") => {
            SessionError::Refused { endpoint, user: url.user().to_owned(), reason }
        }
        None => SessionError::Unreachable { endpoint, reason },
    }
}
