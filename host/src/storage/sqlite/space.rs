//! Disk space: detects a full disk, and keeps a reserve for it.
//!
//! Deleting from a full disk needs space too, because a deletion is written to the write-ahead log before it frees any.
//! So a reserve file is released before deletions, and restored before anything else is written; otherwise running runs
//! would use up its space at once.

#![allow(unsafe_code, reason = "rusqlite does not have SQLite's system error")]

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::group::Operation;
use super::log_size::CHECKPOINT_PAGES;
use super::state::{State, Tx};
use super::{clock, locks};
use crate::storage::StorageError;

/// Name of the reserve within the data folder.
const RESERVE: &str = "streamtask.reserve";
/// Space for copying a full write-ahead log into the database, after which the log has space again, and 4 MiB for the
/// first steps if the log can't be copied.
pub const RESERVE_BYTES: u64 = CHECKPOINT_PAGES * 4096 + (4 << 20);
/// Part of the reserve that is released to open a database for reading: it needs an index of the write-ahead log, 32 KiB
/// per 16 MiB.
const OPENING_BYTES: u64 = 1 << 20;

/// Message for a full disk. It names two other causes, because SQLite reports their errors like those of a broken disk.
pub(super) const FULL: &str = "the disk is full, or a quota or a limit of file size (ulimit -f) is reached";

/// Whether a write failed for lack of space. To be called before the connection is used again.
pub(super) fn is_full(db: &Connection, error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            // SAFETY: the handle is that of an open connection, and is not kept.
            let code = unsafe { ffi::sqlite3_system_errno(db.handle()) };
            is_no_room(Errno::from_raw_os_error(code))
        }
        _ => false,
    }
}

fn is_no_room(error: Errno) -> bool {
    [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].contains(&error)
}

/// The error as a message. To be called before the connection is used again.
pub(super) fn reason(db: &Connection, error: &rusqlite::Error) -> String {
    match (is_full(db, error), error) {
        (true, rusqlite::Error::SqliteFailure(_, Some(said))) if said.starts_with(FULL) => said.clone(),
        (true, _) => FULL.to_owned(),
        (false, _) => error.to_string(),
    }
}

/// Disk space of the writer: its reserve, and the first writes of a host.
pub(super) struct Space {
    /// None for a host without a reserve, and if it can't be made.
    reserve: Option<Reserve>,
    /// Whether the leases of earlier hosts are revoked in the database.
    prepared: bool,
}

impl Space {
    pub(super) fn new(reserve: Option<Reserve>) -> Self {
        Self { reserve, prepared: false }
    }

    /// Fails while there is no space for writes other than deletions.
    pub(super) fn ready(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.prepared && self.reserve.as_ref().is_none_or(|reserve| reserve.whole) {
            return Ok(());
        }
        if let Some(reserve) = &mut self.reserve
            && reserve.is_owed()
            && let Err(error) = reserve.restore()
        {
            if is_no_room(error) {
                let mib = RESERVE_BYTES >> 20;
                return Err(full(format!("{FULL}: {mib} MiB are needed to write again")));
            }
            self.go_without(error);
        }
        if !self.prepared {
            prepare(db)?;
            self.prepared = true;
        }
        // A reserve that never existed is no reason not to write.
        if let Some(reserve) = &mut self.reserve
            && !reserve.whole
            && let Err(error) = reserve.restore()
        {
            reserve.remove();
            self.go_without(error);
        }
        Ok(())
    }

    fn go_without(&mut self, error: Errno) {
        tracing::warn!(%error, "could not reserve space for a full disk; retrying at the next start");
        self.reserve = None;
    }

    /// Releases the reserve. Returns whether there was any.
    pub(super) fn release(&mut self) -> bool {
        self.reserve.as_mut().is_some_and(|reserve| reserve.length > Some(0) && reserve.cut(RESERVE_BYTES))
    }
}

pub(super) fn full(message: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), Some(message))
}

/// Makes the first writes of a host, before all others.
fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // This host has the lock file, so all other hosts in this database are gone.
    db.execute("UPDATE hosts SET lease_until = 0 WHERE lease_until > 0", [])?;
    clock::adjust_delays(db)?;
    locks::repair(db)
}

/// Applies one operation in a transaction of its own.
pub(super) fn apply_alone(db: &mut Connection, state: &mut State, mut operation: Box<dyn Operation>) {
    let applied = db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
        operation.apply(&mut Tx { db: &transaction, state })?;
        transaction.commit()
    });
    match applied {
        Ok(()) => operation.committed(),
        Err(error) => {
            let reason = reason(db, &error);
            *state = State::default();
            operation.refuse(&StorageError::Unavailable(reason));
        }
    }
}

/// A file that only occupies disk space. If it is shorter than it should be, it was released and has to be restored.
pub(super) struct Reserve {
    path: PathBuf,
    /// Its length; none if it does not exist.
    length: Option<u64>,
    /// Whether it has its full length and occupies the space.
    whole: bool,
}

impl Reserve {
    /// The reserve of a data folder in its current state.
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join(RESERVE);
        let file = path.metadata().ok();
        let length = file.as_ref().map(Metadata::len);
        // A sparse copy may have the length and occupy no space.
        let room = file.map_or(0, |file| file.blocks() * 512);
        Self { path, length, whole: length.is_some_and(|length| length.min(room) >= RESERVE_BYTES) }
    }

    /// Whether it was released and not restored.
    fn is_owed(&self) -> bool {
        self.length.is_some_and(|length| length < RESERVE_BYTES)
    }

    fn restore(&mut self) -> Result<(), Errno> {
        let error = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let file =
            File::options().create(true).truncate(false).write(true).open(&self.path).map_err(error)?;
        let length = file.metadata().map_err(error)?.len();
        let made = match fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if length < RESERVE_BYTES => fill(&file).map_err(error),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            made => made,
        };
        self.whole = made.is_ok();
        self.length = Some(if made.is_ok() { RESERVE_BYTES } else { length });
        if made.is_err() {
            // Release the partially allocated space.
            let _ = file.set_len(length);
        }
        made
    }

    /// Releases `bytes` of it. Returns whether any were released.
    pub(super) fn cut(&mut self, bytes: u64) -> bool {
        let cut = File::options().write(true).open(&self.path).and_then(|file| {
            let length = file.metadata()?.len();
            let left = length.saturating_sub(bytes);
            file.set_len(left)?;
            (self.length, self.whole) = (Some(left), false);
            Ok(length > 0)
        });
        cut.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.path.display(), "could not release the reserved space");
            false
        })
    }

    /// Removes an incomplete reserve: a short file would count as released.
    fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.length = None;
    }

    /// Releases the part that opening a database for reading needs.
    pub(super) fn cut_for_opening(&mut self) -> bool {
        self.length > Some(0) && self.cut(OPENING_BYTES)
    }
}

/// Writes the reserve on file systems without `fallocate`.
fn fill(mut file: &File) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    for _ in 0..RESERVE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_host_also_restores_a_released_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RESERVE);
        let size = || path.metadata().unwrap().len();
        let mut never_made = Reserve::of(folder.path());
        assert!(!never_made.whole && !never_made.is_owed(), "it does not exist");
        never_made.restore().unwrap();
        assert_eq!(size(), RESERVE_BYTES);
        let whole = Reserve::of(folder.path());
        assert!(whole.whole && !whole.is_owed());

        let mut cut = whole;
        assert!(cut.cut_for_opening() && size() == RESERVE_BYTES - OPENING_BYTES);
        let mut space = Space::new(Some(cut));
        assert!(space.release(), "the rest of it");
        assert_eq!(size(), 0);
        assert!(!space.release(), "once");
        let next = Reserve::of(folder.path());
        assert!(!next.whole && next.is_owed());

        // As a copy that leaves holes.
        File::create(&path).unwrap().set_len(RESERVE_BYTES).unwrap();
        let copy = Reserve::of(folder.path());
        assert!(!copy.whole && !copy.is_owed());
    }
}
