//! `cargo xtask test`: everything that CI checks, up to the first failure.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::book;
use crate::examples::{self, GUEST_TARGET, Outcome, add_guest_target};
use crate::fuzz;
use crate::process::{cargo, guest_cargo, run as run_program, run_watching, typed};
use crate::root;
use crate::tally::Tally;

/// Environment variable for tests: the folder with all examples, as NAME.wasm. Examples without an
/// installed compiler are missing.
const EXAMPLES: &str = "STREAMTASK_EXAMPLES";

/// Environment variable for tests: the folder with the guests of the conformance kit, as
/// conformance-LANGUAGE.wasm.
const KIT: &str = "STREAMTASK_KIT";

/// Environment variable for tests: the file to which a skipped test appends a line: the test, what
/// it needs, and how to get that.
const SKIPPED: &str = "STREAMTASK_SKIPPED";

/// Prefix of the line of a test that needs something that can't be installed, such as writable
/// control groups. It may be missing in CI, too.
const NOT_HERE: &str = "test not on this machine: ";

/// The static checks. Separate workspaces need separate calls.
const LINTS: [(&str, Workspace, &[&str]); 9] = [
    ("format of the host", Workspace::Host, &["fmt", "--check"]),
    ("format of the examples", Workspace::Examples, &["fmt", "--check"]),
    ("format of the test guests", Workspace::TestGuests, &["fmt", "--check"]),
    (
        "lints of the host",
        Workspace::Host,
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
    (
        // Without the features that other packages of the workspace enable.
        "lints of the host as it is released",
        Workspace::Host,
        &["clippy", "--package", "streamtask-host", "--", "-D", "warnings"],
    ),
    (
        // Half of the SDK only exists in guests.
        "lints of the SDK in a guest",
        Workspace::Host,
        &["clippy", "--package", "streamtask-sdk", "--target", GUEST_TARGET, "--", "-D", "warnings"],
    ),
    (
        "lints of the examples",
        Workspace::Examples,
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
    (
        "lints of the test guests",
        Workspace::TestGuests,
        &["clippy", "--workspace", "--target", GUEST_TARGET, "--", "-D", "warnings"],
    ),
    ("documentation", Workspace::Host, &["doc", "--workspace", "--no-deps"]),
];

#[derive(Clone, Copy)]
enum Workspace {
    Host,
    Examples,
    TestGuests,
}

impl Workspace {
    fn cargo(self) -> Command {
        match self {
            Self::Host => cargo(root()),
            Self::Examples => guest_cargo(root().join("example-tasks")),
            Self::TestGuests => guest_cargo(root().join("tests/guests")),
        }
    }
}

/// With words, runs only the tests with one of them in their names.
pub(crate) fn run(filter: &[OsString]) -> Result<(), String> {
    if let Some(option) = filter.iter().find(|word| word.to_string_lossy().starts_with('-')) {
        return Err(format!("{option:?} is not a test name; see `cargo xtask --help`"));
    }
    let begun = Instant::now();
    add_guest_target()?;
    if filter.is_empty() {
        for (name, workspace, arguments) in LINTS {
            let mut check = workspace.cargo();
            step(name, check.args(arguments).env("RUSTDOCFLAGS", "-D warnings"), run_program)?;
        }
    }
    let mut left_out: Vec<String> = Vec::new();
    if filter.is_empty() {
        left_out.extend(render_book()?);
    }

    let mut guests = Workspace::TestGuests.cargo();
    guests.args(["build", "--release", "--workspace", "--target", GUEST_TARGET]);
    step("test guests", &mut guests, run_program)?;
    left_out.extend(all_of("examples", build_afresh(examples::build, &examples::default_folder()))?);
    left_out.extend(all_of("conformance kit", build_afresh(examples::build_kit, &examples::kit_folder()))?);
    if filter.is_empty() {
        left_out.extend(all_of("tests of the SDKs in other languages", examples::test_sdks)?);
    }

    let (tally, skipped) = run_tests(filter)?;
    left_out.extend(skipped);
    if filter.is_empty() {
        left_out.extend(run_fuzzer()?);
    }
    summarise(&tally, &left_out, begun)
}

/// Runs all tests, up to the first workspace with a failure. Also returns the skipped tests.
fn run_tests(filter: &[OsString]) -> Result<(Tally, Vec<String>), String> {
    let note = skipped_tests_file()?;
    let mut tally = Tally::default();
    for (name, workspace) in
        [("tests of the host", Workspace::Host), ("tests of the examples", Workspace::Examples)]
    {
        let mut test = workspace.cargo();
        test.args(["test", "--workspace", "--no-fail-fast"]);
        test.env(EXAMPLES, examples::default_folder());
        test.env(KIT, examples::kit_folder()).env(SKIPPED, &note);
        if !filter.is_empty() {
            test.arg("--").args(filter);
        }
        step(name, &mut test, |test| run_watching(test, |line| tally.read(line)))
            .map_err(|problem| format!("{problem}\nSo far {tally}."))?;
    }
    let skipped = fs::read_to_string(&note).unwrap_or_default();
    let skipped: Vec<String> = skipped.lines().map(|line| format!("test {line}")).collect();
    tally.skip(u32::try_from(skipped.len()).unwrap_or(u32::MAX));
    Ok((tally, skipped))
}

/// Renders the book. Returns the reason if this is skipped.
fn render_book() -> Result<Option<String>, String> {
    announce("the book");
    let begun = Instant::now();
    let lacks = book::render()
        .map_err(|problem| format!("the book: failed. To repeat it alone: cargo xtask book\n{problem}"))?;
    eprintln!("({} s)", begun.elapsed().as_secs());
    Ok(lacks)
}

/// Fuzzes each target briefly. Returns the reason if this is skipped.
fn run_fuzzer() -> Result<Option<String>, String> {
    announce("fuzzing");
    if let Some(lacks) = fuzz::lacks() {
        return Ok(Some(lacks.to_owned()));
    }
    let begun = Instant::now();
    fuzz::check()
        .map_err(|problem| format!("fuzzing: failed. To repeat it alone: cargo xtask fuzz\n{problem}"))?;
    eprintln!("({} s)", begun.elapsed().as_secs());
    Ok(None)
}

/// Runs one check. If it fails, the error says how to repeat it alone.
fn step(
    name: &str,
    command: &mut Command,
    run: impl FnOnce(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    announce(name);
    let begun = Instant::now();
    run(command).map_err(|_| {
        let repository = root();
        let folder = command.get_current_dir().and_then(|folder| folder.strip_prefix(&repository).ok());
        let within = folder.filter(|folder| !folder.as_os_str().is_empty());
        let within = within.map(|folder| format!(" in {}", folder.display())).unwrap_or_default();
        format!("{name}: failed. To repeat it alone{within}: {}", typed(command))
    })?;
    eprintln!("({} s)", begun.elapsed().as_secs());
    Ok(())
}

fn announce(name: &str) {
    eprintln!("\n=== {name} ===");
}

/// Runs a step for all examples, guests or SDKs; returns the skipped ones. Unlike in a demo, none
/// may fail.
fn all_of(name: &str, work: impl FnOnce() -> Result<Outcome, String>) -> Result<Vec<String>, String> {
    announce(name);
    let begun = Instant::now();
    let outcome = work()?;
    if !outcome.failed.is_empty() {
        return Err(format!("{name}: failed.\n{}", outcome.failed.join("\n")));
    }
    if in_ci() && !outcome.left_out.is_empty() {
        return Err(nothing_may_be_missing(&outcome.left_out));
    }
    eprintln!("({} s)", begun.elapsed().as_secs());
    Ok(outcome.left_out)
}

/// Outdated results of failed builds must not be tested.
fn build_afresh(
    build: fn(&Path) -> Result<Outcome, String>,
    folder: &Path,
) -> impl FnOnce() -> Result<Outcome, String> {
    move || match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("can't empty {}: {error}", folder.display()))
        }
        _ => build(folder),
    }
}

/// Creates the empty file for skipped tests.
fn skipped_tests_file() -> Result<PathBuf, String> {
    let folder = root().join("target/xtask");
    let file = folder.join("skipped-tests");
    let emptied = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, ""));
    emptied.map_err(|error| format!("can't write {}: {error}", file.display()))?;
    Ok(file)
}

fn summarise(tally: &Tally, left_out: &[String], begun: Instant) -> Result<(), String> {
    let lacking: Vec<String> = left_out.iter().filter(|line| !line.starts_with(NOT_HERE)).cloned().collect();
    if in_ci() && !lacking.is_empty() {
        return Err(nothing_may_be_missing(&lacking));
    }
    println!("\nAll checks passed in {} s: {tally}.", begun.elapsed().as_secs());
    if !left_out.is_empty() {
        println!(
            "{} left out, because a tool or a permission is missing:\n  {}",
            left_out.len(),
            left_out.join("\n  ")
        );
    }
    Ok(())
}

fn nothing_may_be_missing(left_out: &[String]) -> String {
    format!("CI is set, so nothing may be left out:\n  {}", left_out.join("\n  "))
}

fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}
