//! `sslmode` of every kind, certificates good and bad, client certificates and channel binding, against a real server.

mod common;

use common::{Authority, Leaf, NAME, Pem, TlsServer, assert_outcome, dns, loopback};

#[tokio::test]
async fn every_sslmode_against_every_kind_of_server() {
    let authority = Authority::new("Root");
    let leaf = authority.issue(Leaf { names: vec![dns(NAME), loopback()], ..Leaf::good() });
    let Some(mut tls) = TlsServer::start(&authority, &leaf) else { return };
    let root = tls.file("root.crt", &authority.cert);
    let no_tls = "offers no TLS";
    let refused = "no pg_hba.conf entry";
    let servers = [
        // ssl, pg_hba.conf, and what becomes of disable, allow, prefer, require, verify-ca, verify-full
        ("on", "host", ["clear", "clear", "TLS", "TLS", "TLS", "TLS"]),
        ("off", "host", ["clear", "clear", "clear", no_tls, no_tls, no_tls]),
        ("on", "hostssl", ["add sslmode=require", "TLS", "TLS", "TLS", "TLS", "TLS"]),
        ("on", "hostnossl", ["clear", "clear", "clear", refused, refused, refused]),
        ("on", "# no", [refused; 6]),
        ("off", "# no", [refused, refused, refused, no_tls, no_tls, no_tls]),
    ];
    for (ssl, kind, expected) in servers {
        tls.serve(&leaf, &authority.cert, &[("ssl", ssl)], &format!("{kind} all app 127.0.0.1/32 scram-sha-256"));
        for (mode, expect) in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"].iter().zip(expected)
        {
            let query = if mode.starts_with("verify") { format!("sslrootcert={root}&") } else { String::new() };
            let outcome = tls.outcome(NAME, &format!("{query}sslmode={mode}")).await;
            assert_outcome(&format!("{mode} with ssl {ssl}, {kind}"), &outcome, expect);
        }
    }
}

/// What a certificate is, itself, and for some hosts and root certificates the outcome of verify-full.
type Case<'a> = (&'a str, Pem, &'a [(&'a str, &'a str, &'a str)]);

#[tokio::test]
async fn certificates_are_checked_as_the_mode_says() {
    let authority = Authority::new("Root");
    let good = authority.issue(Leaf { names: vec![dns(NAME), loopback()], ..Leaf::good() });
    let Some(mut tls) = TlsServer::start(&authority, &good) else { return };
    let (root, wrong) = (tls.file("root.crt", &authority.cert), tls.file("wrong.crt", &Authority::new("Other").cert));
    let below = authority.intermediate("Below");
    let chained = below.issue(Leaf::good());
    let with_chain = Pem { cert: chained.cert.clone() + &below.cert, key: chained.key.clone() };
    let own = Leaf::good().self_signed(false);
    let own_authority = Leaf::good().self_signed(true);
    let stale_authority = Leaf { years: (2001, 2002), ..Leaf::good() }.self_signed(true);
    let own_file = tls.file("own.crt", &own.cert);
    let own_authority_file = tls.file("own-authority.crt", &own_authority.cert);
    let stale_file = tls.file("stale.crt", &stale_authority.cert);
    let no_pem = tls.file("no-pem.crt", "nothing of the kind");
    let untrusted = "not signed by an authority we trust";
    let cases: [Case; 10] = [
        (
            "name and address",
            good,
            &[
                (NAME, &root, "TLS"),
                ("127.0.0.1", &root, "TLS"),
                ("other.example.test", &root, "is for db.example.test, 127.0.0.1, not for other.example.test"),
                ("127.0.0.2", &root, "not for 127.0.0.2"),
                (NAME, &wrong, untrusted),
                (NAME, "system", untrusted),
                (NAME, "/nowhere/root.crt", "cannot read the root certificate /nowhere/root.crt"),
                (NAME, &no_pem, "no certificate in PEM form"),
            ],
        ),
        (
            "name only",
            authority.issue(Leaf::good()),
            &[(NAME, &root, "TLS"), ("127.0.0.1", &root, "not for 127.0.0.1")],
        ),
        (
            "wildcard",
            authority.issue(Leaf { names: vec![dns("*.example.test")], ..Leaf::good() }),
            &[(NAME, &root, "TLS"), ("a.b.example.test", &root, "not for a.b.example.test")],
        ),
        (
            "CN only",
            authority.issue(Leaf { names: Vec::new(), common_name: NAME, ..Leaf::good() }),
            &[(NAME, &root, "in the certificate's CN alone does not count")],
        ),
        (
            "expired",
            authority.issue(Leaf { years: (2020, 2021), ..Leaf::good() }),
            &[(NAME, &root, "certificate has expired")],
        ),
        (
            "not yet valid",
            authority.issue(Leaf { years: (2080, 2090), ..Leaf::good() }),
            &[(NAME, &root, "check this machine's clock")],
        ),
        ("chain without its intermediate", chained, &[(NAME, &root, "does not send its intermediate")]),
        ("chain", with_chain, &[(NAME, &root, "TLS"), (NAME, &wrong, untrusted)]),
        (
            "self-signed",
            own,
            &[(NAME, &own_file, "TLS"), (NAME, &root, untrusted), ("x.test", &own_file, "not for x.test")],
        ),
        (
            "self-signed authority",
            own_authority,
            &[
                (NAME, &own_authority_file, "TLS"),
                (NAME, &root, "name that very certificate"),
                ("x.test", &own_authority_file, "not for x.test"),
            ],
        ),
    ];
    let rules = "host all app 127.0.0.1/32 scram-sha-256";
    for (what, leaf, checks) in cases {
        tls.serve(&leaf, &authority.cert, &[("ssl", "on")], rules);
        for (host, root, expect) in checks {
            let outcome = tls.outcome(host, &format!("sslmode=verify-full&sslrootcert={root}")).await;
            assert_outcome(&format!("verify-full of {what} at {host}"), &outcome, expect);
            // The name is all that verify-ca leaves out, and `require` with an authority is the same.
            let is_name = expect.contains("not for") || expect.contains("CN alone");
            for mode in ["sslmode=verify-ca&", "sslmode=require&", ""].iter().filter(|_| *root != "system") {
                let outcome = tls.outcome(host, &format!("{mode}sslrootcert={root}")).await;
                assert_outcome(&format!("{mode} of {what} at {host}"), &outcome, if is_name { "TLS" } else { expect });
            }
        }
        // Nobody named to trust: nothing is checked, or it is not possible to check.
        assert_outcome(what, &tls.outcome(NAME, "sslmode=require").await, "TLS");
        assert_outcome(what, &tls.outcome(NAME, "sslmode=verify-ca").await, "name the authority's certificate");
    }
    tls.serve(&stale_authority, &authority.cert, &[("ssl", "on")], rules);
    let stale = tls.outcome(NAME, &format!("sslmode=verify-full&sslrootcert={stale_file}")).await;
    assert_outcome("an expired self-signed authority", &stale, "certificate has expired");
    // libpq: what `prefer` can't verify it does without.
    assert_outcome("prefer", &tls.outcome(NAME, &format!("sslmode=prefer&sslrootcert={root}")).await, "clear");
}

#[tokio::test]
async fn client_certificates_are_shown_when_they_are_safe_to_use() {
    let authority = Authority::new("Root");
    let good = authority.issue(Leaf::good());
    let Some(mut tls) = TlsServer::start(&authority, &good) else { return };
    tls.serve(&good, &authority.cert, &[("ssl", "on")], "hostssl all app 127.0.0.1/32 cert");
    let person = |common_name| Leaf { names: Vec::new(), common_name, ..Leaf::good() };
    let (ours, other, foreign) = (
        authority.issue(person("app")),
        authority.issue(person("somebody")),
        Authority::new("Elsewhere").issue(person("app")),
    );
    let files = |name: &str, pem: &Pem| {
        let (cert, key) = (tls.file(&format!("{name}.crt"), &pem.cert), tls.file(&format!("{name}.key"), &pem.key));
        format!("sslmode=require&sslcert={cert}&sslkey={key}")
    };
    let exposed = files("exposed", &ours);
    set_mode(&tls, "exposed.key", 0o644);
    let mixed = format!("{}&sslkey={}", files("ours", &ours), tls.file("mixed.key", &other.key));
    let encrypted =
        tls.file("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n");
    for (what, query, expect) in [
        ("ours", files("ours", &ours), "TLS"),
        ("none", "sslmode=require".to_owned(), "sslcert=FILE&sslkey=FILE"),
        ("somebody else's", files("other", &other), "certificate authentication failed for user \"app\""),
        ("a foreign authority's", files("foreign", &foreign), "does not trust the client certificate"),
        ("a key that others can read", exposed, "chmod 0600"),
        ("a key of another certificate", mixed, "do not fit together"),
        ("an encrypted key", format!("{}&sslkey={encrypted}", files("ours", &ours)), "openssl pkey"),
        ("a missing file", "sslmode=require&sslcert=/nowhere.crt&sslkey=/nowhere.key".to_owned(), "/nowhere.crt"),
    ] {
        assert_outcome(what, &tls.outcome(NAME, &query).await, expect);
    }
}

#[tokio::test]
async fn passwords_are_bound_to_the_channel() {
    let authority = Authority::new("Root");
    let Some(mut tls) = TlsServer::start(&authority, &authority.issue(Leaf::good())) else { return };
    tls.server.psql("postgres", "set password_encryption = md5; create role old login password 'app'").expect("a role");
    let unbound = "not bound to its certificate";
    let scram = "host all app 127.0.0.1/32 scram-sha-256";
    // What the certificate is signed with decides on the hash; Ed25519 has none.
    for (algorithm, expect) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "TLS"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "TLS"),
        (&rcgen::PKCS_RSA_SHA256, "TLS"),
        (&rcgen::PKCS_RSA_SHA384, "TLS"),
        (&rcgen::PKCS_RSA_SHA512, "TLS"),
        (&rcgen::PKCS_ED25519, unbound),
    ] {
        let authority = Authority::signing_with("Root", algorithm);
        tls.serve(&authority.issue(Leaf::good()), &authority.cert, &[("ssl", "on")], scram);
        for (binding, expect) in [("require", expect), ("prefer", "TLS"), ("disable", "TLS")] {
            let outcome = tls.outcome(NAME, &format!("sslmode=require&channel_binding={binding}")).await;
            assert_outcome(&format!("{binding} with {algorithm:?}"), &outcome, expect);
        }
    }
    // A server that wants less than a bound proof, or that takes anybody, is no partner for `require`.
    let leaf = authority.issue(Leaf::good());
    for (method, expect) in [("md5", unbound), ("password", unbound), ("trust", unbound), ("scram-sha-256", "TLS")] {
        tls.serve(&leaf, &authority.cert, &[("ssl", "on")], &format!("host all app,old 127.0.0.1/32 {method}"));
        // md5 in pg_hba.conf means SCRAM for a password that is stored so.
        let user = if method == "md5" { "user=old&" } else { "" };
        let outcome = tls.outcome(NAME, &format!("{user}sslmode=require&channel_binding=require")).await;
        assert_outcome(method, &outcome, expect);
        assert_outcome(method, &tls.outcome(NAME, &format!("{user}sslmode=require")).await, "TLS");
        assert_outcome(
            method,
            &tls.outcome(NAME, &format!("{user}sslmode=disable&channel_binding=prefer")).await,
            "clear",
        );
    }
    tls.serve(&leaf, &authority.cert, &[("ssl", "off")], scram);
    let outcome = tls.outcome(NAME, "sslmode=prefer&channel_binding=require").await;
    assert_outcome("a server without TLS", &outcome, unbound);
}

#[tokio::test]
async fn speaks_tls_1_2_and_1_3() {
    let authority = Authority::new("Root");
    let leaf = authority.issue(Leaf::good());
    let Some(mut tls) = TlsServer::start(&authority, &leaf) else { return };
    let root = tls.file("root.crt", &authority.cert);
    let (old, new) = ("ssl_max_protocol_version", "ssl_min_protocol_version");
    for (setting, version, ours, expect) in [
        (old, "TLSv1.2", "", "TLSv1.2"),
        (new, "TLSv1.3", "", "TLSv1.3"),
        (old, "TLSv1.2", "&ssl_min_protocol_version=TLSv1.3", "TLS 1.2 and 1.3 are spoken"),
    ] {
        let settings = [("ssl", "on"), (setting, version)];
        tls.serve(&leaf, &authority.cert, &settings, "hostssl all app 127.0.0.1/32 scram-sha-256");
        let query = format!("sslmode=verify-full&sslrootcert={root}&channel_binding=require{ours}");
        assert_outcome(version, &tls.outcome(NAME, &query).await, expect);
    }
}

fn set_mode(tls: &TlsServer, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(tls.files.path().join(name), permissions).expect("its mode");
}
