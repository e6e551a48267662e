//! The graph of runs that wait for each other, and the deadlocks in it. A backend reads the graph from its tables.
//!
//! A run that waits for children continues when any of them has ended, and a queued run when all of its locks are free. So
//! a circle alone is no deadlock, as long as one of its runs can continue in another way. The search finds the runs that
//! can't continue whatever happens. If such a run leads back to itself, its wait fails, which lets the others continue.

use std::collections::BTreeMap;

use crate::model::Lock;

/// Most runs that one search visits. A deadlock through more runs is not found, and lasts until one of them is cancelled.
pub(super) const MAX_VISITED: usize = 1_000;

/// Running runs that hold each lock.
pub(super) type Holders = BTreeMap<String, Vec<i64>>;

/// The holders of a lock, if no further run can take it.
pub(super) fn holders_if_full<'a>(holders: &'a Holders, lock: &Lock) -> Option<&'a [i64]> {
    holders.get(&lock.name).map(Vec::as_slice).filter(|holders| holders.len() >= lock.capacity as usize)
}

/// A condition that is met when any of the runs continues.
pub(super) struct AnyOf {
    pub(super) runs: Vec<i64>,
    /// The lock that they hold; none for children.
    pub(super) lock: Option<String>,
}

impl AnyOf {
    /// The conditions of a queued run: for each of its locks that is taken, the end of a holder.
    pub(super) fn of_locks(locks: &[Lock], holders: &Holders) -> Vec<Self> {
        let full = locks.iter().filter_map(|lock| {
            let runs = holders_if_full(holders, lock)?.to_vec();
            Some(Self { runs, lock: Some(lock.name.clone()) })
        });
        full.collect()
    }
}

/// The conditions of a waiting run: it continues when all of them are met.
struct WaitingRun {
    for_all: Vec<AnyOf>,
    /// Whether it is known to be able to continue.
    continues: bool,
}

/// A step of a path: the run, and the lock that it holds if the wait is for a lock.
pub(super) type Link<'a> = (i64, Option<&'a str>);

/// The runs that were reached from the first.
#[derive(Default)]
pub(super) struct WaitGraph {
    runs: BTreeMap<i64, WaitingRun>,
}

impl WaitGraph {
    pub(super) fn contains(&self, run: i64) -> bool {
        self.runs.contains_key(&run)
    }

    /// How many more runs it takes. Those beyond count as able to continue.
    pub(super) fn room(&self) -> usize {
        MAX_VISITED.saturating_sub(self.runs.len())
    }

    /// Adds a run with its conditions; a run without any can continue.
    pub(super) fn add(&mut self, run: i64, for_all: Vec<AnyOf>) {
        let continues = for_all.is_empty();
        self.runs.insert(run, WaitingRun { for_all, continues });
    }

    /// The deadlock that the run is a part of: a shortest path from it back to itself through runs that can't continue.
    pub(super) fn deadlock(&mut self, run: i64) -> Option<Vec<Link<'_>>> {
        self.mark_runs_that_continue();
        self.path_back(run)
    }

    fn continues(&self, run: i64) -> bool {
        self.runs.get(&run).is_none_or(|waiting| waiting.continues)
    }

    fn mark_runs_that_continue(&mut self) {
        loop {
            let can = |any: &AnyOf| any.runs.iter().any(|run| self.continues(*run));
            let found: Vec<i64> = self
                .runs
                .iter()
                .filter(|(_, waiting)| !waiting.continues && waiting.for_all.iter().all(can))
                .map(|(run, _)| *run)
                .collect();
            if found.is_empty() {
                return;
            }
            for run in found {
                if let Some(waiting) = self.runs.get_mut(&run) {
                    waiting.continues = true;
                }
            }
        }
    }

    fn path_back(&self, run: i64) -> Option<Vec<Link<'_>>> {
        if self.continues(run) {
            return None;
        }
        // The predecessor of each run, and the lock that led from there.
        let mut came_from: BTreeMap<i64, Link<'_>> = BTreeMap::new();
        let mut level = vec![run];
        while !level.is_empty() && !came_from.contains_key(&run) {
            let mut next = Vec::new();
            for at in level {
                let waiting = self.runs.get(&at)?;
                let stuck = |any: &&AnyOf| any.runs.iter().all(|run| !self.continues(*run));
                for any in waiting.for_all.iter().filter(stuck) {
                    for run in &any.runs {
                        came_from.entry(*run).or_insert_with(|| {
                            next.push(*run);
                            (at, any.lock.as_deref())
                        });
                    }
                }
            }
            level = next;
        }
        let (mut at, mut path) = (run, Vec::new());
        loop {
            let (before, lock) = came_from.get(&at)?;
            path.push((at, *lock));
            at = *before;
            if at == run {
                break;
            }
        }
        path.reverse();
        Some(path)
    }
}

/// A deadlock in words. Each link has the id of its run, and the lock that the run holds if the wait is for a lock.
pub(super) fn described<'a>(links: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let links: Vec<String> = links
        .map(|(id, lock)| match lock {
            Some(lock) => format!("{lock}, which the run {id} holds"),
            None => format!("the run {id}"),
        })
        .collect();
    format!("it would wait for ever: it waits for {}", links.join(", which waits for "))
}
