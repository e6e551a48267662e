//! File descriptors, of which a process has only so many: clients must leave some to runs.

use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Descriptors that connections leave to the files of runs, to compilers and to the database.
const RESERVE: u64 = 256;
/// Of a low limit, connections leave at least this part.
const RESERVE_SHARE: u64 = 4;

/// Number of the first descriptor that no connection may take, by the limit that the process began with.
static MOST: LazyLock<u64> = LazyLock::new(|| most(getrlimit(Resource::Nofile).current));

/// Whether connections wait for descriptors. A process has one table of them.
static SCARCE: AtomicBool = AtomicBool::new(false);

/// Whether a connection that was just accepted leaves enough descriptors for others.
pub fn leaves_enough(connection: impl AsFd) -> bool {
    let enough = leaves(connection, *MOST);
    SCARCE.store(!enough, Ordering::Relaxed);
    enough
}

/// Whether connections wait because there are no more descriptors for them.
pub fn are_descriptors_scarce() -> bool {
    SCARCE.load(Ordering::Relaxed)
}

/// The system gives the lowest number that is free, so a number says how many are taken.
fn leaves(connection: impl AsFd, most: u64) -> bool {
    // Its own may have been given when more were taken.
    fcntl_dupfd_cloexec(connection, 0)
        .is_ok_and(|next| u64::try_from(next.as_raw_fd()).is_ok_and(|number| number < most))
}

fn most(limit: Option<u64>) -> u64 {
    limit.map_or(u64::MAX, |limit| limit - RESERVE.min(limit / RESERVE_SHARE))
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
