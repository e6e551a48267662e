//! The same bounds for programs for WASI preview 1, whose files the library keeps to itself.
//!
//! Each function that opens or makes something, or lets it grow, is one of ours, which looks
//! first and then calls the library's. Where a file's next byte goes and whether it appends,
//! the library is asked, so nothing is known twice here; only which descriptors are open, and
//! which of them lie below [`OUTPUT_MOUNT`].

use std::sync::Arc;

use wasmtime::{AsContextMut as _, Caller, Extern, Linker};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Ciovec, Errno, Fd, Fdflags, Filetype, Lookupflags, Prestat};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as library, WasiSnapshotPreview1 as _};
use wiggle::{GuestMemory, GuestPtr};

use super::quota::Quota;
use super::{Guest, OUTPUT_MOUNT, OpenFiles};
use crate::engine::run::MAX_CALL_BYTES;
use crate::engine::stdio::GuestOutput;

/// The first descriptor after standard input, output and error: that of a granted folder.
const FIRST_FOLDER: u32 = 3;
/// The bit of `oflags` that makes what is not there.
const CREATE: i32 = 1;
/// Most that is read or written in one call: well below what a guest may hand over in one.
const MAX_PIECE_BYTES: u32 = (MAX_CALL_BYTES / 2) as u32;
/// Systems keep the last eight bits of an exit code.
const MAX_EXIT_CODE: i32 = 0xff;
/// The answer to a call that went well.
const SUCCESS: i32 = 0;

/// Defines functions, each as: its arguments; what may refuse it; what is noted once it went well.
macro_rules! define {
    ($linker:ident, $call:ident: $(
        fn $name:ident($fd:ident: i32 $(, $argument:ident: $type:ty)*) { $($check:expr)? } $(then $noted:expr)?;
    )*) => {$(
        $linker.func_wrap_async(
            "wasi_snapshot_preview1",
            stringify!($name),
            |mut caller: Caller<'_, Guest>, ($fd, $($argument,)*): (i32, $($type,)*)| {
                Box::new(async move {
                    // Other than a file, it may be an input that the host itself has to be asked for.
                    let lane = caller.data().files.lane_of($fd as u32);
                    let called = async move {
                        #[allow(unused_mut, reason = "not every check changes something")]
                        let mut $call = Call::of(&mut caller)?;
                        $(if let Err(refused) = $check {
                            $call.lengthen()?;
                            return Ok(refused as i32);
                        })?
                        let answer = library::$name($call.wasi, &mut $call.memory, $fd, $($argument),*).await?;
                        $call.lengthen()?;
                        $(if answer == SUCCESS {
                            $noted;
                        })?
                        wasmtime::Result::Ok(answer)
                    };
                    match lane {
                        Some(lane) => lane.within(called).await,
                        None => called.await,
                    }
                })
            },
        )?;
    )*};
}

/// Puts these in the place of the library's own.
pub(in crate::engine) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
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
        fn path_create_directory(folder: i32, path: i32, length: i32) { call.may_make_in(folder) };
        fn path_link(
            from: i32, lookup: i32, old: i32, old_length: i32, folder: i32, path: i32, length: i32
        ) { call.may_link(from, folder) };
        fn fd_read(fd: i32, pieces: i32, count: i32, read: i32) { call.shorten((pieces, count)) };
        fn fd_pread(fd: i32, pieces: i32, count: i32, position: i64, read: i32) {
            call.shorten((pieces, count))
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
    // The library takes codes up to 125, and what is more for a fault.
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(I32Exit(code & MAX_EXIT_CODE).into())
    })?;
    // The only one of files that does not begin with a descriptor.
    linker.func_wrap_async(
        "wasi_snapshot_preview1",
        "path_symlink",
        |mut caller: Caller<'_, Guest>,
         (target, target_length, folder, path, length): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let lane = caller.data().files.lane.clone();
                lane.within(async move {
                    let mut call = Call::of(&mut caller)?;
                    if let Err(refused) = call.may_make_in(folder) {
                        return Ok(refused as i32);
                    }
                    let (wasi, memory) = (call.wasi, &mut call.memory);
                    library::path_symlink(wasi, memory, target, target_length, folder, path, length).await
                })
                .await
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Takes the granted folders for open, which the library opens with the first call.
pub(in crate::engine) fn hold_folders(files: &mut OpenFiles, wasi: &mut WasiP1Ctx) {
    for fd in FIRST_FOLDER.. {
        let mut none = GuestMemory::Unshared(&mut []);
        let Ok(Prestat::Dir(folder)) = wasi.fd_prestat_get(&mut none, Fd::from(fd)) else { return };
        let mut mount = vec![0; folder.pr_name_len as usize];
        let mut memory = GuestMemory::Unshared(&mut mount);
        let named = wasi.fd_prestat_dir_name(&mut memory, Fd::from(fd), GuestPtr::new(0), folder.pr_name_len);
        files.hold(fd, named.is_ok() && mount == OUTPUT_MOUNT.as_bytes());
    }
}

/// A call of a program, before it reaches the library.
struct Call<'a> {
    memory: GuestMemory<'a>,
    wasi: &'a mut WasiP1Ctx,
    files: &'a mut OpenFiles,
    output: &'a GuestOutput,
    /// Where a length stands that is shorter for this call, and what it was.
    shortened: Option<(GuestPtr<u32>, u32)>,
}

impl<'a> Call<'a> {
    fn of(caller: &'a mut Caller<'_, Guest>) -> wasmtime::Result<Self> {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("the module exports no memory"))?;
        let fuel = caller.as_context_mut().hostcall_fuel();
        let (bytes, guest) = memory.data_and_store_mut(caller);
        let wasi = guest.preview_1.as_mut().expect("made for every guest that is linked so");
        // How much a call may hand over, as the library's own functions do it.
        wasi.set_hostcall_fuel(fuel);
        Ok(Self {
            memory: GuestMemory::Unshared(bytes),
            wasi,
            files: &mut guest.files,
            output: &guest.output,
            shortened: None,
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
            // What may wait for others when it is opened: pipes, devices, sockets.
            Ok(there)
                if !matches!(
                    there.filetype,
                    Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink
                ) =>
            {
                self.output.note("denied: what is neither a file nor a folder can't be opened");
                Err(Errno::Perm)
            }
            Err(_) if flags & CREATE != 0 => self.may_make_in(folder),
            // Opening it says why.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads what the library has answered.
    fn opened(&mut self, folder: i32, at: i32) -> wasmtime::Result<()> {
        let fd = self.memory.read(GuestPtr::<u32>::new(at as u32))?;
        let is_output = self.files.is_output(folder as u32);
        self.files.hold(fd, is_output);
        Ok(())
    }

    /// Without a position: to where the file stands.
    async fn may_write(&mut self, fd: i32, pieces: (i32, i32), position: Option<u64>) -> Result<(), Errno> {
        self.shorten(pieces)?;
        if self.quota(fd).is_none() {
            return Ok(());
        }
        let length = self.first_length(pieces)?;
        // Neither can fail for a file.
        let stat = self.wasi.fd_fdstat_get(&mut self.memory, Fd::from(fd)).await.map_err(|_| Errno::Badf)?;
        let stands = self.wasi.fd_tell(&mut self.memory, Fd::from(fd)).map_err(|_| Errno::Badf)?;
        let appends = stat.fs_flags.contains(Fdflags::APPEND);
        let position = if appends { None } else { Some(position.unwrap_or(stands)) };
        self.may_grow(fd, position, length).await
    }

    /// The length of the first piece that is not empty: all that the library takes in one call.
    fn first_length(&self, pieces: (i32, i32)) -> Result<u64, Errno> {
        Ok(self.first_piece(pieces)?.map_or(0, |(_, length)| length.into()))
    }

    /// The same, and where it stands.
    fn first_piece(&self, (pieces, count): (i32, i32)) -> Result<Option<(GuestPtr<u32>, u32)>, Errno> {
        let pieces = GuestPtr::<[Ciovec]>::new((pieces as u32, count as u32));
        for place in pieces.iter() {
            let place = place.map_err(|_| Errno::Fault)?;
            let piece = self.memory.read(place).map_err(|_| Errno::Fault)?;
            if piece.buf_len > 0 {
                // Behind the address.
                return Ok(Some((GuestPtr::new(place.offset() + 4), piece.buf_len)));
            }
        }
        Ok(None)
    }

    /// Has the library take a part of what would be too much for one call. Programs go on with the rest: a file may
    /// take less than it is offered.
    fn shorten(&mut self, pieces: (i32, i32)) -> Result<(), Errno> {
        if let Some((place, length)) = self.first_piece(pieces)?
            && length > MAX_PIECE_BYTES
        {
            self.memory.write(place, MAX_PIECE_BYTES).map_err(|_| Errno::Fault)?;
            self.shortened = Some((place, length));
        }
        Ok(())
    }

    /// Gives the program its length back, which it may use again.
    fn lengthen(&mut self) -> wasmtime::Result<()> {
        match self.shortened.take() {
            Some((place, length)) => Ok(self.memory.write(place, length)?),
            None => Ok(()),
        }
    }

    /// By what is written from a position on, or at the end.
    async fn may_grow(&mut self, fd: i32, position: Option<u64>, length: u64) -> Result<(), Errno> {
        let Some(quota) = self.quota(fd) else { return Ok(()) };
        let stat =
            self.wasi.fd_filestat_get(&mut self.memory, Fd::from(fd)).await.map_err(|_| Errno::Badf)?;
        quota.take(position, length, stat.size).map_err(|_| Errno::Nospc)
    }

    fn may_make_in(&self, folder: i32) -> Result<(), Errno> {
        self.quota(folder).map_or(Ok(()), |quota| take_entry(&quota))
    }

    fn may_link(&self, from: i32, to: i32) -> Result<(), Errno> {
        self.may_move(from, to)?;
        self.may_make_in(to)
    }

    fn may_move(&self, from: i32, to: i32) -> Result<(), Errno> {
        if self.files.is_across(from as u32, to as u32, self.output) { Err(Errno::Xdev) } else { Ok(()) }
    }
}

fn take_entry(quota: &Quota) -> Result<(), Errno> {
    quota.take_entry().map_err(|_| Errno::Nospc)
}
