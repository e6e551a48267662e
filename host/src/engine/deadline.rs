//! The deadline of an attempt. It moves on by the time for which the attempt is paused.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::gate::Gate;

/// When an attempt is ended by force.
pub(super) struct Deadline<'a> {
    at: Instant,
    gate: &'a Gate,
    /// How long the gate had been closed when this was made.
    closed_before: Duration,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(at: Instant, gate: &'a Gate) -> Self {
        Self { at, gate, closed_before: gate.closed_for() }
    }

    /// A timer for [`poll_over`](Self::poll_over).
    pub(super) fn timer(&self) -> Sleep {
        sleep_until(self.at)
    }

    /// Whether it is over. If not, the task is woken when it may be.
    pub(super) fn poll_over(&self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> bool {
        let at = self.at + (self.gate.closed_for() - self.closed_before);
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.poll(context).is_ready()
    }
}

/// Executes a guest that is not made of WebAssembly under the same rules: it is not polled
/// while its gate is closed, and ends at its deadline, with none as the answer.
pub async fn within_deadline<T>(
    gate: &Gate,
    limit: Option<Duration>,
    guest: impl Future<Output = T>,
) -> Option<T> {
    let deadline = limit.map(|limit| Deadline::new(Instant::now() + limit, gate));
    let mut timer = pin!(deadline.as_ref().map(Deadline::timer));
    let mut guest = pin!(guest);
    poll_fn(|context| {
        if gate.holds(context) {
            return Poll::Pending;
        }
        if let Poll::Ready(done) = guest.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if let (Some(deadline), Some(timer)) = (&deadline, timer.as_mut().as_pin_mut())
            && deadline.poll_over(timer, context)
        {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
