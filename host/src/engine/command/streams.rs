//! Standard input and output of a program as streams of WASI.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::io::CommandIo;

/// Bytes that a program may print after each check for room.
const WRITE_BYTES: usize = 64 << 10;
/// Most bytes of one read, which the host copies.
const READ_BYTES: usize = 64 << 10;

impl CommandIo {
    pub(super) fn stdin(&self) -> Stdin {
        Stdin { command_io: self.clone(), readable: Mutex::default() }
    }

    pub(super) fn stdout(&self) -> Stdout {
        Stdout(self.clone())
    }
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Stdin {
    command_io: CommandIo,
    /// The wait in progress. The lock is never contended; it makes the stream `Sync`.
    readable: Mutex<Option<Wait>>,
}

pub(super) struct Stdout(CommandIo);

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
        Box::new(self.command_io.stdin())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.command_io.stdin())
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
        self.command_io.readable().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.command_io.read(size.min(READ_BYTES)) {
            Some(read) => Ok(read.into()),
            None => Err(StreamError::Closed),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        self.0.wait_until_sent().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.0.write(&bytes) {
            Ok(())
        } else {
            Err(StreamError::trap("the program prints without checking for room"))
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(if self.0.send_backlog() { WRITE_BYTES } else { 0 })
    }
}

/// For WASI 0.3; must behave like the implementation of `InputStream`.
impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let command_io = self.command_io.clone();
        let readable = self.readable.get_mut();
        let wait = readable.get_or_insert_with(|| Box::pin(async move { command_io.readable().await }));
        ready!(wait.as_mut().poll(context));
        *readable = None;
        if let Some(read) = self.command_io.read(buffer.remaining().min(READ_BYTES)) {
            buffer.put_slice(&read);
        }
        Poll::Ready(Ok(()))
    }
}

/// For WASI 0.3; must behave like the implementation of `OutputStream`.
impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
