//! The descriptors that a guest has open, and which of them are output files.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use super::quota::Quota;
use super::threads::FilePool;
use crate::engine::grants::{Grants, OUTPUT_MOUNT, OutputFolder};
use crate::engine::wasi::stdio::GuestOutput;

/// Most files, folders and streams that one guest may have open. Each is a file descriptor of the host, and
/// clients need descriptors too.
const MAX_OPEN: usize = 256;

/// The open files, folders and streams of one guest.
pub(in crate::engine) struct OpenFiles {
    /// The threads for its calls.
    pub(super) pool: FilePool,
    /// Has a clone for each open descriptor and stream. Created with the first.
    counter: Option<Arc<()>>,
    descriptors: HashMap<u32, OpenDescriptor>,
    /// None if output files are not granted.
    quota: Option<Arc<Quota>>,
    /// The manifest that grants read-only folders; none for the task's own.
    pub(super) read_only_in: Option<Arc<str>>,
}

struct OpenDescriptor {
    _open: Arc<()>,
    /// Whether it lies below [`OUTPUT_MOUNT`].
    is_output: bool,
}

impl OpenFiles {
    pub(in crate::engine) fn new(
        grants: &Grants,
        folder: Option<&OutputFolder>,
        output: &GuestOutput,
        pool: FilePool,
    ) -> Self {
        let files = grants.files.zip(folder);
        let quota = files.map(|(limits, folder)| {
            Arc::new(Quota::new(limits, grants.files_said_in.clone(), folder, output.clone()))
        });
        let read_only = grants.folders.iter().find(|folder| !folder.write);
        let read_only_in = read_only.and_then(|folder| folder.said_in.clone());
        Self { pool, counter: None, descriptors: HashMap::new(), quota, read_only_in }
    }

    /// The threads for a call with a descriptor, if it is a descriptor of a file.
    pub(super) fn pool_of(&self, fd: u32) -> Option<FilePool> {
        self.descriptors.contains_key(&fd).then(|| self.pool.clone())
    }

    /// Whether a move or link would cross the border of the output folder. A file with a name on both sides, or one
    /// that is still open on the other side, could grow without being counted.
    pub(super) fn crosses_output_border(&self, from: u32, to: u32, output: &GuestOutput) -> bool {
        let across = self.is_output(from) != self.is_output(to);
        if across {
            output
                .note(&format!("denied: no file can be moved or linked to or from {OUTPUT_MOUNT}; copy it"));
        }
        across
    }

    /// A token that counts as one open file until it is dropped.
    pub(super) fn count_open(&mut self) -> Arc<()> {
        Arc::clone(self.counter.get_or_insert_default())
    }

    fn is_full(&self) -> bool {
        self.counter.as_ref().is_some_and(|counter| Arc::strong_count(counter) > MAX_OPEN)
    }

    pub(super) fn check_open(&self, output: &GuestOutput) -> FsResult<()> {
        if !self.is_full() {
            return Ok(());
        }
        output.note(&format!("denied: a run may have {MAX_OPEN} files open"));
        Err(ErrorCode::InsufficientMemory.into())
    }

    /// Registers an open descriptor, by its number in the guest's table.
    pub(super) fn register(&mut self, fd: u32, is_output: bool) {
        let open = OpenDescriptor { _open: self.count_open(), is_output };
        self.descriptors.insert(fd, open);
    }

    pub(super) fn close(&mut self, fd: u32) {
        self.descriptors.remove(&fd);
    }

    /// Moves a descriptor to another number, which closes the descriptor there.
    pub(super) fn renumber(&mut self, from: u32, to: u32) {
        let moved = self.descriptors.remove(&from);
        self.descriptors.remove(&to);
        if let Some(moved) = moved {
            self.descriptors.insert(to, moved);
        }
    }

    pub(super) fn is_output(&self, fd: u32) -> bool {
        self.descriptors.get(&fd).is_some_and(|open| open.is_output)
    }

    /// The quota for changes through a descriptor.
    pub(super) fn quota(&self, fd: u32) -> Option<Arc<Quota>> {
        self.quota.clone().filter(|_| self.is_output(fd))
    }
}
