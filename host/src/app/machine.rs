//! What a machine gives a host, found out without starting one.

use std::path::Path;

use crate::config::Config;
use crate::engine::{self, Allocation, Engine};
use crate::process::{Reserve, can_start};
use crate::scheduler::Capacity;
use crate::storage::sqlite;

use super::{LaunchError, SPARE_THREADS, START_BYTES};

pub(crate) use crate::storage::sqlite::{DatabaseState, RESERVE_BYTES};

/// What a host would have for its runs.
pub(crate) struct Room {
    /// Most runs at once, at most as many as the configuration allows.
    pub(crate) runs: u32,
    /// Why there is no memory pool for guests; none if there is one.
    pub(crate) no_pool: Option<String>,
}

/// Looks at the database in a data folder, without changing it.
pub(crate) fn database(data: &Path) -> Result<DatabaseState, String> {
    sqlite::inspect(data).map_err(|error| error.to_string())
}

/// The part of the configuration that the engine needs.
pub(super) fn engine_config(config: &Config) -> engine::Config {
    engine::Config {
        cache: config.cache.clone().unwrap_or_else(|| config.data.join("cache")),
        max_instances: Capacity::guests(config.max_running),
        threads: config.guest_threads,
        compiler: config.compiler.clone(),
        compile_limits: config.compile_limits,
        async_world: config.experimental_async,
        memory_bytes: config.limits.memory_bytes,
    }
}

/// Checks the address space and the threads that a host needs, and sets up its engine for a moment. Writes nothing.
///
/// Blocks, for some milliseconds.
pub(crate) fn room(config: &Config) -> Result<Room, LaunchError> {
    drop(Reserve::new(START_BYTES).ok_or(LaunchError::Memory(START_BYTES))?);
    let engine = Engine::new(&engine_config(config))?;
    can_start(SPARE_THREADS).map_err(LaunchError::Threads)?;
    let allocation = engine.allocation();
    let runs = Capacity::within(config.max_running, allocation.max_instances()).running;
    let no_pool = match allocation {
        Allocation::Pool { .. } => None,
        Allocation::OnDemand { reason, .. } => Some(reason.clone()),
    };
    Ok(Room { runs, no_pool })
}
