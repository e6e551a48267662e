use std::time::Duration;

use super::{ErrorKind, RunError};

/// Retry policy of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Most attempts in all; 1 means no retry.
    pub attempts: u32,
    /// Pause before the second attempt.
    pub backoff: Duration,
    /// Factor by which each further pause is longer.
    pub factor: f64,
    /// Longest pause.
    pub max_backoff: Duration,
    /// Random part of a pause, from 0 to 1, so that runs that failed together are not retried together.
    pub jitter: f64,
    /// Kinds of failures that are retried.
    pub on: Vec<RetryOn>,
}

/// A kind of failure that may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// The task returned a retryable failure.
    Failure,
    /// The guest trapped.
    Trap,
    /// The guest reached a limit of memory or time.
    Limit,
}

impl Default for Retry {
    /// No retries. If a manifest only raises `attempts`, pauses start at one second.
    fn default() -> Self {
        Self {
            attempts: 1,
            backoff: Duration::from_secs(1),
            factor: 2.0,
            max_backoff: Duration::from_secs(300),
            jitter: 0.2,
            on: vec![RetryOn::Failure],
        }
    }
}

impl Retry {
    /// The pause before the next attempt after `attempt` failed with `error`; none if there is no next attempt. `chance` is
    /// a random number from 0 to 1.
    pub fn pause_after(&self, attempt: u32, error: &RunError, chance: f64) -> Option<Duration> {
        if attempt >= self.attempts || !self.on.contains(&reason(error)?) {
            return None;
        }
        let times = self.factor.powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX));
        // `min` avoids the NaN of zero times infinity.
        let pause = (self.backoff.as_secs_f64() * times.min(f64::MAX)).min(self.max_backoff.as_secs_f64());
        let pause = Duration::from_secs_f64(pause * (1.0 - self.jitter * chance));
        // The pause that the task asked for is the least, whatever the policy.
        let asked = error.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
        Some(pause.max(asked.unwrap_or_default()))
    }
}

/// The kind of a failure; none if a retry can't help.
fn reason(error: &RunError) -> Option<RetryOn> {
    match error.kind {
        ErrorKind::Failure if error.retryable => Some(RetryOn::Failure),
        ErrorKind::Trap => Some(RetryOn::Trap),
        ErrorKind::OutOfMemory | ErrorKind::DeadlineExceeded | ErrorKind::CpuExceeded => Some(RetryOn::Limit),
        ErrorKind::Failure | ErrorKind::InvalidOutput | ErrorKind::Interrupted | ErrorKind::Internal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(retryable: bool) -> RunError {
        RunError { retryable, ..RunError::new(ErrorKind::Failure, "x") }
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_chance_only_shortens_them() {
        let retry =
            Retry { attempts: 9, jitter: 0.5, max_backoff: Duration::from_secs(5), ..Retry::default() };
        let pause = |attempt, chance| retry.pause_after(attempt, &failure(true), chance).unwrap();
        assert_eq!([1, 2, 3, 4, 8].map(|attempt| pause(attempt, 0.0).as_secs()), [1, 2, 4, 5, 5]);
        assert_eq!(pause(2, 1.0), Duration::from_secs(1));
        assert_eq!(retry.pause_after(9, &failure(true), 0.0), None, "nine in all");
    }

    #[test]
    fn no_pause_stays_none_after_many_attempts() {
        let retry = Retry { attempts: 1000, backoff: Duration::ZERO, factor: 100.0, ..Retry::default() };
        assert_eq!(retry.pause_after(999, &failure(true), 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn only_failures_that_a_retry_can_help_are_retried() {
        let retry = Retry { attempts: 3, ..Retry::default() };
        assert_eq!(retry.pause_after(1, &failure(false), 0.0), None);
        let trap = RunError::new(ErrorKind::Trap, "x");
        assert_eq!(retry.pause_after(1, &trap, 0.0), None);
        let retry = Retry { on: vec![RetryOn::Trap], ..retry };
        assert!(retry.pause_after(1, &trap, 0.0).is_some());
        assert_eq!(Retry::default().pause_after(1, &failure(true), 0.0), None, "not by default");
    }

    #[test]
    fn a_task_may_ask_for_a_longer_pause() {
        let retry = Retry { attempts: 3, ..Retry::default() };
        let error = RunError { retry_after_ms: Some(7000), ..failure(true) };
        assert_eq!(retry.pause_after(1, &error, 0.0), Some(Duration::from_secs(7)));
    }
}
