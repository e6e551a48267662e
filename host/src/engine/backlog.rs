//! Events of what a guest prints, as long as the host has no room for them.

use std::collections::VecDeque;

use tokio::time::sleep_until;

use super::guest::GuestHost;
use super::pace::Pace;
use crate::model::NewEvent;

/// Oldest first.
#[derive(Default)]
pub(super) struct Backlog {
    events: VecDeque<NewEvent>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, event: NewEvent) {
        self.bytes += event.content.len();
        self.events.push_back(event);
    }

    /// Data of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends as many as the host has room for, and the guest may send now; says whether
    /// that was all.
    pub(super) fn send(&mut self, host: &dyn GuestHost, pace: Option<&Pace>) -> bool {
        while let Some(event) = self.events.pop_front() {
            if pace.is_some_and(|pace| pace.next().is_some()) {
                self.events.push_front(event);
                return false;
            }
            let bytes = event.content.len();
            match host.send(event) {
                Ok(None) => {
                    self.bytes -= bytes;
                    if let Some(pace) = pace {
                        pace.sent(bytes);
                    }
                }
                Ok(Some(event)) => {
                    self.events.push_front(event);
                    return false;
                }
                // Nobody will ever read the rest.
                Err(_) => *self = Self::default(),
            }
        }
        true
    }
}

/// Waits until more can be sent.
pub(super) async fn room(host: &dyn GuestHost, pace: Option<&Pace>) {
    match pace.and_then(Pace::next) {
        Some(next) => sleep_until(next).await,
        None => host.room().await,
    }
}
