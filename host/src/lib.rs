//! A WebAssembly host for user-defined, long-running tasks.
//!
//! Users drop a `.wasm` file into a folder, start it over HTTP, and watch what it
//! says live, from any number of clients. Every event is durable before anyone
//! sees it; a client that comes back misses nothing.
//!
//! The rooms, from the top down. A room uses only rooms on lower floors (a test
//! holds this); `ARCHITECTURE.md` says why each is as it is.

// Floor 8
pub mod cli; // the command line
// Floor 7
pub mod app; // puts the rooms together, and takes them down in order
#[doc(hidden)]
pub mod fuzzing; // what reads foreign bytes, for the fuzzer
// Floor 6
pub mod config; // every setting, with its default
pub mod http; // routes, formats, errors
// Floor 5
pub mod retention; // removing what ended runs leave behind
pub mod scheduler; // which run executes when, and what becomes of it
// Floor 4
pub mod event_log; // append, commit, publish; subscribers are cursors
pub mod registry; // the tasks folder, as programs that can run
// Floor 3
pub mod engine; // executes guests; the only room that names wasmtime
pub mod files; // what runs leave behind as files
pub mod notifier; // wake-ups, which are hints
pub mod storage; // what is kept; only storage::sqlite names rusqlite
// Floor 2
pub mod model; // the words: task, version, run, event
// Floor 1
pub mod platform; // the time of day and blocking calls, which a simulation replaces
// Floor 0
pub mod process; // the host's own process: its log, its threads, its loops
