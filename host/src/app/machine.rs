//! What a machine gives a host, found out without starting one.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::engine::{self, Allocation, Engine};
use crate::process::{Reserve, can_start};
use crate::scheduler::Capacity;
use crate::storage::sqlite;

use super::{LaunchError, SPARE_BYTES, SPARE_THREADS, START_BYTES};

pub(crate) use crate::storage::sqlite::{DatabaseState, RESERVE_BYTES};

/// What a host has for its runs.
pub(crate) struct Room {
    /// Most runs at once, at most as many as the configuration allows.
    pub(crate) runs: u32,
    /// Why these are fewer; none if they are not.
    pub(crate) bound: Option<Bound>,
    /// Why there is no memory pool for guests; none if there is one.
    pub(crate) no_pool: Option<String>,
}

/// What a system has too little of for the runs that the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Memory mappings of a process (`vm.max_map_count`).
    Mappings,
    /// Address space of a process (`ulimit -v`).
    AddressSpace,
}

impl Room {
    /// The room that an engine has found.
    pub(super) fn of(allocation: &Allocation, wanted: u32) -> Self {
        let within = |guests| Capacity::within(wanted, guests).running;
        let runs = within(allocation.max_instances());
        let bound = match runs < wanted {
            // The engine takes fewer than the mappings allow only if the address space is too small.
            true if runs < within(engine::most_by_mappings()) => Some(Bound::AddressSpace),
            true => Some(Bound::Mappings),
            false => None,
        };
        let no_pool = match allocation {
            Allocation::Pool { .. } => None,
            Allocation::OnDemand { reason, .. } => Some(reason.clone()),
        };
        Self { runs, bound, no_pool }
    }
}

/// Looks at the database in a data folder, without changing it.
pub(crate) fn database(data: &Path) -> Result<DatabaseState, String> {
    sqlite::inspect(data).map_err(|error| error.to_string())
}

/// The files of the database in a data folder that a host opens for writing, also those that are not there yet.
pub(crate) fn database_files(data: &Path) -> Vec<PathBuf> {
    sqlite::FILES.iter().map(|name| data.join(name)).collect()
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
    Reserve::new(SPARE_BYTES).ok_or(LaunchError::Memory(SPARE_BYTES))?;
    Ok(Room::of(engine.allocation(), config.max_running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_tells_what_bounds_it() {
        let most = engine::most_by_mappings();
        let room = |slots, wanted| Room::of(&Allocation::Pool { slots }, wanted);
        assert_eq!((room(most, 4).runs, room(most, 4).bound), (4, None));
        assert_eq!(room(most, most).bound, Some(Bound::Mappings));
        let few = room(100, most);
        assert!(few.runs < 100 && few.bound == Some(Bound::AddressSpace) && few.no_pool.is_none());
        let on_demand = Allocation::OnDemand { limit: most, reason: "no room".to_owned() };
        assert_eq!(Room::of(&on_demand, most).bound, Some(Bound::Mappings));
        assert_eq!(Room::of(&on_demand, most).no_pool.as_deref(), Some("no room"));
    }
}
