//! Locks of runs: holders and waiting runs.
//!
//! A run whose lock is taken is marked as blocked by that lock and excluded from queries of the queue until the lock is
//! released. So a long queue for one lock costs other runs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::lock_column;
use super::state::{State, Tx};
use crate::model::{Lock, Run};

/// The locks of a run.
pub(super) fn of_run(tx: &Tx<'_>, run: i64) -> rusqlite::Result<Option<Arc<[Lock]>>> {
    tx.db
        .prepare_cached("SELECT needs FROM runs WHERE no = ?1")?
        .query_row([run], |row| lock_column::read(row, 0))
}

/// How many running runs hold each lock.
fn in_use<'a>(tx: &'a mut Tx<'_>) -> rusqlite::Result<&'a mut HashMap<String, u32>> {
    if tx.state.in_use.is_none() {
        let mut statement =
            tx.db.prepare("SELECT needs FROM runs WHERE owner IS NOT NULL AND needs IS NOT NULL")?;
        let mut counts = HashMap::new();
        for locks in statement.query_map([], |row| lock_column::read(row, 0))? {
            for lock in locks?.iter().flat_map(|locks| locks.iter()) {
                *counts.entry(lock.name.clone()).or_default() += 1;
            }
        }
        tx.state.in_use = Some(counts);
    }
    Ok(tx.state.in_use.as_mut().expect("just read"))
}

fn used(tx: &mut Tx<'_>, name: &str) -> rusqlite::Result<u32> {
    Ok(in_use(tx)?.get(name).copied().unwrap_or(0))
}

/// The first of the locks that is taken.
pub(super) fn busy<'a>(tx: &mut Tx<'_>, locks: &'a [Lock]) -> rusqlite::Result<Option<&'a Lock>> {
    for lock in locks {
        if used(tx, &lock.name)? >= lock.capacity {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

/// The first of the locks that a new run has to wait for: it is taken, or other runs wait for it already.
pub(super) fn busy_for_new<'a>(tx: &mut Tx<'_>, locks: &'a [Lock]) -> rusqlite::Result<Option<&'a Lock>> {
    for lock in locks {
        if used(tx, &lock.name)? >= lock.capacity || next_task_waiting(tx, &lock.name, 0)?.is_some() {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

/// The first of the locks that earlier runs of the task will take before a new one: they are next in line, and wait only
/// for a slot. Runs of other tasks don't count, because these tasks may not be loaded any more.
pub(super) fn promised<'a>(
    tx: &mut Tx<'_>,
    task: i64,
    locks: &'a [Lock],
) -> rusqlite::Result<Option<&'a Lock>> {
    for lock in locks {
        let used = used(tx, &lock.name)?;
        let in_line: u32 = tx
            .db
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM runs WHERE task = ?1 AND status = 'queued' \
                 AND waits_for IS NULL AND EXISTS (SELECT 1 FROM json_each(needs) WHERE key = ?2) LIMIT ?3)",
            )?
            .query_row(params![task, lock.name, lock.capacity], |row| row.get(0))?;
        if used.saturating_add(in_line) >= lock.capacity {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

/// Counts the locks of a claimed run as taken. If nothing was counted yet, a later count reads its row.
pub(super) fn take(tx: &mut Tx<'_>, locks: &[Lock]) {
    let Some(in_use) = &mut tx.state.in_use else { return };
    for lock in locks {
        *in_use.entry(lock.name.clone()).or_default() += 1;
    }
}

/// Removes a run without an owner from the cache, and releases its locks.
pub(super) fn release(tx: &mut Tx<'_>, run: i64) -> rusqlite::Result<()> {
    match tx.state.remove_live(run).and_then(|live| live.locks) {
        Some(locks) => release_locks(tx, &locks),
        None => Ok(()),
    }
}

/// Counts the locks of a run as released, and unblocks runs that wait for them.
fn release_locks(tx: &mut Tx<'_>, locks: &[Lock]) -> rusqlite::Result<()> {
    if let Some(in_use) = &mut tx.state.in_use {
        for lock in locks {
            if let Some(count) = in_use.get_mut(&lock.name) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    in_use.remove(&lock.name);
                }
            }
        }
    }
    locks.iter().try_for_each(|lock| unblock_waiting(tx, &lock.name))
}

/// Unblocks other runs after a queued run has left the queue: it may have been next in line for its locks.
pub(super) fn left_queue(tx: &mut Tx<'_>, run: &Run) -> rusqlite::Result<()> {
    if run.waits_for.is_some() {
        return Ok(());
    }
    let locks = of_run(tx, run.key.no)?;
    locks.iter().flat_map(|locks| locks.iter()).try_for_each(|lock| unblock_waiting(tx, &lock.name))
}

/// Unblocks runs that wait for free locks because of a fault or an earlier version.
pub(super) fn repair(db: &Connection) -> rusqlite::Result<()> {
    let names: Vec<String> = db
        .prepare("SELECT DISTINCT waits_for FROM runs WHERE waits_for IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if names.is_empty() {
        return Ok(());
    }
    let transaction = db.unchecked_transaction()?;
    let mut tx = Tx { db: &transaction, state: &mut State::default() };
    names.iter().try_for_each(|name| unblock_waiting(&mut tx, name))?;
    transaction.commit()
}

/// Marks a queued run as blocked by the lock `name`.
pub(super) fn block(
    tx: &mut Tx<'_>,
    task: i64,
    run: i64,
    locks: &[Lock],
    name: &str,
) -> rusqlite::Result<()> {
    tx.db.prepare_cached("UPDATE runs SET waits_for = ?2 WHERE no = ?1")?.execute(params![run, name])?;
    tx.dequeued(task, false);
    tx.enqueued(task, true);
    // It may have been next in line for another lock, which is now for the run after it.
    for lock in locks.iter().filter(|lock| lock.name != name) {
        unblock_waiting(tx, &lock.name)?;
    }
    Ok(())
}

/// Unblocks as many runs that wait for the lock `name` as could take it. As many of each task: the claim decides which
/// tasks are offered and which run is next.
pub(super) fn unblock_waiting(tx: &mut Tx<'_>, name: &str) -> rusqlite::Result<()> {
    let used = used(tx, name)?;
    let mut after = 0;
    while let Some(task) = next_task_waiting(tx, name, after)? {
        let mut taken = used;
        while let Some((run, capacity)) = first_waiting(tx, name, task)? {
            if taken >= capacity {
                break;
            }
            unblock(tx, task, run)?;
            taken += 1;
        }
        after = task;
    }
    Ok(())
}

/// Unblocks, for each free lock, the first run of at least this depth. Only such runs can start now, and the next in line
/// may not be one of them. They go first, because other runs wait for them.
pub(super) fn admit_deep_runs(tx: &mut Tx<'_>, depth: u32) -> rusqlite::Result<()> {
    let waiting: Vec<(String, i64)> = tx
        .db
        .prepare_cached(
            "SELECT DISTINCT waits_for, task FROM runs \
             WHERE depth >= ?1 AND depth > 0 AND waits_for IS NOT NULL ORDER BY waits_for, task",
        )?
        .query_map([depth], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (name, task) in waiting {
        let first: Option<(i64, Option<Arc<[Lock]>>)> = tx
            .db
            .prepare_cached(
                "SELECT no, needs FROM runs WHERE waits_for = ?1 AND task = ?2 AND depth >= ?3 \
                 ORDER BY depth DESC, priority DESC, no LIMIT 1",
            )?
            .query_row(params![name, task, depth], |row| Ok((row.get(0)?, lock_column::read(row, 1)?)))
            .optional()?;
        let Some((run, Some(locks))) = first else { continue };
        if busy(tx, &locks)?.is_none() {
            unblock(tx, task, run)?;
        }
    }
    Ok(())
}

fn unblock(tx: &mut Tx<'_>, task: i64, run: i64) -> rusqlite::Result<()> {
    tx.db.prepare_cached("UPDATE runs SET waits_for = NULL WHERE no = ?1")?.execute([run])?;
    tx.dequeued(task, true);
    tx.enqueued(task, false);
    Ok(())
}

/// The task with the least number above `after` of which runs wait for the lock `name`.
fn next_task_waiting(tx: &Tx<'_>, name: &str, after: i64) -> rusqlite::Result<Option<i64>> {
    tx.db
        .prepare_cached("SELECT min(task) FROM runs WHERE waits_for = ?1 AND task > ?2")?
        .query_row(params![name, after], |row| row.get(0))
}

/// The run of the task that is next in line for the lock `name`, and how many may hold it at once.
fn first_waiting(tx: &Tx<'_>, name: &str, task: i64) -> rusqlite::Result<Option<(i64, u32)>> {
    let found = tx
        .db
        .prepare_cached(
            "SELECT no, needs FROM runs WHERE waits_for = ?1 AND task = ?2 ORDER BY priority DESC, no LIMIT 1",
        )?
        .query_row(params![name, task], |row| Ok((row.get(0)?, lock_column::read(row, 1)?)))
        .optional()?;
    Ok(found.map(|(run, locks): (_, Option<Arc<[Lock]>>)| {
        let lock = locks.iter().flat_map(|locks| locks.iter()).find(|lock| lock.name == name);
        (run, lock.map_or(1, |lock| lock.capacity))
    }))
}
