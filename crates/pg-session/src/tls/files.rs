//! Which files TLS needs: from the URL, else from libpq's variables, else from libpq's places in the home folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

use crate::url::{SslMode, TlsOptions};

/// What libpq's defaults depend on, so that tests can have their own.
///
/// Of libpq's variables only those that name this machine's certificate files are read. Where to connect, as whom and
/// how safely is always in the URL: there are two databases, and a `PGHOST` or `PGPASSWORD` would mean both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub home: Option<PathBuf>,
    pub root_cert: Option<OsString>,
    pub client_cert: Option<OsString>,
    pub client_key: Option<OsString>,
}

impl Environment {
    pub fn of_process() -> Self {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            home: std::env::home_dir(),
            root_cert: var("PGSSLROOTCERT"),
            client_cert: var("PGSSLCERT"),
            client_key: var("PGSSLKEY"),
        }
    }

    /// The client's certificate, if there is one.
    pub fn client_cert(&self, options: &TlsOptions) -> Option<PathBuf> {
        self.choose(options.client_cert.as_deref(), self.client_cert.as_ref(), "postgresql.crt")
    }

    /// The client's private key, if there is one.
    pub fn client_key(&self, options: &TlsOptions) -> Option<PathBuf> {
        self.choose(options.client_key.as_deref(), self.client_key.as_ref(), "postgresql.key")
    }

    /// Named files count even when they are missing, which is then said; the home folder's only when it is there.
    fn choose(&self, from_url: Option<&Path>, variable: Option<&OsString>, at_home: &str) -> Option<PathBuf> {
        let named = from_url.map(Path::to_owned).or_else(|| variable.map(PathBuf::from));
        named.or_else(|| {
            let file = self.home.as_ref()?.join(".postgresql").join(at_home);
            file.exists().then_some(file)
        })
    }
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootCerts {
    /// The certificates of a file.
    File(PathBuf),
    /// The public authorities: the platform's and Mozilla's.
    System,
    /// Nobody was named.
    None,
}

impl RootCerts {
    pub fn find(options: &TlsOptions, environment: &Environment) -> Self {
        match environment.choose(options.root_cert.as_deref(), environment.root_cert.as_ref(), "root.crt") {
            Some(file) if file.as_os_str() == "system" => Self::System,
            Some(file) => Self::File(file),
            // libpq would refuse; the public authorities and the host's name are what such a URL means.
            None if options.mode == SslMode::VerifyFull => Self::System,
            None => Self::None,
        }
    }

    /// As libpq's `sslrootcert`.
    pub fn as_libpq(&self) -> Option<PathBuf> {
        match self {
            Self::File(file) => Some(file.clone()),
            Self::System => Some(PathBuf::from("system")),
            Self::None => None,
        }
    }
}

/// What is wrong with a PEM file, without the type's name.
pub(super) fn plain(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(io) => io.to_string(),
        pem::Error::NoItemsFound => "it holds none in PEM form".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PgUrl;

    fn options(query: &str) -> TlsOptions {
        let url: PgUrl = format!("postgres://u@h/db{query}").parse().expect("a URL");
        url.tls
    }

    #[test]
    fn root_certificates_come_from_the_url_then_the_variable_then_home() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join(".postgresql/root.crt");
        std::fs::create_dir(file.parent().expect("below home")).expect("a folder");
        std::fs::write(&file, "").expect("a file");
        let with_home = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        let with_both = Environment { root_cert: Some("/env.crt".into()), ..with_home.clone() };
        let with_system = Environment { root_cert: Some("system".into()), ..with_home.clone() };
        let bare = Environment::default();
        let named = |path: &str| RootCerts::File(path.into());
        let check = |query: &str, environment: &Environment, expect: RootCerts| {
            assert_eq!(RootCerts::find(&options(query), environment), expect, "{query}");
        };
        check("?sslmode=verify-ca&sslrootcert=/url.crt", &with_both, named("/url.crt"));
        check("?sslmode=require", &with_both, named("/env.crt"));
        check("?sslmode=require", &with_home, RootCerts::File(file));
        check("?sslmode=require", &bare, RootCerts::None);
        check("?sslmode=verify-ca", &bare, RootCerts::None);
        check("?sslmode=verify-full", &bare, RootCerts::System);
        check("?sslmode=verify-full", &with_system, RootCerts::System);
        check("?sslrootcert=system", &with_both, RootCerts::System);
    }
}
