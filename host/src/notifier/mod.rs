//! Wake-ups: something may have changed, look.
//!
//! A wake-up is a hint and storage is the truth. Hints may come late, merged,
//! twice or for nothing, and a listener must get by if one is lost. Whoever
//! wakes reads storage from its own position.
//!
//! Knows nothing of what changed, nor where it is kept.

pub mod conformance;
mod local;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::RunId;

pub use local::LocalNotifier;

/// What a hint is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A run was put into the queue.
    Queue,
    /// Someone asked to cancel a run.
    Cancel,
    /// A run was made or removed, or its status changed.
    Runs,
    /// A run that this process does not write moved on: it got events, an owner
    /// or an end.
    Run(RunId),
}

/// Carries hints between those who change something and those who wait, in this
/// process or in others.
pub trait Notifier: Send + Sync + 'static {
    /// Hints to everyone who listens to the topic. Never blocks.
    fn notify(&self, topic: &Topic);

    /// Begins to listen. A hint given after this returns is heard, even if
    /// nobody waits at that moment.
    fn listen(&self, topic: Topic) -> Listener;
}

/// One who listens to a topic, until dropped.
pub struct Listener {
    hints: Arc<Notify>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Listener {
    /// For implementations: `hints` gets one permit for each hint (permits
    /// merge), `on_drop` ends the delivery.
    pub fn new(hints: Arc<Notify>, on_drop: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { hints, on_drop: Some(Box::new(on_drop)) }
    }

    /// Waits for a hint. Returns at once if one came since the last call.
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
