//! `wasi:filesystem` of WASI 0.2, in front of the library's implementation.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, File, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::streams::{FileInput, FileOutput};
use crate::engine::grants::OUTPUT_MOUNT;
use crate::engine::guest::Guest;

/// Links these functions instead of the library's.
pub(in crate::engine) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    preopens::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
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

    /// Logs why a change will be refused.
    fn note_read_only(&self, fd: &Resource<Descriptor>, what: &str) {
        let perms = match self.table.get(fd) {
            Ok(Descriptor::Dir(folder)) => folder.perms,
            Ok(Descriptor::File(file)) => file.perms,
            Err(_) => return,
        };
        if perms.write_not_permitted() {
            let what = format!("to change {what:?} in a folder that is read-only");
            let manifest = self.files.read_only_in.as_deref();
            self.output.deny(&what, "add write = true to its [[grants.folders]]", manifest);
        }
    }

    /// To be called before something is created in a folder.
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
        let open = self.files.count_open();
        let bounded: DynOutputStream =
            Box::new(FileOutput::new(inner, file, position, quota, open, self.files.pool.clone()));
        Ok(self.table.push(bounded)?)
    }
}

/// Files that can block when they are opened: pipes, devices, sockets.
const fn is_special(kind: DescriptorType) -> bool {
    !matches!(kind, DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink)
}

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let folders = preopens::Host::get_directories(&mut self.filesystem())?;
        for (fd, mount) in &folders {
            self.files.register(fd.rep(), mount == OUTPUT_MOUNT);
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
        let pool = self.files.pool.clone();
        pool.within(HostDirectoryEntryStream::read_directory_entry(&mut self.filesystem(), stream)).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}

/// Functions that call the library's without a check.
macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&mut self, fd: Resource<Descriptor>, $($argument: $type),*) -> FsResult<$result> {
            let pool = self.files.pool.clone();
            pool.within(HostDescriptor::$name(&mut self.filesystem(), fd, $($argument),*)).await
        })*
    };
}

impl HostDescriptor for Guest {
    forward! {
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
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::is_same_object(&mut self.filesystem(), one, other)).await
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
            Ok(stat) if is_special(stat.type_) => {
                self.output.note(&format!("denied: {path:?} is neither a file nor a folder"));
                return Err(ErrorCode::NotPermitted.into());
            }
            Ok(_) => {}
            Err(_) if open_flags.contains(OpenFlags::CREATE) => {
                if let Some(quota) = self.files.quota(folder) {
                    quota.take_entry()?;
                }
            }
            // Opening the file reports the reason.
            Err(_) => {}
        }
        let is_output = self.files.is_output(folder);
        let pool = self.files.pool.clone();
        let mut library = self.filesystem();
        let opening = HostDescriptor::open_at(&mut library, fd, path_flags, path, open_flags, flags);
        let opened = pool.within(opening).await?;
        self.files.register(opened.rep(), is_output);
        Ok(opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.files.close(fd.rep());
        HostDescriptor::drop(&mut self.filesystem(), fd)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::read_directory(&mut self.filesystem(), fd)).await
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.count_new(&fd, &path)?;
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::create_directory_at(&mut self.filesystem(), fd, path)).await
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.count_new(&fd, &path)?;
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::symlink_at(&mut self.filesystem(), fd, target, path)).await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if self.files.crosses_output_border(fd.rep(), new_fd.rep(), &self.output) {
            return Err(ErrorCode::CrossDevice.into());
        }
        self.count_new(&new_fd, &new_path)?;
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::link_at(&mut self.filesystem(), fd, flags, path, new_fd, new_path)).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        if self.files.crosses_output_border(fd.rep(), new_fd.rep(), &self.output) {
            return Err(ErrorCode::CrossDevice.into());
        }
        self.note_read_only(&new_fd, &new_path);
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::rename_at(&mut self.filesystem(), fd, path, new_fd, new_path)).await
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::remove_directory_at(&mut self.filesystem(), fd, path)).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.note_read_only(&fd, &path);
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::unlink_file_at(&mut self.filesystem(), fd, path)).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> FsResult<()> {
        if let Some(quota) = self.files.quota(fd.rep()) {
            quota.take_growth(&self.file(&fd)?.file, Some(0), size)?;
        }
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::set_size(&mut self.filesystem(), fd, size)).await
    }

    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        if let Some(quota) = self.files.quota(fd.rep()) {
            quota.take_growth(&self.file(&fd)?.file, Some(offset), bytes.len() as u64)?;
        }
        let pool = self.files.pool.clone();
        pool.within(HostDescriptor::write(&mut self.filesystem(), fd, bytes, offset)).await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.check_open()?;
        let stream = HostDescriptor::read_via_stream(&mut self.filesystem(), fd, offset)?;
        let inner = self.table.delete(stream)?;
        let pool = self.files.pool.clone();
        let counted: DynInputStream = Box::new(FileInput::new(inner, self.files.count_open(), pool));
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
