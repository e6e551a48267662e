//! Opening a database: for writing, or only for reading if the disk is full.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use rusqlite::{Connection, OpenFlags};

use super::hosts::InMemory;
use super::log_size::CHECKPOINT_PAGES;
use super::readers::Readers;
use super::space::{self, Reserve, Space};
use super::writer::Writer;
use super::{OpenError, Sqlite, schema};
use crate::process::{close_private_file, make_private_file, private_options};
use crate::storage::Durability;

/// Name of the database within the data folder.
pub(super) const DATABASE: &str = "streamtask.db";
/// Name of the lock file within the data folder.
const LOCK: &str = "streamtask.lock";
/// Names of the files that are opened for writing; those of the log and its index are there while they are needed.
pub const FILES: [&str; 4] = [DATABASE, LOCK, "streamtask.db-wal", "streamtask.db-shm"];
/// Characters to escape in the path of a database that is opened by a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');
/// Page cache of the writer in KiB: holds the upper levels of every index of
/// tens of millions of rows, so that an append reads nothing from disk.
const WRITER_CACHE_KIB: i32 = 64 * 1024;
/// Page cache of each reader in KiB; replays read pages once and in order.
const READER_CACHE_KIB: i32 = 4 * 1024;

/// Size to which the write-ahead log is truncated when it restarts: twice its usual size when it is copied into the
/// database. Only a long reader or a large group makes it longer.
const MAX_IDLE_WAL_BYTES: u64 = 2 * CHECKPOINT_PAGES * 4096;

impl Sqlite {
    /// Opens or creates the database in `folder`, which must exist. An existing one can be opened on a full disk: it can be
    /// read, and accepts writes as soon as there is space.
    ///
    /// Blocks on the disk; call it before serving.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, OpenError> {
        let lock = lock(&folder.join(LOCK))?;
        Self::open_locked(folder, durability, lock, None)
    }

    /// The same with a reserve of disk space, so that runs can be removed when the disk is full.
    pub fn open_with_reserve(folder: &Path, durability: Durability) -> Result<Self, OpenError> {
        let lock = lock(&folder.join(LOCK))?;
        Self::open_locked(folder, durability, lock, Some(Reserve::of(folder)))
    }

    fn open_locked(
        folder: &Path,
        durability: Durability,
        lock: File,
        mut reserve: Option<Reserve>,
    ) -> Result<Self, OpenError> {
        let path = folder.join(DATABASE);
        let mut opened = Opened::open(&path, durability, Index::Shared);
        if matches!(opened, Err(OpenError::Full(_))) && reserve.as_mut().is_some_and(Reserve::cut_for_opening)
        {
            opened = Opened::open(&path, durability, Index::Shared);
        }
        if matches!(opened, Err(OpenError::Full(_))) {
            opened = Opened::open(&path, durability, Index::Own);
            if opened.is_ok() {
                tracing::warn!(
                    "until the next start no other program can read the database: no room for its index"
                );
            }
        }
        let Opened { db, readers } = opened?;
        let mut space = Space::new(reserve);
        let health = match space.ready(&db) {
            Err(error) if space::is_full(&db, &error) => Some(space::reason(&db, &error)),
            ready => ready.map(|()| None)?,
        };
        let writer = Writer::start(db, &path, space, health)?;
        Ok(Self { writer, readers, in_memory: InMemory::default(), _lock: lock })
    }
}

/// What is known of a database that has not been opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// There is none; a host creates it.
    Missing,
    /// A host has it open.
    InUse,
    /// A host can open it.
    Ready,
    /// A write-ahead log is beside it, as after a crash. The next host reads it.
    WithLog,
}

/// Looks at the database in `folder` without changing it or any file beside it.
pub fn inspect(folder: &Path) -> Result<DatabaseState, OpenError> {
    let path = folder.join(DATABASE);
    if !path.exists() {
        return Ok(DatabaseState::Missing);
    }
    let lock_path = folder.join(LOCK);
    match File::open(&lock_path) {
        // Shared, and released at once. A host that starts in this moment reports a database in use.
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(DatabaseState::InUse),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OpenError::Io { path: lock_path, source }),
    }
    File::open(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    let log = folder.join(format!("{DATABASE}-wal"));
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        // To read the log, SQLite would have to make its index.
        return Ok(DatabaseState::WithLog);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let name = percent_encoding::utf8_percent_encode(&path.to_string_lossy(), PATH).to_string();
    // Immutable: without locks, and without files beside the database.
    let db = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
    schema::check(&db)?;
    Ok(DatabaseState::Ready)
}

/// Where the index of the write-ahead log is kept. Every reader needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    /// In a file beside the database, so that other programs can read as well.
    Shared,
    /// In this process; other programs can't open the database.
    Own,
}

struct Opened {
    db: Connection,
    readers: Readers,
}

impl Opened {
    fn open(path: &Path, durability: Durability, index: Index) -> Result<Self, OpenError> {
        let vfs = (index == Index::Own).then_some(c"unix-excl");
        // SQLite makes the files beside it with the same mode, and reports if the database can't be made.
        let _ = make_private_file(path);
        for beside in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(beside);
            close_private_file(Path::new(&name));
        }
        let mut db = match vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, OpenFlags::default(), vfs)?,
            None => Connection::open(path)?,
        };
        let made = make(&mut db, durability).and_then(|()| Readers::open(path, READER_CACHE_KIB, vfs));
        match made {
            Ok(readers) => Ok(Self { db, readers }),
            Err(OpenError::Sqlite(error)) if space::is_full(&db, &error) => {
                Err(OpenError::Full(space::reason(&db, &error)))
            }
            Err(error) => Err(error),
        }
    }
}

/// Configures the database and migrates it to the current version.
fn make(db: &mut Connection, durability: Durability) -> Result<(), OpenError> {
    // First, because the following pragmas change the file.
    schema::check(db)?;
    schema::let_shrink(db)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", if durability == Durability::Full { "FULL" } else { "NORMAL" })?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    db.pragma_update(None, "journal_size_limit", MAX_IDLE_WAL_BYTES)?;
    db.set_prepared_statement_cache_capacity(64);
    schema::migrate(db)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let file = private_options().create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::storage::Log as _;

    #[tokio::test]
    async fn a_database_is_inspected_without_a_change() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let inspected = |folder: &TempDir| {
            let files = || {
                let entries = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
                let mut files: Vec<_> =
                    entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
                files.sort();
                files
            };
            let before = files();
            let state = inspect(folder.path()).unwrap();
            assert_eq!(files(), before);
            state
        };
        assert_eq!(inspected(&folder), DatabaseState::Missing);
        let open = Sqlite::open(folder.path(), Durability::Normal).unwrap();
        assert_eq!(inspected(&folder), DatabaseState::InUse);
        // As a crash leaves it.
        for name in [DATABASE.to_owned(), format!("{DATABASE}-wal"), LOCK.to_owned()] {
            std::fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
        }
        assert_eq!(inspected(&copy), DatabaseState::WithLog);
        open.close().await;
        drop(open);
        assert_eq!(inspected(&folder), DatabaseState::Ready);
    }

    #[test]
    fn a_file_that_is_no_database_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DATABASE), "a text, and nothing that SQLite wrote").unwrap();
        assert!(matches!(inspect(folder.path()), Err(OpenError::Sqlite(_))));
    }
}
