//! Built by `cargo xtask fuzz`, this is a libFuzzer program, whose target is set by
//! `STREAMTASK_FUZZ_TARGET`. Built normally, it runs a target with files, so that a finding can be
//! debugged:
//! `cargo run --package streamtask-fuzz -- TARGET FILE...`

#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::print_stderr, reason = "a command-line tool")]

#[cfg(fuzzing)]
mod libfuzzer;

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| fuzz_targets::target(&name)) else {
        let names: Vec<&str> = fuzz_targets::TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("Usage: streamtask-fuzz TARGET FILE...\nTargets: {}", names.join(", "));
        return 2.into();
    };
    for file in arguments {
        match std::fs::read(&file) {
            Ok(data) => target(&data),
            Err(error) => {
                eprintln!("can't read {file}: {error}");
                return 1.into();
            }
        }
        eprintln!("{file}: no fault");
    }
    0.into()
}
