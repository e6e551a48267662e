//! The interface between the SDK and the host or its replacement in tests.

use crate::child::Options;
use crate::{Error, Outcome, RunInfo, Signal};

/// The imports of the contract, with Rust types. On WebAssembly, the implementation
/// is the real host, elsewhere a recording. See the contract (`wit/task.wit`).
pub(crate) trait Host {
    /// Uses the default channel if `channel` is none. `data` is JSON.
    fn send(&self, channel: Option<&str>, event_type: &str, data: &str) -> Result<(), Error>;
    /// The empty channel is the default one.
    fn send_bytes(
        &self,
        channel: &str,
        event_type: &str,
        content_type: &str,
        data: &[u8],
    ) -> Result<(), Error>;
    fn flush(&self) -> Result<(), Error>;
    fn info(&self) -> RunInfo;
    fn remaining_ms(&self) -> Option<u32>;
    fn cancelled(&self) -> bool;
    /// Returns false if the run is cancelled.
    fn sleep_ms(&self, ms: u32) -> bool;
    fn receive_signal(&self, name: Option<&str>, timeout_ms: Option<u32>) -> Option<Signal>;
    /// JSON.
    fn parameter(&self, name: &str) -> Option<String>;
    fn save(&self, key: &str, value: &[u8]) -> Result<(), Error>;
    fn remove(&self, key: &str) -> Result<(), Error>;
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// `input` is JSON.
    fn start_child(&self, task: &str, input: &str, options: &Options<'_>) -> Result<String, Error>;
    /// Returns none after the timeout or if the run is cancelled.
    fn wait_for_children(
        &self,
        runs: &[String],
        timeout_ms: Option<u32>,
    ) -> Result<Option<(usize, Outcome)>, Error>;
    fn cancel_child(&self, run: &str) -> Result<(), Error>;
}

#[cfg(target_family = "wasm")]
pub(crate) use crate::guest::Imports as ThisHost;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::FakeHost as ThisHost;
