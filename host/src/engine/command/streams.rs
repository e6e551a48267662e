//! Standard input and output of a program, as WASI wants them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::Dialogue;

/// Bytes that a program may print before it has to ask again.
const WRITE_BYTES: usize = 64 << 10;
/// Bytes that it reads at once: what the host copies for it.
const READ_BYTES: usize = 64 << 10;

impl Dialogue {
    pub(super) fn stdin(&self) -> Stdin {
        Stdin { dialogue: self.clone(), readable: Mutex::default() }
    }

    pub(super) fn stdout(&self) -> Stdout {
        Stdout(self.clone())
    }
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Stdin {
    dialogue: Dialogue,
    /// A wait that is under way. Nobody else locks it; it makes the stream `Sync`.
    readable: Mutex<Option<Wait>>,
}

pub(super) struct Stdout(Dialogue);

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.dialogue.stdin())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.dialogue.stdin())
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.0.stdout())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.0.stdout())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        self.dialogue.readable().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.dialogue.read(size.min(READ_BYTES)) {
            Some(read) => Ok(read.into()),
            None => Err(StreamError::Closed),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        self.0.sent().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.0.hear(&bytes) {
            Ok(())
        } else {
            Err(StreamError::trap("the program prints without asking whether there is room"))
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let sent = self.0.state().waiting.send(self.0.host(), self.0.pace());
        Ok(if sent { WRITE_BYTES } else { 0 })
    }
}

/// Only asked for by hosts of WASI 0.3; kept in step with the above.
impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let dialogue = self.dialogue.clone();
        let readable = self.readable.get_mut();
        let wait = readable.get_or_insert_with(|| Box::pin(async move { dialogue.readable().await }));
        ready!(wait.as_mut().poll(context));
        *readable = None;
        if let Some(read) = self.dialogue.read(buffer.remaining().min(READ_BYTES)) {
            buffer.put_slice(&read);
        }
        Poll::Ready(Ok(()))
    }
}

/// The same.
impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.hear(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
