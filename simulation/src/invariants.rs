//! The invariants that must hold after each step. Reads the database itself, so it does not rely on
//! the host.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};
use streamtask_host::model::{Circuit, TaskRef};

use crate::endings::Endings;
use crate::kept::Kept;
use crate::logs;
use crate::members::{Member, Members};
use crate::rooms::Rooms;
use crate::schedules::Schedules;
use crate::world::Known;

/// Most runs that a violation lists.
const MAX_TOLD: usize = 12;

/// A run, as stored in its row.
#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    pub(crate) no: i64,
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) status: String,
    pub(crate) owned: bool,
    /// The id of its owner.
    pub(crate) owner: Option<String>,
    pub(crate) waits_for: Option<String>,
    /// The locks that it needs, and how many runs can hold each.
    pub(crate) locks: BTreeMap<String, u32>,
    pub(crate) parent: Option<i64>,
    pub(crate) finished: bool,
    pub(crate) created_at: i64,
    pub(crate) key: Option<String>,
    pub(crate) fence: u32,
    pub(crate) error: Option<String>,
    pub(crate) depth: u32,
    pub(crate) detached: bool,
    pub(crate) cancel_requested: bool,
}

/// The state of all checks so far.
pub(crate) struct Observer {
    database: PathBuf,
    db: Option<Connection>,
    max_running: u32,
    /// Whether several hosts share the database.
    shared: bool,
    rows: Vec<RunRow>,
    kept: Kept,
    schedules: Schedules,
    endings: Endings,
    /// The highest run number so far.
    newest: i64,
}

/// A suspicion that becomes a violation if it persists, and the state in which it arose.
pub(crate) type Suspect = (String, State);

/// The progress of the queue. A suspicion in the same state twice means that the queue is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    claims: u64,
    ended: usize,
    rows: usize,
}

impl Observer {
    pub(crate) fn new(database: PathBuf, max_running: u32, shared: bool) -> Self {
        Self {
            database,
            db: None,
            max_running,
            shared,
            rows: Vec::new(),
            kept: Kept::default(),
            schedules: Schedules::default(),
            endings: Endings::new(shared),
            newest: 0,
        }
    }

    /// The number of runs.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.newest).unwrap_or(0)
    }

    pub(crate) fn begin_life(&mut self, lived: Duration) {
        self.db = None;
        self.disturbed(lived);
    }

    /// The clocks or the disk were disturbed: schedules are not checked for a while.
    pub(crate) fn disturbed(&mut self, lived: Duration) {
        self.schedules.disturbed(lived);
        self.endings.disturbed();
    }

    /// An operator prunes runs.
    pub(crate) fn pruned(&mut self) {
        self.kept.pruned();
    }

    /// The time of day is set.
    pub(crate) fn clock_set(&mut self, lived: Duration) {
        self.kept.clock_set();
        self.schedules.clock_set();
        self.disturbed(lived);
    }

    pub(crate) fn saved(&mut self, task: &str, text: &str, lived: Duration) {
        self.kept.saved(task, text, lived);
        self.schedules.saved(task, text, lived);
    }

    pub(crate) fn taken_away(&mut self, task: &str, lived: Duration) {
        self.schedules.taken_away(task, lived);
    }

    pub(crate) fn put_back(&mut self, task: &str, lived: Duration) {
        self.schedules.put_back(task, lived);
    }

    /// Paused runs.
    pub(crate) fn paused(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.status == "paused").map(|row| row.id.clone()).collect()
    }

    /// A short list of the runs that have not ended, active ones first.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut left: Vec<&RunRow> = self.living().collect();
        left.sort_by_key(|row| (!row.owned, row.parent.is_none(), row.no));
        let describe = |row: &&RunRow| {
            let waits = row.waits_for.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
            let parent = row.parent.map(|no| format!(" child of {no}")).unwrap_or_default();
            let locks: Vec<&String> = row.locks.keys().collect();
            format!("{} {} {}{waits}{parent} {locks:?}", row.no, row.task, row.status)
        };
        left.iter().take(MAX_TOLD).map(describe).collect()
    }

    /// Checks everything. An error is a certain violation; the return value is a suspicion.
    pub(crate) fn look(&mut self, members: &Members, lived: Duration) -> Result<Option<Suspect>, String> {
        let db = self.db.get_or_insert_with(|| connect(&self.database));
        let rows = read(db).map_err(|error| format!("the database can't be read: {error}"))?;
        self.kept.check(&self.rows, &rows, lived)?;
        self.schedules.check(&rows, lived)?;
        self.endings.check(&rows, lived)?;
        if self.shared {
            let hosts: BTreeSet<String> = members.up().filter_map(Member::id).collect();
            self.endings.check_orphans(&rows, &hosts, lived)?;
        }
        no_deadline_is_over(&rows)?;
        self.rows = rows;
        self.newest = self.newest.max(self.rows.last().map_or(0, |row| row.no));
        let reachable = || members.up().filter(|member| member.is_reachable());
        let suspect = reachable()
            .find_map(|member| self.is_idle(member))
            .or_else(|| reachable().find_map(|member| self.lock_is_free(&member.rooms)))
            .or_else(|| self.waits_for_nothing())
            .or_else(|| reachable().find_map(|member| self.is_orphaned(member)));
        let state = State {
            claims: self.rows.iter().map(|row| u64::from(row.fence)).sum(),
            ended: self.rows.iter().filter(|row| row.finished).count(),
            rows: self.rows.len(),
        };
        Ok(suspect.map(|suspect| (suspect, state)))
    }

    fn living(&self) -> impl Iterator<Item = &RunRow> {
        self.rows.iter().filter(|row| !row.finished)
    }

    /// Whether the run is owned by that host.
    fn is_of(&self, row: &RunRow, host: Option<&String>) -> bool {
        row.owned && host.is_none_or(|host| row.owner.as_ref() == Some(host))
    }

    /// No runnable run waits while a slot is free for it.
    fn is_idle(&self, member: &Member) -> Option<String> {
        let Member { rooms, watched, .. } = member;
        let (host, waiting) = (member.id(), watched.waiting());
        let active = |row: &&RunRow| self.is_of(row, host.as_ref()) && !waiting.contains(&row.id);
        let in_all = self.living().filter(active).count();
        if in_all >= self.max_running as usize {
            return None;
        }
        let alive = self.living().filter(|row| self.is_of(row, host.as_ref())).count();
        let ready = |row: &&RunRow| row.status == "queued" && row.waits_for.is_none();
        for row in self.living().filter(ready) {
            let name = TaskRef::parse_path(&row.task).ok()?;
            let Some(task) = rooms.registry.task(&name) else { continue };
            let of_task = self.living().filter(|other| other.task == row.task).filter(active).count();
            let limit = task.settings.max_running.unwrap_or(u32::MAX);
            let closed = matches!(rooms.scheduler.circuit(&task), None | Some(Circuit::Closed));
            let has_room = rooms.scheduler.has_room(row.depth);
            if closed && (of_task as u32) < limit && has_room && !self.is_locked(row) {
                return Some(format!(
                    "a slot is free and a run that may run waits: run {} of {} in depth {}, {in_all} of {} slots are taken, \
                     {alive} guests are there",
                    row.no, row.task, row.depth, self.max_running
                ));
            }
        }
        None
    }

    fn holders(&self, lock: &str) -> usize {
        self.living().filter(|row| row.owned && row.locks.contains_key(lock)).count()
    }

    fn is_locked(&self, row: &RunRow) -> bool {
        row.locks.iter().any(|(lock, capacity)| self.holders(lock) >= *capacity as usize)
    }

    /// A free lock with waiters has a waiter that is not blocked.
    fn lock_is_free(&self, rooms: &Rooms) -> Option<String> {
        let loaded = |row: &&RunRow| {
            TaskRef::parse_path(&row.task).is_ok_and(|name| rooms.registry.task(&name).is_some())
        };
        for row in self.living().filter(|row| row.waits_for.is_some()).filter(loaded) {
            let lock = row.waits_for.as_ref()?;
            // A manifest may have changed the limit, and a run that waits for fewer holders may be
            // next.
            let in_line = self
                .living()
                .filter(|other| other.waits_for.as_ref() == Some(lock) && other.task == row.task);
            let capacity = in_line.filter_map(|other| other.locks.get(lock).copied()).min().unwrap_or(1);
            let next = self.living().filter(loaded).any(|other| {
                other.status == "queued" && other.waits_for.is_none() && other.locks.contains_key(lock)
            });
            if self.holders(lock) < capacity as usize && !next {
                return Some(format!(
                    "a lock is free and all of its waiters are blocked: {lock}, run {}",
                    row.no
                ));
            }
        }
        None
    }

    /// A waiting run names what it waits for, and that exists.
    fn waits_for_nothing(&self) -> Option<String> {
        let row = self.living().find(|row| {
            row.waits_for.as_ref().is_some_and(|lock| {
                let wanted = self.living().any(|other| {
                    other.no != row.no
                        && other.locks.contains_key(lock)
                        && (other.owned || (other.status == "queued" && other.waits_for.is_none()))
                });
                row.status != "queued" || !row.locks.contains_key(lock) || !wanted
            })
        })?;
        Some(format!(
            "a run waits for something that does not exist: run {} of {}, {} for {:?}",
            row.no, row.task, row.status, row.waits_for
        ))
    }

    /// A run with an owner is executed by it.
    fn is_orphaned(&self, member: &Member) -> Option<String> {
        let (host, alive) = (member.id(), member.watched.alive());
        let owned = || self.living().filter(|row| self.is_of(row, host.as_ref()));
        if let Some(row) = owned().find(|row| !alive.contains(&row.id)) {
            return Some(format!("a run is active without a guest: run {} of {}", row.no, row.task));
        }
        let owned = owned().count();
        let running = member.rooms.scheduler.running() as usize;
        (running != owned)
            .then(|| format!("slots and runs differ: {running} slots are taken, {owned} runs are active"))
    }

    /// An acknowledged operation is in the run's log at once, so that it survives a kill right
    /// after.
    pub(crate) fn acknowledged(&mut self, id: &str, event: &str, times: u32) -> Result<(), String> {
        let db = self.db.get_or_insert_with(|| connect(&self.database));
        logs::acknowledged(db, id, event, times)
    }

    /// Checks every log after all runs have ended.
    pub(crate) fn check_logs(&mut self, known: &[Known]) -> Result<(), String> {
        let db = self.db.as_ref().ok_or("there was no check before")?;
        logs::check(db, &self.rows, known)
    }

    /// A digest of the whole database.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for row in &self.rows {
            (row.no, &row.task, &row.status, row.fence, row.created_at).hash(&mut hasher);
        }
        if let Some(db) = &self.db
            && let Ok(mut statement) = db.prepare("SELECT id, time, type FROM events ORDER BY id")
            && let Ok(mut events) = statement.query([])
        {
            while let Ok(Some(event)) = events.next() {
                let of = |at: usize| event.get::<_, i64>(at).unwrap_or(0);
                (of(0), of(1), event.get::<_, String>(2).unwrap_or_default()).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

/// Time in which the host did not run does not count for a run's deadline.
fn no_deadline_is_over(rows: &[RunRow]) -> Result<(), String> {
    let over = rows.iter().find(|row| {
        row.task == "timed" && row.error.as_ref().is_some_and(|error| error.contains("deadline"))
    });
    over.map_or(Ok(()), |row| {
        Err(format!("a run of a few seconds was ended by its deadline of 20 s: run {}", row.no))
    })
}

fn connect(path: &std::path::Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).expect("the database is there")
}

fn read(db: &Connection) -> rusqlite::Result<Vec<RunRow>> {
    let mut statement = db.prepare_cached(
        "SELECT runs.no, runs.id, tasks.task, status, owner IS NOT NULL, waits_for, needs, parent, \
         finished_at IS NOT NULL, created_at, idempotency_key, fence, error, runs.depth, \
         detached IS NOT NULL, cancel_requested_at IS NOT NULL, hosts.id \
         FROM runs JOIN tasks ON tasks.no = runs.task LEFT JOIN hosts ON hosts.no = runs.owner ORDER BY runs.no",
    )?;
    statement.query_map([], row)?.collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let locks: Option<String> = row.get(6)?;
    Ok(RunRow {
        no: row.get(0)?,
        id: row.get(1)?,
        task: row.get(2)?,
        status: row.get(3)?,
        owned: row.get(4)?,
        waits_for: row.get(5)?,
        locks: locks.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        parent: row.get(7)?,
        finished: row.get(8)?,
        created_at: row.get(9)?,
        key: row.get(10)?,
        fence: row.get(11)?,
        error: row.get(12)?,
        depth: row.get(13)?,
        detached: row.get(14)?,
        cancel_requested: row.get(15)?,
        owner: row.get(16)?,
    })
}

/// A set of run numbers.
pub(crate) fn numbers(rows: &[RunRow]) -> BTreeSet<i64> {
    rows.iter().map(|row| row.no).collect()
}
