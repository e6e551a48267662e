//! The limit of CPU time of one guest.

use std::time::Duration;

/// Enforces a guest's limit of CPU time. It is checked each time when the guest yields
/// its thread, so an excess is noticed within a tick.
pub(in crate::engine) struct CpuMeter {
    left: Duration,
}

impl CpuMeter {
    pub(in crate::engine) fn new(limit: Duration) -> Self {
        Self { left: limit }
    }

    /// Charges the time since `began`, and returns whether the limit is used up.
    pub(in crate::engine) fn is_exceeded(&mut self, began: Duration) -> bool {
        self.left = self.left.saturating_sub(Self::thread_time().saturating_sub(began));
        self.left.is_zero()
    }

    /// CPU time that this thread has used.
    pub(in crate::engine) fn thread_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    }
}
