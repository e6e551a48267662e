use std::collections::VecDeque;

use serde_json::Value;

use super::{Content, Event, Progress, Timestamp};

/// Least time between two samples, in milliseconds: adding up the tree for each event of a flood would cost too much.
const SAMPLE_MS: i64 = 500;
/// Recent running time that the rate is computed from, in milliseconds: the speed of work changes, so older samples say
/// little.
const RATE_WINDOW_MS: i64 = 30_000;
/// Samples that are kept however old they are, so that the rate of slow work covers several steps.
const LEAST_SAMPLES: usize = 8;
/// Least running time for a rate, in milliseconds.
const MIN_RATE_MS: i64 = 500;

/// Progress and speed of a run, from the events of its log. To be given the events of the [`TYPES`](Self::TYPES) in order.
#[derive(Clone, Debug, Default)]
pub struct ProgressLog {
    progress: Progress,
    clock: Clock,
    /// Samples of the current attempt, oldest first.
    samples: VecDeque<Sample>,
    /// The running time at the last progress event.
    told_at: i64,
}

/// The progress at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Running time in milliseconds.
    at: i64,
    fraction: f64,
}

/// Running time, without pauses, waits and the time between attempts.
#[derive(Clone, Debug, Default)]
struct Clock {
    /// Time before the current period, in milliseconds.
    before: i64,
    /// When the current period began; none while the run is paused or waits.
    since: Option<Timestamp>,
    /// Whether an attempt is running or paused; a waiting run can be paused too.
    attempt: bool,
}

impl Clock {
    fn at(&self, time: Timestamp) -> i64 {
        self.before + self.since.map_or(0, |since| (time.as_millis() - since.as_millis()).max(0))
    }

    fn hold(&mut self, time: Timestamp) {
        self.before = self.at(time);
        self.since = None;
    }
}

impl ProgressLog {
    /// The types of the events that it needs.
    pub const TYPES: &[&str] = &[
        "progress",
        "run.started",
        "run.paused",
        "run.resumed",
        "run.retrying",
        "run.completed",
        "run.failed",
        "run.cancelled",
    ];

    /// Applies the next event. Events of other types change nothing.
    pub fn take(&mut self, event: &Event) {
        let time = event.what.time;
        match (event.what.event_type.as_str(), &event.what.content) {
            ("progress", Content::Json(data)) => self.update(&data.to_value(), time),
            ("run.started", _) => self.begin(event.attempt, time),
            ("run.resumed", _) if self.clock.attempt => {
                self.clock.since.get_or_insert(time);
            }
            ("run.paused", _) => self.clock.hold(time),
            (other, _) if other.starts_with("run.") && other != "run.resumed" => {
                self.clock.hold(time);
                self.clock.attempt = false;
                if let Some(status) = event.what.event_type.ended_as() {
                    self.progress.close(status);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, attempt: u32, time: Timestamp) {
        self.clock.hold(time);
        self.clock.since = Some(time);
        self.clock.attempt = true;
        self.samples.clear();
        self.told_at = self.clock.at(time);
        // A later attempt begins with the progress in its checkpoint, which says nothing about its speed.
        let fraction = self.progress.tree().fraction.or((attempt <= 1).then_some(0.0));
        self.samples.extend(fraction.map(|fraction| Sample { at: self.told_at, fraction }));
    }

    fn update(&mut self, data: &Value, time: Timestamp) {
        if self.progress.update(data).is_none() {
            return;
        }
        self.told_at = self.clock.at(time);
        let last = self.samples.back().copied();
        if last.is_some_and(|last| self.told_at - last.at < SAMPLE_MS) {
            return;
        }
        let Some(fraction) = self.progress.tree().fraction else { return };
        // There is more work than was known, or an attempt begins from the start.
        if last.is_some_and(|last| fraction < last.fraction) {
            self.samples.clear();
        }
        self.samples.push_back(Sample { at: self.told_at, fraction });
        while self.samples.len() > LEAST_SAMPLES
            && self.samples.front().is_some_and(|first| self.told_at - first.at > RATE_WINDOW_MS)
        {
            self.samples.pop_front();
        }
    }

    /// The reported progress.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Remaining running time at `now` in milliseconds, at the recent rate; none if unknown. `fraction` is the done fraction of
    /// the run. For a paused run, the remaining time after it is resumed.
    pub fn remaining_ms(&self, fraction: Option<f64>, now: Timestamp) -> Option<u64> {
        let (fraction, first, last) = (fraction?, self.samples.front()?, self.samples.back()?);
        let (gained, span) = (fraction - first.fraction, self.told_at - first.at);
        if !self.clock.attempt || gained <= 0.0 || fraction < last.fraction || span < MIN_RATE_MS {
            return None;
        }
        // Time counts down until the next progress event is due; after that, the work is slower than before.
        let silent = self.clock.at(now) - self.told_at;
        let due = span / (self.samples.len() as i64 - 1).max(1);
        let (passed, overdue) = (silent.min(due), (silent - due).max(0));
        let left = (1.0 - fraction) * (span + overdue) as f64 / gained - passed as f64;
        // Saturates at the end of the range.
        Some(left.max(0.0).round() as u64)
    }

    /// Memory that it occupies, in bytes.
    pub fn cost(&self) -> u64 {
        const FIXED: usize = 1 << 10;
        let items = self.progress.items().iter();
        let texts = items
            .map(|item| 2 * item.id.len() + item.message.len() + item.parent.as_ref().map_or(0, String::len));
        let items = size_of_val(self.progress.items());
        (FIXED + 2 * items + texts.sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{EventType, Json, NewEvent};

    /// A log that gets one event after the other, at times in milliseconds.
    #[derive(Default)]
    struct Told(ProgressLog, u32);

    impl Told {
        fn tell(&mut self, at: i64, event_type: &str, data: &Value) -> &mut Self {
            if event_type == "run.started" {
                self.1 += 1;
            }
            let what = NewEvent {
                event_type: EventType::from_stored(event_type),
                channel: None,
                content: Content::Json(Json::of(data)),
                time: Timestamp::from_millis(at),
            };
            self.0.take(&Event { seq: 1, attempt: self.1, what });
            self
        }

        fn run(&mut self, at: i64, name: &str) -> &mut Self {
            self.tell(at, &format!("run.{name}"), &json!({}))
        }

        fn step(&mut self, at: i64, step: u64) -> &mut Self {
            self.tell(at, "progress", &json!({ "step": step, "total": 10 }))
        }

        fn left(&self, now: i64) -> Option<u64> {
            let fraction = self.0.progress().tree().fraction;
            self.0.remaining_ms(fraction, Timestamp::from_millis(now))
        }
    }

    #[test]
    fn what_is_left_is_told_by_the_rate_so_far_and_passes() {
        let mut told = Told::default();
        told.run(0, "started");
        assert_eq!(told.left(500), None);
        told.step(1_000, 1).step(2_000, 2);
        assert_eq!((told.left(2_000), told.left(2_500)), (Some(8_000), Some(7_500)));
    }

    #[test]
    fn what_is_left_grows_while_a_step_is_overdue() {
        let mut told = Told::default();
        told.run(0, "started").step(1_000, 1).step(2_000, 2).step(3_000, 3);
        let lefts: Vec<u64> = (3..8).map(|s| told.left(s * 1_000).unwrap()).collect();
        assert!(lefts[1] < lefts[0] && lefts[2..].is_sorted() && lefts[4] > lefts[2], "{lefts:?}");
    }

    #[test]
    fn pauses_and_the_time_between_attempts_do_not_count() {
        let mut told = Told::default();
        told.run(0, "started").step(1_000, 1);
        told.run(1_000, "paused");
        assert_eq!(told.left(900_000), Some(9_000), "it stands still meanwhile");
        told.run(900_000, "resumed").step(901_000, 2);
        assert_eq!(told.left(901_000), Some(8_000));
        told.run(901_000, "retrying");
        assert_eq!(told.left(950_000), None, "nobody knows where the next attempt begins");
        told.run(990_000, "paused").run(995_000, "resumed");
        told.run(1_000_000, "started").step(1_002_000, 3);
        assert_eq!(told.left(1_002_000), Some(14_000), "the rate is this attempt's");
        told.step(1_003_000, 10).run(1_004_000, "completed");
        assert_eq!(told.left(1_005_000), None);
    }

    #[test]
    fn an_attempt_that_begins_at_the_start_has_a_rate_of_its_own() {
        let mut told = Told::default();
        told.run(0, "started").step(5_000, 5).run(5_000, "retrying").run(10_000, "started");
        told.step(11_000, 1);
        assert_eq!(told.left(11_000), None, "one word is no rate");
        told.step(12_000, 2);
        assert_eq!(told.left(12_000), Some(8_000));
    }

    #[test]
    fn the_rate_is_that_of_late() {
        let mut told = Told::default();
        told.run(0, "started");
        let of = |done: u64| json!({ "done": done, "total": 100_000 });
        for second in 1..=100 {
            told.tell(second * 1_000, "progress", &of(second as u64));
        }
        for second in 101..=200 {
            told.tell(second * 1_000, "progress", &of(100 + (second as u64 - 100) * 100));
        }
        let left = told.left(200_000).unwrap();
        assert!((890_000..910_000).contains(&left), "{left}");
        assert!(told.0.samples.len() < 40, "what is kept is bounded");
    }

    #[test]
    fn what_says_nothing_of_a_rate_gives_none() {
        let mut told = Told::default();
        told.run(0, "started").tell(1_000, "progress", &json!({ "done": 7 }));
        assert_eq!(told.left(2_000), None);
        let mut told = Told::default();
        told.run(0, "started").step(1_000, 0).step(2_000, 0);
        assert_eq!(told.left(2_000), None, "no progress, no rate");
        told.step(2_000, 10);
        assert_eq!(told.left(2_000), Some(0));
    }
}
