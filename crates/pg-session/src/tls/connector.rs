//! Notes whether a connection came to use TLS, which with `sslmode=prefer` is the server's choice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// An encrypted connection.
pub(crate) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

type Inner = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Makes connections, each clone its own.
pub(crate) struct Connector {
    inner: MakeRustlsConnect,
    used: Arc<AtomicBool>,
}

/// One connection's handshake, which is only begun when the server agreed to TLS.
pub(crate) struct Handshake {
    inner: Inner,
    used: Arc<AtomicBool>,
}

impl Connector {
    pub fn new(inner: MakeRustlsConnect) -> Self {
        Self { inner, used: Arc::default() }
    }

    /// For one connection, with what will tell whether it used TLS.
    pub fn for_one(&self) -> (Self, Arc<AtomicBool>) {
        let one = Self::new(self.inner.clone());
        let used = Arc::clone(&one.used);
        (one, used)
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, io::Error> {
        let Ok(inner) = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.inner, host);
        Ok(Handshake { inner, used: Arc::clone(&self.used) })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Stream;
    type Error = io::Error;
    type Future = <Inner as TlsConnect<Socket>>::Future;

    fn connect(self, stream: Socket) -> Self::Future {
        self.used.store(true, Ordering::Release);
        self.inner.connect(stream)
    }
}
