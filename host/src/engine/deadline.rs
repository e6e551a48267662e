//! The deadline of an attempt. It moves on by the time for which the attempt is paused, and by
//! that in which the host does not run.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::gate::Gate;
use crate::platform::Uptime;

/// When an attempt is ended by force.
pub(super) struct Deadline<'a> {
    at: Instant,
    gate: &'a Gate,
    uptime: &'a Uptime,
    /// How long the gate had been closed when this was made.
    closed_before: Duration,
    /// How long the host had not run then.
    frozen_before: Duration,
    /// How long it has not run since.
    frozen: Duration,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(at: Instant, gate: &'a Gate, uptime: &'a Uptime) -> Self {
        Self {
            at,
            gate,
            uptime,
            closed_before: gate.closed_for(),
            frozen_before: uptime.frozen(),
            frozen: Duration::ZERO,
        }
    }

    /// A timer for [`poll_over`](Self::poll_over).
    pub(super) fn timer(&self) -> Sleep {
        sleep_until(self.at)
    }

    /// Whether it is over. If not, the task is woken when it may be.
    pub(super) fn poll_over(&mut self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> bool {
        if timer.deadline() != self.moved() {
            timer.as_mut().reset(self.moved());
        }
        while timer.as_mut().poll(context).is_ready() {
            // Only now, for this is asked at every step of a guest.
            let frozen = self.uptime.frozen() - self.frozen_before;
            if frozen == self.frozen {
                return true;
            }
            self.frozen = frozen;
            timer.as_mut().reset(self.moved());
        }
        false
    }

    /// When it is, as things are.
    fn moved(&self) -> Instant {
        self.at + (self.gate.closed_for() - self.closed_before) + self.frozen
    }
}

/// Executes a guest that is not made of WebAssembly under the same rules: it is not polled
/// while its gate is closed, and ends at its deadline, with none as the answer.
pub async fn within_deadline<T>(
    gate: &Gate,
    uptime: &Uptime,
    limit: Option<Duration>,
    guest: impl Future<Output = T>,
) -> Option<T> {
    let mut deadline = limit.map(|limit| Deadline::new(Instant::now() + limit, gate, uptime));
    let mut timer = pin!(deadline.as_ref().map(Deadline::timer));
    let mut guest = pin!(guest);
    poll_fn(|context| {
        if gate.holds(context) {
            return Poll::Pending;
        }
        if let Poll::Ready(done) = guest.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if let (Some(deadline), Some(timer)) = (&mut deadline, timer.as_mut().as_pin_mut())
            && deadline.poll_over(timer, context)
        {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
