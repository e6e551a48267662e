//! Detects jumps of the clock before runs are removed by age.
//!
//! A clock that is wrong for a minute can make every run too old. So after a jump ahead, compared with the monotonic clock,
//! the clock is trusted only after a trial period, or when an operator confirms it. A clock that is set back keeps more,
//! and is trusted.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Timestamp;

/// Largest jump ahead that counts as a correction: time services step clocks by seconds.
const MAX_STEP: Duration = Duration::from_secs(2 * 60);
/// How long a clock that has jumped is not trusted. A wrong clock is usually noticed sooner.
pub(super) const TRIAL: Duration = Duration::from_secs(60 * 60);
/// Longest downtime of a host after which its clock is trusted. Longer than a weekend; after more, the next start waits for
/// a [`TRIAL`].
const MAX_ABSENCE: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// The last trusted time, as stored over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The time of day.
    pub(super) at: Timestamp,
    /// Whether the clock has jumped since.
    pub(super) doubted: bool,
}

/// State of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The last trusted time of day, and the same time by the monotonic clock.
    trusted: (Timestamp, Instant),
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    ahead: Duration,
}

/// A jump of a clock that is not trusted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// By how much the clock is ahead of the expected time.
    pub(super) ahead: Duration,
    /// Time until it is trusted.
    pub(super) left: Duration,
}

impl Clock {
    /// The clock at the start of a host, with the note of an earlier one.
    pub(super) fn new(note: Option<Note>, now: Timestamp, at: Instant) -> Self {
        let latest = note.map(|note| match note.doubted {
            true => note.at,
            false => later(note.at, MAX_ABSENCE),
        });
        Self { trusted: (latest.map_or(now, |latest| latest.min(now)), at), doubt: None }
    }

    /// Checks the clock. Returns the jump if it is not trusted.
    pub(super) fn check(&mut self, now: Timestamp, at: Instant) -> Option<Jump> {
        let (time, moment) = self.trusted;
        let expected = later(time, at.saturating_duration_since(moment));
        let ahead = now.as_millis().saturating_sub(expected.as_millis());
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(0));
        if ahead <= MAX_STEP {
            self.confirm(now, at);
            return None;
        }
        // Another jump restarts the trial.
        let doubt = self.doubt.filter(|doubt| doubt.ahead.abs_diff(ahead) <= MAX_STEP);
        let doubt = doubt.unwrap_or(Doubt { since: at, ahead });
        let left = TRIAL.saturating_sub(at.saturating_duration_since(doubt.since));
        if left.is_zero() {
            self.confirm(now, at);
            return None;
        }
        self.doubt = Some(doubt);
        Some(Jump { ahead, left })
    }

    /// Trusts the clock.
    pub(super) fn confirm(&mut self, now: Timestamp, at: Instant) {
        *self = Self { trusted: (now, at), doubt: None };
    }

    /// The note for the next host.
    pub(super) fn note(&self) -> Note {
        Note { at: self.trusted.0, doubted: self.doubt.is_some() }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.plus_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const START: Timestamp = Timestamp::from_millis(1_736_944_496_789);

    /// A simulated machine: its clock, and the real time.
    struct Machine {
        clock: Clock,
        now: Timestamp,
        at: Instant,
    }

    impl Machine {
        fn new(note: Option<Note>, now: Timestamp) -> Self {
            let at = Instant::now();
            Self { clock: Clock::new(note, now, at), now, at }
        }

        fn pass(&mut self, time: Duration) -> Option<Jump> {
            self.now = later(self.now, time);
            self.at += time;
            self.clock.check(self.now, self.at)
        }

        fn set_ahead(&mut self, by: Duration) -> Option<Jump> {
            self.now = later(self.now, by);
            self.clock.check(self.now, self.at)
        }

        fn set_back(&mut self, by: Duration) -> Option<Jump> {
            self.now = self.now.plus_millis(-(by.as_millis() as i64));
            self.clock.check(self.now, self.at)
        }
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_minute_is_never_trusted() {
        let mut machine = Machine::new(None, START);
        assert_eq!(machine.pass(10 * DAY), None, "time that passes is no jump");
        let jump = machine.set_ahead(31 * DAY).unwrap();
        assert_eq!((jump.ahead, jump.left), (31 * DAY, TRIAL));
        assert_eq!(machine.pass(MINUTE).unwrap().left, TRIAL - MINUTE);
        assert_eq!(machine.set_back(31 * DAY), None, "it is right again");
        assert_eq!(machine.pass(MINUTE), None);
    }

    #[test]
    fn a_jump_is_trusted_after_an_hour() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(31 * DAY).unwrap();
        for _ in 0..59 {
            assert!(machine.pass(MINUTE).is_some());
        }
        assert_eq!(machine.pass(MINUTE), None);
        assert_eq!(machine.pass(HOUR), None);
    }

    #[test]
    fn another_jump_restarts_the_hour() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(DAY).unwrap();
        machine.pass(HOUR - MINUTE).unwrap();
        assert_eq!(machine.set_ahead(DAY).unwrap().left, TRIAL);
        assert_eq!(machine.pass(MINUTE).unwrap().left, TRIAL - MINUTE);
    }

    #[test]
    fn small_steps_and_a_clock_that_is_set_back_are_trusted() {
        let mut machine = Machine::new(None, START);
        for _ in 0..10 {
            assert_eq!(machine.set_ahead(MINUTE), None);
            assert_eq!(machine.set_back(40 * DAY), None);
        }
        assert!(machine.set_ahead(40 * DAY).is_some(), "even if this corrects it");
    }

    #[test]
    fn an_operator_can_confirm_it() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(31 * DAY).unwrap();
        machine.clock.confirm(machine.now, machine.at);
        assert_eq!(machine.pass(MINUTE), None);
    }

    #[test]
    fn a_restart_trusts_the_clock_no_more_than_the_host_before() {
        let mut machine = Machine::new(None, START);
        machine.pass(HOUR);
        let note = machine.clock.note();
        assert_eq!(note, Note { at: machine.now, doubted: false });
        let after = |note, time| Machine::new(Some(note), later(START, time)).pass(Duration::ZERO);
        assert_eq!(after(note, HOUR + 3 * DAY), None, "it was away for a weekend");
        assert!(after(note, 31 * DAY).is_some());
        assert_eq!(after(note, Duration::ZERO), None, "set back");

        machine.set_ahead(DAY).unwrap();
        let note = machine.clock.note();
        assert_eq!(note, Note { at: later(START, HOUR), doubted: true });
        assert!(after(note, HOUR + DAY).is_some(), "as the host before doubted it");
        let mut next = Machine::new(Some(note), later(START, HOUR + DAY));
        next.pass(HOUR).unwrap();
        assert_eq!(next.pass(HOUR), None);
    }
}
