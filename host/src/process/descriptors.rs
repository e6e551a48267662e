//! Reserves file descriptors for runs: connections of clients must not use them all.

use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Descriptors reserved for the files of runs, compilers and the database.
const RESERVED_DESCRIPTORS: u64 = 256;
/// Descriptors that a host should have: 1,000 clients, and as many for its own files.
pub const ADVISED_DESCRIPTORS: u64 = 2_000 + RESERVED_DESCRIPTORS;
/// Least reserved fraction of a low limit.
const RESERVE_SHARE: u64 = 4;

/// Number of the first descriptor that no connection may use, from the limit at the start of the process.
static MOST: LazyLock<u64> = LazyLock::new(|| most(getrlimit(Resource::Nofile).current));

/// Whether connections wait for descriptors. Global, because a process has one descriptor table.
static SCARCE: AtomicBool = AtomicBool::new(false);

/// Whether a connection that was just accepted leaves the reserved descriptors free.
pub fn leaves_enough(connection: impl AsFd) -> bool {
    let enough = leaves(connection, *MOST);
    SCARCE.store(!enough, Ordering::Relaxed);
    enough
}

/// Whether connections wait for free descriptors.
pub fn are_descriptors_scarce() -> bool {
    SCARCE.load(Ordering::Relaxed)
}

/// The system assigns the lowest free number, so the number of a new descriptor shows how many are in use.
fn leaves(connection: impl AsFd, most: u64) -> bool {
    // The connection's own may have been assigned while more were in use.
    fcntl_dupfd_cloexec(connection, 0)
        .is_ok_and(|next| u64::try_from(next.as_raw_fd()).is_ok_and(|number| number < most))
}

fn most(limit: Option<u64>) -> u64 {
    limit.map_or(u64::MAX, |limit| limit - RESERVED_DESCRIPTORS.min(limit / RESERVE_SHARE))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn some_are_left_whatever_the_limit() {
        assert_eq!(
            (most(Some(700)), most(Some(64)), most(Some(100_000)), most(None)),
            (525, 48, 99_744, u64::MAX)
        );
    }

    #[test]
    fn what_is_taken_is_seen_by_the_next_number() {
        let file = File::open("/dev/null").unwrap();
        assert!(leaves(&file, 1 << 20));
        assert!(!leaves(&file, 3), "0, 1 and 2 are taken");
    }
}
