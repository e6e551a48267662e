#![allow(unsafe_code, reason = "mallopt is a call of the C library")]

use std::hint::black_box;

/// Arenas of the allocator in a process whose addresses are limited. By its default it takes 64 MiB of addresses for
/// each thread, up to eight for each core, and leaves allocations of a few bytes without any.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FEW_ARENAS: libc::c_int = 1;

/// Has the allocator take no more addresses than it uses, if the system limits them. To be called before there are
/// other threads.
pub fn spare_addresses() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use rustix::process::{Resource, getrlimit};

        let limits = [Resource::As, Resource::Data];
        if limits.iter().any(|limit| getrlimit(*limit).current.is_some()) {
            // SAFETY: it sets a number in the allocator, which no other thread uses yet.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, FEW_ARENAS) };
        }
    }
}

/// Address space that nothing else can take while this is held. It takes no memory: nothing is written to it.
pub struct Reserve {
    _bytes: Vec<u8>,
}

impl Reserve {
    /// None if the process may not have so much more.
    pub fn new(bytes: usize) -> Option<Self> {
        let mut reserved = Vec::new();
        reserved.try_reserve_exact(bytes).ok()?;
        // Or the compiler leaves out what nobody uses.
        Some(Self { _bytes: black_box(reserved) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(Reserve::new(1 << 20).is_some());
        assert!(Reserve::new(1 << 60).is_none());
    }
}
