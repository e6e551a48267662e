//! Connections: accepted, served, and ended in order.

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
use super::{Api, presence, routes};
use crate::process::leaves_enough;

/// Time for a client to send a request's head, also on a connection that is
/// kept for the next request.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// What one connection may have waiting in memory, in bytes, in either direction.
const BUFFER_BYTES: usize = 64 << 10;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// First pause before another look at a client that sent a part of HTTP/2's preface; each
/// doubles. The bytes are still there to be peeked at, so nothing would tell of
/// the next.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Longest of these pauses, by which a client that sends the rest late is answered late.
const MAX_PREFACE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the system refused a connection, usually for want of file
/// descriptors; without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// When connections end that would go on.
struct End {
    /// After the response that is under way.
    stop: CancellationToken,
    /// At once.
    cut_off: CancellationToken,
}

/// Drives a connection of either protocol until it ends or has to. A macro, for
/// hyper has no trait for both. Boxed, because what a future takes over and then
/// holds has its place in it twice.
macro_rules! drive {
    ($connection:expr, $end:ident) => {{
        let mut connection = Box::pin($connection);
        tokio::select! {
            served = connection.as_mut() => served,
            () = $end.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection.as_mut() => served,
                    () = $end.cut_off.cancelled() => Ok(()),
                }
            }
        }
    }};
}

/// Serves until `stop`, then lets connections finish what they are at. Returns
/// when all are closed, at the latest `grace` later.
pub async fn serve(listener: TcpListener, api: Arc<Api>, stop: CancellationToken, grace: Duration) {
    let connections = TaskTracker::new();
    let peers = Arc::new(Peers::new());
    peer::prepare(&listener);
    let watched = Arc::clone(&peers);
    let _watch = AbortOnDropHandle::new(tokio::spawn(async move { watched.watch().await }));
    tokio::spawn(presence::cancel_abandoned(Arc::clone(&api)));
    let cut_off = CancellationToken::new();
    let mut refusal = Refusal::default();
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
                // Others wait with it, before they are accepted.
                while !leaves_enough(&stream) && !stop.is_cancelled() {
                    refusal.begin("too few file descriptors are left for runs (ulimit -n)");
                    heartbeat.beat();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                refusal.end();
                let end = End { stop: stop.clone(), cut_off: cut_off.clone() };
                let peer = peers.add(stream);
                connections.spawn(connection(peer, Arc::clone(&api), end));
            }
            Err(error) => {
                refusal.begin(error);
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
        cut_off.cancel();
        connections.wait().await;
    }
}

/// Whether connections have to wait. Told once, not at each try.
#[derive(Default)]
struct Refusal(bool);

impl Refusal {
    fn begin(&mut self, error: impl Display) {
        if !std::mem::replace(&mut self.0, true) {
            tracing::warn!(%error, "could not accept a connection; trying again");
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.0) {
            tracing::info!("connections are accepted again");
        }
    }
}

/// One connection from its first byte to its last. Thousands of these wait for
/// events at once, so what they keep while they wait is small: the protocol is
/// found by peeking, where hyper's own detection would double the read buffer, and
/// the future of a request is freed when its response begins.
async fn connection(peer: Arc<Peer>, api: Arc<Api>, end: End) {
    let protocol = tokio::select! {
        // A request that is there already is answered, also while the host stops.
        biased;
        protocol = Box::pin(protocol(&peer)) => protocol,
        () = end.stop.cancelled() => None,
    };
    let asking = Arc::clone(&peer);
    let service = service_fn(move |request: Request<Incoming>| {
        asking.has_asked(request.version());
        let api = Arc::clone(&api);
        Box::pin(async move { Ok::<_, Infallible>(traced(&api, request).await) })
    });
    let io = TokioIo::new(PeerIo(Arc::clone(&peer)));
    let served = match protocol {
        Some(Protocol::Http1) => drive!(http1().serve_connection(io, service).with_upgrades(), end),
        Some(Protocol::Http2) => drive!(http2().serve_connection(io, service), end),
        None => return,
    };
    if let Err(error) = served {
        // A client that goes away in the middle is no fault.
        tracing::debug!(%error, "connection ended");
        if error.is_user() {
            peer.break_off().await;
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(BUFFER_BYTES);
    builder
}

/// Without pings: a client that is stopped answers none, and is not dead. `peer` finds those that are.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_send_buf_size(BUFFER_BYTES);
    builder
}

enum Protocol {
    Http1,
    Http2,
}

/// What a client speaks, by its first bytes, which stay unread. None: it sent
/// none in time, or went away.
async fn protocol(peer: &Peer) -> Option<Protocol> {
    // The whole preface of HTTP/2 (RFC 9113, section 3.4): hyper would wait for the rest of one without end.
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
    tokio::time::timeout(HEAD_TIME, decided).await.ok().flatten()
}

/// Answers a request under an id that its log lines and its response carry.
async fn traced(api: &Arc<Api>, request: Request<Incoming>) -> Response {
    let id = request_id(&request);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answering = AssertUnwindSafe(routes::respond(api, request).instrument(span.clone()));
    // A client whose connection just ends would not know whether to come back.
    let mut response =
        answering.catch_unwind().await.unwrap_or_else(|panic| Problem::of_panic(&*panic).response());
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(%method, path, status, time = ?began.elapsed(), "answered"));
    response.headers_mut().insert("x-request-id", id);
    response
}

/// The client's own id if it is short and plain, so that it can be followed
/// through several systems; else a fresh one.
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

    /// Connected, with these bytes sent by the client, which stays.
    async fn sent(bytes: &[u8]) -> (TcpStream, Arc<Peer>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        (client, Peers::new().add(listener.accept().await.unwrap().0))
    }

    // Time goes on by itself where nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn a_preface_that_is_not_finished_in_time_ends_the_connection() {
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
