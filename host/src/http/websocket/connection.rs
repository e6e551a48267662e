//! One connection: the log and the responses to the client, its requests to the host, and the close.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::{commands, notice};
use crate::http::Api;
use crate::http::json::RunJson;
use crate::http::live_stream::LiveStream;
use crate::http::pieces::{self, PIECE_BYTES};
use crate::http::stream::Reader;
use crate::model::{ErrorKind, MAX_SIGNAL_BYTES, Run};

/// Largest message of a client: a signal's payload, and the members of the request.
const MAX_MESSAGE_BYTES: usize = MAX_SIGNAL_BYTES + (1 << 10);
/// Small, because clients send little. The library's default of 128 KiB would be most of the cost of a connection.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Size of a write. Together with the message that exceeds it, a write mostly stays below 64 KiB, beyond which the
/// library's buffer would double. With 32 KiB, the throughput is a fifth less.
const BUFFER_BYTES: usize = 44 << 10;
/// Most responses that wait for a slow client. Beyond that, the host stops reading its requests.
const MAX_RESPONSES: usize = 16;
/// Time for one side to confirm the close of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Sink = SplitSink<Socket, Message>;
/// The code and the reason of a close.
type Close = (CloseCode, &'static str);

/// A message to the client besides the log.
enum Reply {
    Response(Utf8Bytes),
    Close(Close),
}

/// Serve both directions until one has ended.
pub(super) async fn serve(api: &Api, run: &Run, log: LiveStream<Reader>, upgraded: Upgraded) {
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
    let sending = send(api, run, log, sink, replied, &handling);
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

/// Send the current run, then its log with responses in between, and the reason for the close.
async fn send(
    api: &Api,
    run: &Run,
    log: LiveStream<Reader>,
    mut sink: Sink,
    mut replied: mpsc::Receiver<Reply>,
    handling: &Mutex<()>,
) -> Result<(), Error> {
    sink.send(Message::Text(notice::encode("run.state", &RunJson::from(run)))).await?;
    let (code, reason) = send_log(api, run, log, &mut sink, &mut replied).await?;
    send_last_responses(&mut sink, &mut replied, handling).await?;
    sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}

/// Send the log and the responses until either ends the connection.
async fn send_log(
    api: &Api,
    run: &Run,
    mut log: LiveStream<Reader>,
    sink: &mut Sink,
    replied: &mut mpsc::Receiver<Reply>,
) -> Result<Close, Error> {
    loop {
        tokio::select! {
            biased;
            Some(reply) = replied.recv() => match reply {
                Reply::Response(text) => sink.send(Message::Text(text)).await?,
                Reply::Close(close) => return Ok(close),
            },
            lines = log.next() => match lines {
                Some(Ok(lines)) => send_lines(sink, &lines).await?,
                Some(Err(_)) => return Ok((CloseCode::Error, "the log can't be read now")),
                None if log.is_closed_by_host() => return Ok((CloseCode::Away, "the host is stopping")),
                None if is_interrupted(api, run).await => {
                    return Ok((CloseCode::Away, "the host is stopping and has ended the run"));
                }
                None => return Ok((CloseCode::Normal, "the end of the log")),
            },
        }
    }
}

/// Send the responses to requests that came before the end, also to one that ended the run.
async fn send_last_responses(
    sink: &mut Sink,
    replied: &mut mpsc::Receiver<Reply>,
    handling: &Mutex<()>,
) -> Result<(), Error> {
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
    Ok(())
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
async fn send_lines(sink: &mut Sink, lines: &Bytes) -> Result<(), Error> {
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
async fn send_large(sink: &mut Sink, mut line: Bytes) -> Result<(), Error> {
    let mut opcode = OpCode::Data(Data::Text);
    while !line.is_empty() {
        let fragment = pieces::first(&mut line);
        sink.feed(Message::Frame(Frame::message(fragment, opcode, line.is_empty()))).await?;
        opcode = OpCode::Data(Data::Continue);
    }
    Ok(())
}

/// What came from the client.
enum Received {
    Request(Utf8Bytes),
    /// The library responds to it.
    Control,
    /// The client closes the connection.
    Close,
    /// The client violates the protocol.
    Violation(Close),
    /// The connection is lost.
    Lost,
}

impl Received {
    fn of(message: Result<Message, Error>) -> Self {
        match message {
            Ok(Message::Text(text)) => Self::Request(text),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Self::Control,
            Ok(Message::Close(_)) => Self::Close,
            Ok(Message::Binary(_)) => {
                Self::Violation((CloseCode::Unsupported, "a request must be a text message"))
            }
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                Self::Violation((CloseCode::Size, "the message is too large"))
            }
            Err(Error::Utf8(_)) => Self::Violation((CloseCode::Invalid, "the message is not UTF-8")),
            Err(Error::Protocol(_)) => {
                Self::Violation((CloseCode::Protocol, "the message violates the WebSocket protocol"))
            }
            Err(_) => Self::Lost,
        }
    }
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
        let reply = match Received::of(message) {
            Received::Request(text) => Reply::Response(commands::respond(api, run, &text).await),
            Received::Violation(close) => Reply::Close(close),
            Received::Control => continue,
            Received::Close => return confirm_close(messages).await,
            Received::Lost => return,
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

/// Let the library send its confirmation, which it does while the next message, which does not come, is polled.
async fn confirm_close(mut messages: SplitStream<Socket>) {
    let closed = async { while messages.next().await.is_some() {} };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
}
