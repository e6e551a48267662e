//! A program of WebAssembly, ready to be instantiated.

use std::sync::Arc;

use super::entry::EntryPoint;
use super::pool_waiters::PoolWaiters;
use crate::engine::timing::CpuScheduler;
use crate::engine::wasi::{FilePools, Network};

/// A program of WebAssembly, with the parts of the engine that its attempts share.
pub(in crate::engine) struct WasmProgram {
    pub(in crate::engine) entry: EntryPoint,
    pub(in crate::engine) pool_waiters: Arc<PoolWaiters>,
    pub(in crate::engine) scheduler: CpuScheduler,
    pub(in crate::engine) network: Arc<Network>,
    pub(in crate::engine) file_pools: Arc<FilePools>,
}
