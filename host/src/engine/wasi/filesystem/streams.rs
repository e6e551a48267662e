//! Streams of files, which count as open files and within the quota.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::quota::Quota;
use super::threads::FilePool;

/// Reads from a file.
pub(super) struct FileInput {
    inner: DynInputStream,
    _open: Arc<()>,
    pool: FilePool,
}

impl FileInput {
    pub(super) fn new(inner: DynInputStream, open: Arc<()>, pool: FilePool) -> Self {
        Self { inner, _open: open, pool }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {
        self.pool.within(self.inner.ready()).await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pool.enter(|| self.inner.read(size))
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pool.within(self.inner.blocking_read(size)).await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// Writes to a file, within the quota.
pub(super) struct FileOutput {
    inner: DynOutputStream,
    file: Arc<fs::File>,
    /// The position of the next byte; none to append.
    position: Option<u64>,
    quota: Option<Arc<Quota>>,
    _open: Arc<()>,
    pool: FilePool,
}

impl FileOutput {
    pub(super) fn new(
        inner: DynOutputStream,
        file: Arc<fs::File>,
        position: Option<u64>,
        quota: Option<Arc<Quota>>,
        open: Arc<()>,
        pool: FilePool,
    ) -> Self {
        Self { inner, file, position, quota, _open: open, pool }
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
impl Pollable for FileOutput {
    async fn ready(&mut self) {
        self.pool.within(self.inner.ready()).await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(bytes.len())?;
        self.pool.enter(|| self.inner.write(bytes))
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Earlier writes must be done, because growth is measured from the length of the file.
        self.pool.within(self.inner.ready()).await;
        self.take(bytes.len())?;
        self.pool.within(self.inner.blocking_write_and_flush(bytes)).await
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
