//! Folders that a guest was granted: `wasi:filesystem` with bounds.
//!
//! The library keeps a guest within its folders, whatever `..` or links it tries. What
//! it lacks is added here: how much a guest may write below [`OUTPUT_MOUNT`], how many
//! files it may have open, and words for what is denied. Everything else is handed on.

mod preview_1;
mod quota;
mod streams;
mod threads;

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, File, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use self::quota::Quota;
use self::streams::{Input, Output};
use super::grants::{Grants, OUTPUT_MOUNT, OutputFolder};
use super::guest::Guest;
use super::stdio::GuestOutput;

pub(super) use preview_1::{hold_folders, link as link_preview_1};
pub(super) use threads::{FileThreads, Lane};

/// Files, folders and streams of them that one guest may have open. Each is a file
/// descriptor of the host, of which the clients need some too.
const MAX_OPEN: usize = 256;

/// Puts these in the place of the library's own.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    preopens::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What one guest has open.
pub(super) struct OpenFiles {
    /// Where its calls are made.
    lane: Lane,
    /// Has a clone for each descriptor and stream. Made with the first.
    counter: Option<Arc<()>>,
    descriptors: HashMap<u32, Held>,
    /// None without output files.
    quota: Option<Arc<Quota>>,
    /// The manifest that grants folders without writing; none: the task's own.
    read_only_in: Option<Arc<str>>,
}

struct Held {
    _open: Arc<()>,
    /// Whether it lies below [`OUTPUT_MOUNT`].
    is_output: bool,
}

impl OpenFiles {
    pub(super) fn new(
        grants: &Grants,
        folder: Option<&OutputFolder>,
        output: &GuestOutput,
        lane: Lane,
    ) -> Self {
        let files = grants.files.zip(folder);
        let quota = files.map(|(limits, folder)| {
            Arc::new(Quota::new(limits, grants.files_said_in.clone(), folder, output.clone()))
        });
        let read_only = grants.folders.iter().find(|folder| !folder.write);
        let read_only_in = read_only.and_then(|folder| folder.said_in.clone());
        Self { lane, counter: None, descriptors: HashMap::new(), quota, read_only_in }
    }

    /// Where a call with a descriptor is made, if it is one of a file.
    fn lane_of(&self, fd: u32) -> Option<Lane> {
        self.descriptors.contains_key(&fd).then(|| self.lane.clone())
    }

    /// Whether what is counted would come to be where it is not, or the other way round: a file that has a name on
    /// both sides, or one that is still open on the other, would grow uncounted.
    fn is_across(&self, from: u32, to: u32, output: &GuestOutput) -> bool {
        let across = self.is_output(from) != self.is_output(to);
        if across {
            output
                .note(&format!("denied: no file can be moved or linked to or from {OUTPUT_MOUNT}; copy it"));
        }
        across
    }

    fn open(&mut self) -> Arc<()> {
        Arc::clone(self.counter.get_or_insert_default())
    }

    fn is_full(&self) -> bool {
        self.counter.as_ref().is_some_and(|counter| Arc::strong_count(counter) > MAX_OPEN)
    }

    fn check_open(&self, output: &GuestOutput) -> FsResult<()> {
        if !self.is_full() {
            return Ok(());
        }
        output.note(&format!("denied: a run may have {MAX_OPEN} files open"));
        Err(ErrorCode::InsufficientMemory.into())
    }

    /// A descriptor, by its number in the guest's table.
    fn hold(&mut self, fd: u32, is_output: bool) {
        let held = Held { _open: self.open(), is_output };
        self.descriptors.insert(fd, held);
    }

    fn close(&mut self, fd: u32) {
        self.descriptors.remove(&fd);
    }

    /// One takes the place of another, which is closed by that.
    fn renumber(&mut self, from: u32, to: u32) {
        let held = self.descriptors.remove(&from);
        self.descriptors.remove(&to);
        if let Some(held) = held {
            self.descriptors.insert(to, held);
        }
    }

    fn is_output(&self, fd: u32) -> bool {
        self.descriptors.get(&fd).is_some_and(|held| held.is_output)
    }

    /// The quota that what is done with a descriptor counts against.
    fn quota(&self, fd: u32) -> Option<Arc<Quota>> {
        self.quota.clone().filter(|_| self.is_output(fd))
    }
}

impl Guest {
    fn check_open(&self) -> FsResult<()> {
        self.files.check_open(&self.output)
    }

    fn file(&self, fd: &Resource<Descriptor>) -> FsResult<File> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(file.clone()),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    /// Says in the log why a change will be refused.
    fn note_read_only(&self, fd: &Resource<Descriptor>, what: &str) {
        let perms = match self.table.get(fd) {
            Ok(Descriptor::Dir(folder)) => folder.perms,
            Ok(Descriptor::File(file)) => file.perms,
            Err(_) => return,
        };
        if perms.write_not_permitted() {
            let what = format!("to change {what:?} in a folder that is read-only");
            let said_in = self.files.read_only_in.as_deref();
            self.output.deny(&what, "add write = true to its [[grants.folders]]", said_in);
        }
    }

    /// Before something new is made in a folder.
    fn count_new(&self, fd: &Resource<Descriptor>, path: &str) -> FsResult<()> {
        self.note_read_only(fd, path);
        match self.files.quota(fd.rep()) {
            Some(quota) => quota.take_entry(),
            None => Ok(()),
        }
    }

    fn output_stream(
        &mut self,
        fd: Resource<Descriptor>,
        position: Option<u64>,
        stream: Resource<DynOutputStream>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let (file, quota) = (self.file(&fd)?.file, self.files.quota(fd.rep()));
        let inner = self.table.delete(stream)?;
        let open = self.files.open();
        let bounded: DynOutputStream =
            Box::new(Output::new(inner, file, position, quota, open, self.files.lane.clone()));
        Ok(self.table.push(bounded)?)
    }
}

/// What may wait for others when it is opened: pipes, devices, sockets.
const fn is_special(kind: DescriptorType) -> bool {
    !matches!(kind, DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink)
}

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let folders = preopens::Host::get_directories(&mut self.filesystem())?;
        for (fd, mount) in &folders {
            self.files.hold(fd.rep(), mount == OUTPUT_MOUNT);
        }
        Ok(folders)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.filesystem(), error)
    }
}

impl HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let lane = self.files.lane.clone();
        lane.within(HostDirectoryEntryStream::read_directory_entry(&mut self.filesystem(), stream)).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}

/// Functions that the library's own are good for.
macro_rules! hand_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(async fn $name(&mut self, fd: Resource<Descriptor>, $($argument: $type),*) -> FsResult<$answer> {
            let lane = self.files.lane.clone();
            lane.within(HostDescriptor::$name(&mut self.filesystem(), fd, $($argument),*)).await
        })*
    };
}

impl HostDescriptor for Guest {
    hand_on! {
        advise(offset: u64, len: u64, advice: types::Advice) -> ();
        sync_data() -> ();
        sync() -> ();
        get_flags() -> DescriptorFlags;
        get_type() -> DescriptorType;
        set_times(accessed: NewTimestamp, modified: NewTimestamp) -> ();
        set_times_at(flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp) -> ();
        read(len: u64, offset: u64) -> (Vec<u8>, bool);
        stat() -> DescriptorStat;
        stat_at(flags: PathFlags, path: String) -> DescriptorStat;
        readlink_at(path: String) -> String;
        metadata_hash() -> MetadataHashValue;
        metadata_hash_at(flags: PathFlags, path: String) -> MetadataHashValue;
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::is_same_object(&mut self.filesystem(), one, other)).await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.check_open()?;
        let changes = open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if changes || flags.contains(DescriptorFlags::WRITE) {
            self.note_read_only(&fd, &path);
        }
        let folder = fd.rep();
        match self.stat_at(Resource::new_borrow(folder), path_flags, path.clone()).await {
            Ok(there) if is_special(there.type_) => {
                self.output.note(&format!("denied: {path:?} is neither a file nor a folder"));
                return Err(ErrorCode::NotPermitted.into());
            }
            Ok(_) => {}
            Err(_) if open_flags.contains(OpenFlags::CREATE) => {
                if let Some(quota) = self.files.quota(folder) {
                    quota.take_entry()?;
                }
            }
            // Opening it says why.
            Err(_) => {}
        }
        let is_output = self.files.is_output(folder);
        let lane = self.files.lane.clone();
        let mut library = self.filesystem();
        let opening = HostDescriptor::open_at(&mut library, fd, path_flags, path, open_flags, flags);
        let opened = lane.within(opening).await?;
        self.files.hold(opened.rep(), is_output);
        Ok(opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.files.close(fd.rep());
        HostDescriptor::drop(&mut self.filesystem(), fd)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::read_directory(&mut self.filesystem(), fd)).await
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.count_new(&fd, &path)?;
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::create_directory_at(&mut self.filesystem(), fd, path)).await
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.count_new(&fd, &path)?;
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::symlink_at(&mut self.filesystem(), fd, target, path)).await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if self.files.is_across(fd.rep(), new_fd.rep(), &self.output) {
            return Err(ErrorCode::CrossDevice.into());
        }
        self.count_new(&new_fd, &new_path)?;
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::link_at(&mut self.filesystem(), fd, flags, path, new_fd, new_path)).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        if self.files.is_across(fd.rep(), new_fd.rep(), &self.output) {
            return Err(ErrorCode::CrossDevice.into());
        }
        self.note_read_only(&new_fd, &new_path);
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::rename_at(&mut self.filesystem(), fd, path, new_fd, new_path)).await
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::remove_directory_at(&mut self.filesystem(), fd, path)).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::unlink_file_at(&mut self.filesystem(), fd, path)).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> FsResult<()> {
        if let Some(quota) = self.files.quota(fd.rep()) {
            quota.take_growth(&self.file(&fd)?.file, Some(0), size)?;
        }
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::set_size(&mut self.filesystem(), fd, size)).await
    }

    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        if let Some(quota) = self.files.quota(fd.rep()) {
            quota.take_growth(&self.file(&fd)?.file, Some(offset), bytes.len() as u64)?;
        }
        let lane = self.files.lane.clone();
        lane.within(HostDescriptor::write(&mut self.filesystem(), fd, bytes, offset)).await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.check_open()?;
        let stream = HostDescriptor::read_via_stream(&mut self.filesystem(), fd, offset)?;
        let inner = self.table.delete(stream)?;
        let lane = self.files.lane.clone();
        let counted: DynInputStream = Box::new(Input::new(inner, self.files.open(), lane));
        Ok(self.table.push(counted)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.check_open()?;
        let again = Resource::new_borrow(fd.rep());
        let stream = HostDescriptor::write_via_stream(&mut self.filesystem(), fd, offset)?;
        self.output_stream(again, Some(offset), stream)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.check_open()?;
        let again = Resource::new_borrow(fd.rep());
        let stream = HostDescriptor::append_via_stream(&mut self.filesystem(), fd)?;
        self.output_stream(again, None, stream)
    }
}
