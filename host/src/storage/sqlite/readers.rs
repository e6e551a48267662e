//! Reading beside the writer, on threads that may block.

use std::ffi::CStr;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::OpenError;
use crate::platform;
use crate::storage::{Result, StorageError};

/// Reads at once. More would only compete for the same cores and page cache.
const READERS: usize = 4;

/// A read, on whichever connection is free.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A few read-only connections, each on a thread of its own.
///
/// Whoever asks holds nothing while it waits: neither a connection nor a place that another
/// waits for. A guest that is paused in a read is not polled for as long as the pause
/// lasts, and what it held would be held for so long.
pub(super) struct Readers {
    reads: Mutex<Option<mpsc::Sender<Read>>>,
    /// In a simulation, the only connection: there are no threads.
    simulated: Option<Arc<Mutex<Connection>>>,
}

impl Readers {
    /// With a `vfs`, other programs are kept out.
    pub(super) fn open(path: &Path, cache_kib: i32, vfs: Option<&CStr>) -> Result<Self, OpenError> {
        let (reads, queue) = mpsc::channel::<Read>();
        let reads = Mutex::new(Some(reads));
        if platform::is_simulated() {
            let db = Arc::new(Mutex::new(open(path, cache_kib, vfs)?));
            return Ok(Self { reads, simulated: Some(db) });
        }
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let (db, queue) = (open(path, cache_kib, vfs)?, Arc::clone(&queue));
            let reading = move || read_until_closed(&db, &queue);
            thread::Builder::new()
                .name("storage-reader".to_owned())
                .spawn(reading)
                .map_err(OpenError::Thread)?;
        }
        Ok(Self { reads, simulated: None })
    }

    /// Runs `work` on the next connection that is free. It sees all that was committed
    /// before it began.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |db| {
            // A caller that has gone away needs no answer.
            let _ = answer.send(work(db));
        });
        {
            let reads = self.reads.lock();
            let Some(reads) = &*reads else { return Err(StorageError::Closed) };
            match &self.simulated {
                None => reads.send(read).map_err(|_| StorageError::Closed)?,
                Some(db) => {
                    let db = Arc::clone(db);
                    drop(tokio::spawn(platform::blocking(move || read(&db.lock()))));
                }
            }
        }
        match answered.await {
            Ok(result) => result.map_err(|error| StorageError::Unavailable(error.to_string())),
            Err(_) => Err(StorageError::Closed),
        }
    }

    /// Refuses reads from now on.
    pub(super) fn close(&self) {
        self.reads.lock().take();
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

fn read_until_closed(db: &Connection, queue: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let next = queue.lock().recv();
        let Ok(read) = next else { return };
        // A fault of ours in one read must not take the thread from all others; whoever asked is answered by the
        // loss of the sender.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| read(db)));
    }
}
