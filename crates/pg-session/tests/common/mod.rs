//! Certificates made on the spot, and Debian's PostgreSQL 15, which is built with TLS (the sandbox's own is not).

#![allow(dead_code)] // each test file uses its own part
#![allow(clippy::print_stderr)] // a test that cannot run says so

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use pg_sandbox::{PgInstall, PgServer};
use pg_session::{Access, PgUrl, Session, SessionError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType, SignatureAlgorithm,
};

/// The name that certificates of these tests are for; the address is given beside it.
pub const NAME: &str = "db.example.test";

/// A certificate and its key in PEM form.
#[derive(Clone)]
pub struct Pem {
    pub cert: String,
    pub key: String,
}

/// An authority.
pub struct Authority {
    pub cert: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate says.
pub struct Leaf {
    pub names: Vec<SanType>,
    pub common_name: &'static str,
    /// First and last year in which it is valid.
    pub years: (i32, i32),
}

impl Leaf {
    /// For [`NAME`], valid now.
    pub fn good() -> Self {
        Self { names: vec![dns(NAME)], common_name: "server", years: (2020, 2090) }
    }
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a host name is ASCII"))
}

pub fn loopback() -> SanType {
    SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A key for one signature algorithm. `ring` makes no RSA keys, so those come from openssl, which comes with Debian's
/// server.
pub fn key_for(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    if let Ok(key) = KeyPair::generate_for(algorithm) {
        return key;
    }
    static RSA: LazyLock<String> = LazyLock::new(|| {
        let output = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("openssl runs");
        String::from_utf8(output.stdout).expect("PEM is ASCII")
    });
    KeyPair::from_pem_and_sign_algo(&RSA, algorithm).expect("an RSA key")
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::signing_with(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// Its certificates' signatures, and so the hash that channels are bound with, are of this kind.
    pub fn signing_with(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let (params, key) = (authority_params(name), key_for(algorithm));
        let cert = params.self_signed(&key).expect("signed").pem();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    /// An authority below this one; its `cert` is signed by this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority_params(name), key_for(&rcgen::PKCS_ECDSA_P256_SHA256));
        let cert = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, leaf: Leaf) -> Pem {
        let key = key_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        let cert = leaf.params().signed_by(&key, &self.issuer).expect("signed").pem();
        Pem { cert, key: key.serialize_pem() }
    }
}

impl Leaf {
    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names = self.names;
        params.distinguished_name = named(self.common_name);
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        params
    }

    /// Signed by its own key; as an authority of its own, as `openssl req -x509` makes them, or as a mere leaf.
    pub fn self_signed(self, is_authority: bool) -> Pem {
        let mut params = self.params();
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = key_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        Pem { cert: params.self_signed(&key).expect("signed").pem(), key: key.serialize_pem() }
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A server with TLS, and a folder for the files that URLs name.
pub struct TlsServer {
    pub server: PgServer,
    pub files: tempfile::TempDir,
}

impl TlsServer {
    /// `None`, said aloud, where no PostgreSQL with TLS is installed.
    pub fn start(authority: &Authority, leaf: &Pem) -> Option<Self> {
        let Ok(install) = PgInstall::find(Some(15)) else {
            eprintln!(
                "SKIPPED: PostgreSQL 15 of the distribution, which has TLS, is not installed (apt install postgresql-15)"
            );
            return None;
        };
        let server = PgServer::builder().install(install).start().expect("the server starts");
        server.psql("postgres", "create role app login password 'app'").expect("a role");
        let mut this = Self { server, files: tempfile::tempdir().expect("a folder") };
        this.serve(leaf, &authority.cert, &[("ssl", "on")], "host all app 127.0.0.1/32 scram-sha-256");
        Some(this)
    }

    /// Starts it anew with a certificate, an authority for clients, settings, and rules for the role `app`.
    pub fn serve(&mut self, leaf: &Pem, client_authority: &str, settings: &[(&str, &str)], rules: &str) {
        let write = |name: &str, text: &str| self.server.write_file(name, text).expect("a file");
        write("server.crt", &leaf.cert);
        write("server.key", &leaf.key);
        write("clients.crt", client_authority);
        write("pg_hba.conf", &format!("host all postgres 127.0.0.1/32 scram-sha-256\n{rules}\n"));
        let lines: String = settings.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        write("postgresql.auto.conf", &format!("ssl_ca_file = 'clients.crt'\n{lines}"));
        self.server.restart().expect("the server starts again");
    }

    /// The path of a file with this text, readable by us alone.
    pub fn file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path: PathBuf = self.files.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        path.to_str().expect("a temporary folder's name is UTF-8").to_owned()
    }

    /// The role `app` at `host`, wherever that name may point: the address is given beside it.
    pub fn url(&self, host: &str, query: &str) -> PgUrl {
        let port = self.server.port();
        format!("postgresql://app:app@{host}:{port}/postgres?hostaddr=127.0.0.1&{query}").parse().expect("a URL")
    }

    /// How that URL ends up connected: `clear`, or the version of TLS; a failure as message and hint.
    pub async fn outcome(&self, host: &str, query: &str) -> Result<String, String> {
        encryption(&self.url(host, query)).await.map_err(|e| format!("{e} / {}", e.hint()))
    }
}

/// What the server says of a connection: `clear`, or the version of TLS.
pub async fn encryption(url: &PgUrl) -> Result<String, SessionError> {
    let session = Session::connect(url, Access::ReadOnly).await?;
    let sql = "select coalesce(version, 'clear') from pg_stat_ssl where pid = pg_backend_pid()";
    let row = session.query_one(sql, &[]).await.map_err(|e| session.error(&e))?;
    let seen: String = row.get(0);
    assert_eq!(session.is_encrypted(), seen != "clear", "we know as much as the server does");
    Ok(seen)
}

/// Compares an outcome with `TLS`, `clear`, or a piece of the refusal.
pub fn assert_outcome(what: &str, outcome: &Result<String, String>, expect: &str) {
    let fits = match (outcome, expect) {
        (Ok(version), "TLS") => version.starts_with("TLSv1."),
        (Ok(version), expect) => version == expect,
        (Err(message), expect) => !matches!(expect, "TLS" | "clear") && message.contains(expect),
    };
    assert!(fits, "{what}: expected {expect}, got {outcome:?}");
}
