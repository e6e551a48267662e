//! What the lanes know of each other and of the database.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::storage::{Result, StorageError};

/// Lanes that have a gate: the queue's, and those of the logs.
pub(super) const GATED_LANES: i32 = 1 + LOG_LANES;
/// Lanes for logs. One connection writes 140,000 events a second and three 270,000; more would compete for the same disk.
pub(super) const LOG_LANES: i32 = 3;

/// What the lanes have in common.
#[derive(Default)]
pub(super) struct LaneState {
    /// Why the last statement of each lane failed, if it did.
    health: Mutex<Vec<Option<String>>>,
    /// The number under which writes pass the gate that no host has to be alive for: that of the host of this process, as
    /// soon as it registers.
    writer: Mutex<Option<i64>>,
    /// Since when the queue's lane has a connection, as far as it has noticed.
    connected: Mutex<Option<Instant>>,
}

impl LaneState {
    pub(super) fn new(lanes: usize) -> Self {
        Self { health: Mutex::new(vec![None; lanes]), ..Self::default() }
    }

    pub(super) fn writer(&self) -> Option<i64> {
        *self.writer.lock()
    }

    pub(super) fn set_writer(&self, host: Option<i64>) {
        *self.writer.lock() = host;
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        let mut connected = self.connected.lock();
        *connected = if is_connected { connected.or_else(|| Some(Instant::now())) } else { None };
    }

    /// Stores why the database accepts no writes, or that it does.
    pub(super) fn note_health(&self, lane: usize, error: Option<String>) {
        let before = {
            let mut health = self.health.lock();
            health.get_mut(lane).map(|health| std::mem::replace(health, error.clone()))
        };
        match (before.flatten(), error) {
            (None, Some(error)) => tracing::error!(lane, error, "the database accepts no writes; retrying"),
            (Some(_), None) => tracing::info!(lane, "the database accepts writes again"),
            _ => {}
        }
    }

    /// Why the last statement of a lane failed, if one did.
    pub(super) fn health(&self) -> Result<()> {
        match self.health.lock().iter().flatten().next() {
            None => Ok(()),
            Some(error) => Err(StorageError::Unavailable(error.clone())),
        }
    }

    /// For how long this process has been connected.
    pub(super) fn connected_for(&self) -> Option<Duration> {
        self.connected.lock().map(|since| since.elapsed())
    }
}
