use std::time::Duration;

use serde::Serialize;

use super::Timestamp;

/// Settings of a circuit breaker, which pauses a task whose attempts keep failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open the circuit.
    pub failures: u32,
    /// Time within which they have to happen.
    pub window: Duration,
    /// How long the circuit stays open.
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(60), pause: Duration::from_secs(30) }
    }
}

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Circuit {
    /// Attempts start normally.
    Closed,
    /// No attempt starts; runs wait.
    Open {
        /// When the circuit becomes half open.
        until: Timestamp,
    },
    /// One attempt at a time starts, as a test.
    HalfOpen,
}
