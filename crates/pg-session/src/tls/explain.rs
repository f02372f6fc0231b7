//! What a failed handshake means, in words, and what to do about it.

use rustls::{AlertDescription, CertificateError, Error};

/// Reason and advice for a TLS error somewhere below `error`; `None` when there is none.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<(String, String)> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(words(tls));
        }
        // An io::Error does not give what it wraps as its source, but as what it wraps.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn words(error: &Error) -> (String, String) {
    let (reason, advice) = match error {
        Error::InvalidCertificate(problem) => return certificate(problem),
        Error::AlertReceived(alert) => return (format!("the server refused ours: {alert:?}"), refused(*alert).into()),
        Error::PeerIncompatible(_) => (
            format!("no common version or cipher ({error})"),
            "TLS 1.2 and 1.3 are spoken; see ssl_min_protocol_version and ssl_ciphers of the server",
        ),
        Error::InvalidMessage(_) => (
            "what answers there speaks no TLS".into(),
            "check the port; sslnegotiation=direct needs PostgreSQL 17 or newer",
        ),
        other => (other.to_string(), "check sslmode and sslrootcert in the URL"),
    };
    (reason, advice.into())
}

fn refused(alert: AlertDescription) -> &'static str {
    use AlertDescription::*;
    match alert {
        UnknownCA | BadCertificate | CertificateUnknown | UnsupportedCertificate => {
            "the server does not trust the client certificate; have it issued by the server's ssl_ca_file"
        }
        CertificateExpired | CertificateRevoked => "renew the client certificate (sslcert)",
        CertificateRequired => "the server wants a client certificate; name it with sslcert and sslkey",
        ProtocolVersion => {
            "TLS 1.2 and 1.3 are spoken; see ssl_min_protocol_version and ssl_max_protocol_version of the server"
        }
        NoApplicationProtocol => "leave out sslnegotiation=direct; the server knows it from PostgreSQL 17 on",
        UnrecognisedName => "the server knows no such host; check the host name",
        _ => "see the server's log for its reason",
    }
}

fn certificate(problem: &CertificateError) -> (String, String) {
    let (reason, advice) = match problem {
        CertificateError::UnknownIssuer => (
            "its certificate is not signed by an authority we trust".into(),
            "name the authority's certificate (the provider's dashboard has it) with sslrootcert=FILE; if the \
             authority is right, the server does not send its intermediate certificates",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            match problem {
                CertificateError::ExpiredContext { time, not_after } => {
                    format!("its certificate has expired {} ago", length(time.as_secs().abs_diff(not_after.as_secs())))
                }
                _ => "its certificate has expired".into(),
            },
            "have the server's certificate renewed, and check this machine's clock",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            match problem {
                CertificateError::NotValidYetContext { time, not_before } => format!(
                    "its certificate is not valid before {} from now",
                    length(not_before.as_secs().abs_diff(time.as_secs()))
                ),
                _ => "its certificate is not valid yet".into(),
            },
            "check this machine's clock; else the server's certificate is not in force yet",
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                (
                    format!("its certificate names no host at all where {expected} should be (subjectAltName)"),
                    "a name in the certificate's CN alone does not count: have it issued with a subjectAltName, or, \
                     with sslrootcert=FILE of an authority that signs for this server only, use sslmode=verify-ca",
                )
            } else {
                (
                    format!("its certificate is for {}, not for {expected}", names(presented)),
                    "connect by a name the certificate has, or, with sslrootcert=FILE of an authority that signs for \
                     this server only, use sslmode=verify-ca",
                )
            }
        }
        CertificateError::Other(error) if error.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) => (
            "its certificate is its own authority, and not one we trust".into(),
            "name that very certificate with sslrootcert=FILE",
        ),
        CertificateError::Other(error) if error.0.downcast_ref() == Some(&webpki::Error::UnsupportedCertVersion) => (
            "its certificate is of X.509 version 1, which can hold no host name".into(),
            "have it issued as version 3 with a subjectAltName",
        ),
        CertificateError::BadSignature => (
            "its certificate is not signed by the authority it names".into(),
            "name the right authority's certificate with sslrootcert=FILE",
        ),
        other => (format!("its certificate is refused: {other}"), "have the server's certificate issued anew"),
    };
    (reason, advice.into())
}

/// `DnsName("a.example")` and `IpAddress(192.0.2.1)`, as webpki lists them, without the kinds.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.map_or_else(|| name.clone(), |inner| inner.trim_matches('"').to_owned())
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn length(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
