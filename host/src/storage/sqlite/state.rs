//! The writer's cache of rows that it writes, so that the hot path reads nothing. It is dropped after a failed
//! transaction, because all of it can be read from the database again.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::events;
use super::lock_column;
use super::schema::GONE;
use crate::model::{Fence, HostId, Lock, TaskRef, Version};
use crate::storage::StorageError;

/// A transaction: the connection and the cache.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) state: &'a mut State,
}

/// Result of an operation.
pub(super) type Applied<T> = Result<T, NotApplied>;

/// Why an operation was not applied.
pub(super) enum NotApplied {
    /// Rejects this operation alone, which has changed nothing.
    Rejected(StorageError),
    /// Rolls the whole transaction back.
    Failed(rusqlite::Error),
}

impl From<StorageError> for NotApplied {
    fn from(error: StorageError) -> Self {
        Self::Rejected(error)
    }
}

impl From<rusqlite::Error> for NotApplied {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// A run with an owner.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) fence: Fence,
    pub(super) attempt: u32,
    pub(super) last_seq: u64,
    /// Locks that it holds.
    pub(super) locks: Option<Arc<[Lock]>>,
}

/// Numbers of queued runs of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    /// Runs that wait for a slot only.
    pub(super) ready: u64,
    /// Runs that wait for a lock.
    pub(super) blocked: u64,
}

/// The writer's cache.
#[derive(Default)]
pub(super) struct State {
    live: HashMap<i64, Live>,
    tasks: HashMap<TaskRef, i64>,
    versions: HashMap<Version, i64>,
    /// Hosts that were not declared dead.
    hosts: HashMap<HostId, i64>,
    /// Queued runs by task number; read once.
    queued: Option<HashMap<i64, Queued>>,
    /// How many running runs hold each lock; read once.
    pub(super) in_use: Option<HashMap<String, u32>>,
    next_run: Option<i64>,
    /// Whether any message is kept for an owner; read again after some were noted.
    pub(super) any_messages: Option<bool>,
    /// Whether to copy the write-ahead log into the database now, so that the file gets shorter.
    pub(super) checkpoint_wanted: bool,
}

impl State {
    /// Removes a run that has no owner any more.
    pub(super) fn remove_live(&mut self, run: i64) -> Option<Live> {
        self.live.remove(&run)
    }
}

impl Tx<'_> {
    /// The run, for a change by its owner, which proves its ownership by `fence`.
    pub(super) fn owned(&mut self, run: i64, fence: Fence) -> Applied<&mut Live> {
        if !self.state.live.contains_key(&run) {
            let found = self
                .db
                .prepare_cached(
                    "SELECT fence, owner, attempt, needs FROM runs WHERE no = ?1 AND owner IS NOT NULL",
                )?
                .query_row([run], |row| {
                    let fence = Fence::of_claim(row.get(0)?, row.get(1)?);
                    Ok((fence, row.get(2)?, lock_column::read(row, 3)?))
                })
                .optional()?;
            let Some((fence, attempt, locks)) = found else { return Err(StorageError::Fenced.into()) };
            let last_seq = events::last_seq(self.db, run)?;
            self.state.live.insert(run, Live { fence, attempt, last_seq, locks });
        }
        let live = self.state.live.get_mut(&run).expect("just inserted");
        if live.fence == fence { Ok(live) } else { Err(StorageError::Fenced.into()) }
    }

    /// Caches a run that has an owner.
    pub(super) fn claimed(&mut self, run: i64, live: Live) {
        self.state.live.insert(run, live);
    }

    /// The number of a task, new or known.
    pub(super) fn task_no(&mut self, task: &TaskRef) -> rusqlite::Result<i64> {
        if let Some(&no) = self.state.tasks.get(task) {
            return Ok(no);
        }
        let (app, name) = (task.app.as_str(), task.task.as_str());
        self.db.execute("INSERT OR IGNORE INTO tasks (app, task) VALUES (?1, ?2)", [app, name])?;
        let no =
            self.db.query_row("SELECT no FROM tasks WHERE app = ?1 AND task = ?2", [app, name], |row| {
                row.get(0)
            })?;
        self.state.tasks.insert(task.clone(), no);
        Ok(no)
    }

    /// The number of a version, new or known.
    pub(super) fn version_no(&mut self, version: &Version) -> rusqlite::Result<i64> {
        if let Some(&no) = self.state.versions.get(version) {
            return Ok(no);
        }
        let sha256 = version.to_string();
        self.db.execute("INSERT OR IGNORE INTO versions (sha256) VALUES (?1)", [&sha256])?;
        let no =
            self.db.query_row("SELECT no FROM versions WHERE sha256 = ?1", [&sha256], |row| row.get(0))?;
        self.state.versions.insert(*version, no);
        Ok(no)
    }

    /// The number of a host, new or known, for a change by it: rejects one that was declared dead or has left.
    pub(super) fn owner_no(&mut self, host: &HostId) -> Applied<i64> {
        if let Some(&no) = self.state.hosts.get(host) {
            return Ok(no);
        }
        self.db.execute("INSERT OR IGNORE INTO hosts (id, lease_until) VALUES (?1, 0)", [host.as_str()])?;
        let (no, lease_until): (i64, i64) =
            self.db.query_row("SELECT no, lease_until FROM hosts WHERE id = ?1", [host.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if lease_until == GONE {
            return Err(StorageError::Fenced.into());
        }
        self.state.hosts.insert(host.clone(), no);
        Ok(no)
    }

    /// Removes a host from the cache that was declared dead or has left.
    pub(super) fn forget_host(&mut self, host: &HostId) {
        self.state.hosts.remove(host);
    }

    /// The number for the next run.
    pub(super) fn next_run_no(&mut self) -> rusqlite::Result<i64> {
        let next = match self.state.next_run {
            Some(next) => next,
            None => self.db.query_row(
                "SELECT max((SELECT coalesce(max(no), 0) + 1 FROM runs), next_run) FROM numbers",
                [],
                |row| row.get(0),
            )?,
        };
        self.state.next_run = Some(next + 1);
        Ok(next)
    }

    /// Numbers of queued runs, by task number.
    pub(super) fn queued(&mut self) -> rusqlite::Result<&mut HashMap<i64, Queued>> {
        if self.state.queued.is_none() {
            let mut statement = self.db.prepare(
                "SELECT task, count(*) FILTER (WHERE waits_for IS NULL), \
                 count(*) FILTER (WHERE waits_for IS NOT NULL) FROM runs WHERE status = 'queued' GROUP BY task",
            )?;
            let counts = statement.query_map(params![], |row| {
                Ok((row.get(0)?, Queued { ready: row.get(1)?, blocked: row.get(2)? }))
            })?;
            self.state.queued = Some(counts.collect::<rusqlite::Result<_>>()?);
        }
        Ok(self.state.queued.as_mut().expect("just read"))
    }

    /// Counts a run of the task that joined the queue. If nothing was counted yet, a later count reads its row.
    pub(super) fn enqueued(&mut self, task: i64, blocked: bool) {
        if let Some(queued) = &mut self.state.queued {
            *queued.entry(task).or_default().count(blocked) += 1;
        }
    }

    /// Counts a run of the task that left the queue; likewise.
    pub(super) fn dequeued(&mut self, task: i64, blocked: bool) {
        if let Some(queued) = self.state.queued.as_mut().and_then(|queued| queued.get_mut(&task)) {
            let count = queued.count(blocked);
            *count = count.saturating_sub(1);
        }
    }
}

impl Queued {
    fn count(&mut self, blocked: bool) -> &mut u64 {
        if blocked { &mut self.blocked } else { &mut self.ready }
    }

    /// All queued runs.
    pub(super) const fn all(self) -> u64 {
        self.ready + self.blocked
    }
}
