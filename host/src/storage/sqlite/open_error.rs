use std::io;
use std::path::PathBuf;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder or a file in it can't be used.
    #[error("can't use {path}: {source}", path = path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another host has it open.
    #[error("the data folder is in use by another streamtask host")]
    InUse,
    /// A later streamtask wrote it.
    #[error(
        "the database is of version {found}, and this streamtask knows only {known}; use a newer streamtask"
    )]
    Newer {
        /// The database's version.
        found: usize,
        /// The newest version that this build knows.
        known: usize,
    },
    /// It is of an earlier version, or new, and the disk has no room to make it what it has to be.
    #[error("{0}; a database that is new, or of an earlier version, can't be opened without room")]
    Full(String),
    /// It is some other program's.
    #[error("the database belongs to another program")]
    Foreign,
    /// The system has no room for the threads that read and write.
    #[error("can't start a thread: {0}")]
    Thread(#[source] io::Error),
    /// SQLite can't read or write it.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
