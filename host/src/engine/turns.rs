//! Which guests may be on a thread: those that compute take turns, as many at once as
//! there are threads for them; one that mostly waits comes at once.
//!
//! Without this, a guest whose timer is over stands in one queue with all that compute,
//! and is late by a tick for each; and a few that are in a long call (a fill of all
//! their memory is one instruction) take every thread. So there are a few threads more
//! than turns, and who has used up its allowance needs a turn.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Threads beyond the turns, for guests that come at once. The second one is for the
/// case that a guest begins a long call with its allowance.
pub(super) const SPARE_THREADS: usize = 2;
/// Time on a thread without a turn. A tick: what a guest may take anyway.
const ALLOWANCE: Duration = Duration::from_millis(3);
/// The part of the time that passes by which the allowance grows again. A guest that
/// computes less than that never waits for a turn.
const SHARE: u32 = 8;

/// The turns of all guests. Handed out in the order in which they are asked for.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }
}

/// One guest's time on threads.
pub(super) struct Allowance {
    turns: Turns,
    /// Set while it stands in the queue for a turn.
    asking: Option<PollSemaphore>,
    /// What it may take at once.
    left: Duration,
    /// What it took beyond that; to be paid first, so that after a long call it needs
    /// turns for as long as it would have waited for so much.
    debt: Duration,
    /// When that was so.
    at: Instant,
}

/// The right to be on a thread once.
pub(super) struct Go {
    began: Instant,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Allowance {
    pub(super) fn new(turns: &Turns) -> Self {
        let turns = turns.clone();
        Self { turns, asking: None, left: ALLOWANCE, debt: Duration::ZERO, at: Instant::now() }
    }

    /// Asks to be on a thread. If not now, the task is woken when it is its turn.
    pub(super) fn poll_go(&mut self, context: &mut Context<'_>) -> Poll<Go> {
        let began = Instant::now();
        self.grow(began);
        if !self.left.is_zero() {
            self.asking = None;
            return Poll::Ready(Go { began, _turn: None });
        }
        // Without a place in the queue, if nobody stands there: that costs no allocation.
        if self.asking.is_none()
            && let Ok(turn) = Arc::clone(&self.turns.0).try_acquire_owned()
        {
            return Poll::Ready(Go { began, _turn: Some(turn) });
        }
        let turns = &self.turns.0;
        let asking = self.asking.get_or_insert_with(|| PollSemaphore::new(Arc::clone(turns)));
        let turn = ready!(asking.poll_acquire(context));
        // The next one is asked for anew, at the end of the queue.
        self.asking = None;
        Poll::Ready(Go { began, _turn: turn })
    }

    /// It gave up the thread.
    pub(super) fn rest(&mut self, go: Go) {
        let now = Instant::now();
        let taken = now.saturating_duration_since(go.began);
        self.debt += taken.saturating_sub(self.left);
        self.left = self.left.saturating_sub(taken);
        self.at = now;
    }

    /// It does not want a thread for now: a turn would be lost on it.
    pub(super) fn leave(&mut self) {
        self.asking = None;
    }

    fn grow(&mut self, now: Instant) {
        let grown = now.saturating_duration_since(self.at) / SHARE;
        self.at = now;
        let paid = grown.min(self.debt);
        self.debt -= paid;
        self.left = (self.left + (grown - paid)).min(ALLOWANCE);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn go(guest: &mut Allowance) -> Option<Go> {
        match guest.poll_go(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(go) => Some(go),
            Poll::Pending => None,
        }
    }

    /// As if the guest had been on a thread for so long.
    fn compute(guest: &mut Allowance, mut go: Go, time: Duration) {
        go.began = Instant::now().checked_sub(time).unwrap();
        guest.rest(go);
    }

    fn guest_in_debt(turns: &Turns) -> Allowance {
        let mut guest = Allowance::new(turns);
        let first = go(&mut guest).expect("it has its allowance");
        compute(&mut guest, first, Duration::from_secs(100));
        guest
    }

    #[test]
    fn who_computes_needs_a_turn_and_who_rests_does_not() {
        let turns = Turns::new(1);
        let (mut one, mut other) = (guest_in_debt(&turns), guest_in_debt(&turns));
        let turn = go(&mut one).unwrap();
        assert!(go(&mut other).is_none(), "there is one turn");
        let mut rested = Allowance::new(&turns);
        let at_once = go(&mut rested).unwrap();
        compute(&mut rested, at_once, Duration::from_micros(10));
        assert!(go(&mut rested).is_some(), "it took less than its allowance");
        compute(&mut one, turn, Duration::from_millis(3));
        assert!(go(&mut one).is_none(), "another one asked before");
        assert!(go(&mut other).is_some());
    }

    #[test]
    fn one_that_leaves_the_queue_keeps_no_turn_from_others() {
        let turns = Turns::new(1);
        let [mut one, mut held, mut other] = [(); 3].map(|()| guest_in_debt(&turns));
        let turn = go(&mut one).unwrap();
        assert!(go(&mut held).is_none() && go(&mut other).is_none());
        held.leave();
        drop(turn);
        assert!(go(&mut other).is_some());
    }
}
