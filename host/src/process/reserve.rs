#![allow(unsafe_code, reason = "mallopt is a call of the C library")]

use std::hint::black_box;

/// Arenas of the allocator in a process with limited address space. By default, it reserves 64 MiB of addresses for each
/// thread, up to eight per core, and small allocations would then fail.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FEW_ARENAS: libc::c_int = 1;

/// Limits the addresses that the allocator reserves, if the system limits address space. To be called before other threads
/// start.
pub fn spare_addresses() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use rustix::process::{Resource, getrlimit};

        let limits = [Resource::As, Resource::Data];
        if limits.iter().any(|limit| getrlimit(*limit).current.is_some()) {
            // SAFETY: it sets a number in the allocator, and no other thread exists yet.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, FEW_ARENAS) };
        }
    }
}

/// Reserved address space, until dropped. It uses no memory, because nothing is written to it.
pub struct Reserve {
    _bytes: Vec<u8>,
}

impl Reserve {
    /// Reserves that many bytes; none if the limit of the process does not allow it.
    pub fn new(bytes: usize) -> Option<Self> {
        let mut reserved = Vec::new();
        reserved.try_reserve_exact(bytes).ok()?;
        // Prevents the compiler from removing the unused reservation.
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
