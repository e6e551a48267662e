//! Whether the clock can be believed, before runs are removed for their age.
//!
//! A clock that is wrong for a minute can make every run too old. So one that jumps ahead, against the time that has
//! passed by the monotonic clock, has to go on like this for a while, or an operator confirms it. A clock that is set
//! back keeps more, and is believed.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Timestamp;

/// A jump ahead that is taken for a correction: services that set clocks step them by seconds.
const MAX_STEP: Duration = Duration::from_secs(2 * 60);
/// How long a clock that has jumped has to go on so until it is believed. A wrong one is usually noticed sooner.
pub(super) const TRIAL: Duration = Duration::from_secs(60 * 60);
/// How long a host may have been away without a doubt about its clock. Longer than a weekend; whoever stops it
/// for more waits for a [`TRIAL`] at the next start.
const MAX_ABSENCE: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// The last time that was believed, as a host keeps it over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The time of day.
    pub(super) at: Timestamp,
    /// Whether the clock had jumped since.
    pub(super) doubted: bool,
}

/// What is known of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The last time of day that was believed, and the moment of it by the monotonic clock.
    believed: (Timestamp, Instant),
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    ahead: Duration,
}

/// A clock that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// By how much it is ahead of what was expected.
    pub(super) ahead: Duration,
    /// How long until it is believed.
    pub(super) left: Duration,
}

impl Clock {
    /// At the start of a host; `note` is what an earlier one left.
    pub(super) fn new(note: Option<Note>, now: Timestamp, at: Instant) -> Self {
        let latest = note.map(|note| match note.doubted {
            true => note.at,
            false => later(note.at, MAX_ABSENCE),
        });
        Self { believed: (latest.map_or(now, |latest| latest.min(now)), at), doubt: None }
    }

    /// Takes note of what the clock says; whether it is doubted.
    pub(super) fn look(&mut self, now: Timestamp, at: Instant) -> Option<Jump> {
        let (time, moment) = self.believed;
        let expected = later(time, at.saturating_duration_since(moment));
        let ahead = now.as_millis().saturating_sub(expected.as_millis());
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(0));
        if ahead <= MAX_STEP {
            self.confirm(now, at);
            return None;
        }
        // Another jump while it is doubted begins anew.
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

    /// Believes what the clock says.
    pub(super) fn confirm(&mut self, now: Timestamp, at: Instant) {
        *self = Self { believed: (now, at), doubt: None };
    }

    /// What the next host has to know.
    pub(super) fn note(&self) -> Note {
        Note { at: self.believed.0, doubted: self.doubt.is_some() }
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

    /// A machine: its clock, and the time that really passes.
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
            self.clock.look(self.now, self.at)
        }

        fn set_ahead(&mut self, by: Duration) -> Option<Jump> {
            self.now = later(self.now, by);
            self.clock.look(self.now, self.at)
        }

        fn set_back(&mut self, by: Duration) -> Option<Jump> {
            self.now = self.now.plus_millis(-(by.as_millis() as i64));
            self.clock.look(self.now, self.at)
        }
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_minute_is_never_believed() {
        let mut machine = Machine::new(None, START);
        assert_eq!(machine.pass(10 * DAY), None, "time that passes is no jump");
        let jump = machine.set_ahead(31 * DAY).unwrap();
        assert_eq!((jump.ahead, jump.left), (31 * DAY, TRIAL));
        assert_eq!(machine.pass(MINUTE).unwrap().left, TRIAL - MINUTE);
        assert_eq!(machine.set_back(31 * DAY), None, "it is right again");
        assert_eq!(machine.pass(MINUTE), None);
    }

    #[test]
    fn a_jump_is_believed_when_it_has_held_for_an_hour() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(31 * DAY).unwrap();
        for _ in 0..59 {
            assert!(machine.pass(MINUTE).is_some());
        }
        assert_eq!(machine.pass(MINUTE), None);
        assert_eq!(machine.pass(HOUR), None);
    }

    #[test]
    fn another_jump_begins_the_hour_anew() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(DAY).unwrap();
        machine.pass(HOUR - MINUTE).unwrap();
        assert_eq!(machine.set_ahead(DAY).unwrap().left, TRIAL);
        assert_eq!(machine.pass(MINUTE).unwrap().left, TRIAL - MINUTE);
    }

    #[test]
    fn small_steps_and_a_clock_that_is_set_back_are_believed() {
        let mut machine = Machine::new(None, START);
        for _ in 0..10 {
            assert_eq!(machine.set_ahead(MINUTE), None);
            assert_eq!(machine.set_back(40 * DAY), None);
        }
        assert!(machine.set_ahead(40 * DAY).is_some(), "also what is only set right");
    }

    #[test]
    fn an_operator_can_confirm_it() {
        let mut machine = Machine::new(None, START);
        machine.set_ahead(31 * DAY).unwrap();
        machine.clock.confirm(machine.now, machine.at);
        assert_eq!(machine.pass(MINUTE), None);
    }

    #[test]
    fn a_restart_believes_no_more_than_the_host_before() {
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
