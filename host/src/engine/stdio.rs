//! What a guest prints, as `log` events: one for each line.

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

use super::backlog::{self, Backlog};
use super::grants::Mask;
use super::guest::GuestHost;
use super::last_words::{LastWords, Reason, is_advice};
use super::line_buffer::LineBuffer;
use super::pace::Pace;
use crate::model::{Content, EventType, Json, NewEvent, Timestamp};

/// A longer line is cut into several events.
const MAX_LINE_BYTES: usize = 8 << 10;
/// Bytes a guest may write before it has to ask again.
const WRITE_BYTES: usize = 64 << 10;
/// The end of stderr that is kept to explain a trap.
const TAIL_BYTES: usize = 1 << 10;
/// Different notes of the host that one guest's log gets. A guest that tries things
/// must not fill its log with what it was denied.
const MAX_NOTES: usize = 50;

/// Both outputs of one guest, and the budget that they share.
#[derive(Clone)]
pub(super) struct GuestOutput {
    inner: Arc<Mutex<Inner>>,
    host: Arc<dyn GuestHost>,
    pace: Option<Arc<Pace>>,
    /// Hides the task's secrets; none without any.
    mask: Option<Mask>,
}

struct Inner {
    /// Bytes that may still be logged; none once the log has said that it ends.
    budget: Option<usize>,
    /// Lines that the host had no room for.
    waiting: Backlog,
    /// Of stdout and stderr.
    lines: [LineBuffer; 2],
    tail: Vec<u8>,
    words: LastWords,
    /// What the host has noted.
    notes: Vec<String>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl GuestOutput {
    /// Logs at most `budget` bytes in all; the rest is dropped, and the log says so.
    pub(super) fn new(
        host: Arc<dyn GuestHost>,
        budget: usize,
        mask: Option<Mask>,
        pace: Option<Arc<Pace>>,
    ) -> Self {
        let inner = Inner {
            budget: Some(budget),
            waiting: Backlog::default(),
            lines: Default::default(),
            tail: Vec::new(),
            words: LastWords::default(),
            notes: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), host, pace, mask }
    }

    pub(super) fn stdout(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stdout }
    }

    pub(super) fn stderr(&self) -> GuestStream {
        GuestStream { output: self.clone(), stream: Stream::Stderr }
    }

    /// Sends what is left, also a line without an end. To be called when the
    /// guest is over.
    pub(super) async fn finish(&self) {
        {
            let mut inner = self.inner.lock();
            for stream in [Stream::Stdout, Stream::Stderr] {
                let mut lines = std::mem::take(&mut inner.lines[stream as usize]);
                lines.finish(|part| inner.take(stream, self.masked(part.text)));
            }
        }
        // What an ended guest left is little, and no reason to keep its run waiting.
        while !self.send_waiting(None) {
            self.host.room().await;
        }
    }

    /// Why the guest has ended, in its own words, if it printed such.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.inner.lock().words.reason()
    }

    /// The last lines of stderr, without advice that nobody can follow who executes no program.
    pub(super) fn stderr_tail(&self) -> String {
        let inner = self.inner.lock();
        let text = String::from_utf8_lossy(&inner.tail);
        // Cut at the front, so the first line may be a fragment.
        let whole = if inner.tail.len() < TAIL_BYTES {
            &text
        } else {
            text.split_once('\n').map_or("", |(_, rest)| rest)
        };
        let lines: Vec<&str> = whole.lines().filter(|line| !is_advice(line)).collect();
        lines.join("\n").trim().to_owned()
    }

    /// Says in the log what the guest was denied, and what its manifest lacks: for
    /// where an interface has errors without words. Returns the same.
    pub(super) fn deny(&self, what: &dyn Display, missing: &str, file: Option<&str>) -> String {
        let denied = match file {
            Some(file) => format!("{what}: {missing} in {file}"),
            None => format!("{what}: {missing} in {}.toml", self.host.info().task.task),
        };
        self.note(&format!("denied: {denied}"));
        denied
    }

    /// Says something in the log, once.
    pub(super) fn note(&self, message: &str) {
        let mut inner = self.inner.lock();
        if inner.notes.len() >= MAX_NOTES || inner.notes.iter().any(|noted| noted == message) {
            return;
        }
        inner.notes.push(message.to_owned());
        inner.log("host", self.masked(message.as_bytes()));
        drop(inner);
        self.send_waiting(self.pace.as_deref());
    }

    /// Nothing is copied without secrets.
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
        self.send_waiting(self.pace.as_deref());
    }

    /// Sends as many lines as the host has room for, and the guest may send now; says
    /// whether that was all.
    fn send_waiting(&self, pace: Option<&Pace>) -> bool {
        self.inner.lock().waiting.send(&*self.host, pace)
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

impl Inner {
    fn take(&mut self, stream: Stream, line: Cow<'_, [u8]>) {
        if let Stream::Stderr = stream {
            self.words.add(&String::from_utf8_lossy(&line));
        }
        self.log(stream.name(), line);
    }

    fn log(&mut self, name: &str, line: Cow<'_, [u8]>) {
        let Some(budget) = self.budget else { return };
        // A line costs at least its event, so that empty lines are bounded too.
        let cost = line.len().max(16);
        let data = if cost <= budget {
            self.budget = Some(budget - cost);
            serde_json::json!({ "stream": name, "message": String::from_utf8_lossy(&line) })
        } else {
            self.budget = None;
            serde_json::json!({ "stream": name, "message": "the log limit is reached; what follows is dropped", "truncated": true })
        };
        let event = NewEvent {
            event_type: EventType::trusted("log"),
            channel: None,
            content: Content::Json(Json::of(&data)),
            time: Timestamp::now(),
        };
        self.waiting.push(event);
    }
}

/// One of the two outputs.
pub(super) struct GuestStream {
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
        let pace = self.output.pace.as_deref();
        while !self.output.send_waiting(pace) {
            backlog::room(&*self.output.host, pace).await;
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
        Ok(if self.output.send_waiting(self.output.pace.as_deref()) { WRITE_BYTES } else { 0 })
    }
}

/// Only asked for by hosts of WASI 0.3 and preview 1; kept in step with the above.
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
