use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// What a guest may send at once after it has been silent: as much as in this time.
const BURST: Duration = Duration::from_secs(1);

/// How fast a guest may send: so many events and bytes a second, in what it sends
/// and in what it prints together.
///
/// Each event moves a clock on by the time that it is worth; who is ahead of the
/// real clock by more than the burst waits. So nothing has to be refilled, and what a
/// guest sends in the long run is exact, however late it is woken.
pub(super) struct Pace {
    /// Seconds that an event and a byte are worth.
    event_secs: f64,
    byte_secs: f64,
    /// Where the clocks of events and bytes are.
    clocks: Mutex<[Instant; 2]>,
    /// Once it did not have to wait, because the run was asked to end.
    hurried: AtomicBool,
}

impl Pace {
    /// None if there is no rate to keep.
    pub(super) fn new(event_rate: Option<u64>, byte_rate: Option<u64>) -> Option<Self> {
        if event_rate.is_none() && byte_rate.is_none() {
            return None;
        }
        let worth = |rate: Option<u64>| rate.map_or(0.0, |rate| 1.0 / rate.max(1) as f64);
        Some(Self {
            event_secs: worth(event_rate),
            byte_secs: worth(byte_rate),
            clocks: Mutex::new([Instant::now(); 2]),
            hurried: AtomicBool::new(false),
        })
    }

    /// When the next event may be sent; none: now.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next_at(Instant::now())
    }

    fn next_at(&self, now: Instant) -> Option<Instant> {
        let clocks = self.clocks.lock();
        let ahead = clocks[0].max(clocks[1]);
        ahead.checked_sub(BURST).filter(|next| *next > now)
    }

    /// Waits until the next event may be sent, but for one time in which the run is asked to end, by `cancelled`, or
    /// has been: the guest must hear of it, and who waits here can't look.
    pub(super) async fn turn<F: Future<Output = ()>>(&self, cancelled: impl FnOnce() -> F) {
        if self.next().is_none() {
            return;
        }
        let may_go = async {
            while let Some(next) = self.next() {
                sleep_until(next).await;
            }
        };
        if self.hurried.load(Ordering::Relaxed) {
            return may_go.await;
        }
        tokio::select! {
            biased;
            () = cancelled() => self.hurried.store(true, Ordering::Relaxed),
            () = may_go => {}
        }
    }

    /// An event of so many bytes was sent.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent_at(Instant::now(), bytes);
    }

    fn sent_at(&self, now: Instant, bytes: usize) {
        let mut clocks = self.clocks.lock();
        let worth = [self.event_secs, self.byte_secs * bytes as f64];
        for (clock, secs) in clocks.iter_mut().zip(worth) {
            // What was not used up is not saved, but for the burst.
            *clock = now.max(*clock) + Duration::from_secs_f64(secs);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;

    use super::*;

    /// Sends as fast as it may from that moment on; how long it took, in seconds.
    fn send(pace: &Pace, began: Instant, events: u32, bytes: usize) -> f64 {
        let mut now = began;
        for _ in 0..events {
            now = pace.next_at(now).unwrap_or(now);
            pace.sent_at(now, bytes);
        }
        (now - began).as_secs_f64()
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_is_kept() {
        let pace = Pace::new(Some(100), None).unwrap();
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(send(&pace, now, 100, 1 << 20), 0.0);
        let took = send(&pace, now, 1000, 1 << 20);
        assert!((9.9..10.1).contains(&took), "{took}");
        let later = now + Duration::from_secs(70);
        assert_eq!(send(&pace, later, 100, 1), 0.0, "who was silent has a burst again");
        assert!(send(&pace, later, 100, 1) > 0.9, "and not two");
    }

    #[test]
    fn bytes_have_a_rate_of_their_own_and_none_is_too_large() {
        let both = Pace::new(Some(1000), Some(1000)).unwrap();
        let took = send(&both, Instant::now() + Duration::from_secs(1), 5, 3000);
        assert!((10.9..11.1).contains(&took), "each but the first waits for the one before: {took}");
        assert!(Pace::new(None, None).is_none());
    }

    #[tokio::test]
    async fn who_is_asked_to_end_waits_once_no_longer_also_if_it_was_asked_before() {
        let pace = Pace::new(None, Some(1)).unwrap();
        assert_eq!(pace.turn(pending).now_or_never(), Some(()), "the first one is free");
        pace.sent(3600);
        assert_eq!(pace.turn(pending).now_or_never(), None, "an hour");
        assert_eq!(pace.turn(|| ready(())).now_or_never(), Some(()));
        assert_eq!(pace.turn(|| ready(())).now_or_never(), None, "it had its chance to hear of it");
    }
}
