//! What a test says that can't be made here. As `tests/src/optional.rs`, which the tests of the host can't use.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Names the file in which skipped tests leave a line, for whoever started them all.
const SKIPPED: &str = "STREAMTASK_SKIPPED";

/// Notes that the test `what` can't be made because of what it `needs`. The caller then returns.
///
/// # Panics
/// With `CI=true` in the environment.
pub fn skip(what: &str, needs: &str) {
    let line = format!("{what}: it needs {needs}");
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1");
    assert!(!in_ci, "CI is set, so nothing may be left out: {line}");
    eprintln!("skipped {line}");
    if let Some(file) = env::var_os(SKIPPED) {
        // In one write, so that lines of several tests do not mix.
        let opened = OpenOptions::new().create(true).append(true).open(&file);
        let noted = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        noted.unwrap_or_else(|error| panic!("can't note in {file:?} that {line}: {error}"));
    }
}
