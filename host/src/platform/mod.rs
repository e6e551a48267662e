//! Services of the machine that a simulation replaces: the time of day, and threads for blocking calls.
//!
//! A simulation runs everything on one thread, on tokio's paused clock. On that thread, the time of day follows that clock,
//! blocking calls are made on the same thread, and seeded random numbers replace the timing of threads: one seed is one
//! history. Outside a simulation, the only cost is a read of a thread-local.
//!
//! Knows nothing of the users of these services.

mod uptime;

use std::cell::Cell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use crate::process::spawn_blocking;

pub use uptime::Uptime;

/// Most times that a simulated call yields to other tasks.
const MAX_YIELDS: u32 = 3;

/// One in this many fault points panics in a simulation.
const FAULT_RARITY: u32 = 50;
/// Longest time of a simulated write in milliseconds. Only whole ones are used, because the rounding of fractions depends on
/// the real time at which tokio's clock was paused.
const MAX_DISK_MS: u64 = 10;

thread_local! {
    static SIMULATED: Cell<Option<Clock>> = const { Cell::new(None) };
    static FAULTS: Cell<bool> = const { Cell::new(false) };
    static DISK_FULL: Cell<bool> = const { Cell::new(false) };
}

/// The time of day of a simulation: it was `at` at the monotonic time `since`.
#[derive(Clone, Copy)]
struct Clock {
    at: SystemTime,
    since: Instant,
}

impl Clock {
    fn now(self) -> SystemTime {
        self.at + self.since.elapsed()
    }
}

/// The time of day by the system's clock, which may be set back.
pub fn wall_clock() -> SystemTime {
    match SIMULATED.get() {
        None => SystemTime::now(),
        Some(clock) => clock.now(),
    }
}

/// Whether this is the thread of a simulation.
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// Available parallelism; in a simulation the same on every machine.
pub fn cores() -> usize {
    if is_simulated() { 2 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Makes a blocking call on a thread for such calls. An error means that the system has no thread for it, or that the call
/// panicked.
pub async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let called = if is_simulated() {
        // In a task of its own, like the real one: it is made even if the caller is dropped.
        tokio::spawn(async move {
            yield_to_others().await;
            call()
        })
    } else {
        spawn_blocking(call)?
    };
    called.await.map_err(io::Error::other)
}

/// Yields a random number of times, like a thread of its own would be delayed. For simulations.
pub async fn yield_to_others() {
    for _ in 0..fastrand::u32(0..=MAX_YIELDS) {
        tokio::task::yield_now().await;
    }
}

/// Waits for as long as a disk might take. For simulations.
pub async fn write_to_disk() {
    if fastrand::bool() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=MAX_DISK_MS))).await;
    }
    yield_to_others().await;
}

/// A point at which a simulation sometimes injects a panic.
pub fn fault_point() {
    if FAULTS.get() && fastrand::u32(..FAULT_RARITY) == 0 {
        panic!("a fault of the simulation");
    }
}

/// A new UUIDv7: unique, and ordered by time. In a simulation, the seed decides it.
pub fn fresh_uuid() -> Uuid {
    if !is_simulated() {
        return Uuid::now_v7();
    }
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    random.fill_with(|| fastrand::u8(..));
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(since.as_millis()).unwrap_or(0), &random)
        .into_uuid()
}

/// Whether a simulated disk is full. Real ones report errors.
pub fn is_disk_full() -> bool {
    DISK_FULL.get()
}

/// Makes this the thread of a simulation until the returned guard is dropped. To be called within a tokio runtime, whose
/// clock is the monotonic clock of the simulation.
pub fn simulate(at: SystemTime) -> Simulated {
    SIMULATED.set(Some(Clock { at, since: Instant::now() }));
    FAULTS.set(true);
    Simulated(())
}

/// Guard of a running simulation.
pub struct Simulated(());

impl Simulated {
    /// Sets the clock ahead.
    pub fn set_ahead(&self, by: Duration) {
        self.set(wall_clock() + by);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.set(wall_clock() - by);
    }

    /// Fills the disk, or frees space.
    pub fn fill_disk(&self, full: bool) {
        DISK_FULL.set(full);
    }

    fn set(&self, at: SystemTime) {
        SIMULATED.set(Some(Clock { at, since: Instant::now() }));
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
        DISK_FULL.set(false);
        FAULTS.set(false);
    }
}
