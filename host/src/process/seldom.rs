use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Period of the limit.
const WINDOW: Duration = Duration::from_secs(10);
/// Most lines of one kind per period: enough to see the problem, even if it happens thousands of times.
const LINES: u32 = 20;

/// Rate limiter for log lines of one kind.
#[derive(Default)]
pub struct LogRateLimiter(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Instant>,
    said: u32,
    left_out: u64,
}

impl LogRateLimiter {
    /// Takes a permit to log a line. Returns how many lines were suppressed since the last one; none if this line is to be
    /// suppressed, too.
    pub fn take(&self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (window.began, window.said) = (Some(now), 0);
        }
        if window.said == LINES {
            window.left_out += 1;
            return None;
        }
        window.said += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_are_said_in_each_window_and_the_others_are_counted() {
        let (seldom, now) = (LogRateLimiter::default(), Instant::now());
        let said = (0..50).filter_map(|_| seldom.take_at(now)).collect::<Vec<_>>();
        assert_eq!(said, [0; LINES as usize]);
        assert_eq!(seldom.take_at(now + WINDOW / 2), None);
        assert_eq!(seldom.take_at(now + WINDOW), Some(31));
        assert_eq!(seldom.take_at(now + WINDOW), Some(0));
    }
}
