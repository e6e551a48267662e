//! What only the system's own calls tell of a socket.

#![allow(unsafe_code, reason = "calls of the system that rustix does not have")]

use std::os::fd::AsFd;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub(super) use linux::bound_unsent;

/// Whether something is under way to the peer, and nothing has come from it for `silence`.
pub(super) fn is_silent(socket: &impl AsFd, silence: Duration) -> bool {
    state(socket).is_some_and(|state| state.waits && state.silent_for > silence)
}

/// Whether something that was written has not reached the peer.
pub(super) fn has_unacknowledged(socket: &impl AsFd) -> bool {
    state(socket).is_some_and(|state| state.unacknowledged)
}

/// What the kernel knows of a connection.
struct State {
    /// Something was sent, or it was asked whether its window is open again, without an answer yet.
    waits: bool,
    /// Since its last acknowledgement.
    silent_for: Duration,
    /// Something was sent or waits to be.
    unacknowledged: bool,
}

#[cfg(target_os = "linux")]
use linux::state;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd as _};
    use std::time::Duration;

    use super::State;

    /// Lets the kernel take no more than about so many bytes that it has not sent.
    pub(in super::super) fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
        let socket = socket.as_fd().as_raw_fd();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
        // SAFETY: the socket is borrowed for the call, and the value is as long as is said.
        let done = unsafe {
            libc::setsockopt(
                socket,
                level,
                name,
                (&raw const bytes).cast(),
                size_of::<u32>() as libc::socklen_t,
            )
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn state(socket: &impl AsFd) -> Option<State> {
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: it is made of numbers alone, for which all bits may be zero.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the socket is borrowed for the call, which writes at most `length` bytes. An older kernel writes
        // fewer; the rest stays zero.
        let done = unsafe {
            libc::getsockopt(
                socket,
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut length,
            )
        };
        (done == 0).then(|| State {
            waits: info.tcpi_unacked > 0 || info.tcpi_probes > 0,
            silent_for: Duration::from_millis(info.tcpi_last_ack_recv.into()),
            unacknowledged: info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0,
        })
    }
}

/// Other systems have calls of their own for this; there keep-alive alone finds a dead peer.
#[cfg(not(target_os = "linux"))]
fn state(_: &impl AsFd) -> Option<State> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn bound_unsent(_: &impl AsFd, _: u32) -> std::io::Result<()> {
    Ok(())
}
