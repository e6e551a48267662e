//! The granted folders of programs for WASI preview 1.

use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Fd, Prestat};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::{GuestMemory, GuestPtr};

use super::open_files::OpenFiles;
use crate::engine::grants::OUTPUT_MOUNT;

/// The first descriptor after standard input, output and error: that of a granted folder.
const FIRST_FOLDER: u32 = 3;

/// Registers the granted folders, which the library opens with the first call, as open descriptors.
pub(in crate::engine) fn register_preopens(files: &mut OpenFiles, wasi: &mut WasiP1Ctx) {
    for fd in FIRST_FOLDER.. {
        let mut none = GuestMemory::Unshared(&mut []);
        let Ok(Prestat::Dir(folder)) = wasi.fd_prestat_get(&mut none, Fd::from(fd)) else { return };
        let mut mount = vec![0; folder.pr_name_len as usize];
        let mut memory = GuestMemory::Unshared(&mut mount);
        let named = wasi.fd_prestat_dir_name(&mut memory, Fd::from(fd), GuestPtr::new(0), folder.pr_name_len);
        files.register(fd, named.is_ok() && mount == OUTPUT_MOUNT.as_bytes());
    }
}
