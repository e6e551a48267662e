//! Circles of runs that wait for each other: a parent waits for its child, the child for a
//! lock, and whoever holds the lock for the parent.
//!
//! Looked for when a wait begins, and refused then: nothing else would ever end it. A lock
//! with several places waits for any of its holders; a parent waits for each child that
//! it has not detached, for these end with it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _};

use super::needs;
use crate::model::{Need, RunId};
use crate::storage::NewRun;

/// Most runs that are looked at for one answer. A circle through more is not found at the
/// start; the look of whoever waits comes again.
const MAX_LOOKED_AT: usize = 1_000;

/// Why the new run could not begin as long as its parent waits for it.
pub(super) fn of_start(db: &Connection, new: &NewRun) -> rusqlite::Result<Option<String>> {
    // One that is detached may begin when its parent has ended, if that does not wait for it.
    let Some(parent) = new.parent.filter(|parent| !parent.detached) else { return Ok(None) };
    let mut search = Search::new(db, parent.run)?;
    let circle = search.through_locks(&new.needs)?;
    Ok(circle.map(|links| format!("it would never begin: it waits for {}", links.join(", "))))
}

/// See [`Families::circle`](crate::storage::Families::circle).
pub(super) fn of_wait(db: &Connection, run: i64, waited_for: &[RunId]) -> rusqlite::Result<Option<String>> {
    let mut search = Search::new(db, run)?;
    let mut first = None;
    for id in waited_for {
        let found: Option<i64> = db
            .prepare_cached("SELECT no FROM runs WHERE id = ?1 AND finished_at IS NULL")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        // One that has ended ends the wait.
        let Some(child) = found else { return Ok(None) };
        match search.through_run(child)? {
            Some(links) => first = first.or(Some((id, links))),
            None => return Ok(None),
        }
    }
    Ok(first.map(|(id, links)| format!("the run {id} will never begin: it waits for {}", links.join(", "))))
}

/// What leads from a run to the one that waits, last link first.
type Links = Vec<String>;

struct Search<'a> {
    db: &'a Connection,
    /// The run that waits, or would.
    target: i64,
    /// Runs under way that hold each lock.
    holders: BTreeMap<String, Vec<i64>>,
    /// Runs that were looked at. One that is met again leads to nothing new.
    seen: BTreeSet<i64>,
}

impl<'a> Search<'a> {
    fn new(db: &'a Connection, target: i64) -> rusqlite::Result<Self> {
        let mut holders: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut statement =
            db.prepare_cached("SELECT no, needs FROM runs WHERE owner IS NOT NULL AND needs IS NOT NULL")?;
        for row in statement.query_map([], |row| Ok((row.get(0)?, needs::column(row, 1)?)))? {
            let (no, needs): (i64, Option<_>) = row?;
            for need in needs.iter().flat_map(|needs| needs.iter()) {
                holders.entry(need.name.clone()).or_default().push(no);
            }
        }
        Ok(Self { db, target, holders, seen: BTreeSet::new() })
    }

    /// Whether one of the locks is held only by runs that wait for the target.
    fn through_locks(&mut self, needs: &[Need]) -> rusqlite::Result<Option<Links>> {
        for need in needs {
            let holders = self.holders.get(&need.name).cloned().unwrap_or_default();
            if holders.len() < need.capacity as usize {
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
                links.insert(0, format!("{}, which the run {} holds", need.name, self.id(*holder)?));
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
        if self.seen.len() >= MAX_LOOKED_AT || !self.seen.insert(run) {
            return Ok(None);
        }
        let (owned, needs) = self
            .db
            .prepare_cached("SELECT owner IS NOT NULL, needs FROM runs WHERE no = ?1")?
            .query_row([run], |row| Ok((row.get::<_, bool>(0)?, needs::column(row, 1)?)))?;
        if let (false, Some(needs)) = (owned, needs) {
            return self.through_locks(&needs);
        }
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
