//! The hooks of a program that can't be simulated. `simulation.rs` has those of one that can.

use std::time::{Duration, SystemTime};

/// The time of day of a simulation.
pub(super) fn time() -> Option<SystemTime> {
    None
}

/// The boot clock of a simulation.
pub(super) fn boot_clock() -> Option<Duration> {
    None
}

/// A point at which a simulation sometimes injects a panic.
pub fn fault_point() {}

/// Whether a simulated disk is full. Real ones report errors.
pub fn is_disk_full() -> bool {
    false
}
