//! Peers that have lost their network.

use std::io;
use std::os::fd::RawFd;

/// Lets a socket neither hear nor answer anything from now on, as if its machine had lost its network: the kernel drops
/// what comes for it before TCP sees it.
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
