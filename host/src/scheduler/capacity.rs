//! How many runs may execute at once, given the number of guests that the system can hold.

use crate::storage::MAX_DEPTH;

/// One spare guest, for a run that has vacated its slot, per this many runs.
const RUNS_PER_SPARE: u32 = 4;

/// Most spare guests for the case that all others wait for each other's locks.
const KEPT_FOR_LOCKS: u32 = 24;

/// The number of slots, and of spare guests beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Most runs that execute at once.
    pub running: u32,
    /// Most guests beyond those: runs that wait for their child runs vacate their slots, so that the children can end.
    pub spare: u32,
}

impl Capacity {
    /// How many guests the system must hold so that `wanted` runs can execute at once.
    pub const fn guests(wanted: u32) -> u32 {
        wanted.saturating_add(spare(wanted))
    }

    /// As many of the `wanted` runs as fit, with their spare guests, into `possible` guests. At least one, even if its
    /// spare guests don't fit.
    pub fn within(wanted: u32, possible: u32) -> Self {
        let (mut running, mut too_many) = (1, wanted.min(possible).saturating_add(1).max(2));
        while too_many - running > 1 {
            let middle = running + (too_many - running) / 2;
            if fits(middle, possible) { running = middle } else { too_many = middle }
        }
        Self { running, spare: spare(running) }
    }
}

fn fits(running: u32, possible: u32) -> bool {
    u64::from(running) + u64::from(spare(running)) <= u64::from(possible)
}

/// Spare guests: one for each level of the deepest chain, those for locks, and a fraction of the runs.
const fn spare(running: u32) -> u32 {
    MAX_DEPTH + kept_for_locks(running) + running / RUNS_PER_SPARE
}

/// The spare guests that are admitted only when all others wait (see `slots`).
pub(super) const fn kept_for_locks(running: u32) -> u32 {
    if running < KEPT_FOR_LOCKS { running } else { KEPT_FOR_LOCKS }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of each size, and those around which the result changes.
    fn numbers() -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..200).collect();
        numbers.extend((0..400).map(|_| fastrand::u32(0..100_000)));
        let edges = [8_998, 10_000, 11_506, 40_000, 46_000, u32::MAX / 2, u32::MAX];
        numbers.extend(edges.iter().flat_map(|edge| [edge - 1, *edge, edge.saturating_add(1)]));
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn more_wanted_or_more_possible_never_gives_fewer() {
        for one in numbers() {
            let mut last = (0, 0);
            for more in numbers() {
                let now = (Capacity::within(more, one).running, Capacity::within(one, more).running);
                assert!(now.0 >= last.0 && now.1 >= last.1, "{one} {more}: {last:?} {now:?}");
                last = now;
            }
        }
    }

    #[test]
    fn what_fits_is_given_and_no_more() {
        for wanted in numbers() {
            for possible in numbers() {
                let Capacity { running, spare } = Capacity::within(wanted, possible);
                assert!((1..=wanted.max(1)).contains(&running), "{wanted} of {possible}: {running}");
                let fits =
                    |running| u64::from(running) + u64::from(super::spare(running)) <= u64::from(possible);
                assert!(running == 1 || fits(running), "{wanted} of {possible}: {running} and {spare}");
                assert!(running >= wanted || !fits(running + 1), "{wanted} of {possible}: only {running}");
            }
        }
    }

    #[test]
    fn a_host_that_has_room_for_its_guests_gives_all_that_is_wanted() {
        for wanted in numbers().into_iter().filter(|wanted| (1..1 << 30).contains(wanted)) {
            assert_eq!(Capacity::within(wanted, Capacity::guests(wanted)).running, wanted);
        }
    }
}
