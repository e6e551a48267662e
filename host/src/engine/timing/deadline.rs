//! The deadline of an attempt. It moves on by the time for which the attempt is paused, and by the
//! time for which the host is suspended.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::pause_gate::PauseGate;
use crate::platform::Uptime;

/// The time at which an attempt is aborted.
pub(in crate::engine) struct Deadline<'a> {
    at: Instant,
    gate: &'a PauseGate,
    uptime: &'a Uptime,
    /// How long the gate had been closed when this was created.
    closed_before: Duration,
    /// How long the host had been suspended then.
    frozen_before: Duration,
    /// How long it has been suspended since.
    frozen: Duration,
}

impl<'a> Deadline<'a> {
    pub(in crate::engine) fn new(at: Instant, gate: &'a PauseGate, uptime: &'a Uptime) -> Self {
        Self {
            at,
            gate,
            uptime,
            closed_before: gate.closed_for(),
            frozen_before: uptime.frozen(),
            frozen: Duration::ZERO,
        }
    }

    /// A timer for [`poll_passed`](Self::poll_passed).
    pub(in crate::engine) fn timer(&self) -> Sleep {
        sleep_until(self.at)
    }

    /// Whether the deadline has passed. If not, the task is woken when it may have.
    pub(in crate::engine) fn poll_passed(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        context: &mut Context<'_>,
    ) -> bool {
        if timer.deadline() != self.current() {
            timer.as_mut().reset(self.current());
        }
        while timer.as_mut().poll(context).is_ready() {
            // Only after the timer has fired, because this function is called at every poll of a guest.
            let frozen = self.uptime.frozen() - self.frozen_before;
            if frozen == self.frozen {
                return true;
            }
            self.frozen = frozen;
            timer.as_mut().reset(self.current());
        }
        false
    }

    /// The current deadline.
    fn current(&self) -> Instant {
        self.at + (self.gate.closed_for() - self.closed_before) + self.frozen
    }
}

/// Executes a guest that is not WebAssembly under the same rules: it is not polled while
/// its gate is closed. Returns none if its deadline passes.
pub async fn within_deadline<T>(
    gate: &PauseGate,
    uptime: &Uptime,
    limit: Option<Duration>,
    guest: impl Future<Output = T>,
) -> Option<T> {
    let mut deadline = limit.map(|limit| Deadline::new(Instant::now() + limit, gate, uptime));
    let mut timer = pin!(deadline.as_ref().map(Deadline::timer));
    let mut guest = pin!(guest);
    poll_fn(|context| {
        if gate.poll_closed(context) {
            return Poll::Pending;
        }
        if let Poll::Ready(done) = guest.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if let (Some(deadline), Some(timer)) = (&mut deadline, timer.as_mut().as_pin_mut())
            && deadline.poll_passed(timer, context)
        {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
