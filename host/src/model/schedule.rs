use croner::Cron;
use jiff::tz::TimeZone;

use super::{Json, Timestamp};

/// Longest name of a schedule in bytes; it stands in labels and keys.
pub const MAX_SCHEDULE_NAME_BYTES: usize = 64;

/// What becomes of starts that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The last of them is made up for.
    Once,
    /// All of them are.
    All,
}

impl Missed {
    /// The word used in manifests and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

/// When runs of a task start by themselves.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Unique within the task.
    pub name: String,
    /// The pattern as it was written.
    pub pattern: String,
    /// The time zone's name as it was written.
    pub zone_name: String,
    /// What the runs are started with.
    pub input: Json,
    /// What becomes of starts that nobody was there for.
    pub missed: Missed,
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// At the times of a cron pattern (five fields, or six with seconds first) in a
    /// time zone of the IANA database.
    pub fn new(pattern: &str, zone_name: &str) -> Result<Self, ScheduleError> {
        let cron = pattern.parse().map_err(|error| ScheduleError::Pattern(format!("{error}")))?;
        let zone = TimeZone::get(zone_name).map_err(|_| ScheduleError::Zone(zone_name.to_owned()))?;
        let schedule = Self {
            name: pattern.to_owned(),
            pattern: pattern.to_owned(),
            zone_name: zone_name.to_owned(),
            input: Json::trusted("{}".to_owned()),
            missed: Missed::default(),
            cron,
            zone,
        };
        match schedule.next_after(Timestamp::now()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Pattern("it never comes".to_owned())),
        }
    }

    /// The first time after `time`; none if it never comes.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&time, false).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }

    /// The last time before `time`; none if there was none.
    pub fn last_before(&self, time: Timestamp) -> Option<Timestamp> {
        let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?.to_zoned(self.zone.clone());
        let last = self.cron.find_previous_occurrence(&time, false).ok()?;
        Some(Timestamp::from_millis(last.timestamp().as_millisecond()))
    }

    /// What decides when it comes. With another one it is another schedule.
    pub fn spec(&self) -> String {
        format!("{} {}", self.pattern, self.zone_name)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |schedule: &Self| (schedule.name.clone(), schedule.spec(), schedule.missed);
        parts(self) == parts(other) && self.input == other.input
    }
}

/// A schedule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The pattern is none.
    #[error("not a cron pattern such as \"30 8 * * 1-5\": {0}")]
    Pattern(String),
    /// There is no such time zone.
    #[error("there is no time zone {0:?}; one is \"Europe/Berlin\"")]
    Zone(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(pattern: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(pattern, zone).unwrap();
        let mut at = Timestamp::parse(from).unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            at = schedule.next_after(at).unwrap();
            times.push(at.to_string());
        }
        times
    }

    #[test]
    fn a_pattern_is_read_in_its_time_zone() {
        assert_eq!(
            times("30 8 * * 1-5", "Europe/Berlin", "2026-01-02T07:30:00Z", 2),
            ["2026-01-05T07:30:00.000Z", "2026-01-06T07:30:00.000Z"],
            "the 2nd is a Friday"
        );
        assert_eq!(times("*/20 * * * * *", "UTC", "2026-01-01T00:00:39Z", 1), ["2026-01-01T00:00:40.000Z"]);
    }

    #[test]
    fn an_hour_that_does_not_exist_or_comes_twice_starts_one_run() {
        // Summer time begins on 2026-03-29 at 02:00 and ends on 2026-10-25 at 03:00.
        let spring = times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring.iter().filter(|time| time.starts_with("2026-03-29")).count(), 1, "{spring:?}");
        let autumn = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn.iter().filter(|time| time.starts_with("2026-10-25")).count(), 1, "{autumn:?}");
    }

    #[test]
    fn what_never_comes_and_what_is_none_is_refused() {
        for pattern in ["", "x", "61 * * * *", "0 0 30 2 *", "* * * *"] {
            assert!(matches!(Schedule::new(pattern, "UTC"), Err(ScheduleError::Pattern(_))), "{pattern}");
        }
        assert!(matches!(Schedule::new("* * * * *", "Mars/Base"), Err(ScheduleError::Zone(_))));
    }
}
