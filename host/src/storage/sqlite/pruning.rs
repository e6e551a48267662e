//! Removal of ended runs, in steps that are small compared with a group of events.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::{event_id, events_of};
use super::state::{Applied, Tx};
use super::{Sqlite, checkpoints, list, run_row, signals};
use crate::model::{
    Amount, EndPosition, EndedFilter, EndedRun, Labels, Part, RunId, RunKey, TaskRef, Timestamp,
};
use crate::storage::{Pruned, Pruning, Result};

/// Events that one step removes. Measured at 1 to 2 ms, less than a group of events takes, so other writes wait no longer
/// than usual.
const STEP_EVENTS: u64 = 1_000;
/// Bytes of data that one step removes: each page of a large event is touched.
const STEP_BYTES: u64 = 1 << 20;
/// Cost of removing a run without events, in events: it is in several indexes.
const RUN_COST: u64 = 32;
/// Pages that one step returns to the file system, measured at 2 ms. Each is the last page of the file, moved to a free
/// one.
const STEP_PAGES: u32 = 128;
/// Free pages that are kept (4 MiB) for the next events.
const SPARE_PAGES: u32 = 1024;

#[async_trait]
impl Pruning for Sqlite {
    async fn tasks(&self) -> Result<Vec<TaskRef>> {
        self.readers.read(tasks).await
    }

    async fn ended_beyond(&self, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>> {
        let task = task.clone();
        self.readers.read(move |db| ended_beyond(db, &task, newest)).await
    }

    async fn ended(
        &self,
        task: &TaskRef,
        from: EndPosition,
        to: EndPosition,
        which: EndedFilter,
        limit: u32,
    ) -> Result<Vec<EndedRun>> {
        let task = task.clone();
        self.readers.read(move |db| ended(db, &task, from, to, which, limit)).await
    }

    async fn measure(&self, runs: Vec<i64>, part: Part) -> Result<Amount> {
        self.readers.read(move |db| measure(db, &runs, part)).await
    }

    async fn prune(&self, runs: Vec<i64>, part: Part) -> Result<Pruned> {
        self.writer.call_to_make_room(move |tx| prune(tx, &runs, part)).await
    }

    async fn without_events(&self, task: &TaskRef) -> Result<EndPosition> {
        let task = task.clone();
        self.readers.read(move |db| without_events(db, &task)).await
    }

    async fn set_without_events(&self, task: &TaskRef, to: EndPosition) -> Result<()> {
        let task = task.clone();
        self.writer.call_to_make_room(move |tx| set_without_events(tx, &task, to)).await
    }

    async fn rules(&self) -> Result<Vec<(TaskRef, String)>> {
        self.readers.read(rules).await
    }

    async fn set_rules(&self, rules: Vec<(TaskRef, String)>) -> Result<()> {
        self.writer.call(move |tx| set_rules(tx, &rules)).await
    }

    async fn clock(&self) -> Result<Option<(Timestamp, bool)>> {
        self.readers.read(clock).await
    }

    async fn set_clock(&self, believed: Timestamp, doubted: bool) -> Result<()> {
        self.writer.call(move |tx| set_clock(tx, believed, doubted)).await
    }

    async fn shrink(&self) -> Result<bool> {
        self.writer.call_to_make_room(shrink).await
    }
}

/// See [`Pruning::tasks`](Pruning::tasks).
pub(super) fn tasks(db: &Connection) -> rusqlite::Result<Vec<TaskRef>> {
    let mut statement = db.prepare_cached("SELECT app, task FROM tasks ORDER BY app, task")?;
    let rows = statement.query_and_then([], |row| {
        run_row::parsed(0, TaskRef::parse(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?).ok())
    })?;
    rows.collect()
}

/// Selects the ended runs of a task, which an index has in the order of their ends.
const ENDED: &str = "FROM runs WHERE task = (SELECT no FROM tasks WHERE app = ?1 AND task = ?2) \
                     AND finished_at IS NOT NULL";

/// Whether the run has a parent that has not ended: one lookup by key, and none for a run without a parent.
const NEEDED: &str =
    "EXISTS (SELECT 1 FROM runs AS parents WHERE parents.no = runs.parent AND parents.finished_at IS NULL)";

/// See [`Pruning::ended_beyond`](Pruning::ended_beyond).
pub(super) fn ended_beyond(
    db: &Connection,
    task: &TaskRef,
    newest: u64,
) -> rusqlite::Result<Option<EndPosition>> {
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    let sql = format!("SELECT finished_at, no {ENDED} ORDER BY finished_at DESC, no DESC LIMIT 1 OFFSET ?3");
    db.prepare_cached(&sql)?
        .query_row(params![task.app.as_str(), task.task.as_str(), newest], |row| {
            Ok(EndPosition { at: Timestamp::from_millis(row.get(0)?), run: row.get(1)? })
        })
        .optional()
}

/// See [`Pruning::ended`](Pruning::ended).
pub(super) fn ended(
    db: &Connection,
    task: &TaskRef,
    from: EndPosition,
    to: EndPosition,
    which: EndedFilter,
    limit: u32,
) -> rusqlite::Result<Vec<EndedRun>> {
    let which = match which {
        EndedFilter::All => String::new(),
        EndedFilter::Removable => format!("AND NOT {NEEDED}"),
        EndedFilter::Needed => format!("AND {NEEDED}"),
    };
    let sql = format!(
        "SELECT finished_at, no, id {ENDED} AND (finished_at, no) >= (?3, ?4) \
         AND (finished_at, no) < (?5, ?6) {which} ORDER BY finished_at, no LIMIT ?7"
    );
    let (app, task) = (task.app.as_str(), task.task.as_str());
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_and_then(
        params![app, task, from.at.as_millis(), from.run, to.at.as_millis(), to.run, limit],
        |row| {
            let ending = EndPosition { at: Timestamp::from_millis(row.get(0)?), run: row.get(1)? };
            let id = run_row::parsed(2, RunId::parse(row.get_ref(2)?.as_str()?).ok())?;
            Ok(EndedRun { key: RunKey { no: ending.run, id }, ending })
        },
    )?;
    rows.collect()
}

/// See [`Pruning::measure`](Pruning::measure).
pub(super) fn measure(db: &Connection, runs: &[i64], part: Part) -> rusqlite::Result<Amount> {
    let mut amount = Amount::default();
    for &run in runs {
        let Some(last_seq) = last_seq_if_removable(db, run, part)? else { continue };
        let (from, end) = removable(run, last_seq, part);
        let (events, bytes): (u64, u64) = db
            .prepare_cached(
                "SELECT count(*), coalesce(sum(octet_length(data)), 0) FROM events WHERE id >= ?1 AND id < ?2",
            )?
            .query_row([from, end], |row| Ok((row.get(0)?, row.get(1)?)))?;
        amount += Amount { runs: 0, events, bytes };
        if part == Part::Run {
            amount += Amount { runs: 1, events: 0, bytes: bytes_of_row(db, run)? };
        }
    }
    Ok(amount)
}

/// See [`Pruning::prune`](Pruning::prune).
pub(super) fn prune(tx: &mut Tx<'_>, runs: &[i64], part: Part) -> Applied<Pruned> {
    let mut pruned = Pruned::default();
    let mut room = STEP_EVENTS;
    for &run in runs {
        // Checked here, in the writing transaction: a run that has not ended is left alone, and one whose parent has not.
        if let Some(last_seq) = last_seq_if_removable(tx.db, run, part)? {
            let Some(left) = room.checked_sub(RUN_COST) else { break };
            // The terminal event is removed with the run; until then, a reader finds the end.
            let before_last = removable(run, last_seq, Part::Events);
            let (amount, all) =
                remove_events(tx, before_last, left, STEP_BYTES.saturating_sub(pruned.amount.bytes))?;
            pruned.amount += amount;
            room = left - amount.events;
            if !all {
                break;
            }
            if part == Part::Run {
                pruned.amount += remove_run(tx, run)?;
            }
        }
        pruned.done += 1;
    }
    Ok(pruned)
}

/// The number of the run's terminal event, if that part of the run may be removed now.
fn last_seq_if_removable(db: &Connection, run: i64, part: Part) -> rusqlite::Result<Option<u64>> {
    // A parent reads the outcome of a child, which is in its row, and never its events.
    let needed = if part == Part::Run { NEEDED } else { "FALSE" };
    let sql = format!(
        "SELECT last_seq FROM runs \
         WHERE no = ?1 AND finished_at IS NOT NULL AND last_seq IS NOT NULL AND NOT {needed}"
    );
    db.prepare_cached(&sql)?.query_row([run], |row| row.get(0)).optional()
}

/// Ids of the events in the part: the first, and the one after the last.
fn removable(run: i64, last_seq: u64, part: Part) -> (i64, i64) {
    let (first, end) = events_of(run);
    match part {
        Part::Run => (first, end),
        Part::Events => (first, event_id(run, last_seq)),
    }
}

/// Removes the oldest events with these ids, within the limits of a step. Also returns whether those were all.
fn remove_events(
    tx: &Tx<'_>,
    (first, end): (i64, i64),
    rows: u64,
    bytes: u64,
) -> rusqlite::Result<(Amount, bool)> {
    let mut amount = Amount::default();
    let mut last = None;
    let mut statement = tx.db.prepare_cached(
        "SELECT id, octet_length(data) FROM events WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
    )?;
    let mut found = statement.query(params![first, end, rows + 1])?;
    let mut all = true;
    while let Some(row) = found.next()? {
        // At least one, however large, or pruning would never end.
        if amount.events == rows || (amount.bytes >= bytes && amount.events > 0) {
            all = false;
            break;
        }
        last = Some(row.get::<_, i64>(0)?);
        amount += Amount { runs: 0, events: 1, bytes: row.get(1)? };
    }
    drop(found);
    if let Some(last) = last {
        tx.db.prepare_cached("DELETE FROM events WHERE id >= ?1 AND id <= ?2")?.execute([first, last])?;
    }
    Ok((amount, all))
}

/// Removes an ended run whose other events are gone, and its terminal event.
fn remove_run(tx: &mut Tx<'_>, run: i64) -> rusqlite::Result<Amount> {
    let bytes = bytes_of_row(tx.db, run)?;
    let (first, end) = events_of(run);
    let rest: u64 = tx
        .db
        .prepare_cached("SELECT coalesce(sum(octet_length(data)), 0) FROM events WHERE id >= ?1 AND id < ?2")?
        .query_row([first, end], |row| row.get(0))?;
    let events =
        tx.db.prepare_cached("DELETE FROM events WHERE id >= ?1 AND id < ?2")?.execute([first, end])? as u64;
    let labels: Labels = list::by_no(tx.db, run)?.labels;
    for (key, value) in &labels {
        tx.db
            .prepare_cached("DELETE FROM run_labels WHERE key = ?1 AND value = ?2 AND run = ?3")?
            .execute(params![key, value, run])?;
    }
    signals::remove(tx, run)?;
    signals::remove_parameters(tx, run)?;
    checkpoints::remove(tx, run)?;
    // Its number is never used again: cached data of this run would be taken for that of the other.
    tx.db.prepare_cached("UPDATE numbers SET next_run = max(next_run, ?1 + 1)")?.execute([run])?;
    tx.db.prepare_cached("DELETE FROM runs WHERE no = ?1")?.execute([run])?;
    Ok(Amount { runs: 1, events, bytes: bytes + rest })
}

fn bytes_of_row(db: &Connection, run: i64) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "SELECT octet_length(input) + coalesce(octet_length(final_value), 0) \
         + coalesce(octet_length(error), 0) + coalesce(octet_length(labels), 0) FROM runs WHERE no = ?1",
    )?
    .query_row([run], |row| row.get(0))
}

/// See [`Pruning::without_events`](Pruning::without_events).
pub(super) fn without_events(db: &Connection, task: &TaskRef) -> rusqlite::Result<EndPosition> {
    let to: Option<Option<i64>> = db
        .prepare_cached("SELECT without_events_to FROM tasks WHERE app = ?1 AND task = ?2")?
        .query_row([task.app.as_str(), task.task.as_str()], |row| row.get(0))
        .optional()?;
    Ok(to.flatten().map_or(EndPosition::FIRST, |to| EndPosition::from(Timestamp::from_millis(to))))
}

/// See [`Pruning::set_without_events`](Pruning::set_without_events).
pub(super) fn set_without_events(tx: &mut Tx<'_>, task: &TaskRef, to: EndPosition) -> Applied<()> {
    let no = tx.task_no(task)?;
    tx.db
        .prepare_cached("UPDATE tasks SET without_events_to = ?2 WHERE no = ?1")?
        .execute(params![no, to.at.as_millis()])?;
    Ok(())
}

/// See [`Pruning::rules`](Pruning::rules).
pub(super) fn rules(db: &Connection) -> rusqlite::Result<Vec<(TaskRef, String)>> {
    let mut statement = db.prepare_cached(
        "SELECT app, task, retention FROM tasks WHERE retention IS NOT NULL ORDER BY app, task",
    )?;
    let rows = statement.query_and_then([], |row| {
        let task = TaskRef::parse(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?).ok();
        Ok((run_row::parsed(0, task)?, row.get(2)?))
    })?;
    rows.collect()
}

/// See [`Pruning::set_rules`](Pruning::set_rules).
pub(super) fn set_rules(tx: &mut Tx<'_>, rules: &[(TaskRef, String)]) -> Applied<()> {
    for (task, text) in rules {
        let no = tx.task_no(task)?;
        tx.db.prepare_cached("UPDATE tasks SET retention = ?2 WHERE no = ?1")?.execute(params![no, text])?;
    }
    Ok(())
}

/// See [`Pruning::clock`](Pruning::clock).
pub(super) fn clock(db: &Connection) -> rusqlite::Result<Option<(Timestamp, bool)>> {
    db.prepare_cached("SELECT believed, doubted FROM clock")?
        .query_row([], |row| Ok((Timestamp::from_millis(row.get(0)?), row.get(1)?)))
        .optional()
}

/// See [`Pruning::set_clock`](Pruning::set_clock).
pub(super) fn set_clock(tx: &mut Tx<'_>, believed: Timestamp, doubted: bool) -> Applied<()> {
    tx.db
        .prepare_cached("INSERT OR REPLACE INTO clock (rowid, believed, doubted) VALUES (1, ?1, ?2)")?
        .execute(params![believed.as_millis(), doubted])?;
    Ok(())
}

/// See [`Pruning::shrink`](Pruning::shrink).
pub(super) fn shrink(tx: &mut Tx<'_>) -> Applied<bool> {
    let incremental: i64 = tx.db.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    let free: u32 = tx.db.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let excess = free.saturating_sub(SPARE_PAGES);
    if incremental != super::schema::INCREMENTAL {
        return Ok(false);
    }
    if excess > 0 {
        // Each row stands for a page that was moved.
        let mut statement =
            tx.db.prepare(&format!("PRAGMA incremental_vacuum({})", excess.min(STEP_PAGES)))?;
        let mut moved = statement.query([])?;
        while moved.next()?.is_some() {}
    }
    let more = excess > STEP_PAGES;
    // The file gets shorter when the write-ahead log is copied into it.
    tx.state.checkpoint_wanted |= excess > 0 && !more;
    Ok(more)
}
