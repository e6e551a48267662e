//! A WebAssembly host for user-defined, long-running tasks.
//!
//! Users drop a `.wasm` file into a folder, start runs of it over HTTP, and follow their events live from any number of
//! clients. Each event is durable before a client sees it, and a client that reconnects misses none.
//!
//! Programs that embed a host use what stands at the root of the crate, which changes only with the version; [`app`] has
//! examples. The modules are public for the tests and tools of this repository, and change without notice.
//!
//! Features, all off by default: `conformance` has the tests for backends of [`storage`] and [`notifier`]; `fuzzing` and
//! `simulation` are for the tools of this repository.
//!
//! The modules, called rooms, from the top down. A room uses only rooms on lower floors; a test checks this.
//! `ARCHITECTURE.md` explains the design.

#![deny(unsafe_code)]

// Floor 8
pub mod cli; // the command line
// Floor 7
pub mod app; // starts all rooms and stops them in order
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing; // fuzz targets
// Floor 6
pub mod config; // every setting, with its default
pub mod http; // routes, formats, errors
// Floor 5
pub mod retention; // removes the data of ended runs
pub mod scheduler; // which run executes when, and its outcome
// Floor 4
pub mod event_log; // append, commit, publish; subscribers are cursors
pub mod registry; // loads the tasks folder as executable programs
// Floor 3
pub mod engine; // executes guests; the only room that names wasmtime
pub mod files; // output files of runs
pub mod notifier; // wake-ups, which are hints
pub mod storage; // runs, events, checkpoints, messages; only storage::sqlite names rusqlite
// Floor 2
pub mod model; // tasks, versions, runs, events as plain values
// Floor 1
pub mod platform; // the time of day and blocking calls, which a simulation replaces
pub mod postgres; // connections to PostgreSQL
// Floor 0
pub mod process; // the host's own process: its log, its threads, the heartbeats of its loops

pub use app::{Builder, Follow, Followed, Handle, Host, LaunchError, Panicked, Reloader, Retried, StopStage};
pub use config::Config;
pub use event_log::Position;
pub use model::{Event, Json, Retention, Run, RunId, RunStatus, Signal, SignalName, TaskRef};
pub use notifier::Notifier;
pub use retention::{DeleteOutcome, PruneError};
pub use scheduler::{Request, StartError, Started};
pub use storage::{CancelOutcome, MessageOutcome, RunFilter, Storage, StorageError};
