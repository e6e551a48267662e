//! `cargo xtask`: the contributor's commands.
//!
//! It needs only Rust, not even a shell. Newcomers compile it before anything else, so it has no
//! dependencies.
//!
//! - `process`: starting other programs
//! - `stamp`: whether something must be rebuilt
//! - `examples`: builds all examples, in all languages, and the conformance kit
//! - `tally`: counting tests
//! - `checks`: everything that CI checks
//! - `demo`: a host with all examples
//! - `bench`: measures the host
//! - `book`: renders the book
//! - `cluster`: three hosts on one PostgreSQL
//! - `fuzz`: fuzzes all code that parses untrusted bytes
//! - `proof`: kills the host repeatedly, and checks that nothing is lost
//! - `package`: packages of the program, for registries and for a download
//! - `screenshots`: takes pictures of the page
//! - `simulate`: runs the host's rooms through many sequences of events

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod bench;
mod book;
mod checks;
mod cluster;
mod demo;
mod examples;
mod fuzz;
mod package;
mod process;
mod proof;
mod screenshots;
mod simulate;
mod stamp;
mod tally;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Sets up, runs and checks streamtask. Needs Rust; all else is optional.

Usage: cargo xtask <COMMAND>

Commands:
  demo [SERVE-ARGS...]   Build the host and the examples in Rust, and start it for tasks/demo. The examples in
                         other languages are built while it runs.
                         What follows goes to `streamtask serve`: cargo xtask demo --listen 127.0.0.1:9000
                         With `--grants env,files,http`, unless told otherwise; examples that need more are left out
  cluster [--port N] [--binary PATH] [--tasks DIR]
                         Start a PostgreSQL of its own, three hosts that share it, and nginx if the machine has it, on
                         loopback. Ports N to N+3 [default: 8080]. Without --binary the host is built as for `demo`,
                         without --tasks the examples in Rust. Ctrl-C ends all of it and removes the database
  test                   Run everything that CI checks: format, lints, docs, guests, examples, tests
  test FILTER...         Run only the tests with one of these words in their names
  examples [--to DIR]    Build every example from source, as DIR/NAME.wasm [default: target/examples]
  kit [--to DIR]         Build the guests of the conformance kit [default: target/kit]
  bench [ARGS...]        Measure the host; `cargo xtask bench --help` says what can be measured
  book                   Render docs/ with mdBook into target/book; a warning is an error
  fuzz [TARGET] [--minutes M | --seconds S]
                         Look for inputs that break what reads foreign bytes [default: all targets, a minute each]
  proof [ARGS...]        Kill the host 200 times under load, and check that nothing is lost:
                         cargo xtask proof [--kills N] [--minutes M] [--seed N]
                         With --hosts 3: several hosts on one PostgreSQL, with [--stops N] [--seconds S]
  screenshots            Take the pictures of the page in docs/pictures: needs Node.js, `npm ci` and Chromium
  simulate [ARGS...]     Lead the host's rooms through many orders of events, each from a seed, on a virtual clock:
                         cargo xtask simulate [--seeds N] [--seed N] [--steps N] [--minutes M]
  package [KIND...]      Make packages of the program in target/packages: archive, deb, wheel, npm [default: all]
                         cargo xtask package [--target TRIPLE] [--binary PATH] [--to DIR] [KIND...]
                         Without --binary it is built for release. TRIPLE is x86_64-unknown-linux-gnu or
                         aarch64-unknown-linux-gnu [default: this machine]; packaging/README.md says more

Examples in Python need Python 3.10 or newer with venv, those in JavaScript and AssemblyScript Node.js 20.19 or newer
with npm; the compilers for them are fetched into target/ and node_modules/. Go and Zig are fetched with Python where
there is no Go, the source of gojq with apt-get. C and C++ need clang 18 or newer with libraries for WASI. What lacks its
compiler is left out.

Environment:
  CI=true                Leave nothing out: `test` fails if a tool is missing
";

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if fuzz::is_wrapper() {
        return exit(fuzz::compile(arguments));
    }
    if arguments.is_empty() {
        eprint!("{HELP}");
        return ExitCode::from(2);
    }
    let command = arguments.remove(0);
    let asks_for_help = arguments.first().is_some_and(|first| first == "--help" || first == "-h");
    let outcome = match command.to_str() {
        // These have their own help.
        Some("bench") => bench::run(arguments),
        Some("proof") => proof::run(arguments),
        Some("simulate") => simulate::run(arguments),
        Some("help" | "--help" | "-h") => help(),
        Some(
            "book" | "cluster" | "demo" | "test" | "examples" | "fuzz" | "kit" | "package" | "screenshots",
        ) if asks_for_help => help(),
        Some("book") => book::run(),
        Some("cluster") => cluster::run(arguments),
        Some(cluster::WORK) => cluster::work(&arguments),
        Some("demo") => demo::run(arguments),
        Some(demo::FOLLOW) => demo::follow(&arguments),
        Some("test") => checks::run(&arguments),
        Some("examples") => examples::run(arguments),
        Some("kit") => examples::run_kit(arguments),
        Some("fuzz") => fuzz::run(&arguments),
        Some("package") => package::run(arguments),
        Some("screenshots") => screenshots::run(),
        _ => Err(format!("there is no command {command:?}; `cargo xtask --help` lists them")),
    };
    exit(outcome)
}

fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> Result<(), String> {
    print!("{HELP}");
    Ok(())
}

/// Where cargo puts what it builds for this machine, a folder for each profile.
fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The repository.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask is in the repository").to_owned()
}
