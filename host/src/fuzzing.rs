//! Fuzz targets: one function for each parser of untrusted bytes. A function accepts any bytes and panics only if the
//! host has a bug. Only `fuzz/` calls them.
//!
//! Besides panics of the parsers, the functions check invariants of the result.

use std::path::PathBuf;
use std::sync::LazyLock;

use crate::engine::{Config, Engine, Executor as _};
use crate::model::{Schedule, Timestamp, Version};

pub use crate::http::fuzzing::{requests, streams};
pub use crate::registry::fuzzing::{inputs, manifests};

/// A folder that can't be created, so that compiled code is not kept.
const NO_FOLDER: &str = "/dev/null/cache";
/// Number of starts of a schedule that are checked.
const STARTS: usize = 20;
/// The end of the year 9999 in milliseconds, where the calendar of most systems ends.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// Loads a task file, and queries its description like a host.
pub fn components(wasm: &[u8]) {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
        let cache = PathBuf::from(NO_FOLDER);
        let config = Config {
            cache,
            max_instances: 1,
            threads: 1,
            compiler: None,
            compile_limits: Default::default(),
            async_world: true,
            memory_bytes: 64 << 20,
        };
        Engine::new(&config).expect("this system can execute guests")
    });
    if let Err(error) = ENGINE.load(wasm, Version::of(wasm)) {
        assert!(!error.to_string().is_empty());
    }
}

/// Parses a schedule: a line with the pattern, one with the time zone, and one with a time in RFC 3339.
pub fn schedules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, zone, moment) = (line(), line(), line());
    let Ok(schedule) = Schedule::new(pattern, zone) else { return };
    let from = Timestamp::parse(moment).unwrap_or(Timestamp::from_millis(0));

    let later = |time: &Timestamp| schedule.next_after(*time);
    let starts: Vec<Timestamp> = std::iter::successors(later(&from), later).take(STARTS).collect();
    let mut before = from;
    for start in &starts {
        assert!(*start > before, "{start} follows {before}");
        assert!(start.as_millis() <= LAST_MILLIS, "{start} is beyond the calendar");
        before = *start;
    }
    let earlier = |time: &Timestamp| schedule.last_before(*time);
    let mut after = from;
    for start in std::iter::successors(earlier(&from), earlier).take(STARTS) {
        assert!(start < after, "{start} comes before {after}");
        after = start;
    }
    // If the two directions disagreed, a start would be repeated or skipped.
    for pair in starts.windows(2) {
        assert_eq!(schedule.last_before(pair[1]), Some(pair[0]), "the last before {}", pair[1]);
    }
}
