//! Getting a connection: libpq's order of attempts with and without TLS, patience with a server that is waking, and
//! failures in words.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, sleep};
use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Offer, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Socket};

use crate::error::{DbError, SessionError};
use crate::patience::Patience;
use crate::tls::{self, Connector, Environment, Stream};
use crate::unreachable;
use crate::url::{ChannelBinding, PgUrl, SslMode};

/// A connection that is open.
pub(crate) struct Open {
    pub client: Client,
    pub connection: Connection<Socket, Stream>,
    pub encrypted: bool,
}

/// A refused connection may be a server that is being restarted; that takes no longer.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);

/// What proxies say while the server behind them wakes, beside the SQLSTATEs that say the same.
const WAKING: &[&str] = &[
    "couldn't connect to compute node",
    "failed to connect to the compute node",
    "control plane request failed",
    "endpoint is idle, retry",
    "waiting for endpoint to become active",
    "cannot connect to server",
    "try again later",
];

/// Opens a connection, or says why there is none. Ends with `patience` at the latest.
pub(crate) async fn open(url: &PgUrl, patience: &mut Patience) -> Result<Open, SessionError> {
    let connector = tls::connector(&url.tls, &Environment::of_process()).map_err(|reason| SessionError::Tls {
        endpoint: url.endpoint(),
        reason,
        advice: "correct the URL's TLS parameters, or the file".into(),
    })?;
    let began = Instant::now();
    let mut pause = Duration::from_millis(100);
    let mut last = None;
    loop {
        let Some(result) = patience.bound(attempt(url, &connector)).await else {
            return Err(last.unwrap_or_else(|| unreachable::silent(url)));
        };
        let error = match result {
            Ok(open) => return Ok(open),
            Err(error) => error,
        };
        let left = match worth_retrying(&error) {
            Retry::Never => return Err(explain(url, &error).await),
            Retry::Briefly if !sleeps(url) => REFUSED_PATIENCE.saturating_sub(began.elapsed()).min(patience.left()),
            Retry::Briefly | Retry::UntilDeadline => patience.left(),
        };
        if pause >= left {
            return Err(explain(url, &error).await);
        }
        last = Some(explain(url, &error).await);
        patience.bound(sleep(pause)).await; // backoff between attempts
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Hosts that put servers to sleep; while one wakes, its proxy may refuse outright.
fn sleeps(url: &PgUrl) -> bool {
    url.host().ends_with(".neon.tech")
}

/// One attempt, which for `allow` and `prefer` may be two connections, as in libpq.
async fn attempt(url: &PgUrl, connector: &Connector) -> Result<Open, tokio_postgres::Error> {
    let (first, second) = match url.tls.mode {
        _ if url.is_unix_socket() => (Offer::Disable, None),
        SslMode::Disable => (Offer::Disable, None),
        SslMode::Allow => (Offer::Disable, Some(Offer::Require)),
        // With its proof bound to the certificate, a second connection without one is of no use.
        SslMode::Prefer if url.tls.channel_binding == ChannelBinding::Require => (Offer::Prefer, None),
        SslMode::Prefer => (Offer::Prefer, Some(Offer::Disable)),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Offer::Require, None),
    };
    let error = match offering(url, connector, first).await {
        Err(error) => error,
        open => return open,
    };
    match second {
        // 28000: no entry in pg_hba.conf for a connection of this kind.
        Some(second)
            if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
                || (first == Offer::Prefer && is_tls_error(&error)) =>
        {
            // A server without TLS that refuses the role has said why the first time.
            match offering(url, connector, second).await {
                Err(again) if second == Offer::Require && is_tls_error(&again) => Err(error),
                result => result,
            }
        }
        _ => Err(error),
    }
}

async fn offering(url: &PgUrl, connector: &Connector, offer: Offer) -> Result<Open, tokio_postgres::Error> {
    let (connector, used) = connector.for_one();
    let (client, connection) = config(url, offer).connect(connector).await?;
    Ok(Open { client, connection, encrypted: used.load(Ordering::Acquire) })
}

fn config(url: &PgUrl, offer: Offer) -> Config {
    let mut config = Config::new();
    config
        .host(url.host())
        .port(url.port())
        .user(url.user())
        .dbname(url.dbname())
        .application_name("tierlift")
        // A third, so that an address that swallows packets leaves time for the name's next one.
        .connect_timeout(Duration::from_secs(url.connect_timeout_s.div_ceil(3)))
        .keepalives_idle(Duration::from_secs(30))
        .ssl_mode(offer)
        .channel_binding(match url.tls.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
    if let Some(addr) = url.host_addr() {
        config.hostaddr(addr);
    }
    if url.tls.direct {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    if let Some(password) = url.password() {
        config.password(password);
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    config
}

enum Retry {
    Never,
    /// The address refuses connections: a wrong port, or a server that is just being restarted.
    Briefly,
    UntilDeadline,
}

fn worth_retrying(error: &tokio_postgres::Error) -> Retry {
    if let Some(db) = error.as_db_error() {
        let waking = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::CONNECTION_FAILURE,
        ];
        let message = db.message().to_lowercase();
        let says_so = WAKING.iter().any(|words| message.contains(words));
        return if waking.contains(db.code()) || says_so { Retry::UntilDeadline } else { Retry::Never };
    }
    if error.is_closed() {
        return Retry::UntilDeadline; // hung up during the handshake, as a proxy does whose server is not up yet
    }
    match io_error(error).map(std::io::Error::kind) {
        Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Retry::Briefly, // NotFound: of a Unix socket
        Some(
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof,
        ) => Retry::UntilDeadline,
        _ => Retry::Never,
    }
}

/// The operating system's error below a connection's; a TLS error travels as one too.
fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn is_tls_error(error: &tokio_postgres::Error) -> bool {
    // tokio-postgres keeps the kind to itself, and only its text tells it.
    tls::explain(error).is_some() || error.to_string().starts_with("error performing TLS")
}

async fn explain(url: &PgUrl, error: &tokio_postgres::Error) -> SessionError {
    let endpoint = url.endpoint();
    let user = url.user().to_owned();
    if let Some((reason, advice)) = tls::explain(error) {
        return SessionError::Tls { endpoint, reason, advice };
    }
    let db = DbError::from(error);
    let reason = db.message.clone();
    match db.code.as_deref() {
        Some("3D000") => SessionError::NoDatabase { endpoint, reason },
        Some("53300" | "57P01" | "57P02" | "57P03") => SessionError::Unavailable { endpoint, reason },
        Some(_) if matches!(worth_retrying(error), Retry::UntilDeadline) => {
            SessionError::Unavailable { endpoint, reason }
        }
        Some(_) => SessionError::Refused { endpoint, user, reason },
        None if reason.contains("server does not support TLS") => SessionError::Tls {
            endpoint,
            reason: format!("the server offers no TLS, and sslmode={} wants it", url.tls.mode),
            advice: "switch ssl on at the server, or use sslmode=prefer if the network between is trusted".into(),
        },
        None if is_tls_error(error) => SessionError::Tls {
            endpoint,
            reason,
            advice: match url.tls.direct {
                true => "sslnegotiation=direct needs PostgreSQL 17 or newer with TLS; leave it out for an older one",
                false => "check that the port is the server's own, and sslmode in the URL",
            }
            .into(),
        },
        None if reason.contains("password missing") => {
            SessionError::Refused { endpoint, user, reason: "it asks for a password and the URL has none".into() }
        }
        None if reason.contains("did not use channel binding") => SessionError::Tls {
            endpoint,
            reason: "channel_binding=require, but the server's proof is not bound to its certificate".into(),
            advice: "the role's password must be stored as scram-sha-256, the connection must use TLS without a proxy \
                     in between, and the server's certificate must be signed with RSA or ECDSA and SHA-256 or SHA-384 \
                     (an Ed25519 signature names no hash to bind); else use channel_binding=prefer"
                .into(),
        },
        None if reason.contains("authentication error") => SessionError::Refused { endpoint, user, reason },
        None => {
            let addresses = match (url.host_addr(), url.is_unix_socket()) {
                (Some(addr), _) => vec![addr],
                (None, true) => Vec::new(),
                // Asked again only to say which kind of addresses they are; an empty answer says nothing.
                (None, false) => match lookup_host((url.host(), url.port())).await {
                    Ok(found) => found.map(|addr| addr.ip()).collect(),
                    Err(_) => Vec::new(),
                },
            };
            unreachable::explain(url, io_error(error).map(std::io::Error::kind), &reason, &addresses)
        }
    }
}
