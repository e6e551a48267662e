//! File functions of WASI preview 1, in front of the library's, which keeps the files of such programs private.
//!
//! Each function that opens, creates or grows a file is replaced by one that checks first and then calls the
//! library's. It asks the library where the next byte of a file goes and whether the file appends, so this state is
//! not duplicated here; only which descriptors are open, and which of them are output files, is tracked.

use std::sync::Arc;

use wasmtime::{AsContextMut as _, Caller, Extern, Linker};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Ciovec, Errno, Fd, Fdflags, Filetype, Lookupflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as library, WasiSnapshotPreview1 as _};
use wiggle::{GuestMemory, GuestPtr};

use super::open_files::OpenFiles;
use super::quota::Quota;
use crate::engine::guest::Guest;
use crate::engine::limits::MAX_CALL_BYTES;
use crate::engine::wasi::stdio::GuestOutput;

/// The bit of `oflags` that creates a missing file.
const CREATE: i32 = 1;
/// Most bytes that are read or written in one call: well below the limit of one call.
const MAX_PIECE_BYTES: u32 = (MAX_CALL_BYTES / 2) as u32;
/// Operating systems keep the last eight bits of an exit code.
const MAX_EXIT_CODE: i32 = 0xff;
/// The result of a successful call.
const SUCCESS: i32 = 0;

/// Defines functions, each by its arguments, its check, and what is recorded after success.
macro_rules! define {
    ($linker:ident, $call:ident: $(
        fn $name:ident($fd:ident: i32 $(, $argument:ident: $type:ty)*) { $($check:expr)? } $(then $record:expr)?;
    )*) => {$(
        $linker.func_wrap_async(
            "wasi_snapshot_preview1",
            stringify!($name),
            |mut caller: Caller<'_, Guest>, ($fd, $($argument,)*): (i32, $($type,)*)| {
                Box::new(async move {
                    // Any other descriptor may be standard input, whose reads wait for answers of the host.
                    let pool = caller.data().files.pool_of($fd as u32);
                    let called = async move {
                        #[allow(unused_mut, reason = "not every check changes something")]
                        let mut $call = Call::of(&mut caller)?;
                        $(if let Err(refused) = $check {
                            $call.restore_length()?;
                            return Ok(refused as i32);
                        })?
                        let answer = library::$name($call.wasi, &mut $call.memory, $fd, $($argument),*).await?;
                        $call.restore_length()?;
                        $(if answer == SUCCESS {
                            $record;
                        })?
                        wasmtime::Result::Ok(answer)
                    };
                    match pool {
                        Some(pool) => pool.within(called).await,
                        None => called.await,
                    }
                })
            },
        )?;
    )*};
}

/// Links these functions instead of the library's.
pub(in crate::engine) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    link_file_functions(linker)?;
    link_symlink(linker)?;
    link_exit(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The functions whose first argument is a descriptor.
fn link_file_functions(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    define! { linker, call:
        fn path_open(
            folder: i32, lookup: i32, path: i32, length: i32, flags: i32, rights: i64, inherited: i64,
            file_flags: i32, opened: i32
        ) { call.may_open(folder, lookup, (path, length), flags).await } then call.opened(folder, opened)?;
        fn fd_close(fd: i32) {} then call.files.close(fd as u32);
        fn fd_renumber(from: i32, to: i32) {} then call.files.renumber(from as u32, to as u32);
        fn fd_write(fd: i32, pieces: i32, count: i32, written: i32) {
            call.may_write(fd, (pieces, count), None).await
        };
        fn fd_pwrite(fd: i32, pieces: i32, count: i32, position: i64, written: i32) {
            call.may_write(fd, (pieces, count), Some(position as u64)).await
        };
        fn fd_filestat_set_size(fd: i32, size: i64) { call.may_grow(fd, Some(0), size as u64).await };
        fn path_create_directory(folder: i32, path: i32, length: i32) { call.may_create_in(folder) };
        fn path_link(
            from: i32, lookup: i32, old: i32, old_length: i32, folder: i32, path: i32, length: i32
        ) { call.may_link(from, folder) };
        fn fd_read(fd: i32, pieces: i32, count: i32, read: i32) { call.reduce_length((pieces, count)) };
        fn fd_pread(fd: i32, pieces: i32, count: i32, position: i64, read: i32) {
            call.reduce_length((pieces, count))
        };
        fn fd_advise(fd: i32, position: i64, length: i64, advice: i32) {};
        fn fd_datasync(fd: i32) {};
        fn fd_fdstat_get(fd: i32, stat: i32) {};
        fn fd_seek(fd: i32, distance: i64, from: i32, position: i32) {};
        fn fd_sync(fd: i32) {};
        fn fd_filestat_get(fd: i32, stat: i32) {};
        fn fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32) {};
        fn fd_readdir(fd: i32, buffer: i32, length: i32, cookie: i64, used: i32) {};
        fn path_filestat_get(folder: i32, lookup: i32, path: i32, length: i32, stat: i32) {};
        fn path_filestat_set_times(
            folder: i32, lookup: i32, path: i32, length: i32, accessed: i64, modified: i64, flags: i32
        ) {};
        fn path_readlink(folder: i32, path: i32, length: i32, buffer: i32, room: i32, used: i32) {};
        fn path_remove_directory(folder: i32, path: i32, length: i32) {};
        fn path_unlink_file(folder: i32, path: i32, length: i32) {};
        fn path_rename(from: i32, old: i32, old_length: i32, folder: i32, path: i32, length: i32) {
            call.may_move(from, folder)
        };
    }
    Ok(())
}

/// The only file function whose first argument is not a descriptor.
fn link_symlink(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        "wasi_snapshot_preview1",
        "path_symlink",
        |mut caller: Caller<'_, Guest>,
         (target, target_length, folder, path, length): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let pool = caller.data().files.pool.clone();
                pool.within(async move {
                    let mut call = Call::of(&mut caller)?;
                    if let Err(refused) = call.may_create_in(folder) {
                        return Ok(refused as i32);
                    }
                    let (wasi, memory) = (call.wasi, &mut call.memory);
                    library::path_symlink(wasi, memory, target, target_length, folder, path, length).await
                })
                .await
            })
        },
    )?;
    Ok(())
}

/// The library accepts codes up to 125 and treats others as an error.
fn link_exit(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(I32Exit(code & MAX_EXIT_CODE).into())
    })?;
    Ok(())
}

/// A call of a program, before it reaches the library.
struct Call<'a> {
    memory: GuestMemory<'a>,
    wasi: &'a mut WasiP1Ctx,
    files: &'a mut OpenFiles,
    output: &'a GuestOutput,
    /// The address of a length that is reduced for this call, and its original value.
    reduced: Option<(GuestPtr<u32>, u32)>,
}

impl<'a> Call<'a> {
    fn of(caller: &'a mut Caller<'_, Guest>) -> wasmtime::Result<Self> {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("the module exports no memory"))?;
        let fuel = caller.as_context_mut().hostcall_fuel();
        let (bytes, guest) = memory.data_and_store_mut(caller);
        let wasi = guest.preview_1.as_mut().expect("present in every guest that is linked this way");
        // The limit of bytes per call, as the library's own functions set it.
        wasi.set_hostcall_fuel(fuel);
        Ok(Self {
            memory: GuestMemory::Unshared(bytes),
            wasi,
            files: &mut guest.files,
            output: &guest.output,
            reduced: None,
        })
    }

    fn quota(&self, fd: i32) -> Option<Arc<Quota>> {
        self.files.quota(fd as u32)
    }

    async fn may_open(
        &mut self,
        folder: i32,
        lookup: i32,
        (path, length): (i32, i32),
        flags: i32,
    ) -> Result<(), Errno> {
        self.files.check_open(self.output).map_err(|_| Errno::Mfile)?;
        let lookup = Lookupflags::try_from(lookup).map_err(|_| Errno::Inval)?;
        let path = GuestPtr::new((path as u32, length as u32));
        match self.wasi.path_filestat_get(&mut self.memory, Fd::from(folder), lookup, path).await {
            // Files that can block when they are opened: pipes, devices, sockets.
            Ok(stat)
                if !matches!(
                    stat.filetype,
                    Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink
                ) =>
            {
                self.output.note("denied: only files and folders can be opened");
                Err(Errno::Perm)
            }
            Err(_) if flags & CREATE != 0 => self.may_create_in(folder),
            // Opening the file reports the reason.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Registers the descriptor that the library has returned.
    fn opened(&mut self, folder: i32, at: i32) -> wasmtime::Result<()> {
        let fd = self.memory.read(GuestPtr::<u32>::new(at as u32))?;
        let is_output = self.files.is_output(folder as u32);
        self.files.register(fd, is_output);
        Ok(())
    }

    /// `position` is none for a write at the current position of the file.
    async fn may_write(&mut self, fd: i32, pieces: (i32, i32), position: Option<u64>) -> Result<(), Errno> {
        self.reduce_length(pieces)?;
        if self.quota(fd).is_none() {
            return Ok(());
        }
        let length = self.first_length(pieces)?;
        // Neither can fail for a file.
        let stat = self.wasi.fd_fdstat_get(&mut self.memory, Fd::from(fd)).await.map_err(|_| Errno::Badf)?;
        let current = self.wasi.fd_tell(&mut self.memory, Fd::from(fd)).map_err(|_| Errno::Badf)?;
        let appends = stat.fs_flags.contains(Fdflags::APPEND);
        let position = if appends { None } else { Some(position.unwrap_or(current)) };
        self.may_grow(fd, position, length).await
    }

    /// The length of the first buffer that is not empty, the only one that the library reads or writes in one call.
    fn first_length(&self, pieces: (i32, i32)) -> Result<u64, Errno> {
        Ok(self.first_piece(pieces)?.map_or(0, |(_, length)| length.into()))
    }

    /// That buffer: the address of its length, and the length.
    fn first_piece(&self, (pieces, count): (i32, i32)) -> Result<Option<(GuestPtr<u32>, u32)>, Errno> {
        let pieces = GuestPtr::<[Ciovec]>::new((pieces as u32, count as u32));
        for place in pieces.iter() {
            let place = place.map_err(|_| Errno::Fault)?;
            let piece = self.memory.read(place).map_err(|_| Errno::Fault)?;
            if piece.buf_len > 0 {
                // The length follows the address.
                return Ok(Some((GuestPtr::new(place.offset() + 4), piece.buf_len)));
            }
        }
        Ok(None)
    }

    /// Reduces the length of a buffer that is too large for one call. Programs continue with the rest, because a call
    /// may always read or write less.
    fn reduce_length(&mut self, pieces: (i32, i32)) -> Result<(), Errno> {
        if let Some((place, length)) = self.first_piece(pieces)?
            && length > MAX_PIECE_BYTES
        {
            self.memory.write(place, MAX_PIECE_BYTES).map_err(|_| Errno::Fault)?;
            self.reduced = Some((place, length));
        }
        Ok(())
    }

    /// Restores the length in the memory of the program, which may use it again.
    fn restore_length(&mut self) -> wasmtime::Result<()> {
        match self.reduced.take() {
            Some((place, length)) => Ok(self.memory.write(place, length)?),
            None => Ok(()),
        }
    }

    /// Charges the growth by a write at a position, or at the end, to the quota.
    async fn may_grow(&mut self, fd: i32, position: Option<u64>, length: u64) -> Result<(), Errno> {
        let Some(quota) = self.quota(fd) else { return Ok(()) };
        let stat =
            self.wasi.fd_filestat_get(&mut self.memory, Fd::from(fd)).await.map_err(|_| Errno::Badf)?;
        quota.take(position, length, stat.size).map_err(|_| Errno::Nospc)
    }

    fn may_create_in(&self, folder: i32) -> Result<(), Errno> {
        self.quota(folder).map_or(Ok(()), |quota| take_entry(&quota))
    }

    fn may_link(&self, from: i32, to: i32) -> Result<(), Errno> {
        self.may_move(from, to)?;
        self.may_create_in(to)
    }

    fn may_move(&self, from: i32, to: i32) -> Result<(), Errno> {
        if self.files.crosses_output_border(from as u32, to as u32, self.output) {
            Err(Errno::Xdev)
        } else {
            Ok(())
        }
    }
}

fn take_entry(quota: &Quota) -> Result<(), Errno> {
    quota.take_entry().map_err(|_| Errno::Nospc)
}
