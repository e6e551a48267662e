//! Services of the machine that a simulation replaces: the time of day, and threads for blocking calls.
//!
//! A simulation runs everything on one thread, on tokio's paused clock. On that thread, the time of day follows that clock,
//! blocking calls are made on the same thread, and seeded random numbers replace the timing of threads: one seed is one
//! history. The hooks are behind the feature `simulation`; without it, nothing of this is in the program.
//!
//! Knows nothing of the users of these services.

#[cfg_attr(not(feature = "simulation"), path = "no_simulation.rs")]
mod simulation;
mod uptime;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::process::{spawn_blocking, start_thread};

#[cfg(feature = "simulation")]
pub use simulation::{Simulated, panic_at_fault_point, simulate};
pub use simulation::{fault_point, is_disk_full};
pub use uptime::Uptime;

/// Most times that a simulated call yields to other tasks.
const MAX_YIELDS: u32 = 3;
/// Longest time of a simulated write in milliseconds. Only whole ones are used, because the rounding of fractions depends on
/// the real time at which tokio's clock was paused.
const MAX_DISK_MS: u64 = 10;

/// The time of day by the system's clock, which may be set back.
pub fn wall_clock() -> SystemTime {
    simulation::time().unwrap_or_else(SystemTime::now)
}

/// Whether this is the thread of a simulation.
pub fn is_simulated() -> bool {
    simulation::time().is_some()
}

/// Time since the machine started, including time in which it was suspended. Only differences have a meaning.
pub fn boot_clock() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // Where the system has no such clock, that of its timers.
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    simulation::boot_clock().unwrap_or_else(|| {
        let time = rustix::time::clock_gettime(CLOCK);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
    })
}

/// Calls `check` at this interval until it returns false. On a thread of its own, so that it is on time whatever the other
/// threads do; in a simulation in a task.
pub fn watch(
    name: &str,
    interval: Duration,
    mut check: impl FnMut() -> bool + Send + 'static,
) -> io::Result<()> {
    if is_simulated() {
        tokio::spawn(async move {
            while check() {
                tokio::time::sleep(interval).await;
            }
        });
        return Ok(());
    }
    let watching = move || {
        while check() {
            std::thread::sleep(interval);
        }
    };
    start_thread(name, watching).map(drop)
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
