//! How memory for guests is set up.
//!
//! The pool reserves address space for every guest at start and hands out slots:
//! starting a guest maps nothing, and the number of memory mappings (which the
//! kernel bounds) is known beforehand. Where the address space is too small for
//! a pool, guests get memory one by one.

use std::fs;
use std::ops::Range;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::process::Reserve;

/// Mappings that one guest in the pool needs at most: stack and guard page,
/// memory below and above what is in use, and its image.
const MAPPINGS_PER_GUEST: u64 = 5;
/// Mappings that the rest of the host needs: libraries, threads, compiled code.
const MAPPINGS_KEPT: u64 = 8_000;
/// The kernel's bound where it can't be read.
const DEFAULT_MAX_MAPPINGS: u64 = 65_530;
/// Addresses that a pool leaves to the rest of the host: stacks of threads, the database's caches, compiled code.
const ADDRESSES_KEPT: usize = 256 << 20;
/// Below this a pool is not worth its address space.
const LEAST_SLOTS: u32 = 16;

/// Most that one guest may have of each; what a component of any toolchain
/// needs, with room. Python brings 200 core instances.
const CORE_INSTANCES: u32 = 500;
const MEMORIES: u32 = 16;
const TABLES: u32 = 100;
/// Tables that there is room for on average, at 1.6 MB of address space each.
/// Where guests need more than that, some wait.
const TABLES_TYPICAL: u32 = 8;
const TABLE_ELEMENTS: usize = 200_000;
const INSTANCE_BYTES: usize = 8 << 20;
/// Memory of a guest that stays mapped when its slot is free, so that the next
/// one does not fault it in again: all that a program in Go writes to before its first
/// event, in 50 page faults instead of 240. A host keeps so much for each memory of its
/// busiest moment, so it is not more. (Of components in Python and JavaScript less stays:
/// they write here and there, and wasmtime resets 32 places and drops the rest.)
const KEEP_RESIDENT: usize = 1 << 20;
/// The same, of its tables.
const TABLE_KEEP_RESIDENT: usize = 256 << 10;

/// Addresses of one memory where they are scarce: enough for a small guest.
const SMALL_RESERVATION: u64 = 10 << 20;
const SMALL_GUARD: u64 = 64 << 10;
/// How many more a memory gets that outgrows them. It is copied then, so a guest
/// that grows bit by bit must not outgrow them again and again.
const SMALL_GROWTH: u64 = 64 << 20;

/// The reason why an engine could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(pub(in crate::engine) String);

/// How memory for guests is set up, and so how many can be alive at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// A pool with so many slots.
    Pool {
        /// Guests that fit.
        slots: u32,
    },
    /// One by one.
    OnDemand {
        /// Guests that fit.
        limit: u32,
        /// Why there is no pool.
        reason: String,
    },
}

impl Allocation {
    /// What there was to spend.
    pub(in crate::engine) const fn addresses(&self) -> Addresses {
        match self {
            Self::Pool { .. } => Addresses::Plenty,
            Self::OnDemand { .. } => Addresses::Scarce,
        }
    }

    /// Guests that can be alive at once.
    pub const fn max_instances(&self) -> u32 {
        match self {
            Self::Pool { slots } => *slots,
            Self::OnDemand { limit, .. } => *limit,
        }
    }
}

/// How many addresses an engine can spend, which compiled code depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Addresses {
    /// 4 GiB for each memory.
    Plenty,
    /// No more than are used.
    Scarce,
}

/// Which tasks an engine is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum World {
    /// Those of the contract, and ordinary programs.
    Sync,
    /// Those of the experiment, whose calls can be under way beside one another.
    Async,
}

/// An engine that executes nothing. What it compiles is the same as that of one that
/// [`engine`] or [`async_engine`] returns, and what it loads has room there. With `threads` it compiles on all cores.
pub(in crate::engine) fn compiling_engine(
    world: World,
    addresses: Addresses,
    threads: bool,
) -> Result<Engine, SetupError> {
    let mut config = match addresses {
        Addresses::Plenty => config(),
        Addresses::Scarce => frugal(),
    };
    config.parallel_compilation(threads);
    match (world, addresses) {
        (World::Sync, Addresses::Plenty) => {
            let mut one = pool(1);
            // As many as one guest may have. Each counts as memory, of which a compiler has little.
            one.total_tables(TABLES);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(one));
        }
        (World::Sync, Addresses::Scarce) => {}
        (World::Async, _) => {
            config.concurrency_support(true).wasm_component_model_async(true);
        }
    }
    Engine::new(&config).map_err(|error| SetupError(format!("can't set up wasmtime: {error:#}")))
}

/// An engine for async tasks, which get memory one by one: a pool would take address space
/// for an experiment, and cut what the others have.
pub(in crate::engine) fn async_engine(addresses: Addresses) -> Result<Engine, SetupError> {
    compiling_engine(World::Async, addresses, true)
}

/// An engine for `wanted` guests at once, or as many as this system allows: never fewer for more that are wanted.
pub(in crate::engine) fn engine(wanted: u32) -> Result<(Engine, Allocation), SetupError> {
    let possible = max_mappings().saturating_sub(MAPPINGS_KEPT) / MAPPINGS_PER_GUEST;
    let wanted = wanted.max(1).min(u32::try_from(possible).unwrap_or(u32::MAX)).max(LEAST_SLOTS);
    let reason = match pooled(wanted) {
        Ok(engine) => return Ok((engine, Allocation::Pool { slots: wanted })),
        Err(reason) => reason,
    };
    let slots = most(LEAST_SLOTS..wanted, |slots| pooled(slots).is_ok());
    if let Some(slots) = slots
        && let Ok(engine) = pooled(slots)
    {
        return Ok((engine, Allocation::Pool { slots }));
    }
    Ok((
        compiling_engine(World::Sync, Addresses::Scarce, true)?,
        Allocation::OnDemand { limit: wanted, reason },
    ))
}

/// An engine with a pool of so many slots, if that leaves enough addresses for the rest of the host.
fn pooled(slots: u32) -> Result<Engine, String> {
    let _kept = Reserve::new(ADDRESSES_KEPT).ok_or("it would take all addresses that the host may have")?;
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    Engine::new(&config).map_err(|error| format!("{error:#}"))
}

/// The largest of the numbers that fits, where all below one that fits do; found by bisection.
fn most(range: Range<u32>, fits: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut fitting, mut above) = (None, range.end);
    loop {
        let from = fitting.map_or(range.start, |fitting| fitting + 1);
        if from >= above {
            return fitting;
        }
        let middle = from + (above - from) / 2;
        if fits(middle) {
            fitting = Some(middle);
        } else {
            above = middle;
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // The stable contract is synchronous; without this, stores are cheaper.
        .concurrency_support(false)
        .memory_init_cow(true)
        .wasm_exceptions(true);
    config
}

/// A configuration that takes no more addresses than are used. The usual one
/// reserves 4 GiB for each memory to save checks of bounds, and two or three guests
/// would take all that there is.
fn frugal() -> Config {
    let mut config = config();
    config
        .memory_reservation(SMALL_RESERVATION)
        .memory_guard_size(SMALL_GUARD)
        .memory_reservation_for_growth(SMALL_GROWTH)
        .gc_heap_reservation(SMALL_RESERVATION)
        .gc_heap_guard_size(SMALL_GUARD)
        .gc_heap_reservation_for_growth(SMALL_GROWTH);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_TYPICAL).max(10 * TABLES))
        .total_stacks(slots)
        .total_gc_heaps(slots.min(1000))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_component_instance_size(INSTANCE_BYTES)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        // Kernels from 6.7 on say which pages were written to. Else it is the first ones that stay.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// How many memory mappings the kernel allows this process.
fn max_mappings() -> u64 {
    let setting = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    setting.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_MAX_MAPPINGS)
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::*;

    #[test]
    fn the_most_that_fits_is_found_whatever_is_wanted() {
        for limit in [0, 15, 16, 17, 100, 4_999, 5_000, 11_506] {
            for wanted in [17, 18, 100, 5_000, 10_000, 11_506] {
                let found = most(LEAST_SLOTS..wanted, |slots| slots <= limit);
                assert_eq!(
                    found,
                    (limit >= LEAST_SLOTS).then(|| limit.min(wanted - 1)),
                    "{wanted} of {limit}"
                );
            }
        }
    }

    #[test]
    fn what_another_process_compiles_is_for_this_engine() {
        let (pooled, allocation) = engine(LEAST_SLOTS).unwrap();
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let addresses = allocation.addresses();
        for threads in [true, false] {
            assert_eq!(hash(&pooled), hash(&compiling_engine(World::Sync, addresses, threads).unwrap()));
        }
        // The code cache tells them apart by this alone.
        let concurrent = async_engine(addresses).unwrap();
        assert_ne!(hash(&pooled), hash(&concurrent));
        assert_eq!(hash(&concurrent), hash(&compiling_engine(World::Async, addresses, true).unwrap()));
    }
}
