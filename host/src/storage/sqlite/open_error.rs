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
        /// The error of the system.
        source: io::Error,
    },
    /// Another host has it open.
    #[error("the data folder is in use by another streamtask host")]
    InUse,
    /// A newer version of streamtask wrote it.
    #[error(
        "the database is of version {found}, and this streamtask knows only {known}; use a newer streamtask"
    )]
    Newer {
        /// The database's version.
        found: usize,
        /// The newest version that this build knows.
        known: usize,
    },
    /// It is new or of an earlier version, and the disk has no space to create or migrate it.
    #[error("{0}; a database that is new, or of an earlier version, can't be opened without room")]
    Full(String),
    /// It belongs to another program.
    #[error("the database belongs to another program")]
    Foreign,
    /// The system can't start the reading and writing threads.
    #[error("can't start a thread: {0}")]
    Thread(#[source] io::Error),
    /// SQLite can't read or write it.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
