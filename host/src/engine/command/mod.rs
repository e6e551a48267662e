//! Ordinary programs: their standard input and output, as `docs/commands.md` defines them.
//!
//! Each line that a program prints is an event, a call, its result, or plain output. It reads its input, then the
//! answers to its calls. Knows nothing of the contract.

mod call_handler;
mod invocation;
mod io;
mod lines;
mod settings;
mod streams;

pub use self::settings::{CommandSettings, ResultSource, StdinSource};

pub(super) use self::invocation::Invocation;
pub(super) use self::io::CommandIo;
pub(super) use self::settings::Prepared;
