//! `GET /stream/{app}/{task}/{run}` with `Upgrade: websocket`: a run's log, and requests to the run.
//!
//! The host sends the current run, then the lines of the NDJSON stream, each as a message. The client sends requests,
//! which get the same responses as over HTTP. The two directions are independent: a client that reads slowly can still
//! cancel.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::body::{Body, Response};
use super::format::lines;
use super::json::RunJson;
use super::pieces::{self, PIECE_BYTES};
use super::problem::Problem;
use super::request::{Query, header_list};
use super::stream::{self, Options, Reader};
use super::{Api, runs, signals};
use crate::model::{ErrorKind, MAX_SIGNAL_BYTES, Run, also_null};

/// Largest message of a client: a signal's payload, and the members of the request.
const MAX_MESSAGE_BYTES: usize = MAX_SIGNAL_BYTES + (1 << 10);
/// Small, because clients send little. The library's default of 128 KiB would be most of the cost of a connection.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Size of a write. Together with the message that exceeds it, a write mostly stays below 64 KiB, beyond which the
/// library's buffer would double. With 32 KiB, the throughput is a fifth less.
const BUFFER_BYTES: usize = 44 << 10;
/// Most responses that wait for a slow client. Beyond that, the host stops reading
/// its requests.
const MAX_RESPONSES: usize = 16;
/// Time for one side to confirm the close of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The subprotocol, for clients that offer some.
const SUBPROTOCOL: &str = "streamtask.v1";

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let names = |name, wanted: &str| {
        header_list(headers, name)
            .is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
    };
    names(header::CONNECTION, "upgrade") && names(header::UPGRADE, "websocket")
}

/// Reject a request for a WebSocket that lost its `Connection` or `Upgrade` header in a proxy.
pub(super) fn refuse_broken(headers: &HeaderMap) -> Option<Response> {
    if is_wanted(headers) || !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return None;
    }
    let detail = "this WebSocket handshake lacks `Connection: upgrade` and `Upgrade: websocket`: a proxy does not \
                  forward them; docs/proxy.md has its configuration";
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", detail).response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Some(response)
}

/// Respond to a request for a WebSocket, and serve the connection in a task of its own.
pub(super) async fn open(
    api: &Arc<Api>,
    parts: Parts,
    query: &Query,
    path: [&str; 3],
) -> Result<Response, Problem> {
    let run = stream::find(api, path).await?;
    let accept = accept_key(&parts.headers)?;
    let subprotocol = subprotocol(&parts.headers);
    let options = Options::of_websocket(&api.config(), &parts.headers, query)?;
    let reader = Reader::open(api, &run, options).await?;
    let upgraded = hyper::upgrade::on(hyper::Request::from_parts(parts, ()));
    let served = Arc::clone(api);
    api.websockets.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            serve(&served, &run, reader, upgraded).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(response)
}

/// Select one of the subprotocols that a client offers: browsers fail if none is selected. All mean the same here.
fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = header_list(headers, header::SEC_WEBSOCKET_PROTOCOL)?;
    let mut offered = offered.split(',').map(str::trim).filter(|name| !name.is_empty());
    let first = offered.next()?;
    let known = first == SUBPROTOCOL || offered.any(|name| name == SUBPROTOCOL);
    HeaderValue::try_from(if known { SUBPROTOCOL } else { first }).ok()
}

/// Compute the value of `Sec-WebSocket-Accept` (RFC 6455, section 4.2).
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let refuse = |detail: &str| Problem::bad_request("invalid-upgrade", detail);
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Version: 13`"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Key`"));
    };
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| refuse("`Sec-WebSocket-Key` is invalid"))
}

/// Serve both directions until one has ended.
async fn serve(api: &Api, run: &Run, reader: Reader, upgraded: Upgraded) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES);
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (sink, messages) = socket.split();
    let (replies, replied) = mpsc::channel(MAX_RESPONSES);
    let handling = Mutex::new(());
    let receiving = receive(api, run, messages, replies, &handling);
    let sending = send(api, run, reader, sink, replied, &handling);
    tokio::pin!(receiving, sending);
    tokio::select! {
        // The client has closed the connection, or it is lost.
        () = &mut receiving => {}
        // All is sent, or the client has closed the connection and waits for the confirmation.
        _ = &mut sending => {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, receiving).await;
        }
    }
}

/// A message to the client besides the log.
enum Reply {
    Response(Utf8Bytes),
    Close(CloseCode, &'static str),
}

/// A message that is not in the log and has no number.
#[derive(Serialize)]
struct Notice<'a, T> {
    r#type: &'static str,
    data: &'a T,
}

impl<T: Serialize> Notice<'_, T> {
    fn text(&self) -> Utf8Bytes {
        let line = String::from_utf8(lines::line(self));
        line.expect("JSON is UTF-8").into()
    }
}

/// Send the current run, then its log with responses in between, and the reason for the close.
async fn send(
    api: &Api,
    run: &Run,
    mut reader: Reader,
    mut sink: SplitSink<Socket, Message>,
    mut replied: mpsc::Receiver<Reply>,
    handling: &Mutex<()>,
) -> Result<(), Error> {
    let state = Notice { r#type: "run.state", data: &RunJson::from(run) };
    sink.send(Message::Text(state.text())).await?;
    let close = loop {
        tokio::select! {
            biased;
            Some(reply) = replied.recv() => match reply {
                Reply::Response(text) => sink.send(Message::Text(text)).await?,
                Reply::Close(code, reason) => break (code, reason),
            },
            lines = reader.next() => match lines {
                Some(Ok(lines)) => send_lines(&mut sink, &lines).await?,
                Some(Err(_)) => break (CloseCode::Error, "the log can't be read now"),
                None if reader.is_closed_by_host() => break (CloseCode::Away, "the host is stopping"),
                None if is_interrupted(api, run).await => {
                    break (CloseCode::Away, "the host is stopping and has ended the run");
                }
                None => break (CloseCode::Normal, "the end of the log"),
            },
        }
    };
    // Requests that came before the end get their responses before the close, also one that ended the run.
    loop {
        tokio::select! {
            biased;
            Some(Reply::Response(text)) = replied.recv() => sink.feed(Message::Text(text)).await?,
            _ = handling.lock() => break,
        }
    }
    while let Ok(Reply::Response(text)) = replied.try_recv() {
        sink.feed(Message::Text(text)).await?;
    }
    let (code, reason) = close;
    sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}

/// Whether the run was interrupted because this host is stopping. Clients take the close code 1000 for completion.
async fn is_interrupted(api: &Api, run: &Run) -> bool {
    if !api.stopping.is_cancelled() {
        return false;
    }
    let run = api.storage.run(&run.key.id).await.ok().flatten();
    run.and_then(|run| run.error).is_some_and(|error| error.kind == ErrorKind::Interrupted)
}

/// Send each line as a message, and an empty line, which is a heartbeat, as a ping.
async fn send_lines(sink: &mut SplitSink<Socket, Message>, lines: &Bytes) -> Result<(), Error> {
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let line = lines.slice(from..end);
        from = end + 1;
        if line.len() > PIECE_BYTES {
            send_large(sink, line).await?;
            continue;
        }
        let message = if line.is_empty() { Message::Ping(line) } else { Message::Text(line.try_into()?) };
        sink.feed(message).await?;
    }
    sink.flush().await
}

/// Send a message in fragments (RFC 6455, section 5.4). The library copies each frame before it writes it, so a slow
/// client would cost a copy of the whole message.
async fn send_large(sink: &mut SplitSink<Socket, Message>, mut line: Bytes) -> Result<(), Error> {
    let mut opcode = OpCode::Data(Data::Text);
    while !line.is_empty() {
        let fragment = pieces::first(&mut line);
        sink.feed(Message::Frame(Frame::message(fragment, opcode, line.is_empty()))).await?;
        opcode = OpCode::Data(Data::Continue);
    }
    Ok(())
}

/// Handle the client's requests until the connection is closed or lost, or the client violates the protocol.
/// `handling` is locked from the receipt of a request until its response is queued.
async fn receive(
    api: &Api,
    run: &Run,
    mut messages: SplitStream<Socket>,
    replies: mpsc::Sender<Reply>,
    handling: &Mutex<()>,
) {
    while let Some(message) = messages.next().await {
        let handling = handling.lock().await;
        let reply = match message {
            Ok(Message::Text(text)) => Reply::Response(respond(api, run, &text).await),
            Ok(Message::Binary(_)) => {
                Reply::Close(CloseCode::Unsupported, "a request must be a text message")
            }
            // The library responds to these.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Ok(Message::Close(_)) => {
                // The library sends its confirmation while the next message, which does not come, is polled.
                let closed = async { while messages.next().await.is_some() {} };
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
                return;
            }
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                Reply::Close(CloseCode::Size, "the message is too large")
            }
            Err(Error::Utf8(_)) => Reply::Close(CloseCode::Invalid, "the message is not UTF-8"),
            Err(Error::Protocol(_)) => {
                Reply::Close(CloseCode::Protocol, "the message violates the WebSocket protocol")
            }
            Err(_) => return,
        };
        let closes = matches!(reply, Reply::Close(..));
        let sent = replies.send(reply).await;
        drop(handling);
        if sent.is_err() {
            // The other direction has ended, so only the client's confirmation is awaited.
            continue;
        }
        if closes {
            // The sender is kept to observe the end of the other direction.
            replies.closed().await;
            return;
        }
    }
}

/// A request of the client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    /// Chosen by the client, and returned with the response.
    #[serde(borrow, rename = "id")]
    _id: Option<&'a RawValue>,
    action: Action,
    name: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "also_null")]
    value: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Cancel,
    Pause,
    Resume,
    Signal,
    SetParameter,
}

/// Only the id of a request, which may be invalid otherwise.
#[derive(Deserialize)]
struct RequestId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The response to a request.
#[derive(Serialize)]
struct ResponseJson<'a> {
    id: Option<&'a RawValue>,
    /// The same as over HTTP.
    status: u16,
    body: Option<&'a RawValue>,
}

async fn respond(api: &Api, run: &Run, text: &str) -> Utf8Bytes {
    let id = serde_json::from_str::<RequestId<'_>>(text).ok().and_then(|request| request.id);
    let response = handle(api, run, text).await.unwrap_or_else(Problem::response);
    let status = response.status().as_u16();
    let body = response.into_body().into_whole().unwrap_or_default();
    let body = serde_json::from_slice::<&RawValue>(&body).ok();
    Notice { r#type: "run.response", data: &ResponseJson { id, status, body } }.text()
}

async fn handle(api: &Api, run: &Run, text: &str) -> Result<Response, Problem> {
    let refuse = |detail: String| Problem::bad_request("invalid-message", detail);
    let request: Request<'_> =
        serde_json::from_str(text).map_err(|error| refuse(format!("the message is invalid: {error}")))?;
    let id = run.key.id.as_str();
    let missing = |what: &str| refuse(format!("`{what}` is missing"));
    let name = request.name.ok_or_else(|| missing("name"));
    let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    match request.action {
        Action::Cancel => runs::cancel(api, id).await,
        Action::Pause => signals::set_paused(api, id, true).await,
        Action::Resume => signals::set_paused(api, id, false).await,
        Action::Signal => {
            signals::signal(api, id, &name?, request.payload.map(bytes).unwrap_or_default()).await
        }
        Action::SetParameter => {
            let value = request.value.ok_or_else(|| missing("value"))?;
            signals::set_parameter(api, id, &name?, bytes(value)).await
        }
    }
}
