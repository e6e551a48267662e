//! Plain clients: HTTP/1.1, HTTP/2, and bytes as they are.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::soon;

/// One connection.
pub struct Connection {
    address: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the whole answer.
    pub async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = soon("reading an answer", body.collect()).await.expect("a whole answer").to_bytes();
        Self { status: head.status, headers: head.headers, body }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("not text"))
    }

    /// Panics unless the answer is a problem of that status and kind; returns it.
    pub fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:streamtask:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["title"].as_str(), self.status.canonical_reason(), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.expect("connects")
    }

    /// Connects, if somebody listens.
    pub async fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self { address, sender })
    }

    /// Sends a request and returns as soon as the head of the answer is here.
    pub async fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, for hosts that may be gone.
    pub async fn try_send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a valid request");
        self.sender.ready().await?;
        soon("waiting for an answer", self.sender.send_request(request)).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn request(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        Answer::of(self.send(method, path, headers, body).await).await
    }
}

/// One HTTP/2 connection, spoken without asking first.
pub struct Http2 {
    address: SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// What the host may send of one response before its reader reads on.
    pub const STREAM_WINDOW: u32 = 64 << 10;

    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("an open socket");
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(Self::STREAM_WINDOW)
            .initial_connection_window_size(16 * Self::STREAM_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .expect("the host speaks HTTP/2");
        tokio::spawn(connection);
        Self { address, sender }
    }

    /// Sends a request and returns as soon as the head of the answer is here. Other
    /// requests can be under way.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.send_to(&self.address.to_string(), method, path, headers, body).await
    }

    /// The same, to a host that is called by another name.
    pub async fn send_to(
        &self,
        authority: &str,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{authority}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a valid request");
        let mut sender = self.sender.clone();
        soon("sending a request", sender.ready()).await.expect("the connection is open");
        let sent = soon("waiting for an answer", sender.send_request(request)).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

/// A body that comes line by line.
pub struct Lines {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    body: Incoming,
    received: BytesMut,
    // Keeps the connection open.
    _connection: Option<Connection>,
}

impl Lines {
    /// Any request that is answered with lines of JSON.
    pub async fn request(
        address: SocketAddr,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let mut connection = Connection::open(address).await;
        let mut all = vec![("accept", "application/x-ndjson")];
        all.extend_from_slice(headers);
        let response = connection.send(method, path, &all, body).await;
        Self { _connection: Some(connection), ..Self::of(response) }
    }

    /// What a response brings, on a connection that somebody else keeps open.
    pub fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let received = BytesMut::new();
        Self { status: head.status, headers: head.headers, body, received, _connection: None }
    }

    /// The next line without its end; none when the body has ended, which it must
    /// not do within a line.
    pub async fn next(&mut self) -> Option<String> {
        self.try_next().await.expect("the body did not break")
    }

    /// The same, for bodies that may break.
    pub async fn try_next(&mut self) -> hyper::Result<Option<String>> {
        soon("waiting for a line", async {
            loop {
                if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                    let line = self.received.split_to(end + 1);
                    return Ok(Some(std::str::from_utf8(&line[..end]).expect("UTF-8").to_owned()));
                }
                let Some(frame) = self.body.frame().await else {
                    assert!(self.received.is_empty(), "the body ends within a line");
                    return Ok(None);
                };
                if let Ok(data) = frame?.into_data() {
                    self.received.extend_from_slice(&data);
                }
            }
        })
        .await
    }

    /// All lines up to the end of the body.
    pub async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }
}

/// Sends bytes that may be no request at all; returns all that comes back until the
/// host closes the connection.
pub async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // The host may have answered and closed before it has read everything.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut answer = Vec::new();
    let _ = soon("waiting for the host to close", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
