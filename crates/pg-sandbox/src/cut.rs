//! A TCP proxy that breaks a connection at one exact moment: before certain bytes reach the server, or when the server
//! has acted on them and its answer is under way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::SandboxError;

/// On which side of the bytes the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// The server never sees them.
    BeforeThem,
    /// The server has answered them, and the client never learns.
    TheirAnswer,
}

/// Listens on a port of 127.0.0.1 and forwards to another, until the bytes come by for the first time; that connection
/// breaks, and all later ones are forwarded whatever they carry.
#[derive(Debug)]
pub struct CutProxy {
    port: u16,
    was_cut: Arc<AtomicBool>,
}

struct Cut {
    bytes: Vec<u8>,
    at: CutAt,
    was_cut: Arc<AtomicBool>,
}

impl CutProxy {
    /// Starts one in front of `port`. Its threads end with its connections, the listening one with the process.
    pub fn start(port: u16, bytes: &[u8], at: CutAt) -> Result<Self, SandboxError> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| Ok((l.local_addr()?.port(), l)));
        let (own_port, listener) = listening.map_err(SandboxError::io("listen on", Path::new("127.0.0.1")))?;
        let was_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::new(Cut { bytes: bytes.to_vec(), at, was_cut: Arc::clone(&was_cut) });
        thread::spawn(move || {
            // A client that is gone, or a server that refuses, is seen by the client as a closed connection.
            for client in listener.incoming().flatten() {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                if let Ok(server) = TcpStream::connect(to) {
                    let cut = Arc::clone(&cut);
                    thread::spawn(move || serve(&client, &server, &cut));
                }
            }
        });
        Ok(Self { port: own_port, was_cut })
    }

    /// The port to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the moment has come.
    pub fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Acquire)
    }
}

/// One connection: its own thread watches what the client sends, a second passes on what the server answers.
fn serve(client: &TcpStream, server: &TcpStream, cut: &Cut) {
    let answer_is_lost = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (server, client);
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if answer_is_lost.load(Ordering::Acquire) || to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            close(client, server);
        });
        let (mut from, mut to) = (client, server);
        let mut buffer = vec![0; 64 * 1024];
        // The bytes may come in two pieces: enough of the last piece is kept to notice.
        let mut kept: Vec<u8> = Vec::new();
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..read]);
            let found = kept.windows(cut.bytes.len()).any(|window| window == cut.bytes);
            kept.drain(..kept.len().saturating_sub(cut.bytes.len() - 1));
            if found && !cut.was_cut.swap(true, Ordering::AcqRel) {
                if cut.at == CutAt::BeforeThem {
                    break;
                }
                answer_is_lost.store(true, Ordering::Release);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        if !answer_is_lost.load(Ordering::Acquire) {
            close(client, server);
        }
    });
}

fn close(client: &TcpStream, server: &TcpStream) {
    for end in [client, server] {
        let _ = end.shutdown(Shutdown::Both); // fails when it is closed already
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// What a server sees and a client hears when "commit" goes by, in two pieces.
    fn check(at: CutAt, server_sees: &[u8], client_hears: &[u8]) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = CutProxy::start(listener.local_addr().unwrap().port(), b"commit", at).unwrap();
        let (saw, seen) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            let mut buffer = [0; 100];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                all.extend_from_slice(&buffer[..read]);
                let _ = stream.write_all(b"."); // fails when the proxy has cut
            }
            saw.send(all).unwrap();
        });
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        client.set_nodelay(true).unwrap();
        client.write_all(b"begin com").unwrap();
        let mut heard = vec![0; 1];
        client.read_exact(&mut heard).unwrap();
        client.write_all(b"mit").unwrap();
        let _ = client.read_to_end(&mut heard); // ends with the connection, orderly or not
        drop(client);
        assert_eq!((seen.recv().unwrap().as_slice(), heard.as_slice()), (server_sees, client_hears), "{at:?}");
        assert!(proxy.was_cut());
    }

    #[test]
    fn cuts_on_either_side_of_the_server() {
        check(CutAt::BeforeThem, b"begin com", b".");
        check(CutAt::TheirAnswer, b"begin commit", b".");
    }
}
