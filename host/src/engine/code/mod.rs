//! Compiled code: from the bytes of a file to a program that can be instantiated.
//!
//! `load` compiles a file (`compile`, in a process of its own) or takes the code from the cache (`cache`), links it
//! (`loader`), and calls `describe`. `core_module` recognises core modules; `pool` configures wasmtime and its memory.

mod cache;
mod compile;
mod compiled;
mod core_module;
mod load;
mod loader;
mod no_run;
pub(super) mod pool;
mod system_error;

pub use compile::{COMMAND as COMPILE, CompileLimits, compile_process};
pub use pool::{Allocation, SetupError, most_by_mappings};

pub(super) use loader::Loader;
pub(super) use pool::World;
pub(super) use system_error::{is_scarce, is_scarcity};
