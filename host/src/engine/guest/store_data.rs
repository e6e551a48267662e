//! The data of one guest's store: its interfaces to the host, its limits and its open resources.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::access::{Access, FolderError};
use super::host_api::HostApi;
use super::memory::MemoryLimit;
use crate::engine::code::is_scarcity;
use crate::engine::command::{CommandIo, Invocation};
use crate::engine::grants::{FolderGrant, Grants, OUTPUT_MOUNT};
use crate::engine::guest_host::GuestHost;
use crate::engine::limits::Limits;
use crate::engine::timing::{PauseGate, RateLimiter};
use crate::engine::wasi::{GuestOutput, OpenFiles, Outgoing, http_context, register_preopens};

/// Most random bytes that a guest gets in one call; the host generates them in memory.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// Most host resources (streams, pollables, …) that a guest may hold at once.
const MAX_RESOURCES: usize = 10_000;

/// The data of one guest's store.
pub(in crate::engine) struct Guest {
    pub(in crate::engine) api: HostApi,
    pub(in crate::engine) memory: MemoryLimit,
    pub(in crate::engine) output: GuestOutput,
    /// Standard input and output of an ordinary program; none for a guest that uses the contract.
    pub(in crate::engine) command: Option<CommandIo>,
    /// Its open files and folders.
    pub(in crate::engine) files: OpenFiles,
    wasi: WasiCtx,
    /// Replaces `wasi` for a program for preview 1.
    pub(in crate::engine) preview_1: Option<WasiP1Ctx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    pub(in crate::engine) table: ResourceTable,
}

impl Guest {
    /// Fails if a granted folder can't be opened.
    pub(in crate::engine) fn new(
        host: Arc<dyn GuestHost>,
        limits: Limits,
        gate: Arc<PauseGate>,
        access: Access,
        invocation: Option<Invocation<'_>>,
    ) -> Result<Self, FolderError> {
        let mask = access.grants.secrets.mask().cloned();
        let rate_limiter = RateLimiter::new(limits.event_rate, limits.event_bytes_rate).map(Arc::new);
        let output =
            GuestOutput::new(Arc::clone(&host), limits.log_bytes, mask.clone(), rate_limiter.clone());
        let api = HostApi::new(host, limits, gate, mask, rate_limiter);
        let outgoing =
            || Outgoing::new(Arc::clone(&access.grants), Arc::clone(&access.network), output.clone());
        let command =
            invocation.map(|invocation| CommandIo::new(invocation, api.clone(), output.clone(), outgoing()));
        let mut wasi = wasi(&output, &access)?;
        if let (Some(command), Some(invocation)) = (&command, invocation) {
            command.connect(&mut wasi, invocation);
        }
        let is_module = invocation.is_some_and(|invocation| invocation.is_module);
        let mut files =
            OpenFiles::new(&access.grants, access.files.as_ref(), &output, access.file_pool.clone());
        let mut preview_1 = is_module.then(|| std::mem::take(&mut wasi).build_p1());
        if let Some(wasi) = &mut preview_1 {
            register_preopens(&mut files, wasi);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Ok(Self {
            api,
            memory: MemoryLimit::new(limits.memory_bytes),
            wasi: wasi.build(),
            preview_1,
            http: http_context(),
            files,
            outgoing: outgoing(),
            command,
            output,
            table,
        })
    }
}

/// Denies sockets and name lookup, inherits nothing, and opens only granted folders.
fn wasi(output: &GuestOutput, access: &Access) -> Result<WasiCtxBuilder, FolderError> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(output.stdout())
        .stderr(output.stderr())
        .max_random_size(MAX_RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false);
    let Grants { env, secrets, folders, .. } = &*access.grants;
    let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in env.chain(secrets.reveal()) {
        wasi.env(name, value);
    }
    let mut open = |path: &Path, mount: &str, perms| {
        let opened = wasi.preopened_dir(path, mount, perms);
        opened.map(drop).map_err(|error| FolderError {
            message: format!("the folder for {mount} can't be opened: {error}"),
            is_transient: is_scarcity(&error),
        })
    };
    for FolderGrant { path, mount, write, .. } in folders {
        open(path, mount, if *write { FsPerms::ReadWrite } else { FsPerms::ReadOnly })?;
    }
    if let Some(folder) = &access.files {
        open(&folder.path, OUTPUT_MOUNT, FsPerms::ReadWrite)?;
    }
    Ok(wasi)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}
