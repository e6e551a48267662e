//! Reading beside the writer, on threads that may block.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OpenError;
use crate::storage::{Result, StorageError};

/// Reads at once. More would only compete for the same cores and page cache.
const READERS: usize = 4;

/// A few read-only connections, each handed to one read at a time.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// As many permits as connections, so that who has a permit finds one.
    permits: Arc<Semaphore>,
}

impl Readers {
    /// With a `vfs`, other programs are kept out.
    pub(super) fn open(path: &Path, cache_kib: i32, vfs: Option<&CStr>) -> Result<Self, OpenError> {
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            // No mutex inside SQLite: the pool already keeps a connection to one thread at a time.
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
            idle.push(db);
        }
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs `work` on an idle connection. It sees all that was committed before
    /// it began.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StorageError::Closed)?;
        let db = self.idle.lock().pop().ok_or(StorageError::Closed)?;
        let lent = Lent { db: Some(db), idle: Arc::clone(&self.idle), _permit: permit };
        // The loan moves into the blocking call: the caller may go away before it ends.
        let read = tokio::task::spawn_blocking(move || work(lent.db.as_ref().expect("lent until dropped")));
        match read.await {
            Ok(result) => result.map_err(|error| StorageError::Unavailable(error.to_string())),
            Err(_) => Err(StorageError::Closed),
        }
    }

    /// Refuses reads from now on.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

/// A connection on loan; it goes back before its permit does.
struct Lent {
    db: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            self.idle.lock().push(db);
        }
    }
}
