//! Who owns a run: claims, leases, and taking over from a host that is gone.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::SEQ_BITS;
use super::state::{Applied, Live, Tx};
use super::{checkpoints, events, list};
use crate::model::{Event, Fence, HostId, NewEvent, Run, RunStatus, Timestamp, Version};
use crate::storage::{ClaimRequest, Claimed};

/// See [`Runs::claim`](crate::storage::Runs::claim).
pub(super) fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Applied<Vec<Claimed>> {
    let mut claimed = Vec::new();
    queue_what_is_due(tx)?;
    let mut tasks: Vec<(i64, &Version, u32)> = Vec::new();
    for (task, version, room) in &request.tasks {
        let no = tx.task_no(task)?;
        let waiting = tx.queued()?.get(&no).copied().unwrap_or(0);
        if *room > 0 && waiting > 0 {
            tasks.push((no, version, *room));
        }
    }
    // One run of each task in turn, so that a long queue of one does not starve another.
    while !tasks.is_empty() && claimed.len() < request.limit as usize {
        let mut still_waiting = Vec::with_capacity(tasks.len());
        for (task, version, room) in tasks {
            if claimed.len() == request.limit as usize {
                break;
            }
            let Some(no) = oldest_queued(tx, task)? else { continue };
            tx.dequeued(task);
            claimed.push(start(tx, no, &request.owner, version)?);
            if room > 1 {
                still_waiting.push((task, version, room - 1));
            }
        }
        tasks = still_waiting;
    }
    Ok(Ok(claimed))
}

/// Runs whose time has come wait like all others from now on.
fn queue_what_is_due(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    let due: Vec<i64> = tx
        .db
        .prepare_cached(
            "UPDATE runs SET status = 'queued', not_before = NULL \
             WHERE status = 'delayed' AND not_before <= ?1 RETURNING task",
        )?
        .query_map([Timestamp::now().as_millis()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for task in due {
        tx.enqueued(task);
    }
    Ok(())
}

/// Runs that were put off when the clock was ahead of what it says now would wait
/// for as long as it was set back. They wait for what is meant: the pause itself,
/// from now on.
pub(super) fn mind_the_clock(db: &Connection) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE runs SET not_before = not_before - put_off.at + ?1 \
         FROM (SELECT delayed.no, (SELECT time FROM events \
                   WHERE id > delayed.no << {SEQ_BITS} AND id < (delayed.no + 1) << {SEQ_BITS} \
                   AND type = 'run.retrying' ORDER BY id DESC LIMIT 1) AS at \
               FROM runs AS delayed \
               WHERE delayed.status IN ('delayed', 'paused') AND delayed.not_before > ?1) AS put_off \
         WHERE runs.no = put_off.no AND put_off.at > ?1"
    );
    db.execute(&sql, [Timestamp::now().as_millis()])?;
    Ok(())
}

fn oldest_queued(tx: &Tx<'_>, task: i64) -> rusqlite::Result<Option<i64>> {
    tx.db
        .prepare_cached("SELECT no FROM runs WHERE task = ?1 AND status = 'queued' ORDER BY no LIMIT 1")?
        .query_row([task], |row| row.get(0))
        .optional()
}

/// Turns a waiting run's record into that of its next attempt.
pub(super) fn next_attempt(run: &mut Run, version: &Version) {
    run.status = RunStatus::Running;
    run.attempt += 1;
    run.version = Some(*version);
    run.started_at = run.started_at.or(Some(Timestamp::now()));
}

/// Writes the first event of an attempt whose row stands, after event `last`,
/// and remembers the run.
pub(super) fn begin(tx: &mut Tx<'_>, run: Run, fence: Fence, last: u64) -> rusqlite::Result<Claimed> {
    let (attempt, seq) = (run.attempt, last + 1);
    let event = NewEvent::started(attempt, run.version.as_ref());
    events::insert(tx.db, run.key.no, seq, attempt, std::slice::from_ref(&event))?;
    tx.claimed(run.key.no, Live { fence, attempt, last_seq: seq });
    let has_checkpoint = attempt > 1 && checkpoints::any(tx.db, run.key.no)?;
    let events = vec![Event { seq, attempt, what: event }];
    Ok(Claimed { run, fence, events, last_seq: seq, has_checkpoint })
}

/// Claims one waiting run.
fn start(tx: &mut Tx<'_>, no: i64, owner: &HostId, version: &Version) -> rusqlite::Result<Claimed> {
    let mut run = list::by_no(tx.db, no)?;
    let fence: u32 =
        tx.db.prepare_cached("SELECT fence FROM runs WHERE no = ?1")?.query_row([no], |row| row.get(0))?;
    let fence = Fence(fence + 1);
    let (owner_no, version_no) = (tx.host_no(owner)?, tx.version_no(version)?);
    next_attempt(&mut run, version);
    tx.db
        .prepare_cached(
            "UPDATE runs SET status = 'running', attempt = ?2, fence = ?3, owner = ?4, version = ?5, \
             started_at = ?6 WHERE no = ?1",
        )?
        .execute(params![
            no,
            run.attempt,
            fence.0,
            owner_no,
            version_no,
            run.started_at.map(Timestamp::as_millis)
        ])?;
    let last = events::last_seq(tx.db, no)?;
    begin(tx, run, fence, last)
}

/// See [`Runs::renew_lease`](crate::storage::Runs::renew_lease).
pub(super) fn renew_lease(tx: &mut Tx<'_>, owner: &HostId, lease_ms: u32) -> Applied<()> {
    let no = tx.host_no(owner)?;
    let until = Timestamp::now().plus_millis(i64::from(lease_ms));
    tx.db
        .prepare_cached("UPDATE hosts SET lease_until = ?2 WHERE no = ?1")?
        .execute(params![no, until.as_millis()])?;
    Ok(Ok(()))
}

/// See [`Runs::take_over`](crate::storage::Runs::take_over).
pub(super) fn take_over(tx: &mut Tx<'_>, owner: &HostId, limit: u32) -> Applied<Vec<Claimed>> {
    let owner_no = tx.host_no(owner)?;
    let orphans: Vec<(i64, u32)> = tx
        .db
        .prepare_cached(
            "SELECT runs.no, runs.fence FROM hosts JOIN runs ON runs.owner = hosts.no \
             WHERE hosts.lease_until < ?1 AND hosts.no <> ?2 ORDER BY runs.no LIMIT ?3",
        )?
        .query_map(params![Timestamp::now().as_millis(), owner_no, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut taken = Vec::with_capacity(orphans.len());
    for (no, fence) in orphans {
        let fence = Fence(fence + 1);
        tx.db
            .prepare_cached("UPDATE runs SET fence = ?2, owner = ?3 WHERE no = ?1")?
            .execute(params![no, fence.0, owner_no])?;
        let run = list::by_no(tx.db, no)?;
        let last_seq = events::last_seq(tx.db, no)?;
        tx.claimed(no, Live { fence, attempt: run.attempt, last_seq });
        let has_checkpoint = checkpoints::any(tx.db, no)?;
        taken.push(Claimed { run, fence, events: Vec::new(), last_seq, has_checkpoint });
    }
    Ok(Ok(taken))
}
