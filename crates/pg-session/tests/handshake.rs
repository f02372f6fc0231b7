//! What we say while shaking hands: the host's name, and TLS from the first byte. The server is ours, with TLS ended
//! in front of a PostgreSQL without it.

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use common::{Authority, Leaf, NAME, loopback};
use pg_sandbox::{PgInstall, PgServer};
use pg_session::{Access, PgUrl, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// What a client said first.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    server_name: Option<String>,
    protocols: Vec<String>,
    direct: bool,
}

/// Ends TLS before the server at `behind`; tells what each client said.
async fn front(behind: u16, config: ServerConfig) -> (u16, Receiver<Greeting>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let (sender, receiver) = channel();
    let config = Arc::new(config);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (sender, config) = (sender.clone(), Arc::clone(&config));
            tokio::spawn(async move {
                let mut first = [0; 8];
                stream.peek(&mut first).await.expect("a first byte");
                let direct = first[0] == 0x16; // a TLS record, no SSLRequest
                if !direct {
                    stream.read_exact(&mut first).await.expect("SSLRequest");
                    stream.write_all(b"S").await.expect("agreed");
                }
                let hello = LazyConfigAcceptor::new(Default::default(), stream).await.expect("a ClientHello");
                let said = hello.client_hello();
                let protocols = said.alpn().into_iter().flatten().map(|p| String::from_utf8_lossy(p).into_owned());
                let server_name = said.server_name().map(str::to_owned);
                let greeting = Greeting { server_name, protocols: protocols.collect(), direct };
                drop(sender.send(greeting)); // the test may be over
                let mut client = hello.into_stream(config).await.expect("hands are shaken");
                let mut server = TcpStream::connect(("127.0.0.1", behind)).await.expect("the server");
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await); // either may hang up
            });
        }
    });
    (port, receiver)
}

#[tokio::test]
async fn the_host_is_named_and_direct_tls_says_its_protocol() {
    let install = PgInstall::find(Some(18)).expect("PostgreSQL can be obtained");
    let server = PgServer::builder().install(install).superuser_password("sekret").start().expect("a server starts");
    let authority = Authority::new("Root");
    let leaf = authority.issue(Leaf { names: vec![common::dns(NAME), loopback()], ..Leaf::good() });
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root.crt");
    std::fs::write(&root, &authority.cert).expect("a file");
    let chain = vec![CertificateDer::from_pem_slice(leaf.cert.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("PEM");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let (port, greetings) = front(server.port(), config).await;
    let name = Some(NAME);
    for (host, query, server_name, protocols, direct) in [
        (NAME, "", name, &[][..], false),
        (NAME, "&sslsni=0", None, &[], false),
        ("127.0.0.1", "", None, &[], false),
        (NAME, "&sslnegotiation=direct", name, &["postgresql"], true),
        ("127.0.0.1", "&sslnegotiation=direct", None, &["postgresql"], true),
    ] {
        let url: PgUrl = format!(
            "postgresql://postgres:sekret@{host}:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={}{query}",
            root.display()
        )
        .parse()
        .expect("a URL");
        let session = Session::connect(&url, Access::ReadOnly).await.unwrap_or_else(|e| panic!("{host}{query}: {e}"));
        assert_eq!(session.major(), 18);
        let expect = Greeting {
            server_name: server_name.map(str::to_owned),
            protocols: protocols.iter().map(|p| (*p).to_owned()).collect(),
            direct,
        };
        assert_eq!(greetings.recv().expect("a greeting"), expect, "{host}{query}");
    }
    // A server that does not know it (before PostgreSQL 17, or without TLS) hangs up or says something else.
    let url = format!(
        "postgresql://postgres:sekret@127.0.0.1:{}/postgres?sslnegotiation=direct&connect_timeout=2",
        server.port()
    );
    let error = Session::connect(&url.parse().expect("a URL"), Access::ReadOnly).await.err().expect("no TLS there");
    assert!(error.hint().contains("sslnegotiation=direct needs PostgreSQL 17"), "{error} / {}", error.hint());
}
