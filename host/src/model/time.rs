use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::platform;

/// A point in time: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The current time by the system's clock, which may be set back.
    pub fn now() -> Self {
        let since = platform::wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Parses RFC 3339 with any offset. None also for times before the year 0 or after 9999, which can't be printed in this
    /// format.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = Self(text.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        (Self::FIRST..=Self::LAST).contains(&moment).then_some(moment)
    }

    /// The start of the year 0.
    const FIRST: Self = Self(-62_167_219_200_000);
    /// The end of the year 9999. Later times print as 1970.
    pub const LAST: Self = Self(253_402_207_200_000);

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time plus `millis`.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// RFC 3339 in UTC with milliseconds: `2025-01-15T12:34:56.789Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Called for every delivered event, so it writes the digits directly instead of through a general formatter.
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        let time = jiff::tz::Offset::UTC.to_datetime(moment);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, width: usize, value: i32| {
            let mut rest = value.unsigned_abs();
            for digit in out[at..at + width].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        };
        put(0, 4, i32::from(time.year()));
        put(5, 2, i32::from(time.month()));
        put(8, 2, i32::from(time.day()));
        put(11, 2, i32::from(time.hour()));
        put(14, 2, i32::from(time.minute()));
        put(17, 2, i32::from(time.second()));
        put(20, 3, i32::from(time.millisecond()));
        for byte in out {
            f.write_char(byte as char)?;
        }
        Ok(())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration with its unit, such as `250ms`, `90s`, `1h 30m`, `7d`; or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Option<Duration>);

/// Why a text is no [`Time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is no duration, or has no unit.
    #[error("a time has a unit, such as `250ms`, `90s`, `2h` or `30d`")]
    Unit,
    /// It is less than nothing.
    #[error("a time can't be negative")]
    Negative,
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if text == "none" {
            return Ok(Self(None));
        }
        // As a span, because a span may have days and weeks.
        let span = text.parse::<jiff::Span>();
        let time = span
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| TimeError::Unit)?;
        Duration::try_from(time).map(|time| Self(Some(time))).map_err(|_| TimeError::Negative)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_736_944_496_789).to_string(), "2025-01-15T12:34:56.789Z");
    }

    #[test]
    fn what_is_read_prints_as_the_same_moment() {
        for text in ["0000-01-01T00:00:00.000Z", "9999-12-30T22:00:00.000Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Timestamp::LAST.to_string(), "9999-12-30T22:00:00.000Z");
        for text in ["-000001-12-31T23:59:59Z", "-009999-06-01T00:00:00Z", "9999-12-30T22:00:00.001Z"] {
            assert_eq!(Timestamp::parse(text), None);
        }
    }

    #[test]
    fn a_moment_beyond_the_calendar_still_prints() {
        assert!(Timestamp::from_millis(i64::MAX).to_string().ends_with('Z'));
    }
}
