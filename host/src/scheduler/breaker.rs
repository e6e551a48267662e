//! Circuit breakers: pause tasks whose attempts keep failing, so that their other runs wait instead of failing too.
//!
//! The state is kept in memory: a restart closes every circuit, and further failures open it again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Scheduler;
use super::control::Control;
use super::outcome::ExecutionOutcome;
use crate::engine::AttemptOutcome;
use crate::model::{Breaker, Circuit, ErrorKind, RunError, TaskRef, Timestamp};
use crate::registry::Task;

/// Longer than any host runs, and well within the range of its clock.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Recent failures of each task.
#[derive(Default)]
pub(super) struct Breakers {
    /// Tasks whose last attempt failed, or whose circuit is not closed.
    failing: Mutex<HashMap<TaskRef, Failing>>,
}

#[derive(Default)]
struct Failing {
    /// Times of failures since the last success, within the window of the breaker.
    failures: VecDeque<Instant>,
    /// Set when the circuit opened.
    open_until: Option<(Instant, Timestamp)>,
}

impl Failing {
    fn circuit(&self, now: Instant) -> Circuit {
        match self.open_until {
            None => Circuit::Closed,
            Some((instant, until)) if instant > now => Circuit::Open { until },
            Some(_) => Circuit::HalfOpen,
        }
    }
}

impl Breakers {
    fn circuit(&self, task: &TaskRef, now: Instant) -> Circuit {
        let failing = self.failing.lock();
        failing.get(task).map_or(Circuit::Closed, |failing| failing.circuit(now))
    }

    fn succeeded(&self, task: &TaskRef) {
        let failing = self.failing.lock().remove(task);
        if failing.is_some_and(|failing| failing.open_until.is_some()) {
            tracing::info!(%task, "the task succeeds again; its circuit is closed");
        }
    }

    fn failed(&self, task: &TaskRef, breaker: &Breaker, now: Instant) {
        let mut all = self.failing.lock();
        let failing = all.entry(task.clone()).or_default();
        failing.failures.push_back(now);
        failing.failures.retain(|failure| now.duration_since(*failure) <= breaker.window);
        let opens = match failing.circuit(now) {
            Circuit::Closed => failing.failures.len() >= breaker.failures as usize,
            Circuit::HalfOpen => true,
            // The attempt began before the circuit opened.
            Circuit::Open { .. } => false,
        };
        if opens {
            let pause = breaker.pause.min(LONGEST_PAUSE);
            let until = Timestamp::now().plus_millis(pause.as_millis() as i64);
            failing.open_until = Some((now + pause, until));
            failing.failures.clear();
            drop(all);
            tracing::warn!(%task, %until, "the task only fails; its circuit is open, and its runs wait");
        }
    }
}

impl Scheduler {
    /// The state of the task's circuit; none if it has no breaker.
    pub fn circuit(&self, task: &Task) -> Option<Circuit> {
        task.settings.breaker.map(|_| self.breakers.circuit(&task.name, Instant::now()))
    }

    /// Most attempts of the task that its circuit allows at once.
    pub(super) fn max_by_circuit(&self, task: &Task) -> u32 {
        match self.circuit(task) {
            None | Some(Circuit::Closed) => u32::MAX,
            Some(Circuit::HalfOpen) => 1,
            Some(Circuit::Open { .. }) => 0,
        }
    }

    /// Counts the outcome of an attempt. To be called while the attempt still has its slot: the state of the circuit
    /// decides whether another run takes it.
    pub(super) fn count_outcome(&self, task: &Task, control: &Control, outcome: &ExecutionOutcome) {
        let Some(breaker) = &task.settings.breaker else { return };
        match outcome {
            // The outcome of a cancelled attempt says nothing about the task.
            _ if control.cancel.is_cancelled() => {}
            ExecutionOutcome::Exited(AttemptOutcome::Output(_)) => self.breakers.succeeded(&task.name),
            ExecutionOutcome::Exited(AttemptOutcome::Failed(error)) if is_of_task(error) => {
                self.breakers.failed(&task.name, breaker, Instant::now());
            }
            ExecutionOutcome::Exited(_)
            | ExecutionOutcome::Killed
            | ExecutionOutcome::CutOff
            | ExecutionOutcome::Lost => {}
        }
    }
}

/// Whether the task failed, and not the host.
fn is_of_task(error: &RunError) -> bool {
    match error.kind {
        ErrorKind::Failure
        | ErrorKind::Trap
        | ErrorKind::OutOfMemory
        | ErrorKind::DeadlineExceeded
        | ErrorKind::CpuExceeded
        | ErrorKind::InvalidOutput => true,
        ErrorKind::Interrupted | ErrorKind::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let (window, pause) = (Duration::from_secs(60), Duration::from_secs(30));
        let breaker = Breaker { failures: 3, window, pause };
        let task = TaskRef::parse("test", "a").unwrap();
        let breakers = Breakers::default();
        let began = Instant::now();
        let at = |secs: u64| began + Duration::from_secs(secs);
        let fail = |secs, times: u32| (0..times).for_each(|_| breakers.failed(&task, &breaker, at(secs)));
        let circuit = |secs| breakers.circuit(&task, at(secs));
        let is_open = |secs| matches!(circuit(secs), Circuit::Open { .. });
        fail(0, 2);
        breakers.succeeded(&task);
        fail(0, 2);
        assert_eq!(circuit(0), Circuit::Closed, "not in a row");
        fail(61, 2);
        assert_eq!(circuit(61), Circuit::Closed, "not within the window");
        fail(70, 1);
        assert!(is_open(70));
        fail(99, 5);
        assert!(is_open(99), "those that began before do not prolong it");
        assert_eq!(circuit(100), Circuit::HalfOpen);
        fail(100, 1);
        assert!(is_open(129), "the one that was let through failed too");
        assert_eq!(circuit(130), Circuit::HalfOpen);
        breakers.succeeded(&task);
        fail(131, 2);
        assert_eq!(circuit(131), Circuit::Closed, "it counts from the beginning");
        assert_eq!(breakers.circuit(&TaskRef::parse("test", "b").unwrap(), at(99)), Circuit::Closed);
    }
}
