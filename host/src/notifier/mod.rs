//! Wake-ups: hints that something may have changed.
//!
//! Storage is the source of truth. Hints may be late, coalesced, repeated or unfounded, and a listener must tolerate a lost
//! one by polling. A woken listener reads storage from its own position.
//!
//! Knows nothing of the changes, nor where they are stored.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod local;
mod postgres;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::{HostId, RunId};

pub use local::LocalNotifier;
pub use postgres::{HintCounts, PostgresNotifier};

/// Topic of a hint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A run joined the queue, or may start now.
    Queue,
    /// The cancellation of a run was requested, or the parent of child runs has ended.
    Cancel,
    /// A run was created or removed, or its status changed.
    Runs,
    /// A run changed outside its log in this process: it has new events, an owner or an outcome.
    Run(RunId),
    /// Storage keeps a message to a run that this host owns.
    Messages(HostId),
    /// The tasks that all hosts share have changed.
    Tasks,
    /// Runs were removed, and with them what is cached of them.
    Removed,
}

/// Delivers hints from writers to listeners, in this process or in others.
pub trait Notifier: Send + Sync + 'static {
    /// Wakes all listeners of the topic. Never blocks.
    fn notify(&self, topic: &Topic);

    /// Registers a listener. It receives all hints after this returns, even if it does not wait at that moment.
    fn listen(&self, topic: Topic) -> Listener;

    /// Whether another host may listen. Without one, a change that this host's own listeners learn otherwise needs no
    /// hint. Asked on the hot path, so it costs no more than to read a flag.
    fn reaches_others(&self) -> bool;

    /// Says whether other hosts were alive when the lease of this one was last renewed. For a notifier within one process
    /// there are none.
    fn set_others(&self, _has_others: bool) {}

    /// Why hints of other hosts do not arrive, if that is known.
    fn problem(&self) -> Option<&'static str> {
        None
    }
}

/// A listener of a topic, until dropped.
pub struct Listener {
    hints: Arc<Notify>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Listener {
    /// For implementations: `hints` gets a permit for each hint (permits coalesce), `on_drop` ends the delivery.
    pub fn new(hints: Arc<Notify>, on_drop: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { hints, on_drop: Some(Box::new(on_drop)) }
    }

    /// Waits for a hint. Returns at once if there was one since the last call.
    pub async fn heard(&self) {
        self.hints.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}
