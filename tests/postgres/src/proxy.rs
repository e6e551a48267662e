//! A network that fails, between a client and a server.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::{Condvar, Mutex};

/// The type of a message by which the server delivers a notification.
const NOTIFICATION: u8 = b'A';
/// Bytes of the head of a message from the server: its type and its length.
const HEAD: usize = 5;

/// Passes on connections to a server, without encryption. All of them are cut when it is dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    is_silent: Mutex<bool>,
    speaks: Condvar,
    is_closed: AtomicBool,
    swallows_notifications: AtomicBool,
    /// Both sides of each connection, as long as the proxy lives: few, as tests have them.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy that passes on everything.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            upstream,
            is_silent: Mutex::new(false),
            speaks: Condvar::new(),
            is_closed: AtomicBool::new(false),
            swallows_notifications: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_closed.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(client) = client {
                    // A server that is stopped: the client sees its connection end.
                    let _ = accepting.pass_on(client);
                }
            }
        });
        Self { address, state }
    }

    /// Cuts all connections. New ones are passed on.
    pub fn cut(&self) {
        for stream in self.state.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Passes on nothing, in either direction, until it is told otherwise: connections stay open, and what was sent arrives
    /// later.
    pub fn set_silent(&self, is_silent: bool) {
        *self.state.is_silent.lock() = is_silent;
        self.state.speaks.notify_all();
    }

    /// Whether notifications are left out, as behind a pooler that gives each transaction another session.
    pub fn set_swallows_notifications(&self, swallows: bool) {
        self.state.swallows_notifications.store(swallows, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
        self.set_silent(false);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn pass_on(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.open.lock().extend([client.try_clone()?, server.try_clone()?]);
        let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let state = Arc::clone(self);
        thread::spawn(move || state.copy(client, to_server, false));
        let state = Arc::clone(self);
        thread::spawn(move || state.copy(server, to_client, true));
        Ok(())
    }

    /// Copies until one side ends, and ends the other.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, is_from_server: bool) {
        let (mut pending, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            self.wait_for_speech();
            pending.extend_from_slice(&buffer[..read]);
            let passed =
                if is_from_server { self.filtered(&mut pending) } else { std::mem::take(&mut pending) };
            if to.write_all(&passed).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_for_speech(&self) {
        let mut is_silent = self.is_silent.lock();
        while *is_silent {
            self.speaks.wait(&mut is_silent);
        }
    }

    /// Takes all whole messages, and leaves out those that are to be swallowed.
    fn filtered(&self, pending: &mut Vec<u8>) -> Vec<u8> {
        let swallows = self.swallows_notifications.load(Ordering::SeqCst);
        let (mut passed, mut at) = (Vec::new(), 0);
        while let Some(head) = pending.get(at..at + HEAD) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let Some(message) = pending.get(at..at + 1 + length) else { break };
            if !(swallows && message[0] == NOTIFICATION) {
                passed.extend_from_slice(message);
            }
            at += message.len();
        }
        pending.drain(..at);
        passed
    }
}
