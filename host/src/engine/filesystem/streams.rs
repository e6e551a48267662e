//! Streams of files that count.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::quota::Quota;
use super::threads::Lane;

/// Reads from a file.
pub(super) struct Input {
    inner: DynInputStream,
    _open: Arc<()>,
    lane: Lane,
}

impl Input {
    pub(super) fn new(inner: DynInputStream, open: Arc<()>, lane: Lane) -> Self {
        Self { inner, _open: open, lane }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.lane.within(self.inner.ready()).await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.lane.enter(|| self.inner.read(size))
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.lane.within(self.inner.blocking_read(size)).await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// Writes to a file, within the quota.
pub(super) struct Output {
    inner: DynOutputStream,
    file: Arc<fs::File>,
    /// Where the next byte goes; none: to the end.
    position: Option<u64>,
    quota: Option<Arc<Quota>>,
    _open: Arc<()>,
    lane: Lane,
}

impl Output {
    pub(super) fn new(
        inner: DynOutputStream,
        file: Arc<fs::File>,
        position: Option<u64>,
        quota: Option<Arc<Quota>>,
        open: Arc<()>,
        lane: Lane,
    ) -> Self {
        Self { inner, file, position, quota, _open: open, lane }
    }

    fn take(&mut self, length: usize) -> StreamResult<()> {
        let length = length as u64;
        if let Some(quota) = &self.quota {
            let taken = quota.take_growth(&self.file, self.position, length);
            taken.map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        }
        self.position = self.position.map(|position| position.saturating_add(length));
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.lane.within(self.inner.ready()).await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(bytes.len())?;
        self.lane.enter(|| self.inner.write(bytes))
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        // The length that the growth is measured by is that after the writes before.
        self.lane.within(self.inner.ready()).await;
        self.take(bytes.len())?;
        self.lane.within(self.inner.blocking_write_and_flush(bytes)).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
