//! The engines of wasmtime, and the memory for guests.
//!
//! The pool reserves address space for all guests at start and assigns slots:
//! starting a guest maps nothing, and the number of memory mappings (which the
//! kernel limits) is known in advance. If the address space is too small for
//! a pool, guests get memory one by one.

use std::fs;
use std::ops::Range;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::process::Reserve;

/// Most mappings of one guest in the pool: stack and guard page, used and unused
/// memory, and its image.
const MAPPINGS_PER_GUEST: u64 = 5;
/// Mappings that the rest of the host needs: libraries, threads, compiled code.
const MAPPINGS_KEPT: u64 = 8_000;
/// The kernel's limit of mappings if it can't be read.
const DEFAULT_MAX_MAPPINGS: u64 = 65_530;
/// Bytes of address space that a pool leaves to the rest of the host: stacks of threads, the database's caches,
/// compiled code.
const ADDRESSES_KEPT: usize = 256 << 20;
/// Fewest slots for which a pool is worth its address space.
const LEAST_SLOTS: u32 = 16;

/// Limits of one guest, with a margin above the needs of components of any toolchain.
/// Python has 200 core instances.
const CORE_INSTANCES: u32 = 500;
const MEMORIES: u32 = 16;
const TABLES: u32 = 100;
/// Average number of tables per slot in the pool, at 1.6 MB of address space each.
/// If guests need more than that, some wait.
const TABLES_TYPICAL: u32 = 8;
const TABLE_ELEMENTS: usize = 200_000;
const INSTANCE_BYTES: usize = 8 << 20;
/// Bytes of a guest's memory that stay mapped when its slot is free, so that the next guest
/// has fewer page faults: 50 instead of 240 for a program in Go until its first event. The host
/// keeps this amount for each slot that was in use at its peak, so it must be small. (Components
/// in Python and JavaScript benefit less: they write to scattered pages, and wasmtime resets 32
/// regions and drops the rest.)
const KEEP_RESIDENT: usize = 1 << 20;
/// Bytes of its tables that stay mapped.
const TABLE_KEEP_RESIDENT: usize = 256 << 10;

/// Reserved bytes of one memory if address space is scarce: enough for a small guest.
const SMALL_RESERVATION: u64 = 10 << 20;
const SMALL_GUARD: u64 = 64 << 10;
/// Further reservation of a memory that outgrows the first. Each time it is copied, so a guest
/// that grows in small steps must not outgrow its reservation often.
const SMALL_GROWTH: u64 = 64 << 20;

/// The reason why an engine could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(pub(in crate::engine) String);

/// Why there is no pool of a size.
#[derive(Debug, thiserror::Error)]
enum PoolError {
    #[error("it would take the whole address space of the host")]
    AddressSpace,
    #[error("{0:#}")]
    Refused(wasmtime::Error),
}

/// How memory for guests is allocated, and how many guests can be alive at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// A pool of slots.
    Pool {
        /// The number of slots.
        slots: u32,
    },
    /// Memory is allocated for each guest.
    OnDemand {
        /// Most guests at once.
        limit: u32,
        /// Why there is no pool.
        reason: String,
    },
}

impl Allocation {
    /// The address space for which code must be compiled.
    pub(in crate::engine) const fn addresses(&self) -> Addresses {
        match self {
            Self::Pool { .. } => Addresses::Plenty,
            Self::OnDemand { .. } => Addresses::Scarce,
        }
    }

    /// Most guests that can be alive at once.
    pub const fn max_instances(&self) -> u32 {
        match self {
            Self::Pool { slots } => *slots,
            Self::OnDemand { limit, .. } => *limit,
        }
    }
}

/// How much address space an engine reserves for each memory. Compiled code depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Addresses {
    /// 4 GiB for each memory.
    Plenty,
    /// Little more than is used.
    Scarce,
}

/// The kind of tasks that an engine executes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum World {
    /// Tasks of the contract, and ordinary programs.
    Sync,
    /// Async tasks, an experiment, whose calls can be pending concurrently.
    Async,
}

/// An engine without memory for guests. It compiles the same code as the engines that [`engine`] and
/// [`async_engine`] return, and loads only code that fits into them. With `threads` it compiles on all cores.
pub(in crate::engine) fn compiling_engine(
    world: World,
    addresses: Addresses,
    threads: bool,
) -> Result<Engine, SetupError> {
    let mut config = match addresses {
        Addresses::Plenty => config(),
        Addresses::Scarce => small_config(),
    };
    config.parallel_compilation(threads);
    match (world, addresses) {
        (World::Sync, Addresses::Plenty) => {
            let mut one = pool(1);
            // As many as one guest may have. Each counts as memory, which is limited in a compiler.
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

/// An engine for async tasks, which get memory one by one: a pool for an experiment would take
/// address space from all other tasks.
pub(in crate::engine) fn async_engine(addresses: Addresses) -> Result<Engine, SetupError> {
    compiling_engine(World::Async, addresses, true)
}

/// An engine for `wanted` guests at once, or as many as this system allows. A larger `wanted` never leads to fewer.
pub(in crate::engine) fn engine(wanted: u32) -> Result<(Engine, Allocation), SetupError> {
    let wanted = wanted.clamp(LEAST_SLOTS, most_by_mappings());
    let reason = match pooled(wanted) {
        Ok(engine) => return Ok((engine, Allocation::Pool { slots: wanted })),
        Err(error) => error.to_string(),
    };
    let slots = largest_that_fits(LEAST_SLOTS..wanted, |slots| pooled(slots).is_ok());
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

/// Most guests at once with the memory mappings that the kernel allows this process.
pub fn most_by_mappings() -> u32 {
    let possible = max_mappings().saturating_sub(MAPPINGS_KEPT) / MAPPINGS_PER_GUEST;
    u32::try_from(possible).unwrap_or(u32::MAX).max(LEAST_SLOTS)
}

/// An engine with a pool of that many slots, if it leaves enough address space for the rest of the host.
fn pooled(slots: u32) -> Result<Engine, PoolError> {
    let _kept = Reserve::new(ADDRESSES_KEPT).ok_or(PoolError::AddressSpace)?;
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    Engine::new(&config).map_err(PoolError::Refused)
}

/// The largest number in the range that fits, found by bisection. All numbers below one that fits must fit too.
fn largest_that_fits(range: Range<u32>, fits: impl Fn(u32) -> bool) -> Option<u32> {
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
        // The stable contract is synchronous, and stores without concurrency are cheaper.
        .concurrency_support(false)
        .memory_init_cow(true)
        .wasm_exceptions(true);
    config
}

/// A configuration that reserves little address space. The usual one reserves 4 GiB for each
/// memory to avoid bounds checks, and two or three guests would take the whole address
/// space.
fn small_config() -> Config {
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
        // Kernels from 6.7 on report which pages were written to. Otherwise the first pages stay mapped.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The number of memory mappings that the kernel allows this process.
fn max_mappings() -> u64 {
    let setting = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    setting.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_MAX_MAPPINGS)
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::*;

    #[test]
    fn the_largest_number_that_fits_is_found() {
        for limit in [0, 15, 16, 17, 100, 4_999, 5_000, 11_506] {
            for wanted in [17, 18, 100, 5_000, 10_000, 11_506] {
                let found = largest_that_fits(LEAST_SLOTS..wanted, |slots| slots <= limit);
                assert_eq!(
                    found,
                    (limit >= LEAST_SLOTS).then(|| limit.min(wanted - 1)),
                    "{wanted} of {limit}"
                );
            }
        }
    }

    #[test]
    fn code_of_another_process_fits_this_engine() {
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
        // The code cache distinguishes the two by this hash only.
        let concurrent = async_engine(addresses).unwrap();
        assert_ne!(hash(&pooled), hash(&concurrent));
        assert_eq!(hash(&concurrent), hash(&compiling_engine(World::Async, addresses, true).unwrap()));
    }
}
