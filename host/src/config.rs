//! The settings of a host, with their defaults.
//!
//! A setting comes from a flag, else from the environment (`STREAMTASK_…`), else from `streamtask.toml`, else from the
//! default. [`Settings`] has those of one source; its table has all that there is to know of each. [`Config`] is the
//! complete configuration that results.

mod checks;
mod database;
mod listen;
mod reload;
mod settings;
mod table;
mod value;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use crate::engine::{CompileLimits, Limits};
use crate::model::Retention;
use crate::postgres::{DatabaseUrl, SchemaName};
pub use crate::registry::GrantKinds;
use crate::registry::line_and_column;

pub use database::{SecretFile, SecretUrl};
pub use listen::ListenAddress;
pub use reload::Reloaded;
pub use settings::Settings;
pub use table::Setting;

/// The configuration file that is read if it exists and no other is given.
pub const DEFAULT_FILE: &str = "streamtask.toml";

/// The complete configuration of a host. [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tasks folder. Must exist.
    pub tasks: PathBuf,
    /// The only file of the tasks folder to load, once. None: all task files are loaded, and the folder is watched.
    pub only: Option<PathBuf>,
    /// The data folder. Created if it does not exist.
    pub data: PathBuf,
    /// The folder for compiled code. None: `cache` in the data folder. The host executes its content, so no other user
    /// may write there.
    pub cache: Option<PathBuf>,
    /// The failures that a committed event survives.
    pub durability: Durability,
    /// The PostgreSQL database that several hosts share. None: SQLite in the data folder.
    pub database: Option<DatabaseUrl>,
    /// The same, read from a file.
    pub database_from_file: Option<DatabaseUrl>,
    /// The schema of that database that has the tables. Hosts with the same one are one system.
    pub database_schema: SchemaName,
    /// Connections to that database for reads. A host has nine more at most: five that write, one of them for leases, two for
    /// hints, and two while connections are replaced.
    pub database_connections: usize,
    /// A file with the certificates that are trusted instead of the system's.
    pub database_ca: Option<PathBuf>,
    /// Other hosts take the runs of a host that has not renewed its lease for this long.
    pub lease: Duration,
    /// The name of this host, for operators. None: the machine's.
    pub host_name: Option<String>,
    /// The URL of this host in lists of hosts.
    pub advertise: Option<String>,
    /// Threads that execute guests; by default one per core.
    pub guest_threads: usize,
    /// Most concurrent runs. 1,000 sleeping runs of small tasks take some 100 MB; the system has a limit too ("Operation"
    /// in docs/operate.md).
    pub max_running: u32,
    /// Most concurrent runs of one task. By default only `max_running` limits them.
    pub max_running_per_task: u32,
    /// Most queued runs. Each is a row on disk, so this limits a runaway client, not memory.
    pub max_queued: u64,
    /// Resource limits of each attempt.
    pub limits: Limits,
    /// Retention of ended runs, unless the manifest of the task overrides it. By default nothing is removed.
    pub retention: Retention,
    /// How long stricter retention limits must stay unchanged before they take effect: time to notice a mistake.
    pub retention_delay: Duration,
    /// The kinds of grants that manifests may use.
    pub grants: GrantKinds,
    /// Most bytes of output files that a manifest may grant to an attempt.
    pub max_files_bytes: u64,
    /// Time from a cancel request until the run is ended by force: enough to write a result, and short for the person
    /// who waits.
    pub cancel_grace: Duration,
    /// Time that runs have to end by themselves when the host stops.
    pub drain_grace: Duration,
    /// Idle time after which a stream sends a heartbeat; zero: never. Many proxies close a connection that is idle for
    /// 30 or 60 s.
    pub heartbeat: Duration,
    /// Origins whose pages may call the host.
    pub cors_origins: Vec<String>,
    /// The `streamtask` program, which compiles task files in a child process with limited memory and time. None: the
    /// host compiles in its own process, without limits.
    pub compiler: Option<PathBuf>,
    /// Limits of such a compilation.
    pub compile_limits: CompileLimits,
    /// Host names besides `localhost` under which clients may call this host.
    pub allowed_hosts: Vec<String>,
    /// Whether clients may upload and delete task files: then anyone who can reach the host can execute code on it.
    pub uploads: bool,
    /// Whether async tasks are loaded, whose contract may still change.
    pub experimental_async: bool,
}

impl Config {
    /// The defaults for a tasks folder and a data folder.
    pub fn new(tasks: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        let (tasks, data) = (Some(tasks.into()), Some(data.into()));
        let settings = Settings { tasks, data, ..Settings::default() };
        settings.config().expect("the defaults are valid")
    }

    /// The database that several hosts share, from whichever setting has it.
    pub fn database(&self) -> Result<Option<&DatabaseUrl>, ConfigError> {
        match (&self.database, &self.database_from_file) {
            (Some(_), Some(_)) => Err(ConfigError::Value(
                "database and database-file are both set; leave out one of them".to_owned(),
            )),
            (url, from_file) => Ok(url.as_ref().or(from_file.as_ref())),
        }
    }
}

/// The failures that a committed event survives.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Events survive a power loss: the host flushes every commit to the disk.
    Full,
    /// Events survive a crash of the host, but not of the machine: the operating system decides when to flush.
    Normal,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why a configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The fault, with line and column.
        message: String,
    },
    /// A setting has an invalid value.
    #[error("{0}")]
    Value(String),
}

impl Settings {
    /// Reads the settings in a file. Without a file, reads [`DEFAULT_FILE`] if it exists.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match file {
            Some(path) => path,
            None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
            None => return Ok(Self::default()),
        };
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: format!("{}: {}", place(&text, &error), error.message()),
        })
    }
}

/// Where the fault is. Not with the line itself, as the library shows it: it may have the password of a database.
fn place(text: &str, error: &toml::de::Error) -> String {
    let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests;
