//! Circles of runs that wait for each other: a parent waits for its child, the child for a
//! lock, and whoever holds the lock for the parent.
//!
//! Looked for when a child is started, and refused then: nothing else would ever end it. At a
//! start it is not known who will wait, so a parent is taken to wait for each child that it has
//! not detached: these end with it anyway. What comes about later is found by the wait (`knots`).
//! A lock with several places waits for any of its holders.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::lock_column;
use crate::model::Lock;
use crate::storage::NewRun;

/// Most runs that are looked at for one answer. A circle through more is not found, and lasts until
/// somebody cancels one of its runs.
pub(super) const MAX_LOOKED_AT: usize = 1_000;

/// Why the new run could not begin as long as its parent waits for it.
pub(super) fn of_start(db: &Connection, new: &NewRun) -> rusqlite::Result<Option<String>> {
    // One that is detached may begin when its parent has ended, if that does not wait for it.
    let Some(parent) = new.parent.filter(|parent| !parent.detached) else { return Ok(None) };
    let mut search = Search::new(db, parent.run)?;
    let deadlock = search.through_locks(&new.locks)?;
    Ok(deadlock.map(|links| format!("it would never begin: it waits for {}", links.join(", "))))
}

/// Runs under way that hold each lock.
pub(super) type Holders = BTreeMap<String, Vec<i64>>;

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

/// What leads from a run to the one that waits.
type Links = Vec<String>;

struct Search<'a> {
    db: &'a Connection,
    /// The run that waits, or would.
    target: i64,
    holders: Holders,
    /// What was found of each run. None also while it is looked at: a circle without the
    /// target is for others to find.
    seen: BTreeMap<i64, Option<Links>>,
}

impl<'a> Search<'a> {
    fn new(db: &'a Connection, target: i64) -> rusqlite::Result<Self> {
        Ok(Self { db, target, holders: holders(db)?, seen: BTreeMap::new() })
    }

    /// Whether one of the locks is held only by runs that wait for the target.
    fn through_locks(&mut self, locks: &[Lock]) -> rusqlite::Result<Option<Links>> {
        for lock in locks {
            let holders = self.holders.get(&lock.name).cloned().unwrap_or_default();
            if holders.len() < lock.capacity as usize {
                continue;
            }
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
        if self.seen.len() >= MAX_LOOKED_AT {
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
