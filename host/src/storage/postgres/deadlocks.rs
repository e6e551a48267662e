//! Deadlocks at the start of a child: a parent waits for its child, the child for a lock, and the holder of the lock for
//! the parent.
//!
//! Such a start is rejected, because nothing else would ever end the deadlock. Which runs will wait is not known at the
//! start, so a parent counts as waiting for each attached child. Deadlocks that arise later are found by the wait itself
//! (`wait_deadlocks`). A lock with a capacity above 1 waits for any of its holders.
//!
//! The search reads the runs level by level, one query for each level, and then decides in memory. It runs before the
//! start's transaction: of the runs that it sees in a deadlock, none can change unless it is cancelled, and what closes a
//! deadlock between the search and the start is found by the parent's wait.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::run_row::ReadError;
use crate::model::Lock;
use crate::postgres::Session;
use crate::storage::NewRun;
use crate::storage::wait_graph::{Holders, MAX_VISITED, holders_if_full};

/// Describes why the new run could not begin while its parent waits for it; none if it could.
pub(super) async fn of_start(db: &Session, new: &NewRun) -> Result<Option<String>, ReadError> {
    // A detached run may begin when its parent has ended.
    let Some(parent) = new.parent.filter(|parent| !parent.detached) else { return Ok(None) };
    if new.locks.is_empty() {
        return Ok(None);
    }
    let mut search = Search { target: parent.run, holders: holders(db).await?, runs: BTreeMap::new() };
    search.explore(db, &new.locks).await?;
    let links = search.through_locks(&new.locks, &mut BTreeMap::new());
    Ok(links.map(|links| format!("it would never begin: it waits for {}", links.join(", "))))
}

pub(super) async fn holders(db: &Session) -> Result<Holders, ReadError> {
    let mut holders = Holders::new();
    let sql = "SELECT no, locks FROM runs WHERE owner IS NOT NULL AND locks IS NOT NULL ORDER BY no";
    for row in db.query(sql, &[]).await? {
        for name in row.try_get::<_, Vec<String>>(1)? {
            holders.entry(name).or_default().push(row.try_get(0)?);
        }
    }
    Ok(holders)
}

/// The locks in two columns: their names, and their capacities.
pub(super) fn locks_in(row: &Row, names: usize, capacities: usize) -> Result<Vec<Lock>, ReadError> {
    let names: Option<Vec<String>> = row.try_get(names)?;
    let capacities: Option<Vec<i32>> = row.try_get(capacities)?;
    let pairs = names.into_iter().flatten().zip(capacities.into_iter().flatten());
    Ok(pairs.map(|(name, capacity)| Lock { name, capacity: u32::try_from(capacity).unwrap_or(1) }).collect())
}

/// Steps from a run to the one that waits, as text.
type Links = Vec<String>;

/// Result for each visited run. None also while it is being visited, so a circle without the target is not reported.
type Seen = BTreeMap<i64, Option<Links>>;

/// A run that the search has reached.
struct Reached {
    id: String,
    owned: bool,
    locks: Vec<Lock>,
    /// Attached children that have not ended; read for owned runs only.
    children: Vec<i64>,
}

struct Search {
    /// The run that waits.
    target: i64,
    holders: Holders,
    runs: BTreeMap<i64, Reached>,
}

impl Search {
    /// Reads the runs that may be part of a deadlock: the holders of these locks, and the runs that these wait for.
    async fn explore(&mut self, db: &Session, locks: &[Lock]) -> Result<(), ReadError> {
        let mut next = self.holders_of(locks);
        while !next.is_empty() {
            next.sort_unstable();
            next.dedup();
            next.retain(|run| !self.runs.contains_key(run));
            next.truncate(MAX_VISITED.saturating_sub(self.runs.len()));
            let found = read(db, &next).await?;
            next.clear();
            for (run, reached) in found {
                // The search ends at the target.
                if run != self.target {
                    match reached.owned {
                        true => next.extend(&reached.children),
                        false => next.extend(self.holders_of(&reached.locks)),
                    }
                }
                self.runs.insert(run, reached);
            }
        }
        Ok(())
    }

    fn holders_of(&self, locks: &[Lock]) -> Vec<i64> {
        locks.iter().filter_map(|lock| holders_if_full(&self.holders, lock)).flatten().copied().collect()
    }

    /// Whether one of the locks is held only by runs that wait for the target.
    fn through_locks(&self, locks: &[Lock], seen: &mut Seen) -> Option<Links> {
        for lock in locks {
            let Some(holders) = holders_if_full(&self.holders, lock) else { continue };
            let mut links = None;
            for holder in holders {
                links = self.through_run(*holder, seen);
                if links.is_none() {
                    break;
                }
            }
            if let (Some(mut links), Some(holder)) = (links, holders.last()) {
                links.insert(0, format!("{}, which the run {} holds", lock.name, self.id(*holder)));
                return Some(links);
            }
        }
        None
    }

    /// Whether the run waits for the target, or for a run that does.
    fn through_run(&self, run: i64, seen: &mut Seen) -> Option<Links> {
        if run == self.target {
            return Some(Links::new());
        }
        if let Some(known) = seen.get(&run) {
            return known.clone();
        }
        let reached = self.runs.get(&run)?;
        seen.insert(run, None);
        let found = match reached.owned {
            true => self.through_children(&reached.children, seen),
            false => self.through_locks(&reached.locks, seen),
        };
        seen.insert(run, found.clone());
        found
    }

    /// Whether one of the children waits for the target.
    fn through_children(&self, children: &[i64], seen: &mut Seen) -> Option<Links> {
        for child in children {
            if let Some(mut links) = self.through_run(*child, seen) {
                links.insert(0, format!("which waits for its child {}", self.id(*child)));
                return Some(links);
            }
        }
        None
    }

    fn id(&self, run: i64) -> &str {
        self.runs.get(&run).map_or("?", |run| &run.id)
    }
}

/// Reads runs, in the order of their numbers.
async fn read(db: &Session, runs: &[i64]) -> Result<BTreeMap<i64, Reached>, ReadError> {
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT runs.no, runs.id, runs.owner IS NOT NULL, runs.locks, runs.capacities, \
               CASE WHEN runs.owner IS NOT NULL THEN ARRAY(SELECT children.no FROM runs AS children \
                   WHERE children.parent = runs.no AND NOT children.detached AND children.finished_at IS NULL \
                   AND children.cancel_requested_at IS NULL ORDER BY children.no) END \
               FROM unnest($1::bigint[]) AS wanted (no) JOIN runs ON runs.no = wanted.no";
    let mut found = BTreeMap::new();
    for row in db.query(sql, &[&runs]).await? {
        let children: Option<Vec<i64>> = row.try_get(5)?;
        let reached = Reached {
            id: row.try_get(1)?,
            owned: row.try_get(2)?,
            locks: locks_in(&row, 3, 4)?,
            children: children.unwrap_or_default(),
        };
        found.insert(row.try_get(0)?, reached);
    }
    Ok(found)
}
