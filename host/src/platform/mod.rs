//! What the host takes from the machine and a simulation gives it in another way: the
//! time of day, and threads for calls that block.
//!
//! A simulation runs everything on one thread, on tokio's paused clock. On that thread
//! the time of day follows that clock, blocking calls are made at once, and what would
//! be decided by the speed of threads is decided by random numbers with a seed: one seed
//! is one history. Elsewhere none of this is seen; it costs a look at a thread-local.
//!
//! Knows nothing of what the host does with either.

mod uptime;

use std::cell::Cell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use crate::process::spawn_blocking;

pub use uptime::Uptime;

/// Most times that a simulated call lets others go first.
const MAX_YIELDS: u32 = 3;

/// One in so many simulated faults happens.
const FAULT_RARITY: u32 = 50;
/// Longest time of a simulated write in milliseconds. Whole ones, for how a part of one is
/// rounded depends on when tokio's clock was stopped, which is real time.
const MAX_DISK_MS: u64 = 10;

thread_local! {
    static SIMULATED: Cell<Option<Clock>> = const { Cell::new(None) };
    static FAULTS: Cell<bool> = const { Cell::new(false) };
    static DISK_FULL: Cell<bool> = const { Cell::new(false) };
}

/// The time of day of a simulation: `at` when its monotonic clock says `since`.
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

/// The time of day by the system's clock, which may be set.
pub fn wall_clock() -> SystemTime {
    match SIMULATED.get() {
        None => SystemTime::now(),
        Some(clock) => clock.now(),
    }
}

/// Whether this thread is that of a simulation.
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// How much can be done at once; in a simulation the same on every machine.
pub fn cores() -> usize {
    if is_simulated() { 2 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Makes a call that blocks where that holds up nobody. An error means that the system gives no
/// thread for it, or that it panicked.
pub async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let called = if is_simulated() {
        // In a task of its own, as the real one: it happens although nobody waits for it any more.
        tokio::spawn(async move {
            let_others_go_first().await;
            call()
        })
    } else {
        spawn_blocking(call)?
    };
    called.await.map_err(io::Error::other)
}

/// Waits as long as a thread of its own might take to get here, in a simulation.
pub async fn let_others_go_first() {
    for _ in 0..fastrand::u32(0..=MAX_YIELDS) {
        tokio::task::yield_now().await;
    }
}

/// Waits as long as a disk might take, in a simulation.
pub async fn write_to_disk() {
    if fastrand::bool() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=MAX_DISK_MS))).await;
    }
    let_others_go_first().await;
}

/// A place where a fault of the host is to be expected least. In a simulation, there is one now
/// and then.
pub fn fault_point() {
    if FAULTS.get() && fastrand::u32(..FAULT_RARITY) == 0 {
        panic!("a fault of the simulation");
    }
}

/// A UUIDv7: unique, and in order of time. In a simulation the seed decides it.
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

/// Whether the disk takes no writes, in a simulation. A real one says so itself.
pub fn is_disk_full() -> bool {
    DISK_FULL.get()
}

/// Makes this thread that of a simulation, until the answer is dropped. Its monotonic
/// clock is that of the tokio runtime, so this is called within one.
pub fn simulate(at: SystemTime) -> Simulated {
    SIMULATED.set(Some(Clock { at, since: Instant::now() }));
    FAULTS.set(true);
    Simulated(())
}

/// A simulation under way.
pub struct Simulated(());

impl Simulated {
    /// Sets the time of day ahead.
    pub fn set_ahead(&self, by: Duration) {
        self.set(wall_clock() + by);
    }

    /// Sets the time of day back.
    pub fn set_back(&self, by: Duration) {
        self.set(wall_clock() - by);
    }

    /// Fills the disk, or makes room.
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
