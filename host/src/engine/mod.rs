//! Executes guests: they are compiled once, instantiated for each attempt, limited, and can be stopped at any point.
//!
//! A [`Program`] is a version of a task, compiled and linked. It runs on threads of its own ([`Executor::spawn`]),
//! separate from those that serve clients, and uses the rest of the host through [`GuestHost`] only. It gets clocks,
//! random numbers, a log for its output, and the grants of its task ([`Grants`]); nothing else.
//!
//! The only room that names wasmtime. Knows nothing of storage, of how clients are served, or of runs beyond one call
//! of `process`.

// The interface of the room
mod config;
mod executor; // loads programs, and runs futures on the threads for guests
mod guest_host; // the interface through which a guest uses the rest of the host
mod limits;
mod load_error;
mod metadata;
mod program; // programs, attempts and their outcome

// The sub-rooms
mod attempt; // one attempt: call, supervision, outcome
mod code; // compiled code: compile, cache, load; memory for guests
mod command; // ordinary programs: standard input and output, arguments, exit codes
mod grants; // what a task may reach, and its secrets
mod guest; // one guest: the data of its store, and the host API
mod timing; // CPU and time: ticker, CPU scheduler, pause gate, deadline, rate limiter
mod wasi; // WASI within grants and limits: files, requests, standard streams

// Across the sub-rooms
mod async_world; // tasks with async functions, an experiment
mod runtime; // the engine: memory and threads

pub use code::{Allocation, COMPILE, CompileLimits, SetupError, compile_process, most_by_mappings};
pub use command::{CommandSettings, ResultSource, StdinSource};
pub use config::Config;
pub use executor::{Execution, Executor, Permit};
pub use grants::{
    FilesGrant, FolderGrant, Grants, HostName, HostPattern, HttpGrant, HttpScheme, OUTPUT_MOUNT,
    OutputFolder, SecretError, Secrets, TaskPattern,
};
pub use guest_host::{ChildRunHost, ChildRunRequest, GuestHost, RunInfo, RunLost};
pub use limits::Limits;
pub use load_error::LoadError;
pub use metadata::{Kind, ProgramOutline, TaskMetadata};
pub use program::{Attempt, AttemptOutcome, Executable, Program};
pub use runtime::Engine;
pub use timing::{PauseGate, within_deadline};
