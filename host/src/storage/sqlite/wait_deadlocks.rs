//! Deadlocks of running runs that wait for each other, read from the database into a [`WaitGraph`].

use rusqlite::{Connection, OptionalExtension as _};

use super::deadlocks::holders;
use super::lock_column;
use crate::model::RunId;
use crate::storage::ChildWaits;
use crate::storage::wait_graph::{AnyOf, Holders, MAX_VISITED, WaitGraph, described};

/// See [`ChildRuns::deadlock`](crate::storage::ChildRuns::deadlock).
pub(super) fn of_wait(db: &Connection, run: i64, waits: &ChildWaits) -> rusqlite::Result<Option<String>> {
    let Some(waited_for) = waits.of(run) else { return Ok(None) };
    // In each deadlock, some run waits for one that is blocked by a lock, and that wait finds the deadlock. For all other
    // waits, this check is enough.
    if !is_any_blocked(db, &waited_for)? {
        return Ok(None);
    }
    let mut search = Search { db, waits, holders: holders(db)?, graph: WaitGraph::default() };
    search.explore(run)?;
    let Some(path) = search.graph.deadlock(run) else { return Ok(None) };
    let id = |run| {
        db.prepare_cached("SELECT id FROM runs WHERE no = ?1")?
            .query_row([run], |row| row.get::<_, String>(0))
    };
    let ids = path.iter().map(|(run, _)| id(*run)).collect::<rusqlite::Result<Vec<_>>>()?;
    let links = ids.iter().zip(path).map(|(id, (_, lock))| (id.as_str(), lock));
    Ok(Some(described(links)))
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

struct Search<'a> {
    db: &'a Connection,
    waits: &'a ChildWaits,
    holders: Holders,
    graph: WaitGraph,
}

impl Search<'_> {
    /// Reads the runs that `run` waits for, directly and through others. Runs beyond [`MAX_VISITED`] count as able to
    /// continue.
    fn explore(&mut self, run: i64) -> rusqlite::Result<()> {
        let mut next = vec![run];
        while let Some(run) = next.pop() {
            if self.graph.contains(run) || self.graph.room() == 0 {
                continue;
            }
            let for_all = self.waited_for(run)?;
            next.extend(for_all.iter().flat_map(|any| &any.runs));
            self.graph.add(run, for_all);
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
            Some((false, Some(locks))) => Ok(AnyOf::of_locks(&locks, &self.holders)),
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
}
