//! Compiling a file, which may be made to take all the memory and time there is: a
//! component of 400 bytes can hold a hundred million instances, and a function of
//! some thousand calls takes minutes.
//!
//! So it is done in a process of its own, which the system bounds, and which gives
//! way to everything else. Who embeds the host has no such program at hand; there,
//! files are compiled in the host itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
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
/// Largest code that a file may become; Python's has 35 MB.
const MAX_CODE_BYTES: u64 = 256 << 20;
/// How far a compiler stands back behind guests and clients, from 0 to 19.
const NICE: i32 = 10;

/// The exit code of a compiler that has said why there is no code.
const REFUSED: u8 = 1;
/// Most that it says.
const MAX_REASON_BYTES: u64 = 64 << 10;

/// Where files are compiled.
pub(super) enum Compiler {
    /// In this process.
    Here,
    /// In one of its own, for an engine of that world with so many addresses.
    Process(PathBuf, World, Addresses),
}

impl Compiler {
    /// Compiled code for `engine`, a file in memory. Blocks for as long as it takes.
    pub(super) fn compile(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<File> {
        // Hardened systems refuse one that could be run as a program; older ones do not know the word.
        let flags = MemfdFlags::CLOEXEC;
        let file =
            memfd_create("code", flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create("code", flags));
        let mut code = File::from(file?);
        match self {
            Self::Here => code.write_all(&compiled(engine, wasm)?)?,
            Self::Process(program, world, addresses) => {
                in_process(program, *world, *addresses, wasm, &code).map_err(wasmtime::Error::msg)?;
            }
        }
        Ok(code)
    }
}

/// The process writes the code into the file itself: it may be much, and need not pass through here.
fn in_process(
    program: &Path,
    world: World,
    addresses: Addresses,
    wasm: &[u8],
    code: &File,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("can't start the compiler: {error}");
    let mut command = Command::new(program);
    command.arg(COMMAND).args((addresses == Addresses::Scarce).then_some("--scarce"));
    command.args((world == World::Async).then_some("--async")).env_clear();
    command.stdin(Stdio::piped()).stdout(code.try_clone().map_err(failed)?).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(failed)?;
    let (mut input, said) = (process.stdin.take(), process.stderr.take());
    // It reads all before it answers. One that is gone before has a status that says why.
    let _ = input.as_mut().map(|input| input.write_all(wasm));
    drop(input);
    let mut reason = Vec::new();
    let read = said.map(|said| said.take(MAX_REASON_BYTES).read_to_end(&mut reason));
    let status = process.wait().map_err(failed)?;
    if let Some(Err(error)) = read {
        return Err(failed(error));
    }
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(REFUSED) => Err(String::from_utf8_lossy(&reason).into_owned()),
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
        Some(Signal::XFSZ) => format!("it becomes more than {} MiB of code", MAX_CODE_BYTES >> 20),
        _ => format!("the compiler failed ({status})"),
    }
}

/// What a process of a `Compiler` does: compiles what it reads from `input` into `output`. Returns
/// its exit code; if that is not 0, it has said why.
pub fn compile_process(
    async_world: bool,
    scarce: bool,
    input: impl Read,
    output: impl Write,
    mut why_not: impl Write,
) -> u8 {
    let Err(reason) = compile_bounded(async_world, scarce, input, output) else { return 0 };
    // Who does not listen sees the code.
    let _ = why_not.write_all(reason.as_bytes());
    REFUSED
}

fn compile_bounded(
    async_world: bool,
    scarce: bool,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("the compiler failed: {error}");
    bound().map_err(failed)?;
    let world = if async_world { World::Async } else { World::Sync };
    let addresses = if scarce { Addresses::Scarce } else { Addresses::Plenty };
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(failed)?;
    let engine = pool::compiling_engine(world, addresses).map_err(|SetupError(reason)| reason)?;
    let code = checked_code(&engine, &wasm).map_err(|error| format!("{error:#}"))?;
    output.write_all(&code).and_then(|()| output.flush()).map_err(failed)
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
        (Resource::Fsize, MAX_CODE_BYTES),
        // No picture of its memory when it dies.
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
            (Signal::XFSZ, "256 MiB of code"),
            (Signal::SEGV, "the compiler failed"),
        ] {
            let reason = why_it_died(ExitStatus::from_raw(signal.as_raw()));
            assert!(reason.contains(words), "{reason}");
        }
    }
}
