//! Times and durations for people.

use std::time::{Duration, SystemTime};

/// The time from a timestamp of the host until now, such as `3m ago`. The clocks of host and client may differ, so a time
/// in the near future is `now`. Empty if it is no timestamp.
pub(super) fn ago(timestamp: &str, now: SystemTime) -> String {
    let Some(time) = moment(timestamp) else { return String::new() };
    match now.duration_since(time) {
        Ok(passed) if passed < Duration::from_secs(1) => "now".to_owned(),
        Ok(passed) => format!("{} ago", coarse(passed)),
        Err(error) if error.duration() < Duration::from_secs(60) => "now".to_owned(),
        Err(error) => format!("in {}", coarse(error.duration())),
    }
}

/// The time between two timestamps; none if it is unknown.
pub(super) fn between(from: &str, to: &str) -> Option<Duration> {
    moment(to)?.duration_since(moment(from)?).ok()
}

/// A duration in its largest unit.
fn coarse(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A duration with milliseconds if it is short, otherwise in its two largest units.
pub(super) fn precise(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

fn moment(timestamp: &str) -> Option<SystemTime> {
    timestamp.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let now = moment("2030-01-31T08:00:00Z").unwrap();
        let told = |timestamp| ago(timestamp, now);
        assert_eq!(told("2030-01-31T07:59:59.500Z"), "now");
        assert_eq!(told("2030-01-31T07:59:20Z"), "40s ago");
        assert_eq!(told("2030-01-31T06:00:00Z"), "2h ago");
        assert_eq!(told("2030-01-01T08:00:00Z"), "30d ago");
        assert_eq!(told("2030-01-31T08:00:20Z"), "now", "clocks differ");
        assert_eq!(told("2030-01-31T08:10:00Z"), "in 10m");
        assert_eq!(told("\u{1b}"), "");
    }

    #[test]
    fn a_duration_is_told_as_precisely_as_it_is_useful() {
        let between = between("2030-01-31T08:00:00Z", "2030-01-31T08:00:02.345Z").unwrap();
        assert_eq!(precise(between), "2.3s");
        let told: Vec<String> =
            [0.25, 61.0, 7260.0, 180_000.0].map(|seconds| precise(Duration::from_secs_f64(seconds))).into();
        assert_eq!(told, ["250ms", "1m 1s", "2h 1m", "2d 2h"]);
    }
}
