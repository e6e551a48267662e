//! The standard streams of a guest, whose lines become `log` events.
//!
//! `line_buffer` splits the output into lines, `backlog` keeps events that the host can't accept yet, and
//! `panic_message` finds the reason why a guest ended.

mod backlog;
mod line_buffer;
mod output;
mod panic_message;

pub(in crate::engine) use backlog::{Backlog, wait_for_room};
pub(in crate::engine) use line_buffer::{LineBuffer, LinePart};
pub(in crate::engine) use output::GuestOutput;
pub(in crate::engine) use panic_message::error_line;
