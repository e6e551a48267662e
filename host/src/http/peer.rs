//! The other ends of connections: what one may cost in the kernel, and whether it is still there.
//!
//! A peer that has lost its network says nothing. Keep-alive finds it while nothing is under way to it; while something
//! is, the kernel tries again for a quarter of an hour. `TCP_USER_TIMEOUT` would shorten that, and would end a living
//! reader too that reads nothing: a paused page, a debugger. What tells them apart is that the living one's
//! kernel still acknowledges.

mod socket;

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Silence after which the kernel asks a peer whether it is there, how long it waits for the answer, and how
/// often it asks. Together less than [`SILENCE`] and two looks, so that every dead peer is found within 45 s.
const ASK_AFTER: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_secs(10);
const ASK_TIMES: u32 = 2;
/// How long a peer may acknowledge nothing of what is under way to it.
const SILENCE: Duration = Duration::from_secs(30);
/// How often that is looked at. A peer is given up when two looks in a row find it silent: a living one that reads
/// nothing is probed less and less often, and one look can fall into the moment in which a probe is on its way.
const LOOK: Duration = Duration::from_secs(4);
/// Bytes that the kernel takes for a peer before it has sent those. Left to itself it takes 4 MiB for each client that
/// reads nothing, out of memory that all sockets of the machine share. What is sent and not acknowledged is not
/// bounded by it, so a fast client far away loses nothing.
const UNSENT_BYTES: u32 = 32 << 10;
/// The same once a peer has taken in [`PROVEN_BYTES`], more than any that reads nothing can: its own system keeps some
/// hundred KiB for it. With less, a hundred readers of one machine get a third less.
const UNSENT_BYTES_OF_READERS: u32 = 128 << 10;
const PROVEN_BYTES: u64 = 2 << 20;
/// The same for the first [`FAST_READERS`] of these, who get a fifth more by it. Should they all stop, they hold 64 MiB.
const UNSENT_BYTES_OF_FAST_READERS: u32 = 512 << 10;
const FAST_READERS: usize = 128;
/// Time for the last bytes to arrive before a connection is reset.
const LAST_BYTES_TIME: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LAST_BYTES_LOOK: Duration = Duration::from_millis(5);

/// Prepares a listener: what is set here holds for each connection that it accepts.
pub(super) fn prepare(listener: &impl AsFd) {
    let set = || -> io::Result<()> {
        // An event must not wait for the acknowledgement of the one before.
        sockopt::set_tcp_nodelay(listener, true)?;
        sockopt::set_socket_keepalive(listener, true)?;
        sockopt::set_tcp_keepidle(listener, ASK_AFTER)?;
        sockopt::set_tcp_keepintvl(listener, ASK_AGAIN)?;
        sockopt::set_tcp_keepcnt(listener, ASK_TIMES)?;
        socket::bound_unsent(listener, UNSENT_BYTES)
    };
    if let Err(error) = set() {
        tracing::warn!(%error, "could not set all options of the listener; dead clients may be noticed late");
    }
}

/// One accepted connection.
pub(super) struct Peer {
    stream: TcpStream,
    /// Whether the last look found it silent.
    was_silent: AtomicBool,
    /// Whether it has sent a request of HTTP/1.0, where the end of a connection is the end of a body.
    ends_by_closing: AtomicBool,
    /// What the kernel has taken for it.
    written: AtomicU64,
    fast_readers: Arc<Semaphore>,
    /// Its place among them, if it has one.
    fast: OnceLock<OwnedSemaphorePermit>,
}

impl Peer {
    fn new(stream: TcpStream, fast_readers: Arc<Semaphore>) -> Self {
        let no = || AtomicBool::new(false);
        Self {
            stream,
            was_silent: no(),
            ends_by_closing: no(),
            written: AtomicU64::new(0),
            fast_readers,
            fast: OnceLock::new(),
        }
    }

    pub(super) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.peek(bytes).await
    }

    /// Notes the version of a request.
    pub(super) fn has_asked(&self, version: hyper::Version) {
        if version < hyper::Version::HTTP_11 {
            self.ends_by_closing.store(true, Relaxed);
        }
    }

    /// After a body that has broken off: lets the end of the connection not look like the end of the body, where
    /// nothing else tells them apart.
    pub(super) async fn break_off(&self) {
        if !self.ends_by_closing.load(Relaxed) {
            return;
        }
        // A reset throws away what is under way.
        let arrived = async {
            while socket::has_unacknowledged(&self.stream) {
                tokio::time::sleep(LAST_BYTES_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(LAST_BYTES_TIME, arrived).await;
        self.reset_on_close();
    }

    fn reset_on_close(&self) {
        if let Err(error) = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)) {
            tracing::debug!(%error, "could not set SO_LINGER");
        }
    }

    /// Notes what was written, and gives more room to who reads.
    fn wrote(&self, bytes: usize) {
        let before = self.written.fetch_add(bytes as u64, Relaxed);
        if before < PROVEN_BYTES && before + bytes as u64 >= PROVEN_BYTES {
            // At worst it is slower.
            let _ = socket::bound_unsent(&self.stream, self.room_of_a_reader());
        }
    }

    fn room_of_a_reader(&self) -> u32 {
        let Ok(place) = Arc::clone(&self.fast_readers).try_acquire_owned() else {
            return UNSENT_BYTES_OF_READERS;
        };
        // It asks once.
        let _ = self.fast.set(place);
        UNSENT_BYTES_OF_FAST_READERS
    }

    /// Whether two looks in a row have found it silent.
    fn is_lost(&self) -> bool {
        let silent = socket::is_silent(&self.stream, SILENCE);
        self.was_silent.swap(silent, Relaxed) && silent
    }

    /// Ends the connection: whoever reads or writes hears of it as of one that the peer has closed.
    fn give_up(&self) {
        self.reset_on_close();
        let _ = shutdown(&self.stream, Shutdown::Both);
    }
}

/// All connections. One loop looks at them, for a timer of each would wake thousands that wait for nothing else.
pub(super) struct Peers {
    all: Mutex<Vec<Weak<Peer>>>,
    fast_readers: Arc<Semaphore>,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { all: Mutex::default(), fast_readers: Arc::new(Semaphore::new(FAST_READERS)) }
    }

    pub(super) fn add(&self, stream: TcpStream) -> Arc<Peer> {
        let peer = Arc::new(Peer::new(stream, Arc::clone(&self.fast_readers)));
        self.all.lock().push(Arc::downgrade(&peer));
        peer
    }

    /// Ends connections whose peers are dead, for as long as it is polled.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let lost = self.look().await;
            if lost > 0 {
                tracing::info!(
                    connections = lost,
                    "clients are gone without a word; closed their connections"
                );
            }
        }
    }

    /// Ends connections whose peers are dead; returns how many.
    async fn look(&self) -> usize {
        /// Peers looked at before others have a turn: a look is one system call.
        const AT_ONCE: usize = 256;
        let mut all = std::mem::take(&mut *self.all.lock());
        let mut lost = 0;
        for peers in all.chunks(AT_ONCE) {
            for peer in peers.iter().filter_map(Weak::upgrade).filter(|peer| peer.is_lost()) {
                peer.give_up();
                lost += 1;
            }
            tokio::task::yield_now().await;
        }
        all.retain(|peer| peer.strong_count() > 0);
        let mut added = self.all.lock();
        all.append(&mut added);
        all.shrink_to(all.len() * 2);
        *added = all;
        lost
    }
}

/// The bytes of a connection.
pub(super) struct PeerIo(pub(super) Arc<Peer>);

impl PeerIo {
    fn write(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_write_ready(context))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.0.wrote(*written.as_ref().unwrap_or(&0));
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_read_ready(context))?;
            // Into memory that was never touched, and stays so for the most part.
            match stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&self.0.stream, Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_readers_that_stop_may_hold_together_is_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peers = Peers::new();
        let mut clients = Vec::new();
        let mut add = async || {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            peers.add(listener.accept().await.unwrap().0)
        };
        let mut readers = Vec::new();
        for _ in 0..FAST_READERS {
            let reader = add().await;
            reader.wrote(PROVEN_BYTES as usize - 1);
            assert!(reader.fast.get().is_none(), "it has not shown yet that it reads");
            reader.wrote(1);
            assert!(reader.fast.get().is_some());
            readers.push(reader);
        }
        let next = add().await;
        assert_eq!(next.room_of_a_reader(), UNSENT_BYTES_OF_READERS);
        readers.pop();
        assert_eq!(next.room_of_a_reader(), UNSENT_BYTES_OF_FAST_READERS, "a place is free again");
    }
}
