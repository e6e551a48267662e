//! Read-only connections beside the writer, on threads that may block.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::OpenError;
use crate::platform;
use crate::storage::{Result, StorageError};

/// Number of concurrent reads. More would only compete for the same cores and page cache.
const READERS: usize = 4;

/// A read, on any free connection.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A few read-only connections, each on a thread of its own.
///
/// A caller holds nothing while it waits, neither a connection nor a permit: a guest that is paused in a read is not
/// polled during the pause, and would hold it for all that time.
pub(super) struct Readers {
    queue: Arc<Queue>,
    /// Tracks the threads. Each leaves when its connection is closed.
    threads: TaskTracker,
    /// In a simulation, the only connection, and there are no threads.
    simulated: Option<Arc<Mutex<Connection>>>,
}

impl Readers {
    /// Opens the connections. With a `vfs`, other programs can't open the database.
    pub(super) fn open(path: &Path, cache_kib: i32, vfs: Option<&CStr>) -> Result<Self, OpenError> {
        let (queue, threads) = (Arc::<Queue>::default(), TaskTracker::new());
        if platform::is_simulated() {
            let db = Arc::new(Mutex::new(open(path, cache_kib, vfs)?));
            return Ok(Self { queue, threads, simulated: Some(db) });
        }
        for reader in 0..READERS {
            let (db, queue, tracked) = (open(path, cache_kib, vfs)?, Arc::clone(&queue), threads.token());
            let reading = move || {
                queue.serve(reader, &db);
                drop(db);
                drop(tracked);
            };
            thread::Builder::new()
                .name("storage-reader".to_owned())
                .spawn(reading)
                .map_err(OpenError::Thread)?;
        }
        Ok(Self { queue, threads, simulated: None })
    }

    /// Runs `work` on the next free connection. It sees everything that was committed before it began.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |db| {
            // The caller may be gone.
            let _ = answer.send(work(db));
        });
        match &self.simulated {
            None => self.queue.push(read)?,
            Some(_) if self.queue.state.lock().closed => return Err(StorageError::Closed),
            Some(db) => {
                let db = Arc::clone(db);
                drop(tokio::spawn(platform::blocking(move || read(&db.lock()))));
            }
        }
        match answered.await {
            Ok(result) => result.map_err(|error| StorageError::Unavailable(error.to_string())),
            Err(_) => Err(StorageError::Closed),
        }
    }

    /// Rejects reads from now on, and waits until the pending ones are made and the connections closed.
    pub(super) async fn close(&self) {
        self.queue.close();
        self.threads.close();
        self.threads.wait().await;
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Pending reads and idle threads.
#[derive(Default)]
struct Queue {
    state: Mutex<PendingReads>,
    /// Wakes each thread.
    wake: [Condvar; READERS],
}

#[derive(Default)]
struct PendingReads {
    reads: VecDeque<Read>,
    /// Idle threads, the most recently used one last. It is taken first: its connection has recently read pages in its cache,
    /// so a reader of successive pages stays on the same connection.
    idle: Vec<usize>,
    closed: bool,
}

impl Queue {
    fn push(&self, read: Read) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StorageError::Closed);
        }
        state.reads.push_back(read);
        if let Some(reader) = state.idle.pop() {
            self.wake[reader].notify_one();
        }
        Ok(())
    }

    /// Pending reads are still made.
    fn close(&self) {
        self.state.lock().closed = true;
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    /// Serves reads until the queue is closed and empty.
    fn serve(&self, reader: usize, db: &Connection) {
        let mut state = self.state.lock();
        loop {
            if let Some(read) = state.reads.pop_front() {
                drop(state);
                // A panic in one read must not end the thread. Its caller gets an error because the sender is dropped.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| read(db)));
                state = self.state.lock();
            } else if state.closed {
                return;
            } else {
                // Only once, even after a spurious wake-up.
                if !state.idle.contains(&reader) {
                    state.idle.push(reader);
                }
                self.wake[reader].wait(&mut state);
            }
        }
    }
}

fn open(path: &Path, cache_kib: i32, vfs: Option<&CStr>) -> Result<Connection, OpenError> {
    // No mutex inside SQLite: each connection stays on one thread.
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match vfs {
        None => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        Some(vfs) => {
            // One that is opened for reading only would take the lock from the whole process.
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE;
            let db = Connection::open_with_flags_and_vfs(path, flags, vfs)?;
            db.pragma_update(None, "query_only", true)?;
            db
        }
    };
    db.pragma_update(None, "cache_size", -cache_kib)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}
