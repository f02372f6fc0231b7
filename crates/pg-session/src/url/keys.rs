//! The parameters of a connection URL: which are used, which are another client's, and which are refused.

use std::path::PathBuf;

use crate::url::{ChannelBinding, PgUrl, SslMode, TlsOptions};

/// Keys that other clients understand and that mean nothing to a direct session.
const FOREIGN_KEYS: &[&str] = &[
    "pgbouncer",
    "connection_limit",
    "max_idle_connection_lifetime",
    "pool_timeout",
    "pool_size",
    "max_overflow",
    "pool_max_conns",
    "socket_timeout",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "prepared_statements",
    "prepare_threshold",
    "statement_cache_capacity",
    "schema",
    "schemas",
    "search_path",
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "charset",
    "encoding",
    "reconnect",
    "pool",
    "timeout",
    "supa",
    "pool_mode",
    "uselibpqcompat",
    "gssencmode",
    "gssdelegation",
    "krbsrvname",
    "gsslib",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "load_balance_hosts",
    "sslcompression",
    "sslcertmode",
    "workaround",
    "binary_parameters",
];

/// Keys that would change what is connected to or how safely, and that cannot be honoured: key, and what to do.
const REFUSED_KEYS: &[(&str, &str)] = &[
    ("service", "write the service's host, user and database out"),
    ("servicefile", "write the service's host, user and database out"),
    ("passfile", "put the password into the URL (of an environment variable)"),
    ("sslpassword", "encrypted client keys cannot be read; decrypt a copy with openssl pkey, and name it as sslkey"),
    (
        "sslidentity",
        "PKCS #12 files cannot be read; convert it with openssl pkcs12 to PEM, and name sslcert and sslkey",
    ),
    ("sslcrl", "revocation lists are not read; leave it out if that is acceptable"),
    ("sslcrldir", "revocation lists are not read; leave it out if that is acceptable"),
    ("requirepeer", "leave it out, and see that the socket's folder is the server's own"),
    ("require_auth", "leave it out; channel_binding=require asks for a proof that the server knows the password"),
    ("ssl_max_protocol_version", "leave it out; TLS 1.2 and 1.3 are spoken"),
    ("replication", "leave it out: a copy reads through ordinary sessions"),
];

/// What was read so far.
#[derive(Default)]
pub(super) struct Settings {
    host: String,
    host_addr: Option<std::net::IpAddr>,
    port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<String>,
    dbname: String,
    mode: Option<SslMode>,
    root_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    channel_binding: Option<ChannelBinding>,
    direct: bool,
    no_sni: bool,
    tls13_only: bool,
    options: Option<String>,
    connect_timeout_s: Option<u64>,
    pub ignored: Vec<String>,
}

impl Settings {
    /// One key; the last of several with the same name counts.
    pub fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "host" => self.host = one_host(value)?,
            "hostaddr" => {
                self.host_addr = Some(value.parse().map_err(|_| "its hostaddr is not one IP address")?);
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or("its port is not a number from 1 to 65535")?);
            }
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" | "database" => self.dbname = value,
            "sslmode" => self.mode = Some(ssl_mode("sslmode", &value)?),
            // node-postgres and Rails: true or false; asyncpg: libpq's words.
            "ssl" => {
                self.mode = Some(match value.as_str() {
                    "true" | "1" | "" => SslMode::Require,
                    "false" | "0" => SslMode::Disable,
                    _ => ssl_mode("ssl", &value)?,
                });
            }
            // Prisma's: without it, certificates are not looked at.
            "sslaccept" => match value.as_str() {
                "strict" => self.mode = Some(SslMode::VerifyFull),
                "accept_invalid_certs" => self.ignored.push(key.to_owned()),
                _ => return Err("its sslaccept is neither strict nor accept_invalid_certs".into()),
            },
            "sslrootcert" => self.root_cert = Some(PathBuf::from(value)),
            "sslcert" => self.client_cert = Some(PathBuf::from(value)),
            "sslkey" if value.contains(':') && !value.starts_with('/') => {
                return Err("its sslkey names a key of a hardware engine; only files can be read".into());
            }
            "sslkey" => self.client_key = Some(PathBuf::from(value)),
            "sslnegotiation" => match value.as_str() {
                "postgres" => self.direct = false,
                "direct" => self.direct = true,
                _ => return Err("its sslnegotiation is neither postgres nor direct".into()),
            },
            "sslsni" => self.no_sni = value == "0",
            "ssl_min_protocol_version" => match value.as_str() {
                // Nothing older is spoken anyway.
                "TLSv1" | "TLSv1.1" | "TLSv1.2" => {}
                "TLSv1.3" => self.tls13_only = true,
                _ => return Err("its ssl_min_protocol_version is none of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3".into()),
            },
            "channel_binding" => {
                self.channel_binding = Some(match value.as_str() {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    other => {
                        return Err(format!("its channel_binding {other:?} is none of disable, prefer, require"));
                    }
                });
            }
            "options" => self.options = Some(value),
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| "its connect_timeout is not a number of seconds")?;
                self.connect_timeout_s = Some(seconds.clamp(2, 600));
            }
            // With one host it only asks for what we find out (and say) anyway.
            "target_session_attrs" => self.ignored.push(key.to_owned()),
            "gssencmode" if value == "require" => {
                return Err("its gssencmode=require asks for Kerberos encryption; use TLS (sslmode) instead".into());
            }
            key if FOREIGN_KEYS.contains(&key) => self.ignored.push(key.to_owned()),
            other => {
                return Err(match REFUSED_KEYS.iter().find(|(key, _)| *key == other) {
                    Some((_, advice)) => format!("its parameter {other} cannot be honoured: {advice}"),
                    None => format!("its parameter {other:?} is not one we know"),
                });
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Result<PgUrl, String> {
        // A folder that does not begin with `/` is no socket's: libpq would call that a host name too.
        let host = match self.host_addr {
            Some(addr) if self.host.is_empty() => addr.to_string(),
            _ => self.host,
        };
        if host.is_empty() {
            return Err("it names no host".into());
        }
        let is_socket = host.starts_with('/');
        if host.starts_with('@') {
            return Err("its host is an abstract socket, which cannot be used; give the socket's folder".into());
        }
        let user = self.user.filter(|user| !user.is_empty()).ok_or("it names no user")?;
        if self.dbname.is_empty() {
            // libpq falls back to the user's name, which for a migration is too easily the wrong database.
            return Err("it names no database".into());
        }
        let system = self.root_cert.as_ref().is_some_and(|file| file.as_os_str() == "system");
        let mode = match self.mode {
            // As libpq: any certificate of a public authority would do, whoever owns it.
            Some(mode) if system && mode != SslMode::VerifyFull => {
                return Err(format!("its sslmode={mode} is too weak for sslrootcert=system; use sslmode=verify-full"));
            }
            Some(mode) => mode,
            None if system => SslMode::VerifyFull,
            // Who names an authority does not want to fall back to no TLS at all.
            None if self.root_cert.is_some() || self.direct => SslMode::Require,
            None => SslMode::Prefer,
        };
        if self.direct && matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) {
            return Err(format!("its sslmode={mode} is too weak for sslnegotiation=direct; use sslmode=require"));
        }
        if self.client_cert.is_some() && self.client_key.is_none() {
            return Err("its sslcert comes without sslkey; name the client's key too, or, if it is the server's \
                        authority (as Prisma has it), call it sslrootcert"
                .into());
        }
        let channel_binding = self.channel_binding.unwrap_or(ChannelBinding::Prefer);
        if channel_binding == ChannelBinding::Require && (mode == SslMode::Disable || is_socket) {
            return Err(
                "its channel_binding=require needs TLS; use sslmode=require or stronger, or leave it out".into()
            );
        }
        Ok(PgUrl {
            host,
            host_addr: self.host_addr,
            port: self.port.unwrap_or(5432),
            user,
            password: self.password.filter(|p| !p.is_empty()),
            dbname: self.dbname,
            tls: TlsOptions {
                mode,
                root_cert: self.root_cert,
                client_cert: self.client_cert,
                client_key: self.client_key,
                channel_binding,
                direct: self.direct,
                sni: !self.no_sni,
                tls13_only: self.tls13_only,
            },
            options: self.options,
            connect_timeout_s: self.connect_timeout_s.unwrap_or(15),
            ignored: self.ignored,
        })
    }
}

fn one_host(host: String) -> Result<String, String> {
    if host.contains(',') {
        return Err("it lists several hosts, and a snapshot belongs to exactly one server; keep the one to use \
                    (the primary, or for reading a source any standby)"
            .into());
    }
    Ok(host)
}

fn ssl_mode(key: &str, value: &str) -> Result<SslMode, String> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        // node-postgres' word for what libpq calls `require`.
        "require" | "no-verify" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        other => {
            return Err(format!(
                "its {key} {other:?} is none of disable, allow, prefer, require, verify-ca, verify-full"
            ));
        }
    })
}
