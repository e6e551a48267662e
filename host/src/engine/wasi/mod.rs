//! WASI within a guest's grants and limits: files, outgoing requests, and the standard streams as the log of a run.

pub(super) mod filesystem;
mod outgoing;
pub(super) mod stdio;

pub(super) use filesystem::{FilePool, FilePools, OpenFiles, register_preopens};
pub(super) use outgoing::{Network, Outgoing, PlainRequest, http_context};
pub(super) use stdio::GuestOutput;
