//! Events of a guest's output that the host can't accept yet.

use std::collections::VecDeque;

use tokio::time::sleep_until;

use crate::engine::guest_host::GuestHost;
use crate::engine::timing::RateLimiter;
use crate::model::NewEvent;

/// Pending events, oldest first.
#[derive(Default)]
pub(in crate::engine) struct Backlog {
    events: VecDeque<NewEvent>,
    bytes: usize,
}

impl Backlog {
    pub(in crate::engine) fn push(&mut self, event: NewEvent) {
        self.bytes += event.content.len();
        self.events.push_back(event);
    }

    /// Bytes of data of all pending events.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends as many events as the host and the rate limiter accept. Returns whether none
    /// is left.
    pub(in crate::engine) fn send(
        &mut self,
        host: &dyn GuestHost,
        rate_limiter: Option<&RateLimiter>,
    ) -> bool {
        while let Some(event) = self.events.pop_front() {
            if rate_limiter.is_some_and(|rate_limiter| rate_limiter.next().is_some()) {
                self.events.push_front(event);
                return false;
            }
            let bytes = event.content.len();
            match host.send(event) {
                Ok(None) => {
                    self.bytes -= bytes;
                    if let Some(rate_limiter) = rate_limiter {
                        rate_limiter.record(bytes);
                    }
                }
                Ok(Some(event)) => {
                    self.events.push_front(event);
                    return false;
                }
                // The run is lost, so the rest is dropped.
                Err(_) => *self = Self::default(),
            }
        }
        true
    }
}

/// Waits until more events can be sent.
pub(in crate::engine) async fn wait_for_room(host: &dyn GuestHost, rate_limiter: Option<&RateLimiter>) {
    match rate_limiter.and_then(RateLimiter::next) {
        Some(next) => sleep_until(next).await,
        None => host.room().await,
    }
}
