//! The interface through which a guest uses the rest of the host. Callers of the engine implement it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::model::{Json, NewEvent, Outcome, Refusal, Signal, SignalName, TaskRef, Version};

/// The facts of its run that a guest can read.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The run's id.
    pub id: String,
    /// The task.
    pub task: TaskRef,
    /// The version that executes.
    pub version: Version,
    /// From 1.
    pub attempt: u32,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
}

/// A request of a guest to start a child run.
#[derive(Clone, Debug)]
pub struct ChildRunRequest {
    /// The task.
    pub task: TaskRef,
    /// Its input.
    pub input: Json,
    /// Idempotency key, unique within the parent.
    pub key: Option<String>,
    /// Whether it continues after its parent has ended.
    pub detached: bool,
    /// Overrides the priority of its task.
    pub priority: Option<i32>,
}

/// Starts and observes the child runs of one guest.
#[async_trait]
pub trait ChildRunHost: Send + Sync + 'static {
    /// Starts a child run and returns its id.
    async fn start_child(&self, child: ChildRunRequest) -> Result<String, Refusal>;

    /// Returns the index and the outcome of the first of these runs that has ended, if any has.
    async fn first_ended_child(&self, runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal>;

    /// Waits until one of these runs has ended.
    async fn wait_for_children(&self, runs: &[String]) -> Result<(usize, Outcome), Refusal>;

    /// Requests the cancellation of a child run.
    async fn cancel_child(&self, run: &str) -> Result<(), Refusal>;
}

/// The rest of the host, as one guest sees it.
#[async_trait]
pub trait GuestHost: ChildRunHost {
    /// Accepts an event, or returns it if too many are pending: try again after
    /// [`room`](Self::room). An error means that this host no longer owns the run; it
    /// ends the guest.
    fn send(&self, event: NewEvent) -> Result<Option<NewEvent>, RunLost>;

    /// Waits until events can be sent again.
    async fn room(&self);

    /// Waits until all sent events are durable.
    async fn flush(&self) -> Result<(), Refusal>;

    /// The facts of the attempt.
    fn info(&self) -> &RunInfo;

    /// Whether a client has requested the cancellation of the run.
    fn is_cancelled(&self) -> bool;

    /// Waits for that request.
    async fn cancelled(&self);

    /// Stores a value for this attempt and later ones, or deletes the one under the key.
    async fn save_checkpoint(&self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal>;

    /// Takes the oldest pending signal, of that name if one is given. The future must not be
    /// dropped before it returns: a signal that was taken would be lost.
    async fn take_signal(&self, name: Option<SignalName>) -> Result<Option<Signal>, RunLost>;

    /// The number of signals received so far.
    fn signals(&self) -> u64;

    /// Waits until more than that number of signals have been received.
    async fn more_signals(&self, than: u64);

    /// The current value of a parameter.
    fn parameter(&self, name: &str) -> Option<Json>;

    /// The value that was saved last under the key.
    async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal>;
}

/// This host no longer owns the run, so nothing that the guest does has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host no longer owns the run")]
pub struct RunLost;
