//! What the kernel knows of a connection.

#![allow(unsafe_code, reason = "neither rustix nor socket2 reads TCP_INFO")]

use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

/// Whether data or a probe is in flight, and the peer has acknowledged nothing for `silence`.
pub(super) fn is_silent(socket: &impl AsFd, silence: Duration) -> bool {
    info(socket).is_some_and(|info| {
        let waits = info.tcpi_unacked > 0 || info.tcpi_probes > 0;
        waits && Duration::from_millis(info.tcpi_last_ack_recv.into()) > silence
    })
}

/// Whether written bytes, sent or not, have not been acknowledged.
pub(super) fn has_unacknowledged(socket: &impl AsFd) -> bool {
    info(socket).is_some_and(|info| info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0)
}

fn info(socket: &impl AsFd) -> Option<libc::tcp_info> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: it consists of integers, for which all bits may be zero.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the socket is borrowed for the call, which writes at most `length` bytes. An older kernel writes fewer; the
    // rest stays zero.
    let done = unsafe {
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    (done == 0).then_some(info)
}
