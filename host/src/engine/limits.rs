//! The limits of one attempt.

use std::time::Duration;

/// Most bytes that a guest may pass in one call, as arguments or result. A call with more
/// traps, because the host would have to copy them to answer.
pub(super) const MAX_CALL_BYTES: usize = 16 << 20;

/// The limits of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all memories and tables together.
    pub memory_bytes: usize,
    /// Elapsed time from start to end, whether the guest computes or waits.
    pub deadline: Option<Duration>,
    /// CPU time.
    pub cpu: Option<Duration>,
    /// Number of events.
    pub events: Option<u64>,
    /// Bytes of data of all events together.
    pub events_bytes: Option<u64>,
    /// Events per second. A guest that sends faster is delayed.
    pub event_rate: Option<u64>,
    /// Bytes of event data per second. A guest that sends faster is delayed.
    pub event_bytes_rate: Option<u64>,
    /// Bytes of the input, checked before the run is stored.
    pub input_bytes: usize,
    /// Bytes of the result.
    pub output_bytes: usize,
    /// Bytes of data of one event.
    pub event_bytes: usize,
    /// Bytes printed to stdout and stderr together.
    pub log_bytes: usize,
}

impl Limits {
    /// Without any limit.
    pub const UNLIMITED: Self = Self {
        memory_bytes: usize::MAX,
        deadline: None,
        cpu: None,
        events: None,
        events_bytes: None,
        event_rate: None,
        event_bytes_rate: None,
        input_bytes: usize::MAX,
        output_bytes: usize::MAX,
        event_bytes: usize::MAX,
        log_bytes: usize::MAX,
    };
}
