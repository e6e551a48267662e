//! Compiles a file. A malicious file can take all memory and time: a component of 400 bytes can
//! have a hundred million instances, and a function with some thousand calls takes minutes.
//!
//! So files are compiled in a process of its own, which the system limits, and which has a lower
//! priority than everything else. Programs that embed the host may not have that executable;
//! there, files are compiled in the host's process.

#![allow(unsafe_code, reason = "machine code that this host has compiled is mapped")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;
use wasmtime::Engine;

use super::compiled::Form;
use super::core_module;
use super::pool::{self, Addresses, SetupError, World};
use super::system_error::is_scarcity;

/// The command of the `streamtask` program that compiles.
pub const COMMAND: &str = "compile";
/// Default limits. Python with its libraries, 18 MB, takes 0.4 GiB and 20 s, and compiles to 35 MB of code.
const LIMITS: CompileLimits =
    CompileLimits { memory_bytes: 4 << 30, cpu: Duration::from_secs(120), code_bytes: 256 << 20 };
/// Files from this size on are announced in the log, because compiling them takes long or may reach a limit.
const LARGE_BYTES: usize = 16 << 20;
/// Seconds between the soft limit, whose signal reports the reason, and the hard limit, which kills a compiler that
/// ignores the signal. Without an interval the system kills it without that signal.
const CPU_GRACE: u64 = 5;
/// Niceness of a compiler, from 0 to 19: guests and clients have priority.
const NICE: i32 = 10;
/// The `oom_score_adj` of a compiler, from 0 to 1000. When memory runs out, it is killed first, because it can be
/// started again, unlike the host's runs.
const OOM_SCORE: &str = "500";

/// The exit code of a compiler that reports an error of the file.
const REFUSED: u8 = 1;
/// The exit code of a compiler that reports an error of the host; the file may be valid.
const SCARCITY: u8 = 3;
/// The exit code of a program whose libraries could not be loaded.
const NOT_STARTED: i32 = 127;
/// Most bytes of the reason that a compiler reports.
const MAX_REASON_BYTES: u64 = 64 << 10;

/// Limits of the process that compiles one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPU time on all cores together. The system counts whole seconds.
    pub cpu: Duration,
    /// Bytes of compiled code.
    pub code_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        LIMITS
    }
}

impl CompileLimits {
    /// The limits as arguments of the compiler's process.
    fn arguments(self) -> [String; 3] {
        [self.memory_bytes, self.cpu_seconds(), self.code_bytes].map(|limit| limit.to_string())
    }

    /// At least one, because 0 would end every compiler at once.
    fn cpu_seconds(self) -> u64 {
        self.cpu.as_secs().max(1)
    }
}

/// Where files are compiled.
pub(in crate::engine) enum Compiler {
    /// In this process.
    Here,
    /// In a process of its own, for an engine of that world and address space.
    Process(PathBuf, World, Addresses, CompileLimits),
}

/// The reason why a file was not compiled.
#[derive(Debug)]
pub(in crate::engine) enum CompileError {
    /// The file is invalid or exceeds a limit.
    File(String),
    /// An error of the host; the file may be valid.
    Host(String),
}

impl CompileError {
    fn of_file(error: &wasmtime::Error) -> Self {
        Self::File(format!("{error:#}"))
    }

    fn not_started(error: &io::Error) -> Self {
        Self::Host(format!("can't start the compiler: {error}"))
    }
}

impl Compiler {
    /// Compiles for `engine`. Returns the code as a file in memory. Blocks.
    pub(in crate::engine) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<File, CompileError> {
        // Hardened systems refuse a file without this flag; older kernels do not know the flag.
        let flags = MemfdFlags::CLOEXEC;
        let file =
            memfd_create("code", flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create("code", flags));
        let mut code = File::from(file.map_err(|error| CompileError::not_started(&error.into()))?);
        match self {
            Self::Here => {
                let bytes = compiled(engine, wasm).map_err(|error| CompileError::of_file(&error))?;
                let written = code.write_all(&bytes);
                written.map_err(|error| {
                    CompileError::Host(format!("can't write the code to memory: {error}"))
                })?;
            }
            Self::Process(program, world, addresses, limits) => {
                in_process(program, *world, *addresses, *limits, wasm, &code)?;
            }
        }
        Ok(code)
    }

    /// Whether the compiler has already loaded the code, so that an error in loading is not one of the file.
    pub(in crate::engine) const fn has_checked(&self) -> bool {
        matches!(self, Self::Process(..))
    }
}

/// Logs that a compilation may take long.
fn note_large(wasm: &[u8], limits: CompileLimits) {
    if wasm.len() >= LARGE_BYTES {
        let (mib, most) = (wasm.len() >> 20, amount(limits.memory_bytes));
        tracing::info!(
            "compiling a file of {mib} MiB, with at most {} s of CPU time (compile-time) and {most} of memory (compile-memory)",
            limits.cpu_seconds()
        );
    }
}

/// Compiles in a process of its own. It writes the code to the file directly, because the code may be large.
fn in_process(
    program: &Path,
    world: World,
    addresses: Addresses,
    limits: CompileLimits,
    wasm: &[u8],
    code: &File,
) -> Result<(), CompileError> {
    note_large(wasm, limits);
    let failed = |error: io::Error| CompileError::not_started(&error);
    let mut command = Command::new(program);
    command
        .arg(COMMAND)
        .args(limits.arguments())
        .args((addresses == Addresses::Scarce).then_some("--scarce"));
    command.args((world == World::Async).then_some("--async")).env_clear();
    command.stdin(Stdio::piped()).stdout(code.try_clone().map_err(failed)?).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CompileError::Host(format!(
            "can't start the compiler: it is this host's own executable, and {} does not exist; mount /proc, or \
             start the host by a path that stays valid",
            program.display()
        )),
        _ => failed(error),
    })?;
    let (mut input, stderr) = (process.stdin.take(), process.stderr.take());
    // The compiler reads everything before it answers. If it has ended before, its status gives the reason.
    let _ = input.as_mut().map(|input| input.write_all(wasm));
    drop(input);
    let mut reason = Vec::new();
    let read = stderr.map(|stderr| stderr.take(MAX_REASON_BYTES).read_to_end(&mut reason));
    let status = process.wait().map_err(failed)?;
    if let Some(Err(error)) = read {
        return Err(failed(error));
    }
    answer(status, String::from_utf8_lossy(&reason).into_owned(), limits)
}

/// The result of a compiler process, from its exit status and its output.
fn answer(status: ExitStatus, reason: String, limits: CompileLimits) -> Result<(), CompileError> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(REFUSED) => Err(CompileError::File(reason)),
        Some(code) if code == i32::from(SCARCITY) => Err(CompileError::Host(reason)),
        Some(NOT_STARTED) => {
            Err(CompileError::Host(format!("can't start the compiler: {}", reason.trim_end())))
        }
        _ => Err(why_it_died(status, ResourceLimits::here(limits))),
    }
}

fn why_it_died(status: ExitStatus, bounds: ResourceLimits) -> CompileError {
    let signal = status.signal().and_then(Signal::from_named_raw);
    match signal {
        Some(Signal::XCPU) => bounds.cpu.exceeded(),
        Some(Signal::ABORT) => bounds.memory.exceeded(),
        Some(Signal::XFSZ) => bounds.code.exceeded(),
        Some(Signal::KILL) => {
            CompileError::Host(format!("the compiler was killed ({status}), probably because memory ran out"))
        }
        // Signals to end it, perhaps together with the host.
        Some(Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT) => {
            CompileError::Host(format!("the compiler was ended ({status})"))
        }
        _ => CompileError::File(format!("the compiler failed ({status})")),
    }
}

/// The limit of one resource of a compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResourceLimit {
    resource: Resource,
    most: u64,
    /// Whether the hard limit of this process is lower than the wanted limit.
    lowered: bool,
}

/// The limits of a compiler.
#[derive(Clone, Copy, Debug)]
struct ResourceLimits {
    /// Of data, not of address space, of which an engine reserves much; unless the hard limit of this process for
    /// address space is lower.
    memory: ResourceLimit,
    cpu: ResourceLimit,
    code: ResourceLimit,
}

impl ResourceLimits {
    /// The limits of a compiler that this process starts or is; both have the same hard limits.
    fn here(limits: CompileLimits) -> Self {
        let bound = |resource, wanted| ResourceLimit::within(resource, wanted, getrlimit(resource).maximum);
        Self {
            memory: bound(Resource::Data, limits.memory_bytes)
                .or_lower(bound(Resource::As, limits.memory_bytes)),
            cpu: bound(Resource::Cpu, limits.cpu_seconds()),
            code: bound(Resource::Fsize, limits.code_bytes),
        }
    }
}

impl ResourceLimit {
    fn within(resource: Resource, wanted: u64, hard: Option<u64>) -> Self {
        let most = hard.map_or(wanted, |hard| hard.min(wanted));
        Self { resource, most, lowered: most < wanted }
    }

    fn or_lower(self, other: Self) -> Self {
        if other.most < self.most { other } else { self }
    }

    fn limit(self) -> Rlimit {
        let (mut current, mut maximum) = (self.most, self.most);
        if self.resource == Resource::Cpu && self.lowered {
            current = current.saturating_sub(CPU_GRACE).max(1);
        } else if self.resource == Resource::Cpu {
            let hard = getrlimit(self.resource).maximum.unwrap_or(u64::MAX);
            maximum = hard.min(maximum + CPU_GRACE);
        }
        Rlimit { current: Some(current), maximum: Some(maximum) }
    }

    fn exceeded(self) -> CompileError {
        let (what, unit, setting) = match self.resource {
            Resource::Cpu => {
                (format!("compiling it takes more than {} s of CPU time", self.most), "-t", "compile-time")
            }
            Resource::Fsize => {
                (format!("it becomes more than {} of code", amount(self.most)), "-f", "compile-code")
            }
            _ => {
                let what = format!("compiling it takes more than {} of memory", amount(self.most));
                (what, if self.resource == Resource::As { "-v" } else { "-d" }, "compile-memory")
            }
        };
        match self.lowered {
            true => {
                CompileError::Host(format!("{what}, this host's own hard limit (ulimit -H {unit}); raise it"))
            }
            false => CompileError::File(format!("{what}; the host's --{setting} can allow more")),
        }
    }
}

/// The exact number of bytes, in the largest unit of which it is a multiple.
fn amount(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| format!("{bytes} B"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

/// The main function of a compiler process: compiles `input` to `output`. Returns the exit code; if
/// that is not 0, it has written the reason to `why_not`.
pub fn compile_process(
    limits: CompileLimits,
    async_world: bool,
    scarce: bool,
    input: impl Read,
    output: impl Write,
    mut why_not: impl Write,
) -> u8 {
    let (code, reason) = match compile_bounded(limits, async_world, scarce, input, output) {
        Ok(()) => return 0,
        Err(CompileError::File(reason)) => (REFUSED, reason),
        Err(CompileError::Host(reason)) => (SCARCITY, reason),
    };
    // Ignored, because the exit code is reported anyway.
    let _ = why_not.write_all(reason.as_bytes());
    code
}

fn compile_bounded(
    limits: CompileLimits,
    async_world: bool,
    scarce: bool,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), CompileError> {
    let failed = |error: io::Error| CompileError::Host(format!("the compiler failed: {error}"));
    let bounds = ResourceLimits::here(limits);
    restrict(bounds).map_err(failed)?;
    let world = if async_world { World::Async } else { World::Sync };
    let addresses = if scarce { Addresses::Scarce } else { Addresses::Plenty };
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(failed)?;
    let engine = pool::compiling_engine(world, addresses, has_threads());
    let engine = engine.map_err(|SetupError(reason)| CompileError::Host(reason))?;
    let code = checked_code(&engine, &wasm).map_err(|error| match is_scarcity(&error) {
        true => CompileError::Host(format!("the compiler failed: {error:#}")),
        false => CompileError::of_file(&error),
    })?;
    output.write_all(&code).and_then(|()| output.flush()).map_err(|error| match error.kind() {
        // If SIGXFSZ is ignored.
        io::ErrorKind::FileTooLarge => bounds.code.exceeded(),
        _ => failed(error),
    })
}

/// Whether the system allows one more thread for each core. wasmtime's thread pool panics without them, but compiles
/// on one thread if told to.
fn has_threads() -> bool {
    let wanted = thread::available_parallelism().map_or(1, usize::from);
    let (keep_alive, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    thread::scope(|scope| {
        // Each thread ends when the channel is closed.
        let started = |_| thread::Builder::new().spawn_scoped(scope, || wait.lock().recv().is_ok());
        let all = (0..wanted).map(started).all(|thread| thread.is_ok());
        drop(keep_alive);
        all
    })
}

/// Compiles, and loads the code to check it: a small file can compile to code that exceeds the
/// limits of an engine, which are checked only when it is loaded.
fn checked_code(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let code = compiled(engine, wasm)?;
    // SAFETY: this engine has just compiled these bytes.
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

/// Limits the resources and rights of this process.
fn restrict(bounds: ResourceLimits) -> io::Result<()> {
    // Without the host, its answer would be of no use.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for bound in [bounds.memory, bounds.cpu, bounds.code] {
        setrlimit(bound.resource, bound.limit())?;
    }
    // A program that it might be made to start gets no more rights than it has.
    set_no_new_privs(true)?;
    // No core dump.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Errors are ignored, because not every system has the file.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    nice(NICE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(hard: Option<u64>) -> ResourceLimits {
        ResourceLimits {
            memory: ResourceLimit::within(Resource::Data, LIMITS.memory_bytes, hard),
            cpu: ResourceLimit::within(Resource::Cpu, LIMITS.cpu_seconds(), hard),
            code: ResourceLimit::within(Resource::Fsize, LIMITS.code_bytes, hard),
        }
    }

    #[test]
    fn the_end_of_a_compiler_is_explained() {
        for (signal, words) in [
            (Signal::XCPU, "120 s of CPU time; the host's --compile-time can allow more"),
            (Signal::ABORT, "4 GiB of memory"),
            (Signal::XFSZ, "256 MiB of code"),
            (Signal::SEGV, "the compiler failed"),
        ] {
            let died = why_it_died(ExitStatus::from_raw(signal.as_raw()), bounds(None));
            assert!(matches!(&died, CompileError::File(reason) if reason.contains(words)), "{died:?}");
        }
    }

    #[test]
    fn a_killed_compiler_is_not_an_error_of_the_file() {
        for (signal, words) in
            [(Signal::KILL, "was killed"), (Signal::TERM, "was ended"), (Signal::INT, "ended")]
        {
            let died = why_it_died(ExitStatus::from_raw(signal.as_raw()), bounds(None));
            assert!(matches!(&died, CompileError::Host(reason) if reason.contains(words)), "{died:?}");
        }
    }

    #[test]
    fn the_lower_limit_of_data_and_addresses_is_reported() {
        let data = ResourceLimit::within(Resource::Data, 9, Some(7));
        let addresses = |hard| ResourceLimit::within(Resource::As, 9, hard);
        assert_eq!(data.or_lower(addresses(None)), data);
        let died = data.or_lower(addresses(Some(6))).exceeded();
        assert!(
            matches!(&died, CompileError::Host(reason) if reason.contains("6 B of memory, this host's own hard limit (ulimit -H -v)")),
            "{died:?}"
        );
    }

    #[test]
    fn a_hard_limit_of_the_host_below_the_compilers_own_is_reported() {
        for (signal, words) in [
            (Signal::XCPU, "7 s of CPU time, this host's own hard limit (ulimit -H -t)"),
            (Signal::ABORT, "7 B of memory, this host's own hard limit (ulimit -H -d)"),
            (Signal::XFSZ, "7 B of code, this host's own hard limit (ulimit -H -f)"),
        ] {
            let died = why_it_died(ExitStatus::from_raw(signal.as_raw()), bounds(Some(7)));
            assert!(matches!(&died, CompileError::Host(reason) if reason.contains(words)), "{died:?}");
        }
        let limit = bounds(Some(7)).cpu.limit();
        assert!(limit.current < limit.maximum && limit.maximum == Some(7), "time to say why: {limit:?}");
    }
}
