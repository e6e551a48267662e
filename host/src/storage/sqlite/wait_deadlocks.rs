//! Runs that wait for each other and will do so for ever.
//!
//! A run that waits for children goes on when any of them has ended, and one in the queue when each
//! lock that it needs has a place: so a circle alone says nothing, as long as one of its runs can go
//! on by another way. Found are the runs that can't go on whatever happens. Of those, a run that leads
//! back to itself is refused its wait; the others go on by that.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::deadlocks::{Holders, MAX_LOOKED_AT, holders};
use super::lock_column;
use crate::model::RunId;
use crate::storage::ChildWaits;

/// See [`ChildRuns::deadlock`](crate::storage::ChildRuns::deadlock).
pub(super) fn of_wait(db: &Connection, run: i64, waits: &ChildWaits) -> rusqlite::Result<Option<String>> {
    let Some(waited_for) = waits.of(run) else { return Ok(None) };
    // In each circle somebody waits for a run that waits for a lock, and finds it. All others know at once.
    if !is_any_blocked(db, &waited_for)? {
        return Ok(None);
    }
    let mut graph = WaitGraph { db, waits, holders: holders(db)?, runs: BTreeMap::new() };
    graph.look_from(run)?;
    graph.find_those_that_go_on();
    let Some(way) = graph.way_back(run) else { return Ok(None) };
    let links = way.iter().map(|link| graph.words(link)).collect::<rusqlite::Result<Vec<_>>>()?;
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

/// A run, and what it waits for: all of these, and of each any.
struct WaitingRun {
    for_all: Vec<ForAny>,
    /// Whether it can go on, by what was found so far.
    goes_on: bool,
}

/// Runs of which any has to go on.
struct ForAny {
    runs: Vec<i64>,
    /// The lock that they hold, unless they are children.
    lock: Option<String>,
}

/// A step of a way: the run, and the lock of it if that is what is waited for.
type Link<'a> = (i64, Option<&'a str>);

struct WaitGraph<'a> {
    db: &'a Connection,
    waits: &'a ChildWaits,
    holders: Holders,
    /// Those that the first leads to.
    runs: BTreeMap<i64, WaitingRun>,
}

impl WaitGraph<'_> {
    /// Finds what the run waits for, and what that waits for, and so on. A run beyond
    /// [`MAX_LOOKED_AT`] is taken to go on.
    fn look_from(&mut self, run: i64) -> rusqlite::Result<()> {
        let mut next = vec![run];
        while let Some(run) = next.pop() {
            if self.runs.contains_key(&run) || self.runs.len() >= MAX_LOOKED_AT {
                continue;
            }
            let for_all = self.waited_for(run)?;
            next.extend(for_all.iter().flat_map(|any| &any.runs));
            let goes_on = for_all.is_empty();
            self.runs.insert(run, WaitingRun { for_all, goes_on });
        }
        Ok(())
    }

    /// Nothing, if the run goes on by itself.
    fn waited_for(&self, run: i64) -> rusqlite::Result<Vec<ForAny>> {
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
                    is_full.then(|| ForAny { runs: holders.clone(), lock: Some(lock.name.clone()) })
                });
                Ok(full.collect())
            }
        }
    }

    fn children(&self, run: i64) -> rusqlite::Result<Vec<ForAny>> {
        let Some(waited_for) = self.waits.of(run) else { return Ok(Vec::new()) };
        if waited_for.len() > MAX_LOOKED_AT {
            return Ok(Vec::new());
        }
        let mut runs = Vec::with_capacity(waited_for.len());
        let mut statement =
            self.db.prepare_cached("SELECT no FROM runs WHERE id = ?1 AND finished_at IS NULL")?;
        for id in waited_for.iter() {
            // One that has ended ends the wait.
            let Some(child) = statement.query_row([id.as_str()], |row| row.get(0)).optional()? else {
                return Ok(Vec::new());
            };
            runs.push(child);
        }
        Ok(vec![ForAny { runs, lock: None }])
    }

    fn goes_on(&self, run: i64) -> bool {
        self.runs.get(&run).is_none_or(|waiting| waiting.goes_on)
    }

    fn find_those_that_go_on(&mut self) {
        loop {
            let can = |any: &ForAny| any.runs.iter().any(|run| self.goes_on(*run));
            let found: Vec<i64> = self
                .runs
                .iter()
                .filter(|(_, waiting)| !waiting.goes_on && waiting.for_all.iter().all(can))
                .map(|(run, _)| *run)
                .collect();
            if found.is_empty() {
                return;
            }
            for run in found {
                if let Some(waiting) = self.runs.get_mut(&run) {
                    waiting.goes_on = true;
                }
            }
        }
    }

    /// A way from the run back to itself by runs that can't go on; a short one.
    fn way_back(&self, run: i64) -> Option<Vec<Link<'_>>> {
        if self.goes_on(run) {
            return None;
        }
        // By whom, and by which lock, a run was come to first.
        let mut came_from: BTreeMap<i64, (i64, Option<&str>)> = BTreeMap::new();
        let mut level = vec![run];
        while !level.is_empty() && !came_from.contains_key(&run) {
            let mut next = Vec::new();
            for at in level {
                let waiting = self.runs.get(&at)?;
                for any in waiting.for_all.iter().filter(|any| any.runs.iter().all(|run| !self.goes_on(*run)))
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
        let (mut at, mut way) = (run, Vec::new());
        loop {
            let (before, lock) = came_from.get(&at)?;
            way.push((at, *lock));
            at = *before;
            if at == run {
                break;
            }
        }
        way.reverse();
        Some(way)
    }

    fn words(&self, (run, lock): &Link<'_>) -> rusqlite::Result<String> {
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
