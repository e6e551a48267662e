//! Ownership of runs: claims, leases, and claims of orphaned runs.

use std::cmp::Reverse;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::schema::GONE;
use super::state::{Applied, Live, Tx};
use super::{checkpoints, events, hosts, list, lock_column, locks};
use crate::model::{Event, Fence, HostId, Lock, NewEvent, OnInterrupt, Run, RunStatus, Timestamp, Version};
use crate::storage::{ClaimRequest, Claimed, Offer};

/// An offered task with runs that could start.
struct Candidate<'a> {
    task: i64,
    offer: &'a Offer,
    room: u32,
    /// Its next run.
    next: ReadyRun,
    /// How many of its runs were claimed.
    served: u32,
}

/// A queued run that does not wait for a lock.
struct ReadyRun {
    no: i64,
    priority: i32,
    locks: Option<Arc<[Lock]>>,
}

/// See [`Runs::claim`](crate::storage::Runs::claim).
pub(super) fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Applied<Vec<Claimed>> {
    let owner = tx.owner_no(&request.owner)?;
    queue_due_runs(tx)?;
    let mut runs = Vec::new();
    // With few free slots, the runs that others wait for go first: each level that is full leaves only deeper ones.
    while let Some(depth) = request.limits.least_depth(runs.len() as u32) {
        let until = request.limits.of(depth);
        claim_from_depth(tx, request, owner, depth, until as usize, &mut runs)?;
        if (runs.len() as u32) < until {
            // No run of this depth or deeper is left.
            break;
        }
    }
    let mut beyond = request.limits.beyond();
    while runs.is_empty()
        && let Some(depth) = beyond.next()
    {
        claim_from_depth(tx, request, owner, depth, 1, &mut runs)?;
    }
    Ok(runs)
}

/// Claims runs of this depth and deeper, until there are `until` in all.
fn claim_from_depth(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    owner: i64,
    depth: u32,
    until: usize,
    claimed: &mut Vec<Claimed>,
) -> rusqlite::Result<()> {
    if depth > 0 {
        locks::admit_deep_runs(tx, depth)?;
    }
    let mut candidates = candidates(tx, request, depth, claimed)?;
    while claimed.len() < until {
        // One run of each task in turn, so that a long queue of one does not starve another of the same priority.
        let first = |(at, candidate): &(usize, &Candidate<'_>)| {
            (Reverse(candidate.next.priority), candidate.served, *at)
        };
        let Some((at, _)) = candidates.iter().enumerate().min_by_key(first) else { break };
        let candidate = &mut candidates[at];
        tx.dequeued(candidate.task, false);
        claimed.push(start(tx, &candidate.next, owner, candidate.offer)?);
        candidate.room -= 1;
        candidate.served += 1;
        match if candidate.room > 0 { next_ready(tx, candidate.task, depth)? } else { None } {
            Some(next) => candidate.next = next,
            None => drop(candidates.remove(at)),
        }
        skip_locked_runs(tx, &mut candidates, depth)?;
    }
    Ok(())
}

/// The offered tasks with a run of at least this depth that could start.
fn candidates<'a>(
    tx: &mut Tx<'_>,
    request: &'a ClaimRequest,
    depth: u32,
    claimed: &[Claimed],
) -> rusqlite::Result<Vec<Candidate<'a>>> {
    let mut candidates = Vec::new();
    for offer in &request.tasks {
        let task = tx.task_no(&offer.task)?;
        let room =
            offer.room - claimed.iter().filter(|claimed| claimed.run.task == offer.task).count() as u32;
        if room > 0
            && tx.queued()?.get(&task).is_some_and(|queued| queued.ready > 0)
            && let Some(next) = next_ready(tx, task, depth)?
        {
            candidates.push(Candidate { task, offer, room, next, served: 0 });
        }
    }
    Ok(candidates)
}

/// Replaces next runs that need a lock which another candidate's run has just taken.
fn skip_locked_runs(
    tx: &mut Tx<'_>,
    candidates: &mut Vec<Candidate<'_>>,
    depth: u32,
) -> rusqlite::Result<()> {
    for at in (0..candidates.len()).rev() {
        let Candidate { task, next, .. } = &candidates[at];
        if let Some(locks) = &next.locks
            && locks::busy(tx, locks)?.is_some()
        {
            match next_ready(tx, *task, depth)? {
                Some(next) => candidates[at].next = next,
                None => drop(candidates.remove(at)),
            }
        }
    }
    Ok(())
}

/// Moves due runs from delayed to queued.
fn queue_due_runs(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    let due: Vec<i64> = tx
        .db
        .prepare_cached(
            "UPDATE runs SET status = 'queued', not_before = NULL \
             WHERE status = 'delayed' AND not_before <= ?1 RETURNING task",
        )?
        .query_map([Timestamp::now().as_millis()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for task in due {
        tx.enqueued(task, false);
    }
    Ok(())
}

/// The next run of the task to start, among those of at least this depth: by priority if the depth is 0, else the deepest.
/// Runs before it whose locks are taken are marked as blocked.
fn next_ready(tx: &mut Tx<'_>, task: i64, depth: u32) -> rusqlite::Result<Option<ReadyRun>> {
    let sql = match depth {
        0 => {
            "SELECT no, priority, needs FROM runs \
             WHERE task = ?1 AND ?2 = 0 AND status = 'queued' AND waits_for IS NULL \
             ORDER BY priority DESC, no LIMIT 1"
        }
        _ => {
            "SELECT no, priority, needs FROM runs INDEXED BY runs_by_depth \
             WHERE task = ?1 AND depth >= ?2 AND depth > 0 AND status = 'queued' AND waits_for IS NULL \
             ORDER BY depth DESC, priority DESC, no LIMIT 1"
        }
    };
    loop {
        let first = tx
            .db
            .prepare_cached(sql)?
            .query_row([task, i64::from(depth)], |row| {
                Ok(ReadyRun { no: row.get(0)?, priority: row.get(1)?, locks: lock_column::read(row, 2)? })
            })
            .optional()?;
        let Some(ReadyRun { no, locks: Some(locks), .. }) = &first else { return Ok(first) };
        match locks::busy(tx, locks)? {
            Some(busy) => locks::block(tx, task, *no, locks, &busy.name)?,
            None => return Ok(first),
        }
    }
}

/// Changes the record of a waiting run to that of its next attempt.
pub(super) fn next_attempt(run: &mut Run, version: &Version) {
    run.status = RunStatus::Running;
    run.attempt += 1;
    run.version = Some(*version);
    run.started_at = run.started_at.or(Some(Timestamp::now()));
}

/// Facts about a claimed run that are not in its record.
pub(super) struct AttemptStart {
    pub(super) fence: Fence,
    /// The number of the last event before the claim.
    pub(super) last: u64,
    pub(super) locks: Option<Arc<[Lock]>>,
    pub(super) on_interrupt: OnInterrupt,
    pub(super) depth: u32,
}

/// Writes the first event of an attempt whose row is written, and caches the run.
pub(super) fn begin(tx: &mut Tx<'_>, run: Run, start: AttemptStart) -> rusqlite::Result<Claimed> {
    let AttemptStart { fence, last, locks, on_interrupt, depth } = start;
    let (attempt, seq) = (run.attempt, last + 1);
    let event = NewEvent::started(attempt, run.version.as_ref());
    events::insert(tx.db, run.key.no, seq, attempt, std::slice::from_ref(&event))?;
    if let Some(locks) = &locks {
        locks::take(tx, locks);
    }
    let has_locks = locks.is_some();
    tx.claimed(run.key.no, Live { fence, attempt, last_seq: seq, locks });
    let has_checkpoint = attempt > 1 && checkpoints::any(tx.db, run.key.no)?;
    let events = vec![Event { seq, attempt, what: event }];
    Ok(Claimed { run, fence, events, last_seq: seq, has_checkpoint, has_locks, depth, on_interrupt })
}

/// Claims one waiting run.
fn start(tx: &mut Tx<'_>, ready: &ReadyRun, owner: i64, offer: &Offer) -> rusqlite::Result<Claimed> {
    let no = ready.no;
    let mut run = list::by_no(tx.db, no)?;
    let (fence, depth): (u32, u32) = tx
        .db
        .prepare_cached("SELECT fence, depth FROM runs WHERE no = ?1")?
        .query_row([no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let fence = Fence::of_claim(fence + 1, owner);
    let version_no = tx.version_no(&offer.version)?;
    next_attempt(&mut run, &offer.version);
    tx.db
        .prepare_cached(
            "UPDATE runs SET status = 'running', attempt = ?2, fence = ?3, owner = ?4, version = ?5, \
             started_at = ?6, on_interrupt = ?7 WHERE no = ?1",
        )?
        .execute(params![
            no,
            run.attempt,
            fence.number(),
            owner,
            version_no,
            run.started_at.map(Timestamp::as_millis),
            interrupt_column(offer.on_interrupt)
        ])?;
    let last = events::last_seq(tx.db, no)?;
    let start =
        AttemptStart { fence, last, locks: ready.locks.clone(), on_interrupt: offer.on_interrupt, depth };
    begin(tx, run, start)
}

/// The policy as a column. The default is NULL, so that a run that never waits writes nothing for it.
pub(super) fn interrupt_column(policy: OnInterrupt) -> Option<&'static str> {
    (policy != OnInterrupt::default()).then(|| policy.as_str())
}

/// See [`Runs::claim_orphans`](crate::storage::Runs::claim_orphans).
pub(super) fn claim_orphans(tx: &mut Tx<'_>, owner: &HostId, limit: u32) -> Applied<Vec<Claimed>> {
    let owner = tx.owner_no(owner)?;
    hosts::declare_dead(tx, owner)?;
    let orphans: Vec<(i64, u32, u32, Option<String>)> = tx
        .db
        .prepare_cached(
            "SELECT runs.no, runs.fence, runs.depth, runs.on_interrupt FROM hosts JOIN runs ON runs.owner = hosts.no \
             WHERE hosts.lease_until = ?1 ORDER BY runs.no LIMIT ?2",
        )?
        .query_map(params![GONE, limit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut taken = Vec::with_capacity(orphans.len());
    for (no, fence, depth, policy) in orphans {
        let fence = Fence::of_claim(fence + 1, owner);
        tx.db.prepare_cached("UPDATE runs SET fence = ?2, owner = ?3 WHERE no = ?1")?.execute(params![
            no,
            fence.number(),
            owner
        ])?;
        let run = list::by_no(tx.db, no)?;
        let last_seq = events::last_seq(tx.db, no)?;
        // It keeps its locks: for other runs, it is still running.
        let locks = locks::of_run(tx, no)?;
        let has_locks = locks.is_some();
        tx.claimed(no, Live { fence, attempt: run.attempt, last_seq, locks });
        let has_checkpoint = checkpoints::any(tx.db, no)?;
        let on_interrupt = policy.and_then(|word| OnInterrupt::parse(&word)).unwrap_or_default();
        taken.push(Claimed {
            run,
            fence,
            events: Vec::new(),
            last_seq,
            has_checkpoint,
            has_locks,
            depth,
            on_interrupt,
        });
    }
    Ok(taken)
}
