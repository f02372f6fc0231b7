//! A TCP proxy that makes a local server feel far away: every byte arrives a fixed time later, none is slowed otherwise.
//! It can also stand in for what else stands before servers: a load balancer, a proxy whose server is asleep.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::SandboxError;

const CHUNK_BYTES: usize = 64 * 1024;

/// Listens on a port of 127.0.0.1 and forwards to another. Dropping it breaks its connections.
///
/// A round trip through it takes twice the delay, opening a connection included. Bandwidth is unlimited: what is on
/// its way is kept in memory.
pub struct DelayProxy {
    port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What becomes of one connection to a [`DelayProxy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is forwarded to this port of 127.0.0.1.
    Forward(u16),
    /// It is closed without a word.
    HangUp,
    /// It is told this (SQLSTATE, message) instead of being let in, and closed.
    Refuse(&'static str, &'static str),
}

struct Shared {
    plan: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    /// How many connections were made.
    count: AtomicUsize,
    delay: Duration,
    stopping: AtomicBool,
    /// Both ends of every connection that is open, and the threads that serve it.
    connections: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    ends: [TcpStream; 2],
    threads: Vec<JoinHandle<()>>,
}

impl DelayProxy {
    /// Forwards to `port` of 127.0.0.1, `delay` later in each direction.
    pub fn start(port: u16, delay: Duration) -> Result<Self, SandboxError> {
        Self::with_plan(delay, move |_| Answer::Forward(port))
    }

    /// Asks `plan` what to do with each connection, counted from 0.
    pub fn with_plan(
        delay: Duration,
        plan: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Result<Self, SandboxError> {
        let listen = || -> io::Result<(TcpListener, u16)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let (listener, own_port) = listen().map_err(SandboxError::io("listen on", Path::new("127.0.0.1")))?;
        let shared = Arc::new(Shared {
            plan: Box::new(plan),
            count: AtomicUsize::new(0),
            delay,
            stopping: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        });
        let listening = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.listen(&listener)
        });
        Ok(Self { port: own_port, shared, listening: Some(listening) })
    }

    /// The port to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.shared.count.load(Ordering::Acquire)
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // A connection of our own ends the wait for the next one.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join(); // it cannot panic, and there is nobody to tell
        }
        let connections = std::mem::take(&mut *self.shared.connections());
        for end in connections.iter().flat_map(|connection| &connection.ends) {
            let _ = end.shutdown(Shutdown::Both); // fails when it is closed already
        }
        for thread in connections.into_iter().flat_map(|connection| connection.threads) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing between lock and unlock can panic half-way.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            // A client that is gone, or a server that refuses, is seen by the client as a closed connection.
            if let Ok(client) = client
                && let Ok(Some(connection)) = self.serve(client)
            {
                let mut connections = self.connections();
                connections.retain(|c| c.threads.iter().any(|thread| !thread.is_finished()));
                connections.push(connection);
            }
        }
    }

    fn serve(&self, client: TcpStream) -> io::Result<Option<Connection>> {
        let port = match (self.plan)(self.count.fetch_add(1, Ordering::AcqRel)) {
            Answer::Forward(port) => port,
            Answer::HangUp => return Ok(None),
            Answer::Refuse(code, message) => return refuse(client, code, message).map(|()| None),
        };
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        // The kernel has greeted the client at once; the round trip of a far server's greeting is made up for here.
        let greeted = Instant::now() + 2 * self.delay;
        let mut threads = Vec::with_capacity(4);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (sender, receiver) = channel();
            let (from, to, delay) = (from.try_clone()?, to.try_clone()?, self.delay);
            threads.push(thread::spawn(move || take_in(from, &sender, greeted, delay)));
            threads.push(thread::spawn(move || give_out(to, &receiver)));
        }
        Ok(Some(Connection { ends: [client, server], threads }))
    }
}

impl fmt::Debug for DelayProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayProxy")
            .field("port", &self.port)
            .field("delay", &self.shared.delay)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// What a server that lets nobody in does: no TLS, then an error instead of an answer to the startup packet.
fn refuse(mut client: TcpStream, code: &str, message: &str) -> io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    client.set_read_timeout(Some(Duration::from_secs(5)))?; // a client that says nothing holds up the next ones
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut packet = vec![0; (u32::from_be_bytes(length) as usize).clamp(8, 10_000) - 4];
        client.read_exact(&mut packet)?;
        if packet != SSL_REQUEST {
            break;
        }
        client.write_all(b"N")?;
    }
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).map_err(io::Error::other)?;
    client.write_all(&[b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat())
}

/// Reads until the end, and says when each piece is due. Dropping the sender is the end of the stream.
fn take_in(mut from: TcpStream, sender: &Sender<(Instant, Vec<u8>)>, greeted: Instant, delay: Duration) {
    let mut buffer = vec![0; CHUNK_BYTES];
    // An error is an end too: the other side learns of it by its own connection's end.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let due = Instant::now().max(greeted) + delay;
        if sender.send((due, buffer[..read].to_vec())).is_err() {
            return;
        }
    }
    // The end is as far away as the bytes are.
    let _ = sender.send((Instant::now() + delay, Vec::new())); // fails when nobody writes any more
}

/// Writes each piece when it is due, in order; then closes this direction.
fn give_out(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in receiver {
        sleep(due.saturating_duration_since(Instant::now())); // waiting is what this is for
        if to.write_all(&bytes).is_err() {
            let _ = to.shutdown(Shutdown::Both); // so that the reader of the other direction ends as well
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write); // fails when it is closed already
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    /// Answers every byte with the same byte, for one connection.
    fn echo() -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = stream.try_clone().unwrap();
            io::copy(&mut reader, &mut stream).ok();
            stream.shutdown(Shutdown::Write).ok();
        });
        (port, serving)
    }

    #[test]
    fn a_round_trip_takes_twice_the_delay() {
        let (port, serving) = echo();
        let proxy = DelayProxy::start(port, DELAY).unwrap();
        let began = Instant::now();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut answer = [0; 4];
        for (turn, least) in [(1, 4), (2, 6), (3, 8)] {
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"ping");
            // The first one includes the greeting's round trip.
            assert!(began.elapsed() >= least * DELAY, "turn {turn} ended after {:?}", began.elapsed());
        }
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0, "the end arrives too");
        serving.join().unwrap();
    }

    #[test]
    fn keeps_order_and_does_not_slow_a_stream() {
        let (port, serving) = echo();
        let proxy = DelayProxy::start(port, DELAY).unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let sent: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let began = Instant::now();
        let mut received = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&stream).write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            (&stream).read_to_end(&mut received).unwrap();
        });
        assert!(received == sent, "bytes are lost or out of order");
        // 16 MB are 250 chunks: waiting for each in turn would take five seconds and more.
        assert!(began.elapsed() < 100 * DELAY, "took {:?}", began.elapsed());
        serving.join().unwrap();
    }

    #[test]
    fn dropping_it_breaks_its_connections() {
        let (port, serving) = echo();
        let proxy = DelayProxy::start(port, DELAY).unwrap();
        let own_port = proxy.port();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, own_port)).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        drop(proxy);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, own_port)).is_err(), "nobody listens any more");
        serving.join().unwrap();
    }
}
