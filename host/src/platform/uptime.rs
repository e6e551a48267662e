//! Uptime: a clock that excludes time in which the process did not run.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// Interval at which the clock is read.
const TICK: Duration = Duration::from_secs(1);
/// Least gap between two reads that counts as time in which the process did not run: it was stopped, its container frozen, or
/// its machine suspended. A busy machine causes smaller gaps.
const LATE: Duration = Duration::from_secs(5);

/// A clock that excludes time in which the process did not run. Deadlines use it, because a run that was frozen with its
/// host has not used that time.
pub struct Uptime {
    state: Mutex<State>,
}

struct State {
    looked_at: Instant,
    frozen: Duration,
}

impl Default for Uptime {
    fn default() -> Self {
        Self { state: Mutex::new(State { looked_at: Instant::now(), frozen: Duration::ZERO }) }
    }
}

impl Uptime {
    /// Total time in which the process did not run since this was created.
    pub fn frozen(&self) -> Duration {
        let mut state = self.state.lock();
        let now = Instant::now();
        let gap = now.duration_since(state.looked_at);
        let frozen = if gap > LATE { gap - TICK } else { Duration::ZERO };
        state.looked_at = now;
        state.frozen += frozen;
        let in_all = state.frozen;
        drop(state);
        if !frozen.is_zero() {
            tracing::warn!(
                ?frozen,
                "the host did not run for a while; that time does not count for its runs"
            );
        }
        in_all
    }

    /// Reads the clock periodically. Without this, a time without reads would count as one in which the process did not run.
    pub async fn keep_looking(&self) {
        loop {
            sleep(TICK).await;
            self.frozen();
        }
    }

    /// Sleeps for that long, not counting time in which the process does not run.
    pub async fn sleep(&self, time: Duration) {
        let mut frozen = self.frozen();
        let mut end = Instant::now() + time;
        loop {
            sleep_until(end).await;
            let now = self.frozen();
            if now == frozen {
                return;
            }
            end += now - frozen;
            frozen = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_process_does_not_run_is_left_out() {
        let uptime = Uptime::default();
        let began = Instant::now();
        let frozen = async {
            sleep(Duration::from_secs(2)).await;
            advance(Duration::from_secs(40)).await;
        };
        let waited = async {
            uptime.sleep(Duration::from_secs(20)).await;
            began.elapsed()
        };
        tokio::select! {
            waited = async { tokio::join!(waited, frozen).0 } => {
                let real = waited - Duration::from_secs(40);
                assert!((19..=21).contains(&real.as_secs()), "{waited:?}");
            }
            () = uptime.keep_looking() => unreachable!("it looks for ever"),
        }
    }
}
