//! Heartbeats of the host's loops.
//!
//! Each loop records when it begins a piece of work and when it waits for the next, by one store to an atomic. So a check
//! takes none of the loop's locks, and an idle loop need not wake up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Longest time for one piece of work; after that, a loop counts as stuck. Longer than every wait that ends by itself: 5 s
/// for a locked database, some seconds for a slow disk.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The loop waits for work, or has not started.
const IDLE: u64 = 0;
/// The loop ended normally.
const ENDED: u64 = u64::MAX - 1;
/// The loop ended by a panic.
const DIED: u64 = u64::MAX;

/// Origin of times.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the origin; never one of the values above.
fn now_ms() -> u64 {
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1).min(ENDED - 1)
}

/// The heartbeat of one loop.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// When its current piece of work began, in ms; or [`IDLE`], [`ENDED`] or [`DIED`].
    at_work_since: AtomicU64,
}

impl Heartbeat {
    /// Starts the heartbeat. The loop keeps the returned guard until it ends.
    pub fn begin(self: &Arc<Self>) -> Beating {
        let beating = Beating(Arc::clone(self));
        beating.rest();
        beating
    }

    /// To be called before an idle loop is given work, so that it counts as stuck if it never begins.
    pub fn wake(&self) {
        if self.at_work_since.load(Ordering::Relaxed) == IDLE {
            // Fails if the loop has begun or ended in between.
            let _ = self.at_work_since.compare_exchange(IDLE, now_ms(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn stall(&self, now_ms: u64) -> Option<(u64, Stall)> {
        match self.at_work_since.load(Ordering::Relaxed) {
            IDLE | ENDED => None,
            DIED => Some((DIED, Stall::Died)),
            since => {
                let time = Duration::from_millis(now_ms.saturating_sub(since));
                (time > STUCK_AFTER).then_some((since, Stall::Stuck(time)))
            }
        }
    }
}

/// Guard of a running loop. If a panic drops it, the loop counts as dead.
#[derive(Debug)]
pub struct Beating(Arc<Heartbeat>);

impl Beating {
    /// Records that a piece of work begins, or the next part of it.
    pub fn beat(&self) {
        self.0.at_work_since.store(now_ms(), Ordering::Relaxed);
    }

    /// Records that the loop waits for work.
    pub fn rest(&self) {
        self.0.at_work_since.store(IDLE, Ordering::Relaxed);
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { DIED } else { ENDED };
        self.0.at_work_since.store(end, Ordering::Relaxed);
    }
}

/// Fault of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// It has been stuck in one piece of work for this long.
    Stuck(Duration),
    /// It ended by a panic.
    Died,
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stuck(time) => write!(f, "has been stuck for {} s", time.as_secs()),
            Self::Died => f.write_str("has died"),
        }
    }
}

/// The loops of a host, with their names.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Vec<(&'static str, Arc<Heartbeat>)>);

impl Liveness {
    /// The heartbeats of these loops.
    pub fn new(loops: Vec<(&'static str, Arc<Heartbeat>)>) -> Self {
        Self(loops)
    }

    /// The first loop that is stuck or dead. A loop that seems stuck gets `grace` to continue: after the whole process was
    /// suspended, each loop seems stuck for a moment.
    pub async fn stall(&self, grace: Duration) -> Option<(&'static str, Stall)> {
        let before = self.stalls(now_ms());
        if before.is_empty() {
            return None;
        }
        tokio::time::sleep(grace).await;
        still(&before, &self.stalls(now_ms())).map(|stalled| (stalled.name, stalled.stall))
    }

    fn stalls(&self, now_ms: u64) -> Vec<Stalled> {
        let stalled = |(name, heartbeat): &(&'static str, Arc<Heartbeat>)| {
            heartbeat.stall(now_ms).map(|(since, stall)| Stalled { name, since, stall })
        };
        self.0.iter().filter_map(stalled).collect()
    }
}

/// A loop that seems stuck, and its last beat.
struct Stalled {
    name: &'static str,
    since: u64,
    stall: Stall,
}

/// The first loop that has not continued between two checks.
fn still<'a>(before: &[Stalled], after: &'a [Stalled]) -> Option<&'a Stalled> {
    after.iter().find(|now| before.iter().any(|then| (then.name, then.since) == (now.name, now.since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(heartbeat: &Heartbeat, later: Duration) -> Option<Stall> {
        heartbeat.stall(now_ms() + later.as_millis() as u64).map(|(_, stall)| stall)
    }

    #[test]
    fn a_loop_is_stuck_that_is_long_at_one_piece_of_work_and_an_idle_one_is_not() {
        let heartbeat = Arc::new(Heartbeat::default());
        let long = STUCK_AFTER + Duration::from_secs(1);
        assert_eq!(stall(&heartbeat, long), None, "it has not begun");
        let beating = heartbeat.begin();
        assert_eq!(stall(&heartbeat, long), None, "it waits for work");
        beating.beat();
        assert_eq!(stall(&heartbeat, STUCK_AFTER / 2), None);
        assert!(matches!(stall(&heartbeat, long), Some(Stall::Stuck(time)) if time >= long));
        beating.rest();
        assert_eq!(stall(&heartbeat, long), None);
        beating.beat();
        drop(beating);
        assert_eq!(stall(&heartbeat, long), None, "it has ended as it should");
        heartbeat.wake();
        assert_eq!(stall(&heartbeat, long), None, "nothing wakes it any more");
    }

    #[test]
    fn a_loop_that_does_not_begin_with_what_it_is_given_is_stuck() {
        let heartbeat = Arc::new(Heartbeat::default());
        let beating = heartbeat.begin();
        let long = STUCK_AFTER + Duration::from_secs(1);
        heartbeat.wake();
        assert!(stall(&heartbeat, long).is_some());
        beating.beat();
        beating.rest();
        assert_eq!(stall(&heartbeat, long), None);
    }

    #[test]
    fn a_loop_that_panics_has_died() {
        let heartbeat = Arc::new(Heartbeat::default());
        let beating = heartbeat.begin();
        let looping = std::thread::spawn(move || {
            beating.beat();
            // Not `panic!`, whose hook would print.
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(looping.join().is_err());
        assert_eq!(stall(&heartbeat, Duration::ZERO), Some(Stall::Died));
    }

    #[test]
    fn a_loop_that_moves_between_two_looks_is_not_stuck() {
        let [one, other] = [(); 2].map(|()| Arc::new(Heartbeat::default()));
        let liveness = Liveness::new(vec![("one", Arc::clone(&one)), ("other", Arc::clone(&other))]);
        let (moves, stays) = (one.begin(), other.begin());
        // Earlier than any beat from now on.
        one.at_work_since.store(1, Ordering::Relaxed);
        other.at_work_since.store(1, Ordering::Relaxed);
        let later = || now_ms() + 2 * STUCK_AFTER.as_millis() as u64;
        let before = liveness.stalls(later());
        assert_eq!(before.len(), 2);
        assert_eq!(still(&before, &liveness.stalls(later())).map(|stalled| stalled.name), Some("one"));
        std::thread::sleep(Duration::from_millis(2));
        moves.beat();
        assert_eq!(still(&before, &liveness.stalls(later())).map(|stalled| stalled.name), Some("other"));
        stays.rest();
        assert!(still(&before, &liveness.stalls(later())).is_none());
    }
}
