//! Explains why a guest ended without a result.

use wasmtime::{Trap, WasmBacktrace};

use super::supervise::StopReason;
use super::trace;
use crate::engine::async_world::TooManyPending;
use crate::engine::guest::{Guest, exit_code};
use crate::engine::guest_host::RunLost;
use crate::engine::program::AttemptOutcome;
use crate::model::{ErrorKind, RunError};

impl StopReason {
    /// The outcome of an attempt that ended so.
    pub(super) fn explain(self, guest: &Guest) -> AttemptOutcome {
        let error = match self {
            Self::Deadline => {
                let limit = guest.api.limits.deadline.unwrap_or_default();
                let message = format!("the attempt took longer than {limit:?}");
                return AttemptOutcome::Failed(RunError::new(ErrorKind::DeadlineExceeded, message));
            }
            Self::Cpu => {
                let limit = guest.api.limits.cpu.unwrap_or_default();
                let message = format!("the attempt used more CPU time than {limit:?}");
                return AttemptOutcome::Failed(RunError::new(ErrorKind::CpuExceeded, message));
            }
            Self::Error(error) => error,
        };
        if error.downcast_ref::<RunLost>().is_some() {
            return AttemptOutcome::Lost;
        }
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        let place = backtrace.and_then(trace::author_function);
        let place = place.map(|function| format!(", in {function}")).unwrap_or_default();
        let mut is_abort = false;
        let (kind, message) = if let Some(limit) = guest.memory.exceeded() {
            (ErrorKind::OutOfMemory, format!("the guest needs more than {limit} bytes of memory{place}"))
        } else if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            (ErrorKind::Trap, format!("the guest exited with {}", exit_code(exit.0, false)))
        } else if let Some(too_many) = error.downcast_ref::<TooManyPending>() {
            (ErrorKind::Trap, too_many.to_string())
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            is_abort = *trap == Trap::UnreachableCodeReached;
            (ErrorKind::Trap, format!("{trap}{place}"))
        } else {
            (ErrorKind::Trap, error.root_cause().to_string())
        };
        // The last lines that the guest printed usually give the reason.
        let (kind, message) = match guest.output.panic_message() {
            Some(panic) if panic.is_out_of_memory => (ErrorKind::OutOfMemory, panic.message),
            Some(panic) if kind == ErrorKind::Trap => (kind, panic.message),
            _ => match guest.output.stderr_tail() {
                printed if printed.is_empty() => (kind, message),
                // A guest that aborts prints the reason before; the instruction by which it aborts is of no interest.
                printed if is_abort => (kind, format!("{printed}{place}")),
                printed => (kind, format!("{message}: {printed}")),
            },
        };
        AttemptOutcome::Failed(RunError { trace: backtrace.map(trace::of), ..RunError::new(kind, message) })
    }
}
