//! TLS as libpq means its `sslmode`, on rustls.

mod client_cert;
mod connector;
mod explain;
mod files;
mod verify;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) use connector::{Connector, Stream};
pub(crate) use explain::explain;
pub(crate) use files::{Environment, RootCerts};
use verify::{Trust, Verifier};

use crate::url::{SslMode, TlsOptions};

/// A connector for one URL. The reason of a failure names the certificate file, never a secret.
pub(crate) fn connector(options: &TlsOptions, environment: &Environment) -> Result<Connector, String> {
    let provider = Arc::new(ring::default_provider());
    let roots = RootCerts::find(options, environment);
    let trust = match (options.mode, &roots) {
        (SslMode::VerifyFull, _) => Trust::ChainAndName,
        (SslMode::VerifyCa, RootCerts::File(_)) => Trust::Chain,
        (SslMode::VerifyCa, _) => {
            return Err(
                "sslmode=verify-ca needs to know whom to trust: name the authority's certificate with sslrootcert=FILE \
                 (any public authority would do otherwise; for those use sslmode=verify-full)"
                    .into(),
            );
        }
        // libpq: a weaker mode with a root certificate checks the chain.
        (_, RootCerts::File(_)) => Trust::Chain,
        (SslMode::Require, RootCerts::System) if options.root_cert.is_none() => {
            return Err("sslmode=require is too weak for PGSSLROOTCERT=system; use sslmode=verify-full".into());
        }
        _ => Trust::Nothing,
    };
    let (store, pinned) = match trust {
        Trust::Nothing => (None, Vec::new()),
        Trust::Chain | Trust::ChainAndName => {
            let (store, pinned) = trusted(&roots)?;
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                .build()
                .map_err(|e| format!("no usable trusted certificate: {e}"))?;
            (Some(inner), pinned)
        }
    };
    let verifier = Verifier { trust, inner: store, pinned, provider: provider.clone() };
    let versions: &[_] = if options.tls13_only { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_cert::read(options, environment)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| format!("the client certificate and its key do not fit together: {e}"))?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = options.sni;
    if options.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Connector::new(MakeRustlsConnect::new(config)))
}

/// The authorities, and (from a file) their certificates as they stand, for a server that shows one of them itself.
fn trusted(roots: &RootCerts) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
    let mut store = RootCertStore::empty();
    let RootCerts::File(path) = roots else {
        store.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok((store, Vec::new()));
    };
    let mut pinned = Vec::new();
    let certs = CertificateDer::pem_file_iter(path)
        .map_err(|e| format!("cannot read the root certificate {}: {}", path.display(), files::plain(&e)))?;
    for cert in certs {
        let cert = cert.map_err(|e| format!("the root certificate {} is not PEM: {e}", path.display()))?;
        pinned.push(cert.clone());
        store.add(cert).map_err(|e| format!("the root certificate {}: {e}", path.display()))?;
    }
    if pinned.is_empty() {
        return Err(format!("the root certificate {} holds no certificate in PEM form", path.display()));
    }
    Ok((store, pinned))
}
