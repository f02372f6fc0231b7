//! The client's own certificate and key.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

use crate::tls::files::{Environment, plain};
use crate::url::TlsOptions;

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Both, or neither; a certificate without its key is an error.
pub(super) fn read(options: &TlsOptions, environment: &Environment) -> Result<Option<Pair>, String> {
    let Some(cert_file) = environment.client_cert(options) else { return Ok(None) };
    let Some(key_file) = environment.client_key(options) else {
        return Err(format!("the client certificate {} has no key; name it with sslkey", cert_file.display()));
    };
    let named =
        |file: &Path, what: &str, e: &pem::Error| format!("cannot read the {what} {}: {}", file.display(), plain(e));
    let chain = CertificateDer::pem_file_iter(&cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| named(&cert_file, "client certificate", &e))?;
    if chain.is_empty() {
        return Err(format!("the client certificate {} holds none in PEM form", cert_file.display()));
    }
    let meta =
        std::fs::metadata(&key_file).map_err(|e| format!("cannot read the client key {}: {e}", key_file.display()))?;
    if is_exposed(&meta) {
        return Err(format!(
            "the client key {} can be read by others (mode {:04o}); run: chmod 0600 {}",
            key_file.display(),
            meta.mode() & 0o7777,
            key_file.display()
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&key_file).map_err(|e| match e {
        pem::Error::NoItemsFound => format!(
            "the client key {} holds no private key in plain PEM form; an encrypted one is decrypted with openssl pkey",
            key_file.display()
        ),
        e => named(&key_file, "client key", &e),
    })?;
    Ok(Some((chain, key)))
}

/// libpq's rule: nothing for group and others; a file of root's may be read by its group.
fn is_exposed(meta: &Metadata) -> bool {
    exposed(meta.mode(), meta.uid() == 0)
}

fn exposed(mode: u32, is_roots: bool) -> bool {
    mode & if is_roots { 0o037 } else { 0o077 } != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone() {
        for (mode, is_roots, expect) in [
            (0o600, false, false),
            (0o400, false, false),
            (0o640, false, true),
            (0o604, false, true),
            (0o640, true, false),
            (0o660, true, true),
            (0o644, true, true),
        ] {
            assert_eq!(exposed(mode, is_roots), expect, "{mode:o} root's {is_roots}");
        }
    }
}
