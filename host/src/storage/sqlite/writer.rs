//! The writing thread: commits all pending commands as one transaction.
//!
//! This is the middle of the hot path (guest → outbox → **commit** → subscribers). While one group is flushed to the disk,
//! the next one collects. So a slow disk makes groups larger, and there is no timer to wait for.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::OpenError;
use super::group::{Append, Call, Command, Group, Urgency};
use super::log_size::{self, CHECKPOINT_PAGES, Copied, LogSize};
use super::space::{self, Space};
use super::state::{Applied, State, Tx};
use crate::platform;
use crate::process::{Beating, Heartbeat, start_thread};
use crate::storage::{Condition, Outbox, Result, StorageError};

/// Events after which a group is closed even if more are pending. Limits to a few milliseconds how long one flood delays
/// all other commits.
const MAX_EVENTS_PER_GROUP: usize = 4096;
/// Other operations after which a group is closed, for the same reason.
const MAX_OPERATIONS_PER_GROUP: usize = 1024;
/// Pause before a failed group is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How long the writer waits for the next deletion on a full disk. The caller pauses at most 100 ms between deletions;
/// without this, each would wait for a [`RETRY_PAUSE`].
const NEXT_STEP: Duration = Duration::from_millis(150);

/// Handle of the writing thread.
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    health: Arc<Mutex<Option<String>>>,
    condition: Arc<Mutex<Condition>>,
    heartbeat: Arc<Heartbeat>,
    /// Cancelled when the database is closed.
    ended: CancellationToken,
    /// In a simulation, a task replaces the thread; this is notified when commands arrive.
    simulated: Option<Arc<Notify>>,
}

impl Writer {
    /// Starts the thread. It ends when it is closed or its handle is dropped. With an error in `health`, it does not accept
    /// writes yet.
    pub(super) fn start(
        db: Connection,
        path: &Path,
        space: Space,
        health: Option<String>,
    ) -> Result<Self, OpenError> {
        let (commands, receiver) = mpsc::channel();
        if let Some(error) = &health {
            tracing::error!(error, "the database can be read, but accepts no writes yet; retrying");
        }
        let health = Arc::new(Mutex::new(health));
        let condition = Arc::<Mutex<Condition>>::default();
        let heartbeat = Arc::<Heartbeat>::default();
        let ended = CancellationToken::new();
        let writing = Writing {
            db,
            commands: receiver,
            state: State::default(),
            health: Arc::clone(&health),
            space,
            wal_pages: Arc::default(),
            log_size: LogSize::new(path, Arc::clone(&condition)),
            heartbeat: Arc::clone(&heartbeat),
            _ended: ended.clone().drop_guard(),
        };
        let simulated = platform::is_simulated().then(|| Arc::new(Notify::new()));
        match &simulated {
            Some(wake) => drop(tokio::spawn(writing.run_simulated(Arc::clone(wake)))),
            None => drop(start_thread("storage-writer", move || writing.run()).map_err(OpenError::Thread)?),
        }
        Ok(Self { commands, health, condition, heartbeat, ended, simulated })
    }

    /// Heartbeat of the thread.
    pub(super) fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// See [`Log::append`](crate::storage::Log::append).
    pub(super) fn append(&self, outbox: Arc<dyn Outbox>) {
        if let Err(unsent) = self.command(Command::Append(Append::new(outbox))) {
            unsent.refuse(&StorageError::Closed);
        }
    }

    fn command(&self, command: Command) -> Result<(), Box<Command>> {
        self.heartbeat.wake();
        self.commands.send(command).map_err(|mpsc::SendError(unsent)| Box::new(unsent))?;
        if let Some(wake) = &self.simulated {
            wake.notify_one();
        }
        Ok(())
    }

    /// Makes one write, which fails if the database fails.
    pub(super) async fn call<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        self.send(work, Urgency::Once).await
    }

    /// Makes one write, which is retried until the database accepts it or is closed.
    pub(super) async fn call_until_done<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        self.send(work, Urgency::UntilDone).await
    }

    /// Makes one deletion, also on a full disk.
    pub(super) async fn call_to_make_room<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        self.send(work, Urgency::MakesRoom).await
    }

    async fn send<T, F>(&self, work: F, urgency: Urgency) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Call::new(work, answer, urgency);
        if self.command(Command::Operation(Box::new(call))).is_err() {
            return Err(StorageError::Closed);
        }
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// The error of the last commit, if it failed.
    pub(super) fn health(&self) -> Result<()> {
        match &*self.health.lock() {
            None => Ok(()),
            Some(error) => Err(StorageError::Unavailable(error.clone())),
        }
    }

    /// See [`Log::condition`](crate::storage::Log::condition).
    pub(super) fn condition(&self) -> Condition {
        self.condition.lock().clone()
    }

    /// Commits pending commands and ends the thread.
    pub(super) async fn close(&self) {
        let _ = self.command(Command::Close);
        self.ended.cancelled().await;
    }
}

/// State of the writing thread.
struct Writing {
    db: Connection,
    commands: mpsc::Receiver<Command>,
    state: State,
    health: Arc<Mutex<Option<String>>>,
    space: Space,
    /// Pages of the write-ahead log after the last commit.
    wal_pages: Arc<AtomicU64>,
    log_size: LogSize,
    heartbeat: Arc<Heartbeat>,
    /// Last, so that the database is closed when this is dropped.
    _ended: DropGuard,
}

/// Result of committing a group.
enum Committed {
    /// All commands have their results.
    All,
    /// The same, and a close was among them.
    AndClosed,
    /// The disk does not accept it now. To be retried after [`RETRY_PAUSE`].
    NotYet(Group),
}

impl Writing {
    fn run(mut self) {
        self.count_wal_pages();
        let heartbeat = self.heartbeat.begin();
        let mut open = true;
        while open {
            heartbeat.rest();
            let Ok(first) = self.commands.recv() else { break };
            let mut committed = self.commit_group(Group::of(first), Some(&heartbeat));
            while let Committed::NotYet(group) = committed {
                thread::sleep(RETRY_PAUSE);
                committed = self.commit_group(group, Some(&heartbeat));
            }
            open = !matches!(committed, Committed::AndClosed);
            heartbeat.beat();
            self.checkpoint_if_wanted();
        }
        self.refuse_the_rest();
    }

    /// The same in a simulation, where the seed decides how long the disk takes.
    async fn run_simulated(mut self, wake: Arc<Notify>) {
        self.count_wal_pages();
        let mut open = true;
        while open {
            let first = match self.commands.try_recv() {
                Ok(first) => first,
                Err(mpsc::TryRecvError::Empty) => {
                    wake.notified().await;
                    continue;
                }
                Err(mpsc::TryRecvError::Disconnected) => break,
            };
            platform::write_to_disk().await;
            let mut committed = self.commit_group(Group::of(first), None);
            while let Committed::NotYet(group) = committed {
                tokio::time::sleep(RETRY_PAUSE).await;
                committed = self.commit_group(group, None);
            }
            open = !matches!(committed, Committed::AndClosed);
            self.checkpoint_if_wanted();
        }
        self.refuse_the_rest();
    }

    fn count_wal_pages(&mut self) {
        let (seen, condition) = (Arc::clone(&self.wal_pages), self.log_size.condition());
        let hook = move |_: &mut Wal, pages: i32| {
            let pages = u64::try_from(pages).unwrap_or(0);
            seen.store(pages, Ordering::Relaxed);
            condition.lock().log_bytes = log_size::bytes(pages);
            Ok(())
        };
        if let Err(error) = self.db.wal_hook(Some(hook)) {
            tracing::error!(%error, "SQLite refused a hook; the write-ahead log will grow");
        }
    }

    /// Copies the write-ahead log into the database if it is long. After the results are sent, so that no caller waits for
    /// it.
    fn checkpoint_if_wanted(&mut self) {
        let wanted = std::mem::take(&mut self.state.checkpoint_wanted);
        if wanted || self.wal_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            self.checkpoint();
            self.wal_pages.store(0, Ordering::Relaxed);
        }
    }

    /// Commits the group and other pending commands.
    fn commit_group(&mut self, mut group: Group, heartbeat: Option<&Beating>) -> Committed {
        loop {
            // Before each try: a disk that stays full does not make the thread stuck.
            if let Some(heartbeat) = heartbeat {
                heartbeat.beat();
            }
            let Err(failure) = self.try_commit(&mut group) else {
                self.note_health(None);
                return if group.complete() { Committed::All } else { Committed::AndClosed };
            };
            let full = space::is_full(&self.db, &failure.error);
            let reason = space::reason(&self.db, &failure.error);
            self.state = State::default();
            let error = StorageError::Unavailable(reason.clone());
            if let (Some(culprit), false) = (failure.culprit, is_environment(&failure.error)) {
                // A fault of the host in one command must not block all others for ever.
                tracing::error!(%error, "one write failed and is rejected");
                group.refuse(culprit, &error);
            } else {
                self.note_health(Some(reason));
                // Commands that arrived meanwhile get their results now, too.
                while let Ok(command) = self.commands.try_recv() {
                    group.add(command);
                }
                if full {
                    self.make_room(&mut group);
                }
                if !group.keep_what_must_be_done(&error) {
                    return Committed::AndClosed;
                }
                if !group.is_empty() {
                    return Committed::NotYet(group);
                }
            }
            if group.is_empty() {
                return Committed::All;
            }
        }
    }

    /// Makes the deletions before all other commands, with the space of the reserve.
    fn make_room(&mut self, group: &mut Group) {
        loop {
            let deletions = group.take_deletions();
            if deletions.is_empty() {
                return;
            }
            if self.space.release() {
                // The log restarts in the space that it has.
                self.checkpoint();
            }
            for deletion in deletions {
                space::apply_alone(&mut self.db, &mut self.state, deletion);
                self.checkpoint_if_wanted();
            }
            // In a simulation, no command can arrive while this thread waits.
            let next_step = if platform::is_simulated() { Duration::ZERO } else { NEXT_STEP };
            if let Ok(command) = self.commands.recv_timeout(next_step) {
                group.add(command);
            }
        }
    }

    /// Commits one transaction with the group and all commands that arrive until the queue is empty or the group full.
    fn try_commit(&mut self, group: &mut Group) -> std::result::Result<(), Failure> {
        if platform::is_disk_full() {
            return Err(Failure::from(space::full(space::FULL.to_owned())));
        }
        self.space.ready(&self.db)?;
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut tx = Tx { db: &transaction, state: &mut self.state };
        let (mut events, mut at) = (0, 0);
        loop {
            while at < group.len() {
                events += group.apply(at, &mut tx).map_err(|error| Failure { error, culprit: Some(at) })?;
                at += 1;
            }
            if events >= MAX_EVENTS_PER_GROUP || at >= MAX_OPERATIONS_PER_GROUP || group.is_closing() {
                break;
            }
            let Ok(command) = self.commands.try_recv() else { break };
            group.add(command);
        }
        Ok(transaction.commit()?)
    }

    fn note_health(&self, error: Option<String>) {
        let before = std::mem::replace(&mut *self.health.lock(), error.clone());
        match (before, error) {
            (None, Some(error)) => tracing::error!(error, "the database accepts no writes; retrying"),
            (Some(_), None) => tracing::info!("the database accepts writes again"),
            _ => {}
        }
    }

    /// Copies the write-ahead log into the database, as far as no reader needs the older state.
    fn checkpoint(&mut self) {
        let copied = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok(Copied {
                pages: row.get::<_, i64>(1)?.unsigned_abs(),
                copied: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        });
        match copied {
            Ok(copied) => self.log_size.copied(&copied),
            Err(error) => {
                tracing::warn!(%error, "could not copy the write-ahead log; it grows until this succeeds");
            }
        }
    }

    /// Rejects the commands that were sent after the close.
    fn refuse_the_rest(self) {
        let mut group = Group::default();
        while let Ok(command) = self.commands.try_recv() {
            group.add(command);
        }
        group.refuse_all(&StorageError::Closed);
    }
}

/// Why a transaction was rolled back.
struct Failure {
    error: rusqlite::Error,
    /// Index of the command that failed; none if the transaction itself failed.
    culprit: Option<usize>,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { error, culprit: None }
    }
}

/// Whether the disk or the system caused the error and may recover, and not the command.
fn is_environment(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
        NotADatabase, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseCorrupt
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | NotADatabase
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}
