//! Compiling a file, which may be made to take all the memory and time there is: a
//! component of 400 bytes can hold a hundred million instances, and a function of
//! some thousand calls takes minutes.
//!
//! So it is done in a process of its own, which the system bounds, and which gives
//! way to everything else. Who embeds the host has no such program at hand; there,
//! files are compiled in the host itself.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use wasmtime::Engine;

use super::code::Form;
use super::pool::{self, Addresses, World};
use super::{SetupError, core_module};

/// The command of the `streamtask` program that compiles.
pub const COMMAND: &str = "compile";
/// Memory to compile one file. Python with its libraries, 18 MB, takes 0.4 GiB.
const MEMORY: u64 = 4 << 30;
/// Time on all processors together to compile one file, in seconds. Python takes 20.
const CPU_SECONDS: u64 = 120;
/// Largest code that is taken over; Python's has 35 MB. The host's memory for it is a
/// multiple of that.
const MAX_CODE_BYTES: u64 = 256 << 20;
/// How far a compiler stands back behind guests and clients, from 0 to 19.
const NICE: i32 = 10;

/// What follows in the answer of the process: code, or why there is none.
const CODE: u8 = 0;
const REASON: u8 = 1;

/// Where files are compiled.
pub(super) enum Compiler {
    /// In this process.
    Here,
    /// In one of its own, for an engine of that world with so many addresses.
    Process(PathBuf, World, Addresses),
}

impl Compiler {
    /// Compiled code for `engine`. Blocks for as long as it takes.
    pub(super) fn compile(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::Here => compiled(engine, wasm),
            Self::Process(program, world, addresses) => {
                in_process(program, *world, *addresses, wasm).map_err(wasmtime::Error::msg)
            }
        }
    }
}

fn in_process(program: &Path, world: World, addresses: Addresses, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("can't start the compiler: {error}");
    let mut command = Command::new(program);
    command.arg(COMMAND).args((addresses == Addresses::Scarce).then_some("--scarce"));
    command.args((world == World::Async).then_some("--async")).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().map_err(failed)?;
    let (mut input, output) = (process.stdin.take(), process.stdout.take());
    // It reads all before it answers. One that is gone before has a status that says why.
    let _ = input.as_mut().map(|input| input.write_all(wasm));
    drop(input);
    let mut answer = Vec::new();
    let read = output.map(|output| output.take(MAX_CODE_BYTES).read_to_end(&mut answer));
    let status = process.wait().map_err(failed)?;
    if let Some(Err(error)) = read {
        return Err(failed(error));
    }
    if answer.len() as u64 == MAX_CODE_BYTES {
        return Err(format!("it becomes more than {} MiB of code", MAX_CODE_BYTES >> 20));
    }
    match answer.split_first() {
        Some((&CODE, _)) if status.success() => {
            // Without a copy of what may be large.
            answer.remove(0);
            Ok(answer)
        }
        Some((&REASON, reason)) => Err(String::from_utf8_lossy(reason).into_owned()),
        _ => Err(why_it_died(status)),
    }
}

fn why_it_died(status: ExitStatus) -> String {
    let signal = status.signal().and_then(Signal::from_named_raw);
    match signal {
        Some(Signal::XCPU | Signal::KILL) => {
            format!("compiling it takes more than {CPU_SECONDS} s of computing")
        }
        Some(Signal::ABORT) => format!("compiling it takes more than {} GiB of memory", MEMORY >> 30),
        _ => format!("the compiler failed ({status})"),
    }
}

/// What a process of a `Compiler` does: compiles what it reads from `input`. The
/// outer error is that it could not even answer.
pub fn compile_process(
    async_world: bool,
    scarce: bool,
    mut input: impl Read,
    mut output: impl io::Write,
) -> io::Result<()> {
    bound()?;
    let world = if async_world { World::Async } else { World::Sync };
    let addresses = if scarce { Addresses::Scarce } else { Addresses::Plenty };
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm)?;
    let engine = pool::compiling_engine(world, addresses).map_err(|SetupError(reason)| reason);
    match engine.and_then(|engine| checked_code(&engine, &wasm).map_err(|error| format!("{error:#}"))) {
        Ok(code) => {
            output.write_all(&[CODE])?;
            output.write_all(&code)?;
        }
        Err(reason) => {
            output.write_all(&[REASON])?;
            output.write_all(reason.as_bytes())?;
        }
    }
    output.flush()
}

/// Compiles, and loads the code here first: what a small file becomes may be huge, and
/// is refused for that only when it is loaded.
fn checked_code(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let code = compiled(engine, wasm)?;
    // SAFETY: these bytes come from this very engine.
    unsafe { Form::of(wasm).load(engine, &code) }?;
    Ok(code)
}

fn compiled(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let reason = wasmtime::Error::msg;
    if !core_module::is_core_module(wasm) {
        engine.precompile_component(wasm)
    } else if let Some(why_not) = core_module::why_not(wasm) {
        Err(reason(why_not))
    } else if core_module::is_program(wasm) {
        engine.precompile_module(wasm)
    } else {
        engine.precompile_component(&core_module::component(wasm).map_err(reason)?)
    }
}

/// Takes from this process what a compiler must not have.
fn bound() -> io::Result<()> {
    // Nobody would read what it answers.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, limit) in [
        // Not of addresses, of which an engine reserves many.
        (Resource::Data, MEMORY),
        (Resource::Cpu, CPU_SECONDS),
        // It has nothing to write, not even a picture of its memory when it dies.
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    nice(NICE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_dies_has_a_reason() {
        for (signal, words) in [
            (Signal::XCPU, "120 s of computing"),
            (Signal::KILL, "120 s of computing"),
            (Signal::ABORT, "4 GiB of memory"),
            (Signal::SEGV, "the compiler failed"),
        ] {
            let reason = why_it_died(ExitStatus::from_raw(signal.as_raw()));
            assert!(reason.contains(words), "{reason}");
        }
    }
}
