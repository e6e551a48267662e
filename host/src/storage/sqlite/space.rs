//! Room on the disk: how its lack is told, and what is set aside for that day.
//!
//! To remove something from a full disk needs room too: a deletion is written to the write-ahead log before it
//! frees anything. So a file is kept that is given up when something is to be removed, and made again before
//! anything else is written; otherwise runs under way would take its place at once.

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
/// What a write-ahead log that is full may need to be copied into the database, which then makes room in the log
/// itself, and 4 MiB for the first steps if it can't be.
const RESERVE_BYTES: u64 = CHECKPOINT_PAGES * 4096 + (4 << 20);
/// What is given up of it to open a database for reading: an index of the write-ahead log, 32 KiB for each 16 MiB.
const OPENING_BYTES: u64 = 1 << 20;

/// What a full disk is called. It may be none: the other two give errors of their own, which SQLite does not tell from
/// a broken disk.
pub(super) const FULL: &str = "the disk is full, or a quota or a limit of file size (ulimit -f) is reached";

/// Whether there is no room for what was to be written. To be asked before the connection is used again.
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

/// The error in words for people. To be asked before the connection is used again.
pub(super) fn reason(db: &Connection, error: &rusqlite::Error) -> String {
    match (is_full(db, error), error) {
        (true, rusqlite::Error::SqliteFailure(_, Some(said))) if said.starts_with(FULL) => said.clone(),
        (true, _) => FULL.to_owned(),
        (false, _) => error.to_string(),
    }
}

/// What the writer needs besides the database.
pub(super) struct Space {
    /// None for a host that needs none, and where it can't be made.
    reserve: Option<Reserve>,
    /// Whether the database knows that the hosts before are gone.
    prepared: bool,
}

impl Space {
    pub(super) fn new(reserve: Option<Reserve>) -> Self {
        Self { reserve, prepared: false }
    }

    /// Fails while there is no room to write, for whatever does not make any.
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
        // One that never was is no reason not to write.
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
        tracing::warn!(%error, "could not set room aside for a full disk; trying again at the next start");
        self.reserve = None;
    }

    /// Gives up what was set aside; whether there was any.
    pub(super) fn release(&mut self) -> bool {
        self.reserve.as_mut().is_some_and(|reserve| reserve.length > Some(0) && reserve.cut(RESERVE_BYTES))
    }
}

pub(super) fn full(message: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), Some(message))
}

/// What has to be written before anything else is.
fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // The lock file is ours, so every other host that this database knows of is gone.
    db.execute("UPDATE hosts SET lease_until = 0", [])?;
    clock::mind(db)?;
    locks::heal(db)
}

/// One change in a transaction of its own.
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

/// A file that takes room on the disk for nothing. One that is shorter than it should be was given up.
pub(super) struct Reserve {
    path: PathBuf,
    /// How much of it there is; none: it never was.
    length: Option<u64>,
    /// Whether all of it is there, and takes room.
    whole: bool,
}

impl Reserve {
    /// That of a data folder, as it is.
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join(RESERVE);
        let file = path.metadata().ok();
        let length = file.as_ref().map(Metadata::len);
        // A copy of it may have its length and take no room.
        let room = file.map_or(0, |file| file.blocks() * 512);
        Self { path, length, whole: length.is_some_and(|length| length.min(room) >= RESERVE_BYTES) }
    }

    /// Whether it was given up.
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
            // What was had of it on the way would be wanting elsewhere.
            let _ = file.set_len(length);
        }
        made
    }

    /// Gives some of it up; whether that worked.
    pub(super) fn cut(&mut self, bytes: u64) -> bool {
        let cut = File::options().write(true).open(&self.path).and_then(|file| {
            let length = file.metadata()?.len();
            let left = length.saturating_sub(bytes);
            file.set_len(left)?;
            (self.length, self.whole) = (Some(left), false);
            Ok(length > 0)
        });
        cut.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.path.display(), "could not give up what was set aside");
            false
        })
    }

    /// Removes what could not be made: a short one would say that it was given up.
    fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.length = None;
    }

    /// The same for what it takes to open a database for reading.
    pub(super) fn cut_for_opening(&mut self) -> bool {
        self.length > Some(0) && self.cut(OPENING_BYTES)
    }
}

/// For file systems that can't set room aside by a call.
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
    fn what_was_given_up_is_missed_also_by_the_next_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RESERVE);
        let size = || path.metadata().unwrap().len();
        let mut never_made = Reserve::of(folder.path());
        assert!(!never_made.whole && !never_made.is_owed(), "it never was");
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
