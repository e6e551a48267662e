use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Zoned};

use super::{Json, Timestamp};

/// How far around a change of the clocks a local time is searched: one time zone skipped a whole day.
const LONGEST_CHANGE: SignedDuration = SignedDuration::from_hours(25);
/// Most times that are tried around a change.
const MAX_LOOKED_AT: usize = 100_000;

/// Longest name of a schedule in bytes; it is used in labels and keys.
pub const MAX_SCHEDULE_NAME_BYTES: usize = 64;

/// Misfire policy: what happens to missed starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MisfirePolicy {
    /// They are skipped.
    #[default]
    Skip,
    /// The last of them is made up for.
    Once,
    /// All of them are made up for.
    All,
}

impl MisfirePolicy {
    /// The word used in manifests and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

/// A schedule by which a task starts.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Unique within the task.
    pub name: String,
    /// The cron pattern as written.
    pub pattern: String,
    /// The name of the time zone as written.
    pub zone_name: String,
    /// Input of the runs.
    pub input: Json,
    /// Misfire policy: what happens to missed starts.
    pub misfire: MisfirePolicy,
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// A schedule from a cron pattern (five fields, or six with seconds first) and a time zone of the IANA database.
    pub fn new(pattern: &str, zone_name: &str) -> Result<Self, ScheduleError> {
        let cron: Cron = pattern.parse().map_err(|error| ScheduleError::Pattern(format!("{error}")))?;
        if let Some(field) = empty_field(&cron) {
            return Err(ScheduleError::Pattern(format!("the field of {field} names none")));
        }
        let zone = TimeZone::get(zone_name).map_err(|_| ScheduleError::Zone(zone_name.to_owned()))?;
        let schedule = Self {
            name: pattern.to_owned(),
            pattern: pattern.to_owned(),
            zone_name: zone_name.to_owned(),
            input: Json::empty_object(),
            misfire: MisfirePolicy::default(),
            cron,
            zone,
        };
        match schedule.next_after(Timestamp::now()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(pattern.to_owned())),
        }
    }

    /// The first time after `time`; none if it never comes.
    ///
    /// Where the clocks change, a pattern that names hours means local times: a skipped one starts right after the gap, and a
    /// repeated one starts the first time only. A pattern for every hour (`*`) means elapsed hours.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = self.zoned(time)?;
        if !self.names_hours() {
            return self.cron.find_next_occurrence(&time, false).ok().map(|next| of(&next));
        }
        let mut at = self.near_change(&time, -LONGEST_CHANGE)?.to_zoned(TimeZone::UTC).ok()?;
        for _ in 0..MAX_LOOKED_AT {
            at = self.cron.find_next_occurrence(&at, false).ok()?;
            let found = self.first_moment(at.datetime())?;
            if found > of(&time) {
                return Some(found);
            }
        }
        None
    }

    /// The last time before `time`; none if there was none.
    pub fn last_before(&self, time: Timestamp) -> Option<Timestamp> {
        // Patterns have whole seconds; a fraction of a second is rounded up.
        let part = time.as_millis().rem_euclid(1_000);
        let time = self.zoned(if part == 0 { time } else { time.plus_millis(1_000 - part) })?;
        if !self.names_hours() {
            return self.cron.find_previous_occurrence(&time, false).ok().map(|last| of(&last));
        }
        let mut at = self.near_change(&time, LONGEST_CHANGE)?.to_zoned(TimeZone::UTC).ok()?;
        for _ in 0..MAX_LOOKED_AT {
            at = self.cron.find_previous_occurrence(&at, false).ok()?;
            let found = self.first_moment(at.datetime())?;
            if found < of(&time) {
                return Some(found);
            }
        }
        None
    }

    fn zoned(&self, time: Timestamp) -> Option<Zoned> {
        Some(jiff::Timestamp::from_millisecond(time.as_millis()).ok()?.to_zoned(self.zone.clone()))
    }

    /// Whether the pattern names hours.
    fn names_hours(&self) -> bool {
        let fields: Vec<&str> = self.pattern.split_whitespace().collect();
        let hours = if fields.len() > 5 { fields.get(2) } else { fields.get(1) };
        hours.is_some_and(|hours| !hours.starts_with('*'))
    }

    /// The local time, or one further away if the clocks change in between.
    fn near_change(&self, time: &Zoned, away: SignedDuration) -> Option<DateTime> {
        let there = time.checked_add(away).ok()?;
        let changes = there.offset() != time.offset()
            || there.checked_sub(away.checked_mul(2)?).is_ok_and(|there| there.offset() != time.offset());
        let there = if changes { time.datetime().checked_add(away).ok()? } else { time.datetime() };
        Some(there)
    }

    /// The first time at which the clock shows this local time or, if it is skipped, continues after it.
    fn first_moment(&self, clock: DateTime) -> Option<Timestamp> {
        let moment = match self.zone.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).ok()?,
            // With the offset after the change, the time lies before the change.
            AmbiguousOffset::Gap { after, .. } => {
                let before = after.to_timestamp(clock).ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())?
            }
        };
        Some(Timestamp::from_millis(moment.as_millisecond()))
    }

    /// Text of pattern and time zone. A schedule with a different one is another schedule.
    pub fn spec(&self) -> String {
        format!("{} {}", self.pattern, self.zone_name)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |schedule: &Self| (schedule.name.clone(), schedule.spec(), schedule.misfire);
        parts(self) == parts(other) && self.input == other.input
    }
}

/// The field of a pattern that matches nothing, such as `,`.
///
/// The search for the next time looks at every second of three thousand years for one of an empty field.
fn empty_field(cron: &Cron) -> Option<&'static str> {
    let pattern = &cron.pattern;
    let fields = [
        ("seconds", &pattern.seconds),
        ("minutes", &pattern.minutes),
        ("hours", &pattern.hours),
        ("days", &pattern.days),
        ("months", &pattern.months),
        ("weekdays", &pattern.days_of_week),
        ("years", &pattern.years),
    ];
    fields
        .into_iter()
        .find(|(_, field)| field.values().is_empty() && !field.has_modifiers())
        .map(|(name, _)| name)
}

fn of(time: &Zoned) -> Timestamp {
    Timestamp::from_millis(time.timestamp().as_millisecond())
}

/// Error in a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The pattern is invalid.
    #[error("not a cron pattern such as \"30 8 * * 1-5\": {0}")]
    Pattern(String),
    /// The pattern matches no day.
    #[error("the pattern {0:?} never fires: no day of any year matches it")]
    Never(String),
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

    /// Times of a day by the clock in Berlin, where on 2026-03-29 02:00 to 03:00 is left out and on
    /// 2026-10-25 comes twice.
    fn of_day(pattern: &str, zone: &str, day: &str) -> Vec<String> {
        let schedule = Schedule::new(pattern, zone).unwrap();
        let noon = Timestamp::parse(&format!("{day}T12:00:00Z")).unwrap();
        let mut at = noon.plus_millis(-24 * 3_600_000);
        let mut forwards = Vec::new();
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= noon) {
            forwards.push(next.to_string()[11..16].to_owned());
            at = next;
        }
        let (mut at, mut backwards) = (noon.plus_millis(1), Vec::new());
        while let Some(last) =
            schedule.last_before(at).filter(|last| *last > noon.plus_millis(-24 * 3_600_000))
        {
            backwards.insert(0, last.to_string()[11..16].to_owned());
            at = last;
        }
        assert_eq!(forwards, backwards, "the same in both directions");
        forwards
    }

    #[test]
    fn times_that_the_clock_leaves_out_start_when_it_goes_on() {
        assert_eq!(of_day("30 2 * * *", "Europe/Berlin", "2026-03-29"), ["01:00"]);
        assert_eq!(of_day("0,30 2 * * *", "Europe/Berlin", "2026-03-29"), ["01:00"], "once");
        assert_eq!(of_day("*/10 2 * * *", "Europe/Berlin", "2026-03-29"), ["01:00"]);
        assert_eq!(of_day("0 1-4 * * *", "Europe/Berlin", "2026-03-29"), ["00:00", "01:00", "02:00"]);
    }

    #[test]
    fn times_that_come_twice_start_the_first_time() {
        assert_eq!(of_day("30 2 * * *", "Europe/Berlin", "2026-10-25"), ["00:30"]);
        assert_eq!(of_day("0,30 2 * * *", "Europe/Berlin", "2026-10-25"), ["00:00", "00:30"]);
        assert_eq!(
            of_day("0 1-4 * * *", "Europe/Berlin", "2026-10-25"),
            ["23:00", "00:00", "02:00", "03:00"]
        );
    }

    #[test]
    fn a_pattern_for_every_hour_follows_the_hours_that_pass() {
        let spring = of_day("30 * * * *", "Europe/Berlin", "2026-03-29");
        assert_eq!(spring.len(), 24, "{spring:?}");
        let autumn = of_day("30 * * * *", "Europe/Berlin", "2026-10-25");
        assert_eq!(autumn.len(), 24, "{autumn:?}");
        assert_eq!(of_day("*/30 * * * *", "Europe/Berlin", "2026-10-25").len(), 48);
    }

    #[test]
    fn a_whole_day_that_is_left_out_starts_when_the_clock_goes_on() {
        // Samoa had no 2011-12-30.
        let samoa = times("0 9 * * *", "Pacific/Apia", "2011-12-29T18:00:00Z", 3);
        assert_eq!(samoa[0], "2011-12-29T19:00:00.000Z", "the 29th");
        assert_eq!(samoa[1], "2011-12-30T10:00:00.000Z", "in place of the 30th: when the 31st begins");
        assert_eq!(samoa[2], "2011-12-30T19:00:00.000Z", "the 31st");
    }

    #[test]
    fn a_field_that_names_nothing_is_refused_without_a_search() {
        for pattern in [
            ", * * * * *",
            "0 , * * * *",
            "*/20 , * * * *",
            ", * * * *",
            "* , * * *",
            "* * , * *",
            "* * * , *",
            "* * * * ,",
            "* * ,, * *",
            "0 0 0 1 1 * ,",
        ] {
            let refused = Schedule::new(pattern, "UTC");
            assert!(
                matches!(&refused, Err(ScheduleError::Pattern(why)) if why.contains("names none")),
                "{pattern}: {refused:?}"
            );
        }
        for pattern in ["0 0 L * *", "0 0 15W * *", "0 0 * * 5#2", "0 0 1,,2 * *"] {
            assert!(Schedule::new(pattern, "UTC").is_ok(), "{pattern}");
        }
    }

    #[test]
    fn what_never_comes_and_what_is_none_is_refused() {
        for pattern in ["0 0 30 2 *", "0 0 31 2 *", "0 0 31 4,6,9,11 *"] {
            assert!(matches!(Schedule::new(pattern, "UTC"), Err(ScheduleError::Never(_))), "{pattern}");
        }
        for pattern in ["", "x", "61 * * * *", "* * * *"] {
            assert!(matches!(Schedule::new(pattern, "UTC"), Err(ScheduleError::Pattern(_))), "{pattern}");
        }
        assert!(matches!(Schedule::new("* * * * *", "Mars/Base"), Err(ScheduleError::Zone(_))));
    }
}
