//! The rate limiter of the events of one guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The burst after a silence: as much as in this time at the allowed rate.
const BURST: Duration = Duration::from_secs(1);

/// Limits the events and bytes per second of one guest: those that it sends and those that
/// it prints together.
///
/// Each event advances a clock by its share of a second. A guest whose clock is ahead of the
/// real one by more than the burst waits. So no timer has to refill anything, and the long-term
/// rate is exact, however late the guest is woken.
pub(in crate::engine) struct RateLimiter {
    /// Seconds by which an event and a byte advance the clocks.
    event_secs: f64,
    byte_secs: f64,
    /// The clocks of events and bytes.
    clocks: Mutex<[Instant; 2]>,
    /// Whether the one send without a wait after a cancellation has been used.
    skipped: AtomicBool,
}

impl RateLimiter {
    /// None if no rate is limited.
    pub(in crate::engine) fn new(event_rate: Option<u64>, byte_rate: Option<u64>) -> Option<Self> {
        if event_rate.is_none() && byte_rate.is_none() {
            return None;
        }
        let secs = |rate: Option<u64>| rate.map_or(0.0, |rate| 1.0 / rate.max(1) as f64);
        Some(Self {
            event_secs: secs(event_rate),
            byte_secs: secs(byte_rate),
            clocks: Mutex::new([Instant::now(); 2]),
            skipped: AtomicBool::new(false),
        })
    }

    /// The time at which the next event may be sent; none for now.
    pub(in crate::engine) fn next(&self) -> Option<Instant> {
        self.next_at(Instant::now())
    }

    fn next_at(&self, now: Instant) -> Option<Instant> {
        let clocks = self.clocks.lock();
        let ahead = clocks[0].max(clocks[1]);
        ahead.checked_sub(BURST).filter(|next| *next > now)
    }

    /// Waits until the next event may be sent. Once after the cancellation of the run (`cancelled`), it does not wait:
    /// the guest must notice the cancellation, and can't check for it while it waits here.
    pub(in crate::engine) async fn wait<F: Future<Output = ()>>(&self, cancelled: impl FnOnce() -> F) {
        if self.next().is_none() {
            return;
        }
        let may_send = async {
            while let Some(next) = self.next() {
                sleep_until(next).await;
            }
        };
        if self.skipped.load(Ordering::Relaxed) {
            return may_send.await;
        }
        tokio::select! {
            biased;
            () = cancelled() => self.skipped.store(true, Ordering::Relaxed),
            () = may_send => {}
        }
    }

    /// Records an event of that many bytes.
    pub(in crate::engine) fn record(&self, bytes: usize) {
        self.record_at(Instant::now(), bytes);
    }

    fn record_at(&self, now: Instant, bytes: usize) {
        let mut clocks = self.clocks.lock();
        let advances = [self.event_secs, self.byte_secs * bytes as f64];
        for (clock, secs) in clocks.iter_mut().zip(advances) {
            // Unused time is not saved, except for the burst.
            *clock = now.max(*clock) + Duration::from_secs_f64(secs);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;

    use super::*;

    /// Sends as fast as allowed from that time on. Returns the elapsed seconds.
    fn send(rate_limiter: &RateLimiter, began: Instant, events: u32, bytes: usize) -> f64 {
        let mut now = began;
        for _ in 0..events {
            now = rate_limiter.next_at(now).unwrap_or(now);
            rate_limiter.record_at(now, bytes);
        }
        (now - began).as_secs_f64()
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_is_kept() {
        let rate_limiter = RateLimiter::new(Some(100), None).unwrap();
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(send(&rate_limiter, now, 100, 1 << 20), 0.0);
        let took = send(&rate_limiter, now, 1000, 1 << 20);
        assert!((9.9..10.1).contains(&took), "{took}");
        let later = now + Duration::from_secs(70);
        assert_eq!(send(&rate_limiter, later, 100, 1), 0.0, "a silent guest has a burst again");
        assert!(send(&rate_limiter, later, 100, 1) > 0.9, "but not two");
    }

    #[test]
    fn bytes_have_a_rate_of_their_own_and_none_is_too_large() {
        let both = RateLimiter::new(Some(1000), Some(1000)).unwrap();
        let took = send(&both, Instant::now() + Duration::from_secs(1), 5, 3000);
        assert!((10.9..11.1).contains(&took), "each but the first waits for the one before: {took}");
        assert!(RateLimiter::new(None, None).is_none());
    }

    #[tokio::test]
    async fn a_cancelled_guest_skips_one_wait_also_if_it_was_cancelled_before() {
        let rate_limiter = RateLimiter::new(None, Some(1)).unwrap();
        assert_eq!(rate_limiter.wait(pending).now_or_never(), Some(()), "the first one is free");
        rate_limiter.record(3600);
        assert_eq!(rate_limiter.wait(pending).now_or_never(), None, "an hour");
        assert_eq!(rate_limiter.wait(|| ready(())).now_or_never(), Some(()));
        assert_eq!(rate_limiter.wait(|| ready(())).now_or_never(), None, "only once");
    }
}
