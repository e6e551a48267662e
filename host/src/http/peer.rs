//! The peers of connections: limits for their memory in the kernel, and detection of dead ones.
//!
//! A peer that has lost its network is silent. Keep-alive detects it while no data is in flight. Otherwise, the kernel
//! retransmits for a quarter of an hour. `TCP_USER_TIMEOUT` would shorten that, but would also close the connection of a
//! live peer that does not read, such as a paused page or a debugger. The difference is that the kernel of a live peer
//! still acknowledges.

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
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keep-alive: idle time before the first probe, interval between probes, and their number. Together shorter than
/// [`MAX_SILENCE`] and two checks, so that every dead peer is detected within 45 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 2;
/// Time for which a peer may leave data in flight unacknowledged.
const MAX_SILENCE: Duration = Duration::from_secs(30);
/// Interval between checks for silent peers. A peer counts as dead if two consecutive checks find it silent: the kernel
/// probes a live peer that does not read less and less often, and one check can happen while a probe is in flight.
const CHECK_INTERVAL: Duration = Duration::from_secs(4);
/// Most unsent bytes that the kernel accepts for a peer. By default it accepts 4 MiB for each client that does not read,
/// from memory that all sockets of the machine share. The limit does not apply to bytes that are sent and not
/// acknowledged, so it does not slow down a fast client on a long path.
const UNSENT_BYTES: u32 = 32 << 10;
/// The same for a peer that has received [`PROVEN_BYTES`], which proves that it reads: the buffers of its system hold only
/// some hundred KiB. With a smaller limit, the throughput of a hundred readers on one machine is a third less.
const UNSENT_BYTES_OF_READERS: u32 = 128 << 10;
const PROVEN_BYTES: u64 = 2 << 20;
/// The same for the first [`FAST_READERS`] of these, for a fifth more throughput. If all of them stop reading, they take
/// 64 MiB.
const UNSENT_BYTES_OF_FAST_READERS: u32 = 512 << 10;
const FAST_READERS: usize = 128;
/// Time for the last bytes to arrive before a connection is reset.
const LAST_BYTES_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval between checks whether they have arrived.
const LAST_BYTES_INTERVAL: Duration = Duration::from_millis(5);

/// Set the options of a listener, which its connections inherit.
pub(super) fn prepare(listener: &impl AsFd) {
    let set = || -> io::Result<()> {
        // An event must not wait for the acknowledgement of the previous one.
        sockopt::set_tcp_nodelay(listener, true)?;
        sockopt::set_socket_keepalive(listener, true)?;
        sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
        SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES)
    };
    if let Err(error) = set() {
        tracing::warn!(%error, "failed to set all options of the listener; dead clients may be detected late");
    }
}

/// The peer of one connection.
pub(super) struct Peer {
    stream: TcpStream,
    /// Whether the last check found it silent.
    was_silent: AtomicBool,
    /// Whether it has sent a request of HTTP/1.0, where the end of the connection marks the end of a body.
    ends_by_closing: AtomicBool,
    /// Bytes that the kernel has accepted for it.
    written: AtomicU64,
    fast_readers: Arc<Semaphore>,
    /// Set if it is one of the fast readers.
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

    /// Record the version of a request.
    pub(super) fn record_request(&self, version: hyper::Version) {
        if version < hyper::Version::HTTP_11 {
            self.ends_by_closing.store(true, Relaxed);
        }
    }

    /// Reset the connection after an incomplete body, if the end of the connection would look like the end of the body.
    pub(super) async fn break_off(&self) {
        if !self.ends_by_closing.load(Relaxed) {
            return;
        }
        // A reset discards bytes in flight.
        let arrived = async {
            while socket::has_unacknowledged(&self.stream) {
                tokio::time::sleep(LAST_BYTES_INTERVAL).await;
            }
        };
        let _ = tokio::time::timeout(LAST_BYTES_TIMEOUT, arrived).await;
        self.reset_on_close();
    }

    fn reset_on_close(&self) {
        if let Err(error) = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)) {
            tracing::debug!(%error, "could not set SO_LINGER");
        }
    }

    /// Record written bytes, and raise the limit of a peer that has proven to read.
    fn record_written(&self, bytes: usize) {
        let before = self.written.fetch_add(bytes as u64, Relaxed);
        if before < PROVEN_BYTES && before + bytes as u64 >= PROVEN_BYTES {
            // If this fails, the peer is only slower.
            let _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(self.unsent_limit_of_reader());
        }
    }

    fn unsent_limit_of_reader(&self) -> u32 {
        let Ok(place) = Arc::clone(&self.fast_readers).try_acquire_owned() else {
            return UNSENT_BYTES_OF_READERS;
        };
        // Unset until now, because this is called once.
        let _ = self.fast.set(place);
        UNSENT_BYTES_OF_FAST_READERS
    }

    /// Check the peer. Dead if this and the last check found it silent.
    fn is_dead(&self) -> bool {
        let silent = socket::is_silent(&self.stream, MAX_SILENCE);
        self.was_silent.swap(silent, Relaxed) && silent
    }

    /// Close the connection. Readers and writers see it as closed by the peer.
    fn close(&self) {
        self.reset_on_close();
        let _ = shutdown(&self.stream, Shutdown::Both);
    }
}

/// The peers of all connections. One loop checks them, because timers would wake thousands of idle connections.
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

    /// Close the connections of dead peers, for as long as this is polled.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let closed = self.close_dead().await;
            if closed > 0 {
                tracing::info!(connections = closed, "closed connections of clients that no longer respond");
            }
        }
    }

    /// Close the connections of dead peers. Returns their number.
    async fn close_dead(&self) -> usize {
        /// Peers checked before the task yields. Each check is one system call.
        const AT_ONCE: usize = 256;
        let mut all = std::mem::take(&mut *self.all.lock());
        let mut closed = 0;
        for peers in all.chunks(AT_ONCE) {
            for peer in peers.iter().filter_map(Weak::upgrade).filter(|peer| peer.is_dead()) {
                peer.close();
                closed += 1;
            }
            tokio::task::yield_now().await;
        }
        all.retain(|peer| peer.strong_count() > 0);
        let mut added = self.all.lock();
        all.append(&mut added);
        all.shrink_to(all.len() * 2);
        *added = all;
        closed
    }
}

/// The byte stream of a connection.
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
                    self.0.record_written(*written.as_ref().unwrap_or(&0));
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
            // Reads into uninitialized memory, most of which is never touched.
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
    async fn memory_of_readers_that_stop_is_bounded() {
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
            reader.record_written(PROVEN_BYTES as usize - 1);
            assert!(reader.fast.get().is_none(), "it has not proven yet that it reads");
            reader.record_written(1);
            assert!(reader.fast.get().is_some());
            readers.push(reader);
        }
        let next = add().await;
        assert_eq!(next.unsent_limit_of_reader(), UNSENT_BYTES_OF_READERS);
        readers.pop();
        assert_eq!(next.unsent_limit_of_reader(), UNSENT_BYTES_OF_FAST_READERS, "a place is free again");
    }
}
