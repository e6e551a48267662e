//! Deadlocks of running runs that wait for each other.
//!
//! A run that waits for children continues when any of them has ended, and a queued run when all of its locks are free. So
//! a circle alone is no deadlock, as long as one of its runs can continue in another way. The search finds the runs that
//! can't continue whatever happens. If such a run leads back to itself, its wait fails, which lets the others continue.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::deadlocks::{Holders, MAX_VISITED, holders};
use super::lock_column;
use crate::model::RunId;
use crate::storage::ChildWaits;

/// See [`ChildRuns::deadlock`](crate::storage::ChildRuns::deadlock).
pub(super) fn of_wait(db: &Connection, run: i64, waits: &ChildWaits) -> rusqlite::Result<Option<String>> {
    let Some(waited_for) = waits.of(run) else { return Ok(None) };
    // In each deadlock, some run waits for one that is blocked by a lock, and that wait finds the deadlock. For all other
    // waits, this check is enough.
    if !is_any_blocked(db, &waited_for)? {
        return Ok(None);
    }
    let mut graph = WaitGraph { db, waits, holders: holders(db)?, runs: BTreeMap::new() };
    graph.explore(run)?;
    graph.mark_runs_that_continue();
    let Some(path) = graph.path_back(run) else { return Ok(None) };
    let links = path.iter().map(|link| graph.describe(link)).collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Some(format!("it would wait for ever: it waits for {}", links.join(", which waits for "))))
}

fn is_any_blocked(db: &Connection, runs: &[RunId]) -> rusqlite::Result<bool> {
    let mut statement =
        db.prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND waits_for IS NOT NULL)")?;
    for id in runs {
        if statement.query_row([id.as_str()], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The conditions of a waiting run: it continues when all of them are met.
struct WaitingRun {
    for_all: Vec<AnyOf>,
    /// Whether it is known to be able to continue.
    continues: bool,
}

/// A condition that is met when any of the runs continues.
struct AnyOf {
    runs: Vec<i64>,
    /// The lock that they hold; none for children.
    lock: Option<String>,
}

/// A step of a path: the run, and the lock that it holds if the wait is for a lock.
type Link<'a> = (i64, Option<&'a str>);

struct WaitGraph<'a> {
    db: &'a Connection,
    waits: &'a ChildWaits,
    holders: Holders,
    /// The runs that were reached from the first.
    runs: BTreeMap<i64, WaitingRun>,
}

impl WaitGraph<'_> {
    /// Reads the runs that `run` waits for, directly and through others. Runs beyond [`MAX_VISITED`] count as able to
    /// continue.
    fn explore(&mut self, run: i64) -> rusqlite::Result<()> {
        let mut next = vec![run];
        while let Some(run) = next.pop() {
            if self.runs.contains_key(&run) || self.runs.len() >= MAX_VISITED {
                continue;
            }
            let for_all = self.waited_for(run)?;
            next.extend(for_all.iter().flat_map(|any| &any.runs));
            let continues = for_all.is_empty();
            self.runs.insert(run, WaitingRun { for_all, continues });
        }
        Ok(())
    }

    /// The conditions of a run; none if it does not wait.
    fn waited_for(&self, run: i64) -> rusqlite::Result<Vec<AnyOf>> {
        let row = self
            .db
            .prepare_cached(
                "SELECT owner IS NOT NULL, needs FROM runs WHERE no = ?1 AND finished_at IS NULL",
            )?
            .query_row([run], |row| Ok((row.get::<_, bool>(0)?, lock_column::read(row, 1)?)))
            .optional()?;
        match row {
            None | Some((false, None)) => Ok(Vec::new()),
            Some((true, _)) => self.children(run),
            Some((false, Some(locks))) => {
                let full = locks.iter().filter_map(|lock| {
                    let holders = self.holders.get(&lock.name)?;
                    let is_full = holders.len() >= lock.capacity as usize;
                    is_full.then(|| AnyOf { runs: holders.clone(), lock: Some(lock.name.clone()) })
                });
                Ok(full.collect())
            }
        }
    }

    fn children(&self, run: i64) -> rusqlite::Result<Vec<AnyOf>> {
        let Some(waited_for) = self.waits.of(run) else { return Ok(Vec::new()) };
        if waited_for.len() > MAX_VISITED {
            return Ok(Vec::new());
        }
        let mut runs = Vec::with_capacity(waited_for.len());
        let mut statement =
            self.db.prepare_cached("SELECT no FROM runs WHERE id = ?1 AND finished_at IS NULL")?;
        for id in waited_for.iter() {
            // The end of any child ends the wait.
            let Some(child) = statement.query_row([id.as_str()], |row| row.get(0)).optional()? else {
                return Ok(Vec::new());
            };
            runs.push(child);
        }
        Ok(vec![AnyOf { runs, lock: None }])
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

    /// A shortest path from the run back to itself through runs that can't continue.
    fn path_back(&self, run: i64) -> Option<Vec<Link<'_>>> {
        if self.continues(run) {
            return None;
        }
        // The predecessor of each run, and the lock that led from there.
        let mut came_from: BTreeMap<i64, (i64, Option<&str>)> = BTreeMap::new();
        let mut level = vec![run];
        while !level.is_empty() && !came_from.contains_key(&run) {
            let mut next = Vec::new();
            for at in level {
                let waiting = self.runs.get(&at)?;
                for any in
                    waiting.for_all.iter().filter(|any| any.runs.iter().all(|run| !self.continues(*run)))
                {
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

    fn describe(&self, (run, lock): &Link<'_>) -> rusqlite::Result<String> {
        let id: String = self
            .db
            .prepare_cached("SELECT id FROM runs WHERE no = ?1")?
            .query_row([run], |row| row.get(0))?;
        Ok(match lock {
            Some(lock) => format!("{lock}, which the run {id} holds"),
            None => format!("the run {id}"),
        })
    }
}
