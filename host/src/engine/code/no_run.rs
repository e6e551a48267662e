//! The host of a guest that describes itself, and so has no run.

use async_trait::async_trait;

use crate::engine::guest_host::{ChildRunHost, ChildRunRequest, GuestHost, RunInfo, RunLost};
use crate::model::{Json, NewEvent, Outcome, Refusal, RefusalCode, Signal, SignalName, TaskRef, Version};

/// Answers the calls of a guest that describes itself: most fail, because there is no run.
pub(super) struct NoRun {
    info: RunInfo,
}

impl NoRun {
    pub(super) fn new(version: Version) -> Self {
        let task = TaskRef::parse("default", "describe").expect("a valid name");
        Self { info: RunInfo { id: String::new(), task, version, attempt: 0, labels: Default::default() } }
    }
}

fn no_run() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "there is no run while a task describes itself")
}

#[async_trait]
impl ChildRunHost for NoRun {
    async fn start_child(&self, _child: ChildRunRequest) -> Result<String, Refusal> {
        Err(no_run())
    }

    async fn first_ended_child(&self, _runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal> {
        Err(no_run())
    }

    async fn wait_for_children(&self, _runs: &[String]) -> Result<(usize, Outcome), Refusal> {
        Err(no_run())
    }

    async fn cancel_child(&self, _run: &str) -> Result<(), Refusal> {
        Err(no_run())
    }
}

#[async_trait]
impl GuestHost for NoRun {
    /// Discards what the guest prints.
    fn send(&self, _event: NewEvent) -> Result<Option<NewEvent>, RunLost> {
        Ok(None)
    }

    async fn room(&self) {}

    async fn flush(&self) -> Result<(), Refusal> {
        Err(no_run())
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending().await
    }

    async fn save_checkpoint(&self, _key: String, _value: Option<Vec<u8>>) -> Result<(), Refusal> {
        Err(no_run())
    }

    async fn take_signal(&self, _name: Option<SignalName>) -> Result<Option<Signal>, RunLost> {
        Ok(None)
    }

    fn signals(&self) -> u64 {
        0
    }

    async fn more_signals(&self, _than: u64) {
        std::future::pending().await
    }

    fn parameter(&self, _name: &str) -> Option<Json> {
        None
    }

    async fn load_checkpoint(&self, _key: String) -> Result<Option<Vec<u8>>, Refusal> {
        Err(no_run())
    }
}
