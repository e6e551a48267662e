//! The hosts of this process: their leases, and what they share.
//!
//! A lock file keeps other processes away. So only the leases are in the database, in which runs name their owner. All
//! else is in memory, because it ends with the hosts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Sqlite;
use super::schema::GONE;
use super::state::{Applied, Tx};
use crate::model::{HostId, RunId, RunKey, TaskRef, Timestamp, Version};
use crate::storage::{Clients, HostInfo, Hosts, Lease, LiveHost, Result, StorageError};

/// What the hosts of this process have in common. Says nothing about which of them are alive.
#[derive(Default)]
pub(super) struct InMemory(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// In the order in which they registered.
    hosts: Vec<HostInfo>,
    offers: HashMap<HostId, Vec<TaskRef>>,
    /// The holder of each duty, and the end of its term.
    duties: HashMap<&'static str, (HostId, Timestamp)>,
    /// By run number.
    clients: HashMap<i64, Connected>,
}

/// The clients of a run.
struct Connected {
    run: RunId,
    /// How many are connected to each host; hosts without any are left out.
    hosts: HashMap<HostId, u32>,
    /// When the last one disconnected, while there is none.
    left_at: Timestamp,
}

#[async_trait]
impl Hosts for Sqlite {
    async fn register(&self, host: &HostInfo, lease_ms: u32) -> Result<Lease> {
        let id = host.id.clone();
        let lease = self.writer.call(move |tx| register(tx, &id, lease_ms)).await?;
        let mut known = self.in_memory.0.lock();
        known.hosts.retain(|known| known.id != host.id);
        known.hosts.push(host.clone());
        Ok(lease)
    }

    async fn renew_lease(&self, owner: &HostId, lease_ms: u32) -> Result<Lease> {
        let owner = owner.clone();
        self.writer.call(move |tx| renew_lease(tx, &owner, lease_ms)).await
    }

    async fn leave(&self, owner: &HostId) -> Result<()> {
        let id = owner.clone();
        self.writer.call(move |tx| leave(tx, &id)).await
    }

    async fn hosts(&self) -> Result<Vec<LiveHost>> {
        let mut alive = self.readers.read(alive).await?;
        let mut known = self.in_memory.0.lock();
        known.hosts.retain(|host| alive.contains_key(host.id.as_str()));
        let live = known.hosts.iter().filter_map(|host| {
            let (lease_until, runs) = alive.remove(host.id.as_str())?;
            Some(LiveHost { info: host.clone(), lease_until, runs })
        });
        Ok(live.collect())
    }

    async fn offer(&self, owner: &HostId, tasks: &[(TaskRef, Version)]) -> Result<()> {
        self.check_alive(owner).await?;
        let tasks = tasks.iter().map(|(task, _)| task.clone()).collect();
        self.in_memory.0.lock().offers.insert(owner.clone(), tasks);
        Ok(())
    }

    async fn offered(&self) -> Result<Vec<TaskRef>> {
        let alive = self.readers.read(alive).await?;
        let mut known = self.in_memory.0.lock();
        known.offers.retain(|host, _| alive.contains_key(host.as_str()));
        let tasks: BTreeSet<TaskRef> = known.offers.values().flatten().cloned().collect();
        Ok(tasks.into_iter().collect())
    }

    async fn hold_duty(&self, duty: &'static str, owner: &HostId, ms: u32) -> Result<bool> {
        let alive = self.readers.read(alive).await?;
        if !alive.contains_key(owner.as_str()) {
            return Err(StorageError::Fenced);
        }
        let now = Timestamp::now();
        let mut known = self.in_memory.0.lock();
        if let Some((holder, until)) = known.duties.get(duty)
            && holder != owner
            && *until > now
            && alive.contains_key(holder.as_str())
        {
            return Ok(false);
        }
        known.duties.insert(duty, (owner.clone(), now.plus_millis(i64::from(ms))));
        Ok(true)
    }
}

#[async_trait]
impl Clients for Sqlite {
    async fn set_clients(&self, run: &RunKey, host: &HostId, clients: u32) -> Result<()> {
        self.check_alive(host).await?;
        let mut known = self.in_memory.0.lock();
        let connected = known.clients.entry(run.no).or_insert_with(|| Connected {
            run: run.id.clone(),
            hosts: HashMap::new(),
            left_at: Timestamp::now(),
        });
        let had_clients = !connected.hosts.is_empty();
        match clients {
            0 => drop(connected.hosts.remove(host)),
            _ => drop(connected.hosts.insert(host.clone(), clients)),
        }
        // A repeated report does not put off the moment.
        if had_clients && connected.hosts.is_empty() {
            connected.left_at = Timestamp::now();
        }
        Ok(())
    }

    async fn without_clients(&self, since_ms: u32, limit: u32) -> Result<Vec<RunId>> {
        let alive = self.readers.read(alive).await?;
        let (now, mut deserted) = (Timestamp::now(), Vec::new());
        for (no, connected) in &mut self.in_memory.0.lock().clients {
            let before = connected.hosts.len();
            connected.hosts.retain(|host, _| alive.contains_key(host.as_str()));
            if before > 0 && connected.hosts.is_empty() {
                // Its host died since the last look.
                connected.left_at = now;
            }
            if connected.hosts.is_empty() && connected.left_at.plus_millis(i64::from(since_ms)) <= now {
                deserted.push((*no, connected.run.clone()));
            }
        }
        deserted.sort_unstable_by_key(|(no, _)| *no);
        let runs: Arc<[(i64, RunId)]> = deserted.into();
        let read = Arc::clone(&runs);
        let under_way = self.readers.read(move |db| under_way(db, &read)).await?;
        let mut known = self.in_memory.0.lock();
        let (mut answer, mut is_under_way) = (Vec::new(), under_way.into_iter());
        for (no, run) in runs.iter() {
            match is_under_way.next() {
                Some(true) if answer.len() < limit as usize => answer.push(run.clone()),
                Some(false) => drop(known.clients.remove(no)),
                Some(true) | None => {}
            }
        }
        Ok(answer)
    }
}

impl Sqlite {
    async fn check_alive(&self, host: &HostId) -> Result<()> {
        match self.readers.read(alive).await?.contains_key(host.as_str()) {
            true => Ok(()),
            false => Err(StorageError::Fenced),
        }
    }
}

/// See [`Hosts::register`].
fn register(tx: &mut Tx<'_>, host: &HostId, lease_ms: u32) -> Applied<Lease> {
    let no = tx.owner_no(host)?;
    Ok(write_lease(tx, no, lease_ms)?)
}

/// See [`Hosts::renew_lease`].
fn renew_lease(tx: &Tx<'_>, owner: &HostId, lease_ms: u32) -> Applied<Lease> {
    let no: Option<i64> = tx
        .db
        .prepare_cached("SELECT no FROM hosts WHERE id = ?1 AND lease_until > 0")?
        .query_row([owner.as_str()], |row| row.get(0))
        .optional()?;
    let Some(no) = no else { return Err(StorageError::Fenced.into()) };
    Ok(write_lease(tx, no, lease_ms)?)
}

fn write_lease(tx: &Tx<'_>, host: i64, lease_ms: u32) -> rusqlite::Result<Lease> {
    let now = Timestamp::now();
    tx.db
        .prepare_cached("UPDATE hosts SET lease_until = ?2 WHERE no = ?1")?
        .execute(params![host, now.plus_millis(i64::from(lease_ms)).as_millis()])?;
    Ok(Lease { others: count_alive(tx.db)?.saturating_sub(1), now })
}

/// How many hosts are alive.
pub(super) fn count_alive(db: &Connection) -> rusqlite::Result<u32> {
    db.prepare_cached("SELECT count(*) FROM hosts WHERE lease_until > 0")?.query_row([], |row| row.get(0))
}

/// Whether a host is alive.
pub(super) fn is_alive(db: &Connection, host: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT lease_until > 0 FROM hosts WHERE no = ?1")?.query_row([host], |row| row.get(0))
}

/// All hosts that are alive, with the end of the lease and the number of runs.
fn alive(db: &Connection) -> rusqlite::Result<HashMap<String, (Timestamp, u32)>> {
    let mut statement = db.prepare_cached(
        "SELECT id, lease_until, (SELECT count(*) FROM runs WHERE owner = hosts.no) \
         FROM hosts WHERE lease_until > 0",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, (Timestamp::from_millis(row.get(1)?), row.get(2)?))))?;
    rows.collect()
}

/// For each of these runs, whether it is under way and nobody has asked to cancel it.
fn under_way(db: &Connection, runs: &[(i64, RunId)]) -> rusqlite::Result<Vec<bool>> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE no = ?1 AND finished_at IS NULL AND cancel_requested_at IS NULL)",
    )?;
    runs.iter().map(|(no, _)| statement.query_row([no], |row| row.get(0))).collect()
}

/// See [`Hosts::leave`].
fn leave(tx: &mut Tx<'_>, host: &HostId) -> Applied<()> {
    let no = tx.owner_no(host)?;
    Ok(declare_gone(tx, no, host)?)
}

/// Declares hosts dead whose lease has expired, in the name of the host `by`. One whose own lease has expired can't judge
/// the others of its process: it may have been cut off together with them.
pub(super) fn declare_dead(tx: &mut Tx<'_>, by: i64) -> rusqlite::Result<()> {
    let expired: Vec<(i64, String)> = tx
        .db
        .prepare_cached(
            "SELECT no, id FROM hosts WHERE lease_until >= 0 AND lease_until < ?1 AND no <> ?2 AND \
             (lease_until = 0 OR EXISTS (SELECT 1 FROM hosts WHERE no = ?2 AND lease_until >= ?1))",
        )?
        .query_map(params![Timestamp::now().as_millis(), by], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    expired.iter().try_for_each(|(no, id)| declare_gone(tx, *no, &HostId::from_stored(id)))
}

/// Rejects a host from now on: by its id, and by the fences of the runs that it still owns.
fn declare_gone(tx: &mut Tx<'_>, no: i64, host: &HostId) -> rusqlite::Result<()> {
    tx.db.prepare_cached("UPDATE hosts SET lease_until = ?2 WHERE no = ?1")?.execute([no, GONE])?;
    tx.forget_host(host);
    let runs: Vec<i64> = tx
        .db
        .prepare_cached("UPDATE runs SET fence = fence + 1 WHERE owner = ?1 RETURNING no")?
        .query_map([no], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for run in runs {
        tx.state.remove_live(run);
    }
    Ok(())
}
