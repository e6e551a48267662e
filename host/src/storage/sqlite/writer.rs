//! The one thread that writes: it takes all that is waiting and commits it as
//! one transaction.
//!
//! This is the middle of the hot path (guest → outbox → **commit** →
//! subscribers). While one group is flushed to the disk, the next gathers; so
//! the slower the disk, the larger the groups, and nobody waits for a timer.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::group::{Append, Call, Command, Group};
use super::state::{Applied, State, Tx};
use crate::process::{Beating, Heartbeat, start_thread};
use crate::storage::{Outbox, Result, StorageError};

/// Events after which a group is closed even if more wait. Bounds how long one
/// flood delays everybody else's commit to a few milliseconds.
const MAX_EVENTS_PER_GROUP: usize = 4096;
/// Other operations after which a group is closed, for the same reason.
const MAX_OPERATIONS_PER_GROUP: usize = 1024;
/// Pages of write-ahead log after which it is copied into the database (16
/// MiB): rarely enough to cost little, often enough to bound the log.
pub(super) const CHECKPOINT_PAGES: u64 = 4096;
/// Pause before a failed group is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The door to the writing thread.
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    health: Arc<Mutex<Option<String>>>,
    heartbeat: Arc<Heartbeat>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. It ends when it is closed or its door is dropped.
    pub(super) fn start(db: Connection) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let (health, heartbeat) = (Arc::new(Mutex::new(None)), Arc::<Heartbeat>::default());
        let writing = Writing {
            db,
            commands: receiver,
            state: State::default(),
            health: Arc::clone(&health),
            heartbeat: Arc::clone(&heartbeat),
        };
        let thread = start_thread("storage-writer", move || writing.run())?;
        Ok(Self { commands, health, heartbeat, thread: Mutex::new(Some(thread)) })
    }

    /// Of the thread.
    pub(super) fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// See [`Log::append`](crate::storage::Log::append).
    pub(super) fn append(&self, outbox: Arc<dyn Outbox>) {
        self.heartbeat.wake();
        if let Err(mpsc::SendError(unsent)) = self.commands.send(Command::Append(Append::new(outbox))) {
            unsent.refuse(&StorageError::Closed);
        }
    }

    /// One change; fails if the database fails.
    pub(super) async fn call<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        self.send(work, false).await
    }

    /// One change that is tried until the database takes it or is closed.
    pub(super) async fn call_until_done<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        self.send(work, true).await
    }

    async fn send<T, F>(&self, work: F, until_done: bool) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Applied<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Call::new(work, answer, until_done);
        self.heartbeat.wake();
        if self.commands.send(Command::Operation(Box::new(call))).is_err() {
            return Err(StorageError::Closed);
        }
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// The error of the last attempt to commit, if it failed.
    pub(super) fn health(&self) -> Result<()> {
        match &*self.health.lock() {
            None => Ok(()),
            Some(error) => Err(StorageError::Unavailable(error.clone())),
        }
    }

    /// Commits what waits and ends the thread.
    pub(super) async fn close(&self) {
        let _ = self.commands.send(Command::Close);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// The thread's side.
struct Writing {
    db: Connection,
    commands: mpsc::Receiver<Command>,
    state: State,
    health: Arc<Mutex<Option<String>>>,
    heartbeat: Arc<Heartbeat>,
}

impl Writing {
    fn run(mut self) {
        let wal_pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&wal_pages);
        let hook = move |_: &mut Wal, pages: i32| {
            seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        if let Err(error) = self.db.wal_hook(Some(hook)) {
            tracing::error!(%error, "SQLite refused a hook; the write-ahead log will grow");
        }
        let heartbeat = self.heartbeat.begin();
        let mut open = true;
        while open {
            heartbeat.rest();
            let Ok(first) = self.commands.recv() else { break };
            open = self.commit_group(first, &heartbeat);
            heartbeat.beat();
            // After the answers, so that nobody waits for it.
            let wanted = std::mem::take(&mut self.state.checkpoint_wanted);
            if wanted || wal_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
                self.checkpoint();
                wal_pages.store(0, Ordering::Relaxed);
            }
        }
        self.refuse_the_rest();
    }

    /// Commits `first` and what else waits, trying until the disk takes it.
    /// Returns false if that included the wish to close.
    fn commit_group(&mut self, first: Command, heartbeat: &Beating) -> bool {
        let mut group = Group::default();
        group.add(first);
        loop {
            // At each try: a disk that stays full is no stuck thread.
            heartbeat.beat();
            let Err(failure) = self.try_commit(&mut group) else {
                self.note_health(None);
                return group.answer();
            };
            self.state = State::default();
            let error = StorageError::Unavailable(failure.error.to_string());
            if let (Some(culprit), false) = (failure.culprit, is_environment(&failure.error)) {
                // A fault of ours in one command must not hold up all the others for ever.
                tracing::error!(%error, "one write failed and is given up");
                group.refuse(culprit, &error);
            } else {
                self.note_health(Some(failure.error.to_string()));
                // Those that came meanwhile get their answer now, too.
                while let Ok(command) = self.commands.try_recv() {
                    group.add(command);
                }
                if !group.keep_what_must_be_done(&error) {
                    return false;
                }
                thread::sleep(RETRY_PAUSE);
            }
            if group.is_empty() {
                return true;
            }
        }
    }

    /// One transaction with all of the group, and with all that arrives until
    /// the queue is empty or the group full.
    fn try_commit(&mut self, group: &mut Group) -> std::result::Result<(), Failure> {
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
            (None, Some(error)) => tracing::error!(error, "the database does not take writes; trying again"),
            (Some(_), None) => tracing::info!("the database takes writes again"),
            _ => {}
        }
    }

    /// Copies the write-ahead log into the database, as far as no reader needs
    /// the older state.
    fn checkpoint(&self) {
        let result = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = result {
            tracing::warn!(%error, "could not copy the write-ahead log; it grows until this succeeds");
        }
    }

    /// Answers what was sent after the wish to close.
    fn refuse_the_rest(self) {
        let mut group = Group::default();
        while let Ok(command) = self.commands.try_recv() {
            group.add(command);
        }
        group.refuse_all(&StorageError::Closed);
    }
}

/// Why a transaction was undone.
struct Failure {
    error: rusqlite::Error,
    /// Which command failed; none if it was the transaction itself.
    culprit: Option<usize>,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { error, culprit: None }
    }
}

/// Whether the disk or the system is at fault and may recover, rather than the
/// command.
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
