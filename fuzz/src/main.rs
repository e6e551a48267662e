//! Built by `cargo xtask fuzz`, this is a libFuzzer program, which the variable
//! `STREAMTASK_FUZZ_TARGET` tells what to fuzz. Built as usual, it runs files through a
//! target, so that a finding can be looked at with any debugger:
//! `cargo run --package streamtask-fuzz -- TARGET FILE...`

#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::print_stderr, reason = "it talks to whoever called it")]

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
