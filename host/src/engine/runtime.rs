//! The engine: its configuration of wasmtime, its memory for guests and its threads.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::attempt::PoolWaiters;
use super::code::{Allocation, Loader, SetupError, World, pool};
use super::config::Config;
use super::guest::{Guest, imports};
use super::timing::{CpuScheduler, SPARE_THREADS, Ticker};
use super::wasi::{FilePools, Network};
use crate::process::start_runtime;

/// Most blocking calls, such as of storage, that the host makes at once for its guests; others queue. Calls to files
/// have threads of their own (`FilePools`).
const BLOCKING_THREADS: usize = 64;

/// Compiles and executes guests.
pub struct Engine {
    pub(super) loader: Loader,
    /// For async tasks, if they are enabled.
    pub(super) async_loader: Option<Loader>,
    /// For core modules.
    pub(super) module_linker: wasmtime::Linker<Guest>,
    pub(super) allocation: Allocation,
    /// Most memory of one guest in bytes.
    pub(super) memory_bytes: usize,
    pub(super) pool_waiters: Arc<PoolWaiters>,
    pub(super) scheduler: CpuScheduler,
    pub(super) network: Arc<Network>,
    pub(super) file_pools: Arc<FilePools>,
    pub(super) ticker: Arc<Ticker>,
    /// The threads that execute guests. None once the engine is dropped.
    guests: Option<Runtime>,
}

impl Engine {
    /// Reserves memory for guests and starts the threads that execute them.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let (wasmtime, allocation) = pool::engine(config.max_instances)?;
        let setup = |error: wasmtime::Error| SetupError(format!("{error:#}"));
        let addresses = allocation.addresses();
        let mut module_linker = wasmtime::Linker::new(&wasmtime);
        imports::link_preview_1(&mut module_linker).map_err(setup)?;
        let loader = Loader::new(World::Sync, wasmtime, addresses, config).map_err(setup)?;
        let async_loader = if config.async_world {
            let wasmtime = pool::async_engine(addresses)?;
            Some(Loader::new(World::Async, wasmtime, addresses, config).map_err(setup)?)
        } else {
            None
        };
        let threads = config.threads.max(1);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.thread_name("guest").max_blocking_threads(BLOCKING_THREADS).enable_time();
        let threadless =
            |error: io::Error| SetupError(format!("can't start the threads that execute guests: {error}"));
        // One more, for the ticker.
        let guests = start_runtime(&mut builder, threads + SPARE_THREADS, 1).map_err(threadless)?;
        let engines = [Some(&loader), async_loader.as_ref()].into_iter().flatten();
        let ticker = Ticker::start(engines.map(|loader| loader.wasmtime.weak()).collect());
        let ticker = match ticker {
            Ok(ticker) => ticker,
            Err(error) => {
                // Without waiting, as in `Drop`.
                guests.shutdown_background();
                return Err(threadless(error));
            }
        };
        Ok(Self {
            loader,
            async_loader,
            module_linker,
            allocation,
            memory_bytes: config.memory_bytes,
            pool_waiters: Arc::default(),
            scheduler: CpuScheduler::new(threads),
            network: Arc::default(),
            file_pools: Arc::default(),
            ticker,
            guests: Some(guests),
        })
    }

    /// How memory for guests is allocated, and how many guests can be alive at once.
    pub fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// The threads that execute guests.
    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        self.guests.as_ref().expect("present until dropped").handle()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            // Without waiting, because an engine may be dropped in async code. The host has ended every run by
            // now; at worst a guest is aborted at its next yield.
            guests.shutdown_background();
        }
    }
}
