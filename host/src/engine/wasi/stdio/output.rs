//! The output of a guest, as one `log` event per line.

use std::borrow::Cow;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::backlog::{Backlog, wait_for_room};
use super::line_buffer::LineBuffer;
use super::panic_message::{PanicMessage, PanicParser, is_backtrace_hint};
use crate::engine::grants::Mask;
use crate::engine::guest_host::GuestHost;
use crate::engine::timing::RateLimiter;
use crate::model::{Content, EventType, Json, NewEvent, Timestamp};

/// A longer line is split into several events.
const MAX_LINE_BYTES: usize = 8 << 10;
/// Bytes that a guest may write after each check for room.
const WRITE_BYTES: usize = 64 << 10;
/// Bytes of the end of stderr that are kept to explain a trap.
const TAIL_BYTES: usize = 1 << 10;
/// Most different notes of the host in the log of one guest: repeated denials must not fill it.
const MAX_NOTES: usize = 50;

/// Stdout and stderr of one guest, and the limit that they share.
#[derive(Clone)]
pub(in crate::engine) struct GuestOutput {
    inner: Arc<Mutex<OutputState>>,
    host: Arc<dyn GuestHost>,
    rate_limiter: Option<Arc<RateLimiter>>,
    /// Masks the task's secrets; none if it has none.
    mask: Option<Mask>,
}

struct OutputState {
    /// Bytes that may still be logged; none after the event that says that the log is truncated.
    budget: Option<usize>,
    /// Events that the host could not accept yet.
    backlog: Backlog,
    /// Of stdout and stderr.
    lines: [LineBuffer; 2],
    tail: Vec<u8>,
    panics: PanicParser,
    /// Notes of the host that are in the log.
    notes: Vec<String>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl GuestOutput {
    /// Logs at most `budget` bytes in all. The rest is dropped, which the log says.
    pub(in crate::engine) fn new(
        host: Arc<dyn GuestHost>,
        budget: usize,
        mask: Option<Mask>,
        rate_limiter: Option<Arc<RateLimiter>>,
    ) -> Self {
        let inner = OutputState {
            budget: Some(budget),
            backlog: Backlog::default(),
            lines: Default::default(),
            tail: Vec::new(),
            panics: PanicParser::default(),
            notes: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), host, rate_limiter, mask }
    }

    pub(in crate::engine) fn stdout(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stdout }
    }

    pub(in crate::engine) fn stderr(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stderr }
    }

    /// Sends the rest, including an unfinished last line. To be called when the
    /// guest has ended.
    pub(in crate::engine) async fn finish(&self) {
        {
            let mut inner = self.inner.lock();
            for stream in [Stream::Stdout, Stream::Stderr] {
                let mut lines = std::mem::take(&mut inner.lines[stream as usize]);
                lines.finish(|part| inner.take(stream, self.masked(part.text)));
            }
        }
        // Without the rate limit: the rest is small, and must not delay the end of the run.
        while !self.send_backlog(None) {
            self.host.room().await;
        }
    }

    /// The panic or exception that the guest printed, if any.
    pub(in crate::engine) fn panic_message(&self) -> Option<PanicMessage> {
        self.inner.lock().panics.message()
    }

    /// The last lines of stderr, without hints for people who run the program themselves.
    pub(in crate::engine) fn stderr_tail(&self) -> String {
        let inner = self.inner.lock();
        let text = String::from_utf8_lossy(&inner.tail);
        // The front is dropped, so the first line may be a fragment.
        let whole = if inner.tail.len() < TAIL_BYTES {
            &text
        } else {
            text.split_once('\n').map_or("", |(_, rest)| rest)
        };
        let lines: Vec<&str> = whole.lines().filter(|line| !is_backtrace_hint(line)).collect();
        lines.join("\n").trim().to_owned()
    }

    /// Logs what the guest was denied and what its manifest lacks, because the errors of WASI carry
    /// no text. Returns the same text.
    pub(in crate::engine) fn deny(&self, what: &dyn Display, missing: &str, file: Option<&str>) -> String {
        let denied = match file {
            Some(file) => format!("{what}: {missing} in {file}"),
            None => format!("{what}: {missing} in {}.toml", self.host.info().task.task),
        };
        self.note(&format!("denied: {denied}"));
        denied
    }

    /// Logs a message of the host, once.
    pub(in crate::engine) fn note(&self, message: &str) {
        let mut inner = self.inner.lock();
        if inner.notes.len() >= MAX_NOTES || inner.notes.iter().any(|noted| noted == message) {
            return;
        }
        inner.notes.push(message.to_owned());
        inner.log("host", self.masked(message.as_bytes()));
        drop(inner);
        self.send_backlog(self.rate_limiter.as_deref());
    }

    /// The line with secrets masked. Copies nothing if there are none.
    fn masked<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.mask {
            None => Cow::Borrowed(line),
            Some(mask) => Cow::Owned(mask.bytes(line.to_vec())),
        }
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        if let Stream::Stderr = stream {
            inner.tail.extend_from_slice(bytes);
            let excess = inner.tail.len().saturating_sub(TAIL_BYTES);
            inner.tail.drain(..excess);
        }
        let mut lines = std::mem::take(&mut inner.lines[stream as usize]);
        lines.write(bytes, MAX_LINE_BYTES, self.mask.as_ref(), |part| {
            inner.take(stream, self.masked(part.text));
        });
        inner.lines[stream as usize] = lines;
        drop(inner);
        self.send_backlog(self.rate_limiter.as_deref());
    }

    /// Sends as many events as the host and the rate limiter accept. Returns whether none
    /// is left.
    fn send_backlog(&self, rate_limiter: Option<&RateLimiter>) -> bool {
        self.inner.lock().backlog.send(&*self.host, rate_limiter)
    }
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl OutputState {
    fn take(&mut self, stream: Stream, line: Cow<'_, [u8]>) {
        if let Stream::Stderr = stream {
            self.panics.add(&String::from_utf8_lossy(&line));
        }
        self.log(stream.name(), line);
    }

    fn log(&mut self, name: &str, line: Cow<'_, [u8]>) {
        let Some(budget) = self.budget else { return };
        // A minimum per line, so that the limit also bounds the number of empty lines.
        let cost = line.len().max(16);
        let data = if cost <= budget {
            self.budget = Some(budget - cost);
            serde_json::json!({ "stream": name, "message": String::from_utf8_lossy(&line) })
        } else {
            self.budget = None;
            serde_json::json!({ "stream": name, "message": "the log limit is reached; further output is dropped", "truncated": true })
        };
        let event = NewEvent {
            event_type: EventType::log(),
            channel: None,
            content: Content::Json(Json::of(&data)),
            time: Timestamp::now(),
        };
        self.backlog.push(event);
    }
}

/// Stdout or stderr.
pub(in crate::engine) struct GuestStream {
    output: GuestOutput,
    stream: Stream,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(GuestStream { output: self.output.clone(), stream: self.stream })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(GuestStream { output: self.output.clone(), stream: self.stream })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {
        let rate_limiter = self.output.rate_limiter.as_deref();
        while !self.output.send_backlog(rate_limiter) {
            wait_for_room(&*self.output.host, rate_limiter).await;
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(if self.output.send_backlog(self.output.rate_limiter.as_deref()) { WRITE_BYTES } else { 0 })
    }
}

/// For WASI 0.3 and preview 1; must behave like the implementation of `OutputStream`.
impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.output.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
