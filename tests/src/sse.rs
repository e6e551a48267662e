//! Reading server-sent events as the HTML standard says, from the bytes.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use crate::{Connection, soon};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last `id:` seen, also by earlier events.
    pub id: String,
    /// The `event:` field, or `message`.
    pub name: String,
    /// The `data:` fields, joined by line feeds.
    pub data: String,
}

impl Event {
    /// The data as JSON: by default the envelope.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.data))
    }

    /// The number that the id is.
    pub fn seq(&self) -> u64 {
        self.id.parse().unwrap_or_else(|_| panic!("the id is {:?}", self.id))
    }

    /// Whether it ends its run.
    pub fn is_terminal(&self) -> bool {
        matches!(self.name.as_str(), "run.completed" | "run.failed" | "run.cancelled")
    }
}

/// What the events are called.
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// A stream of events on a connection of its own.
pub struct EventStream {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// Comments received, newest last.
    pub comments: Vec<String>,
    /// How many milliseconds to wait before coming back, if the host said so.
    pub retry: Option<u64>,
    body: Incoming,
    received: BytesMut,
    id: String,
    /// Of an event of which the end has not come.
    name: String,
    data: Vec<String>,
    // Keeps the connection open.
    _connection: Option<Connection>,
}

impl EventStream {
    /// What a response brings, on a connection that somebody else keeps open.
    pub fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            comments: Vec::new(),
            retry: None,
            body,
            received: BytesMut::new(),
            id: String::new(),
            name: String::new(),
            data: Vec::new(),
            _connection: None,
        }
    }

    /// `GET`s a stream.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::request(address, &Method::GET, path, headers, Bytes::new()).await
    }

    /// Any request that is answered with a stream.
    pub async fn request(
        address: SocketAddr,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let mut connection = Connection::open(address).await;
        let mut all = vec![("accept", "text/event-stream")];
        all.extend_from_slice(headers);
        let response = connection.send(method, path, &all, body).await;
        Self { _connection: Some(connection), ..Self::of(response) }
    }

    /// The next event; none when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.try_next().await.expect("the stream did not break")
    }

    /// The same, for streams that may break.
    pub async fn try_next(&mut self) -> Result<Option<Event>, hyper::Error> {
        // In all: signs of life alone are none of what a test waits for.
        soon("waiting for an event", async {
            loop {
                if let Some(event) = self.parse() {
                    return Ok(Some(event));
                }
                let Some(frame) = self.body.frame().await else { return Ok(None) };
                if let Ok(data) = frame?.into_data() {
                    self.received.extend_from_slice(&data);
                }
            }
        })
        .await
    }

    /// All events up to the end of the stream.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }

    /// Events until one has that name, which comes last.
    pub async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        while events.last().is_none_or(|event| event.name != name) {
            events.push(self.next().await.unwrap_or_else(|| panic!("no event {name:?} came")));
        }
        events
    }

    /// One event out of what was received, if it is whole. Lines end with CR, LF or both; an
    /// empty one ends an event.
    fn parse(&mut self) -> Option<Event> {
        while let Some((line, next)) = line(&self.received) {
            let text = std::str::from_utf8(line).expect("UTF-8").to_owned();
            let _ = self.received.split_to(next);
            let (field, value) = text.split_once(':').unwrap_or((&text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                _ if text.is_empty() => {
                    let name = std::mem::take(&mut self.name);
                    let data = std::mem::take(&mut self.data);
                    if !data.is_empty() {
                        let name = if name.is_empty() { "message".to_owned() } else { name };
                        return Some(Event { id: self.id.clone(), name, data: data.join("\n") });
                    }
                }
                "" => self.comments.push(value.to_owned()),
                "event" => value.clone_into(&mut self.name),
                "data" => self.data.push(value.to_owned()),
                "id" if !value.contains('\0') => value.clone_into(&mut self.id),
                "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    self.retry = value.parse().ok();
                }
                _ => {}
            }
        }
        None
    }
}

/// The first line, and where the next one begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n' || byte == b'\r')?;
    if bytes[end] == b'\r' && bytes.len() == end + 1 {
        // A line feed may follow.
        return None;
    }
    let length = if bytes[end] == b'\r' && bytes[end + 1] == b'\n' { 2 } else { 1 };
    Some((&bytes[..end], end + length))
}
