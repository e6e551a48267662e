//! Deadlocks at the start of a child: a parent waits for its child, the child for a lock, and the holder of the lock for
//! the parent.
//!
//! Such a start is rejected, because nothing else would ever end the deadlock. Which runs will wait is not known at the
//! start, so a parent counts as waiting for each attached child. Deadlocks that arise later are found by the wait itself
//! (`wait_deadlocks`). A lock with a capacity above 1 waits for any of its holders.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::lock_column;
use crate::model::Lock;
use crate::storage::NewRun;
use crate::storage::wait_graph::{Holders, MAX_VISITED, holders_if_full};

/// Describes why the new run could not begin while its parent waits for it; none if it could.
pub(super) fn of_start(db: &Connection, new: &NewRun) -> rusqlite::Result<Option<String>> {
    // A detached run may begin when its parent has ended.
    let Some(parent) = new.parent.filter(|parent| !parent.detached) else { return Ok(None) };
    let mut search = Search::new(db, parent.run)?;
    let deadlock = search.through_locks(&new.locks)?;
    Ok(deadlock.map(|links| format!("it would never begin: it waits for {}", links.join(", "))))
}

pub(super) fn holders(db: &Connection) -> rusqlite::Result<Holders> {
    let mut holders = Holders::new();
    let mut statement =
        db.prepare_cached("SELECT no, needs FROM runs WHERE owner IS NOT NULL AND needs IS NOT NULL")?;
    for row in statement.query_map([], |row| Ok((row.get(0)?, lock_column::read(row, 1)?)))? {
        let (no, locks): (i64, Option<_>) = row?;
        for lock in locks.iter().flat_map(|locks| locks.iter()) {
            holders.entry(lock.name.clone()).or_default().push(no);
        }
    }
    Ok(holders)
}

/// Steps from a run to the one that waits, as text.
type Links = Vec<String>;

struct Search<'a> {
    db: &'a Connection,
    /// The run that waits.
    target: i64,
    holders: Holders,
    /// Result for each visited run. None also while it is being visited, so a circle without the target is not reported.
    seen: BTreeMap<i64, Option<Links>>,
}

impl<'a> Search<'a> {
    fn new(db: &'a Connection, target: i64) -> rusqlite::Result<Self> {
        Ok(Self { db, target, holders: holders(db)?, seen: BTreeMap::new() })
    }

    /// Whether one of the locks is held only by runs that wait for the target.
    fn through_locks(&mut self, locks: &[Lock]) -> rusqlite::Result<Option<Links>> {
        for lock in locks {
            let Some(holders) = holders_if_full(&self.holders, lock).map(<[i64]>::to_vec) else { continue };
            let mut links = None;
            for holder in &holders {
                links = self.through_run(*holder)?;
                if links.is_none() {
                    break;
                }
            }
            if let (Some(mut links), Some(holder)) = (links, holders.last()) {
                links.insert(0, format!("{}, which the run {} holds", lock.name, self.id(*holder)?));
                return Ok(Some(links));
            }
        }
        Ok(None)
    }

    /// Whether the run waits for the target, or for a run that does.
    fn through_run(&mut self, run: i64) -> rusqlite::Result<Option<Links>> {
        if run == self.target {
            return Ok(Some(Vec::new()));
        }
        if let Some(known) = self.seen.get(&run) {
            return Ok(known.clone());
        }
        if self.seen.len() >= MAX_VISITED {
            return Ok(None);
        }
        self.seen.insert(run, None);
        let (owned, locks) = self
            .db
            .prepare_cached("SELECT owner IS NOT NULL, needs FROM runs WHERE no = ?1")?
            .query_row([run], |row| Ok((row.get::<_, bool>(0)?, lock_column::read(row, 1)?)))?;
        let found = match (owned, locks) {
            (false, Some(locks)) => self.through_locks(&locks)?,
            (false, None) => None,
            (true, _) => self.through_attached(run)?,
        };
        self.seen.insert(run, found.clone());
        Ok(found)
    }

    /// Whether one of the run's children that end with it waits for the target.
    fn through_attached(&mut self, run: i64) -> rusqlite::Result<Option<Links>> {
        let children: Vec<i64> = self
            .db
            .prepare_cached(
                "SELECT no FROM runs WHERE parent = ?1 AND detached IS NULL AND finished_at IS NULL \
                 AND cancel_requested_at IS NULL",
            )?
            .query_map([run], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for child in children {
            if let Some(mut links) = self.through_run(child)? {
                links.insert(0, format!("which waits for its child {}", self.id(child)?));
                return Ok(Some(links));
            }
        }
        Ok(None)
    }

    fn id(&self, run: i64) -> rusqlite::Result<String> {
        self.db.prepare_cached("SELECT id FROM runs WHERE no = ?1")?.query_row([run], |row| row.get(0))
    }
}
