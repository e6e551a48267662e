//! The state of a simulation, which belongs to its thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// One in this many fault points panics in a simulation.
const FAULT_RARITY: u32 = 50;

thread_local! {
    static SIMULATED: Cell<Option<Clock>> = const { Cell::new(None) };
    static FAULTS: Cell<Faults> = const { Cell::new(Faults::Never) };
    static DISK_FULL: Cell<bool> = const { Cell::new(false) };
}

/// The time of day of a simulation: it was `at` at the monotonic time `since`.
#[derive(Clone, Copy)]
struct Clock {
    at: SystemTime,
    since: Instant,
    /// When the simulation began.
    began: Instant,
}

/// Which fault points panic.
#[derive(Clone, Copy)]
enum Faults {
    Never,
    /// Some, as the seed decides.
    Sometimes,
    /// The one after this many others.
    After(u32),
}

/// The time of day of a simulation; none outside of one.
pub(super) fn time() -> Option<SystemTime> {
    SIMULATED.get().map(|clock| clock.at + clock.since.elapsed())
}

/// The boot clock of a simulation, which is its monotonic clock; none outside of one.
pub(super) fn boot_clock() -> Option<Duration> {
    SIMULATED.get().map(|clock| clock.began.elapsed())
}

/// A point at which a simulation sometimes injects a panic.
pub fn fault_point() {
    let panics = match FAULTS.get() {
        Faults::Never => false,
        Faults::Sometimes => fastrand::u32(..FAULT_RARITY) == 0,
        Faults::After(0) => {
            FAULTS.set(Faults::Never);
            true
        }
        Faults::After(others) => {
            FAULTS.set(Faults::After(others - 1));
            false
        }
    };
    if panics {
        panic!("a fault of the simulation");
    }
}

/// Makes one fault point of this thread panic: the one after `others` of them.
pub fn panic_at_fault_point(others: u32) {
    FAULTS.set(Faults::After(others));
}

/// Whether a simulated disk is full. Real ones report errors.
pub fn is_disk_full() -> bool {
    DISK_FULL.get()
}

/// Makes this the thread of a simulation until the returned guard is dropped. To be called within a tokio runtime, whose
/// clock is the monotonic clock of the simulation.
pub fn simulate(at: SystemTime) -> Simulated {
    let now = Instant::now();
    SIMULATED.set(Some(Clock { at, since: now, began: now }));
    FAULTS.set(Faults::Sometimes);
    Simulated(())
}

fn set_time(at: SystemTime) {
    let since = Instant::now();
    SIMULATED.set(SIMULATED.get().map(|clock| Clock { at, since, ..clock }));
}

/// Guard of a running simulation.
pub struct Simulated(());

impl Simulated {
    /// Sets the clock ahead.
    pub fn set_ahead(&self, by: Duration) {
        set_time(now() + by);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        set_time(now() - by);
    }

    /// Fills the disk, or frees space.
    pub fn fill_disk(&self, full: bool) {
        DISK_FULL.set(full);
    }
}

fn now() -> SystemTime {
    time().expect("it lasts until its guard is dropped")
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
        DISK_FULL.set(false);
        FAULTS.set(Faults::Never);
    }
}
