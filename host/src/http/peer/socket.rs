//! Options and state of a socket that need system calls.

#![allow(unsafe_code, reason = "calls of the system that rustix does not have")]

use std::os::fd::AsFd;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub(super) use linux::bound_unsent;

/// Whether data or a probe is in flight, and the peer has acknowledged nothing for `silence`.
pub(super) fn is_silent(socket: &impl AsFd, silence: Duration) -> bool {
    state(socket).is_some_and(|state| state.waits && state.silent_for > silence)
}

/// Whether written bytes have not been acknowledged.
pub(super) fn has_unacknowledged(socket: &impl AsFd) -> bool {
    state(socket).is_some_and(|state| state.unacknowledged)
}

/// The kernel's state of a connection.
struct TcpState {
    /// Whether data or a window probe is unacknowledged.
    waits: bool,
    /// Time since the last acknowledgement.
    silent_for: Duration,
    /// Whether sent or unsent data is unacknowledged.
    unacknowledged: bool,
}

#[cfg(target_os = "linux")]
use linux::state;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd as _};
    use std::time::Duration;

    use super::TcpState;

    /// Limit the unsent bytes that the kernel accepts, approximately.
    pub(in super::super) fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
        let socket = socket.as_fd().as_raw_fd();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
        // SAFETY: the socket is borrowed for the call, and the length is that of the value.
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

    pub(super) fn state(socket: &impl AsFd) -> Option<TcpState> {
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: it consists of integers, for which all bits may be zero.
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
        (done == 0).then(|| TcpState {
            waits: info.tcpi_unacked > 0 || info.tcpi_probes > 0,
            silent_for: Duration::from_millis(info.tcpi_last_ack_recv.into()),
            unacknowledged: info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0,
        })
    }
}

/// Not implemented for other systems. There, only keep-alive detects a dead peer.
#[cfg(not(target_os = "linux"))]
fn state(_: &impl AsFd) -> Option<TcpState> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn bound_unsent(_: &impl AsFd, _: u32) -> std::io::Result<()> {
    Ok(())
}
