//! The limits of an attempt's output files.
//!
//! Growth is charged before it happens; removing or truncating a file credits nothing. So the sum
//! of all lengths never exceeds the limit, even with concurrent writes and links: a credit would
//! have to know when the disk frees the space.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::engine::grants::{FilesGrant, OutputFolder};
use crate::engine::wasi::stdio::GuestOutput;

/// The bytes and files that one attempt may still create.
pub(super) struct Quota {
    bytes_left: AtomicU64,
    count_left: AtomicU32,
    limits: FilesGrant,
    /// The manifest that grants the files; none for the task's own.
    manifest: Option<Arc<str>>,
    output: GuestOutput,
}

impl Quota {
    pub(super) fn new(
        limits: FilesGrant,
        manifest: Option<Arc<str>>,
        folder: &OutputFolder,
        output: GuestOutput,
    ) -> Self {
        Self {
            bytes_left: limits.size.saturating_sub(folder.used_bytes).into(),
            count_left: limits.count.saturating_sub(folder.used_count).into(),
            limits,
            manifest,
            output,
        }
    }

    /// Charges one file, folder or link.
    pub(super) fn take_entry(&self) -> FsResult<()> {
        let less = |left: u32| left.checked_sub(1);
        if self.count_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return Ok(());
        }
        let what = format!("to make more than {} output files, folders and links", self.limits.count);
        self.output.deny(&what, "raise output-files-count in [grants]", self.manifest.as_deref());
        Err(ErrorCode::InsufficientSpace.into())
    }

    /// Like [`take`](Self::take), for an open file.
    pub(super) fn take_growth(&self, file: &fs::File, position: Option<u64>, length: u64) -> io::Result<()> {
        self.take(position, length, if position.is_some() { file.metadata()?.len() } else { 0 })
    }

    /// Charges the growth of a file of `size` bytes by a write of `length` bytes at a position, or
    /// at its end if there is none. Holes count too, because a reader receives their bytes.
    pub(super) fn take(&self, position: Option<u64>, length: u64, size: u64) -> io::Result<()> {
        let growth = position.map_or(length, |position| position.saturating_add(length).saturating_sub(size));
        let less = |left: u64| left.checked_sub(growth);
        if self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return Ok(());
        }
        let what = format!("to write more than {} bytes of output files", self.limits.size);
        self.output.deny(&what, "raise output-files-size in [grants]", self.manifest.as_deref());
        Err(rustix::io::Errno::NOSPC.into())
    }
}
