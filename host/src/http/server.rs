//! Connections: accepted, served, and ended in order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::body::Response;
use super::{Api, routes};

/// Time for a client to send a request's head, also on a connection that is
/// kept for the next request.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// What one connection may have waiting in memory, in bytes, in either direction.
const BUFFER_BYTES: usize = 64 << 10;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Pause after the system refused a connection, usually for want of file
/// descriptors; without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Serves until `stop`, then lets connections finish what they are at. Returns
/// when all are closed, at the latest `grace` later.
pub async fn serve(listener: TcpListener, api: Arc<Api>, stop: CancellationToken, grace: Duration) {
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, Arc::clone(&api), stop.clone());
                let cut_off = cut_off.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = cut_off.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "closing connections that are still open");
        cut_off.cancel();
        connections.wait().await;
    }
}

async fn connection(stream: TcpStream, api: Arc<Api>, stop: CancellationToken) {
    // An event must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(traced(&api, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(HEAD_TIME);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        // A client that goes away in the middle is no fault.
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers a request under an id that its log lines and its response carry.
async fn traced(api: &Arc<Api>, request: Request<Incoming>) -> Response {
    let id = request_id(&request);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = routes::respond(api, request).instrument(span.clone()).await;
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
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(|byte| allowed(byte))
    };
    match request.headers().get("x-request-id").filter(plain) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).expect("a UUID is plain"),
    }
}
