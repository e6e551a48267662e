//! Peers that have lost their network.

use std::io;
use std::os::fd::RawFd;

/// Whether the other end has acknowledged all that was sent. Until then the kernel sends it again, even from a socket
/// that is cut off, which no lost machine does.
///
/// # Panics
/// If it is no socket.
#[must_use]
pub fn is_acknowledged(socket: RawFd) -> bool {
    let mut unacknowledged: libc::c_int = 0;
    // SAFETY: the kernel writes one number, which lives as long as the call. SIOCOUTQ is TIOCOUTQ.
    let done = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut unacknowledged) };
    assert!(done == 0, "{}", io::Error::last_os_error());
    unacknowledged == 0
}

/// Lets a socket neither hear nor answer anything from now on, as if its machine had lost its network: the kernel drops
/// what comes for it before TCP sees it. What it has sent must be acknowledged.
///
/// # Panics
/// If it is no socket.
pub fn cut_off(socket: RawFd) {
    // BPF: return 0, which is how much of a packet is let through.
    let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives as long as the call.
    let done = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    };
    assert!(done == 0, "{}", io::Error::last_os_error());
}
