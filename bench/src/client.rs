//! A client with minimal overhead, so that it does not distort the measurements.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes per read.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Interval of polling for the end of a run.
const LOOK: Duration = Duration::from_millis(2);

/// A keep-alive connection.
pub(crate) struct Client {
    address: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self { address, stream, received: Vec::new() }
    }

    /// Sends a request and reads the whole response, which has a length.
    pub(crate) async fn json(&mut self, method: &str, path: &str, body: &str) -> Value {
        self.send(method, path, "application/json", body).await;
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await;
        };
        let text = String::from_utf8_lossy(&self.received[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or_else(|| panic!("{text}"));
        while self.received.len() < head + length {
            self.more().await;
        }
        let value = serde_json::from_slice(&self.received[head..head + length]).expect("JSON");
        self.received.drain(..head + length);
        value
    }

    /// Starts a run of one of the benchmark's guests; returns its ID.
    pub(crate) async fn start(&mut self, task: &str, input: &Value) -> String {
        let run = self.json("POST", &format!("/api/tasks/bench/{task}/runs"), &input.to_string()).await;
        run["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
    }

    /// Waits for the end of a run.
    pub(crate) async fn finished(&mut self, run: &str) {
        while self.json("GET", &format!("/api/runs/{run}"), "").await["finished_at"].is_null() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.received).await.expect("a living connection");
        assert!(read > 0, "the connection ended");
    }

    async fn send(&mut self, method: &str, path: &str, accept: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: {accept}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("a living connection");
    }
}

/// Opens a stream and returns the socket after the request; the response has not been read. The server closes the connection at the end of the stream.
pub(crate) async fn open_stream(address: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    open_stream_with(address, method, path, "accept: text/event-stream\r\nconnection: close\r\n", body).await
}

/// Opens a stream with other headers.
pub(crate) async fn open_stream_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("a living connection");
    stream
}

/// Reads to the end of the connection, or until `seen`, which is called with each piece, returns
/// false.
pub(crate) async fn read_to_end(stream: &mut TcpStream, mut seen: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer).await.expect("a living connection") {
            0 => return,
            read if seen(&buffer[..read]) => {}
            _ => return,
        }
    }
}

/// Reads until `needle` was received.
pub(crate) async fn read_until(stream: &mut TcpStream, needle: &[u8]) {
    let mut received = Vec::new();
    while memchr::memmem::find(&received, needle).is_none() {
        let read = stream.read_buf(&mut received).await.expect("a living connection");
        assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&received));
    }
}
