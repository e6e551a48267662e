//! One attempt: instantiates the guest, supervises its call, and turns its end into an outcome.
//!
//! `execute` is the pipeline. `entry` calls the guest, `supervise` enforces its limits of time, `failure` explains why it
//! ended, `trace` names the function in which it trapped.

mod entry;
mod execute;
mod failure;
mod pool_waiters;
mod supervise;
mod trace;
mod wasm_program;

pub(super) use entry::EntryPoint;
pub(super) use execute::describe;
pub(super) use pool_waiters::PoolWaiters;
pub(super) use wasm_program::WasmProgram;
