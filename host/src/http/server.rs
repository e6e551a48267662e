//! Connections: accepting, serving and closing them.

use std::convert::Infallible;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument as _;

use super::body::Response;
use super::peer::{self, Peer, PeerIo, Peers};
use super::problem::Problem;
use super::{Api, abandoned, routes};
use crate::process::leaves_enough;

/// Time for a client to send the head of a request. Also limits how long a
/// connection is kept alive without a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest buffer of one connection in bytes, in either direction.
const BUFFER_BYTES: usize = 64 << 10;
/// Most concurrent streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// First pause before the bytes of a client that sent a part of HTTP/2's preface are peeked at again. Each pause is
/// twice as long as the last. Peeking leaves the bytes in the socket, so it stays readable and no wake-up announces more.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Longest of these pauses. A client that sends the rest late waits up to this time for its response.
const MAX_PREFACE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after an accept failed, usually because no file descriptor is left. Without
/// it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest request id that is accepted from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Signals that close a connection.
struct Shutdown {
    /// Close after the current response.
    graceful: CancellationToken,
    /// Close at once.
    immediate: CancellationToken,
}

/// Drive a connection of either protocol until it ends or is shut down. A macro,
/// because hyper has no trait for both. Boxed, because a future that moves a value
/// into another one has room for it twice.
macro_rules! drive {
    ($connection:expr, $shutdown:ident) => {{
        let mut connection = Box::pin($connection);
        tokio::select! {
            served = connection.as_mut() => served,
            () = $shutdown.graceful.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection.as_mut() => served,
                    () = $shutdown.immediate.cancelled() => Ok(()),
                }
            }
        }
    }};
}

/// Serve until `stop`, then let connections finish their current responses.
/// Returns when all are closed, at the latest after `grace`.
pub async fn serve(listener: TcpListener, api: Arc<Api>, stop: CancellationToken, grace: Duration) {
    let connections = TaskTracker::new();
    let peers = Arc::new(Peers::new());
    peer::prepare(&listener);
    let watched = Arc::clone(&peers);
    let _watcher = AbortOnDropHandle::new(tokio::spawn(async move { watched.watch().await }));
    tokio::spawn(abandoned::cancel_abandoned(Arc::clone(&api)));
    let immediate = CancellationToken::new();
    let mut obstruction = Obstruction::default();
    let heartbeat = api.accepting.begin();
    loop {
        heartbeat.rest();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        heartbeat.beat();
        match accepted {
            Ok((stream, _)) => {
                // The following connections wait before they are accepted.
                while !leaves_enough(&stream) && !stop.is_cancelled() {
                    obstruction.report("too few file descriptors are left for runs (ulimit -n)");
                    heartbeat.beat();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                obstruction.clear();
                let shutdown = Shutdown { graceful: stop.clone(), immediate: immediate.clone() };
                let peer = peers.add(stream);
                connections.spawn(connection(peer, Arc::clone(&api), shutdown));
            }
            Err(error) => {
                obstruction.report(error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((heartbeat, listener));
    connections.close();
    api.websockets.close();
    let all = async {
        connections.wait().await;
        api.websockets.wait().await;
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::info!(connections = connections.len(), "closing connections that are still open");
        immediate.cancel();
        connections.wait().await;
    }
}

/// Whether no connection can be accepted now. Logged once, not at each try.
#[derive(Default)]
struct Obstruction(bool);

impl Obstruction {
    fn report(&mut self, error: impl Display) {
        if !std::mem::replace(&mut self.0, true) {
            tracing::warn!(%error, "could not accept a connection; trying again");
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.0) {
            tracing::info!("connections are accepted again");
        }
    }
}

/// Serve one connection. Thousands of these wait for events at the same time, so
/// they keep little memory meanwhile: the protocol is detected by peeking, because
/// hyper's own detection would double the read buffer, and the future of a request
/// is freed when its response begins.
async fn connection(peer: Arc<Peer>, api: Arc<Api>, shutdown: Shutdown) {
    let protocol = tokio::select! {
        // A request that has arrived gets its response even while the host stops.
        biased;
        protocol = Box::pin(protocol(&peer)) => protocol,
        () = shutdown.graceful.cancelled() => None,
    };
    let requesting = Arc::clone(&peer);
    let service = service_fn(move |request: Request<Incoming>| {
        requesting.record_request(request.version());
        let api = Arc::clone(&api);
        Box::pin(async move { Ok::<_, Infallible>(traced(&api, request).await) })
    });
    let io = TokioIo::new(PeerIo(Arc::clone(&peer)));
    let served = match protocol {
        Some(Protocol::Http1) => drive!(http1().serve_connection(io, service).with_upgrades(), shutdown),
        Some(Protocol::Http2) => drive!(http2().serve_connection(io, service), shutdown),
        None => return,
    };
    if let Err(error) = served {
        // A client that disconnects during a response is normal.
        tracing::debug!(%error, "connection ended");
        if error.is_user() {
            peer.break_off().await;
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER_BYTES);
    builder
}

/// Without pings: a suspended client does not answer them, although it is not dead. `peer` detects dead clients.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_send_buf_size(BUFFER_BYTES);
    builder
}

enum Protocol {
    Http1,
    Http2,
}

/// Detect the client's protocol by its first bytes, which stay unread. `None` if
/// it sent none in time or disconnected.
async fn protocol(peer: &Peer) -> Option<Protocol> {
    // The whole preface of HTTP/2 (RFC 9113, section 3.4): hyper would wait forever for the rest of a partial one.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let decided = async {
        let mut pause = PREFACE_PAUSE;
        loop {
            let mut first = [0; PREFACE.len()];
            let there = peer.peek(&mut first).await.ok()?;
            match &first[..there] {
                [] => return None,
                PREFACE => return Some(Protocol::Http2),
                few if PREFACE.starts_with(few) => {
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(MAX_PREFACE_PAUSE);
                }
                _ => return Some(Protocol::Http1),
            }
        }
    };
    tokio::time::timeout(HEAD_TIMEOUT, decided).await.ok().flatten()
}

/// Respond to a request. Its log lines and its response contain the request id.
async fn traced(api: &Arc<Api>, request: Request<Incoming>) -> Response {
    let id = request_id(&request);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answering = AssertUnwindSafe(routes::respond(api, request).instrument(span.clone()));
    // If the connection just ended, the client would not know whether to try again.
    let mut response =
        answering.catch_unwind().await.unwrap_or_else(|panic| Problem::of_panic(&*panic).response());
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(%method, path, status, time = ?began.elapsed(), "answered"));
    response.headers_mut().insert("x-request-id", id);
    response
}

/// The client's own id if it is short and plain, so that a request can be traced
/// through several systems. Otherwise a new one.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        let allowed = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(allowed)
    };
    match request.headers().get("x-request-id").filter(plain) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).expect("a UUID is plain"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    use super::*;

    /// A connection on which the client has sent these bytes, and which stays open.
    async fn sent(bytes: &[u8]) -> (TcpStream, Arc<Peer>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        (client, Peers::new().add(listener.accept().await.unwrap().0))
    }

    // Paused time advances whenever all tasks are idle.
    #[tokio::test(start_paused = true)]
    async fn an_incomplete_preface_ends_the_connection_after_a_timeout() {
        for part in ["", "P", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let (client, stream) = sent(part.as_bytes()).await;
            assert!(protocol(&stream).await.is_none(), "{part:?}");
            drop(client);
        }
        let (_client, stream) = sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert!(matches!(protocol(&stream).await, Some(Protocol::Http2)));
        for other in ["PRI * HTTP/1.1", "GET / HTTP/1.1"] {
            let (_client, stream) = sent(other.as_bytes()).await;
            assert!(matches!(protocol(&stream).await, Some(Protocol::Http1)), "{other}");
        }
    }
}
