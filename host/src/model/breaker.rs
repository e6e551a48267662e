use std::time::Duration;

use serde::Serialize;

use super::Timestamp;

/// When a task that only fails is given a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// In which they failed.
    pub window: Duration,
    /// How long no further attempt is started then.
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(60), pause: Duration::from_secs(30) }
    }
}

/// Whether attempts of a task are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Circuit {
    /// They are.
    Closed,
    /// None is; they wait.
    Open {
        /// Until then.
        until: Timestamp,
    },
    /// One at a time is, to see how it ends.
    HalfOpen,
}
