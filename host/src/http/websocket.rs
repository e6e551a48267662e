//! `GET /stream/{app}/{task}/{run}` with `Upgrade: websocket`: a run's log, and a way back to the run.
//!
//! What goes out is what a reader of NDJSON gets, a message for each line, after a first one with
//! the run as it is. What comes in are requests, each answered as the same one over HTTP is. The two ways are apart: who reads slowly can still cancel.

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

/// Largest message of a client: a signal's payload and what stands around it.
const MAX_MESSAGE_BYTES: usize = MAX_SIGNAL_BYTES + (1 << 10);
/// Clients say little. The library's own measure, 128 KiB, would be most of what a connection costs.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Bytes that are put together for one write. With what exceeds it, they are mostly less than 64 KiB, beyond which the
/// library's buffer would double; with 32 KiB, readers get a fifth less.
const BUFFER_BYTES: usize = 44 << 10;
/// Answers that may wait for a client that reads slowly. Beyond it the host reads
/// no more of its requests.
const MAX_ANSWERS: usize = 16;
/// Time for the one side to agree that the connection ends, after the other has said so.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// What a client calls this, if it gives names for it to choose from.
const SUBPROTOCOL: &str = "streamtask.v1";

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether a request wants to become a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let names = |name, wanted: &str| {
        header_list(headers, name)
            .is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
    };
    names(header::CONNECTION, "upgrade") && names(header::UPGRADE, "websocket")
}

/// Refuses a request that was meant to become one on its way here, and no longer is.
pub(super) fn refuse_broken(headers: &HeaderMap) -> Option<Response> {
    if is_wanted(headers) || !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return None;
    }
    let detail = "this asks for a WebSocket by `Sec-WebSocket-Key`, but without `Connection: upgrade` and `Upgrade: \
                  websocket`: the proxy in between does not pass them on; docs/proxy.md has its lines";
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", detail).response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Some(response)
}

/// Answers such a request; the connection is served by a task of its own.
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

/// The one to speak of those that a client offers: a browser fails where none is chosen. All mean the same here.
fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = header_list(headers, header::SEC_WEBSOCKET_PROTOCOL)?;
    let mut offered = offered.split(',').map(str::trim).filter(|name| !name.is_empty());
    let first = offered.next()?;
    let known = first == SUBPROTOCOL || offered.any(|name| name == SUBPROTOCOL);
    HeaderValue::try_from(if known { SUBPROTOCOL } else { first }).ok()
}

/// RFC 6455, section 4.2.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let refuse = |detail: &str| Problem::bad_request("invalid-upgrade", detail);
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Version: 13`"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(refuse("a WebSocket needs `Sec-WebSocket-Key`"));
    };
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| refuse("`Sec-WebSocket-Key` is not one"))
}

/// Both ways, until one has ended.
async fn serve(api: &Api, run: &Run, reader: Reader, upgraded: Upgraded) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES);
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (sink, messages) = socket.split();
    let (answers, answered) = mpsc::channel(MAX_ANSWERS);
    let answering = Mutex::new(());
    let listening = listen(api, run, messages, answers, &answering);
    let speaking = speak(api, run, reader, sink, answered, &answering);
    tokio::pin!(listening, speaking);
    tokio::select! {
        // It has closed, or the connection is lost.
        () = &mut listening => {}
        // All was said, or nothing can be said any more: the client has closed, and is to be answered.
        _ = &mut speaking => {
            let _ = tokio::time::timeout(CLOSE_TIME, listening).await;
        }
    }
}

/// What the host says besides the log.
enum Said {
    Answer(Utf8Bytes),
    Close(CloseCode, &'static str),
}

/// A message that is no event of the log, and has no number.
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

/// The run as it is, then its log, answers in between, and why it ends.
async fn speak(
    api: &Api,
    run: &Run,
    mut reader: Reader,
    mut sink: SplitSink<Socket, Message>,
    mut answered: mpsc::Receiver<Said>,
    answering: &Mutex<()>,
) -> Result<(), Error> {
    let state = Notice { r#type: "run.state", data: &RunJson::from(run) };
    sink.send(Message::Text(state.text())).await?;
    let close = loop {
        tokio::select! {
            biased;
            Some(said) = answered.recv() => match said {
                Said::Answer(text) => sink.send(Message::Text(text)).await?,
                Said::Close(code, reason) => break (code, reason),
            },
            lines = reader.next() => match lines {
                Some(Ok(lines)) => send_lines(&mut sink, &lines).await?,
                Some(Err(_)) => break (CloseCode::Error, "the log can't be read now"),
                None if reader.is_closed_by_host() => break (CloseCode::Away, "the host is stopping"),
                None if is_interrupted(api, run).await => {
                    break (CloseCode::Away, "the host is stopping and has ended the run");
                }
                None => break (CloseCode::Normal, "this is all"),
            },
        }
    };
    // What was asked before the end has its answer before the end, also what ended the run.
    loop {
        tokio::select! {
            biased;
            Some(Said::Answer(text)) = answered.recv() => sink.feed(Message::Text(text)).await?,
            _ = answering.lock() => break,
        }
    }
    while let Ok(Said::Answer(text)) = answered.try_recv() {
        sink.feed(Message::Text(text)).await?;
    }
    let (code, reason) = close;
    sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}

/// Whether the run has ended because this host stops: clients take 1000 for all that they came for.
async fn is_interrupted(api: &Api, run: &Run) -> bool {
    if !api.stopping.is_cancelled() {
        return false;
    }
    let run = api.storage.run(&run.key.id).await.ok().flatten();
    run.and_then(|run| run.error).is_some_and(|error| error.kind == ErrorKind::Interrupted)
}

/// A message for each line, and a ping for an empty one, which is a sign of life.
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

/// A message in fragments (RFC 6455, section 5.4): a frame is copied before it is written, and whoever reads slowly
/// would keep a copy of all of it.
async fn send_large(sink: &mut SplitSink<Socket, Message>, mut line: Bytes) -> Result<(), Error> {
    let mut opcode = OpCode::Data(Data::Text);
    while !line.is_empty() {
        let fragment = pieces::first(&mut line);
        sink.feed(Message::Frame(Frame::message(fragment, opcode, line.is_empty()))).await?;
        opcode = OpCode::Data(Data::Continue);
    }
    Ok(())
}

/// Takes the client's requests until it closes or is lost, or breaks a rule.
/// A request holds `answering` until its answer is on its way.
async fn listen(
    api: &Api,
    run: &Run,
    mut messages: SplitStream<Socket>,
    answers: mpsc::Sender<Said>,
    answering: &Mutex<()>,
) {
    while let Some(message) = messages.next().await {
        let answering = answering.lock().await;
        let said = match message {
            Ok(Message::Text(text)) => Said::Answer(answer(api, run, &text).await),
            Ok(Message::Binary(_)) => Said::Close(CloseCode::Unsupported, "a request is text"),
            // Answered by the library.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Ok(Message::Close(_)) => {
                // The library's answer goes out while this waits for what follows, which is nothing.
                let closed = async { while messages.next().await.is_some() {} };
                let _ = tokio::time::timeout(CLOSE_TIME, closed).await;
                return;
            }
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                Said::Close(CloseCode::Size, "the message is too large")
            }
            Err(Error::Utf8(_)) => Said::Close(CloseCode::Invalid, "the message is not UTF-8"),
            Err(Error::Protocol(_)) => Said::Close(CloseCode::Protocol, "this is no WebSocket"),
            Err(_) => return,
        };
        let over = matches!(said, Said::Close(..));
        let sent = answers.send(said).await;
        drop(answering);
        if sent.is_err() {
            // The other way has ended, so this waits only for the client to agree.
            continue;
        }
        if over {
            // The sender is kept: without it, nothing would be heard of the other way's end.
            answers.closed().await;
            return;
        }
    }
}

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    /// The client's own mark, given back with the answer.
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

/// The mark alone, of a request that may be wrong in all else.
#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: Option<&'a RawValue>,
    /// As over HTTP.
    status: u16,
    body: Option<&'a RawValue>,
}

async fn answer(api: &Api, run: &Run, text: &str) -> Utf8Bytes {
    let id = serde_json::from_str::<Mark<'_>>(text).ok().and_then(|mark| mark.id);
    let response = fulfil(api, run, text).await.unwrap_or_else(Problem::response);
    let status = response.status().as_u16();
    let body = response.into_body().into_whole().unwrap_or_default();
    let body = serde_json::from_slice::<&RawValue>(&body).ok();
    Notice { r#type: "run.answer", data: &Answer { id, status, body } }.text()
}

async fn fulfil(api: &Api, run: &Run, text: &str) -> Result<Response, Problem> {
    let refuse = |detail: String| Problem::bad_request("invalid-message", detail);
    let request: Request<'_> =
        serde_json::from_str(text).map_err(|error| refuse(format!("the message is not right: {error}")))?;
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
