//! What reads foreign bytes, one function for each thing that is fuzzed: it takes any
//! bytes and panics only if the host has a fault. `fuzz/` calls them; a host doesn't.
//!
//! Not only panics are looked for. Each says what has to be true of what was read.

use std::path::PathBuf;
use std::sync::LazyLock;

use crate::engine::{Config, Engine, Executor as _};
use crate::model::{Schedule, Timestamp, Version};

pub use crate::http::fuzzing::{requests, streams};
pub use crate::registry::fuzzing::{inputs, manifests};

/// A folder that can't be made: what the fuzzer compiles is not kept.
const NO_FOLDER: &str = "/dev/null/cache";
/// How many starts of a schedule are looked at.
const STARTS: usize = 20;
/// Where the calendar of most systems ends: at the end of the year 9999, in milliseconds.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// A task's file. What it says of itself is asked for, as for any task.
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

/// A schedule: a line with the pattern, one with the time zone, one with a moment in
/// RFC 3339.
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
    // A start that is missed forwards or backwards would be made twice or never.
    for pair in starts.windows(2) {
        assert_eq!(schedule.last_before(pair[1]), Some(pair[0]), "the last before {}", pair[1]);
    }
}
