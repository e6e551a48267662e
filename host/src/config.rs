//! Everything that can be set, with its default and its reason.
//!
//! A setting comes from a flag, else from the environment (`STREAMTASK_…`), else
//! from `streamtask.toml`, else from here. The flags and the file have the same
//! names, because they are the same struct.

mod listen;
mod reload;
mod values;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::engine::{CompileLimits, Limits};
use crate::model::{Retention, Time};
pub use crate::registry::GrantKinds;
pub use crate::storage::sqlite::Durability;

pub use listen::ListenAddress;
pub use reload::Reloaded;

/// The configuration file that is read if it is there.
pub const DEFAULT_FILE: &str = "streamtask.toml";

/// How a host is set up. [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tasks folder. Must exist.
    pub tasks: PathBuf,
    /// The only file of the tasks folder that is a task, loaded once; none: all are, and
    /// changes are followed.
    pub only: Option<PathBuf>,
    /// Where everything is kept. Created if it does not exist.
    pub data: PathBuf,
    /// Where compiled code is kept; none: `cache` in the data folder. Whoever can write
    /// there can have this machine execute anything.
    pub cache: Option<PathBuf>,
    /// When a commit counts as durable.
    pub durability: Durability,
    /// Threads that execute guests; by default as many as there are cores.
    pub guest_threads: usize,
    /// Runs under way at once. 1,000 sleeping runs of small tasks take some 100
    /// MB; the system bounds it too (README, "Limits").
    pub max_running: u32,
    /// Runs of one task under way at once. By default as many as in all.
    pub max_running_per_task: u32,
    /// Runs that may wait. Each is a row on disk, so this bounds a runaway
    /// client, not memory.
    pub max_queued: u64,
    /// What each attempt may use.
    pub limits: Limits,
    /// How long what ended runs leave behind is kept, of tasks whose manifest does
    /// not say otherwise. By default for ever: nothing is deleted unasked.
    pub retention: Retention,
    /// How long rules of retention that remove more than those before have to hold before they are gone by: time to
    /// see a mistake.
    pub retention_delay: Duration,
    /// What manifests may grant to their tasks.
    pub grants: GrantKinds,
    /// Most bytes of output files that a manifest can grant to an attempt.
    pub max_files_bytes: u64,
    /// Time between the wish to cancel and the end by force: enough to write a
    /// result, not enough to be waited for.
    pub cancel_grace: Duration,
    /// Time that runs have to end by themselves when the host stops.
    pub drain_grace: Duration,
    /// Silence after which a stream shows that it lives; zero: it never does.
    /// Proxies commonly give up after 30 or 60 s.
    pub heartbeat: Duration,
    /// Origins whose pages may call the host.
    pub cors_origins: Vec<String>,
    /// The `streamtask` program, to compile task files in a process of its own, bounded in
    /// memory and time; none: in this process, where nothing bounds it.
    pub compiler: Option<PathBuf>,
    /// What compiling one file may take there.
    pub compile_limits: CompileLimits,
    /// Names besides `localhost` by which this machine may be called.
    pub allowed_hosts: Vec<String>,
    /// Whether clients may put task files into the tasks folder, and take them out: then
    /// whoever reaches the host has their code executed.
    pub uploads: bool,
    /// Whether async tasks are taken, whose contract may still change.
    pub experimental_async: bool,
}

impl Config {
    /// The defaults, for a tasks folder and a data folder.
    pub fn new(tasks: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            tasks: tasks.into(),
            only: None,
            data: data.into(),
            cache: None,
            durability: Durability::Full,
            guest_threads: std::thread::available_parallelism().map_or(2, usize::from),
            max_running: 1_000,
            max_running_per_task: u32::MAX,
            max_queued: 100_000,
            limits: Limits {
                memory_bytes: 256 << 20,
                deadline: Some(Duration::from_secs(24 * 60 * 60)),
                cpu: None,
                events: None,
                events_bytes: None,
                event_rate: None,
                event_bytes_rate: None,
                input_bytes: 1 << 20,
                output_bytes: 1 << 20,
                event_bytes: crate::model::MAX_EVENT_BYTES,
                log_bytes: 1 << 20,
            },
            retention: Retention::default(),
            retention_delay: Duration::from_secs(5 * 60),
            grants: GrantKinds::default(),
            max_files_bytes: 1 << 30,
            cancel_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            cors_origins: Vec::new(),
            compiler: None,
            compile_limits: CompileLimits::default(),
            allowed_hosts: Vec::new(),
            uploads: false,
            experimental_async: false,
        }
    }
}

/// Settings of `streamtask serve`, from one source. What is not set is none.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", env = "STREAMTASK_LISTEN")]
    pub listen: Option<ListenAddress>,
    /// Folder with the task files: NAME.wasm or APP/NAME.wasm [default: tasks]
    #[arg(long, value_name = "DIR", env = "STREAMTASK_TASKS")]
    pub tasks: Option<PathBuf>,
    /// Folder for everything the host keeps; created if missing [default: data]
    #[arg(long, value_name = "DIR", env = "STREAMTASK_DATA")]
    pub data: Option<PathBuf>,
    /// What an event must survive before it is delivered: `full` the loss of power, `normal` a crash of the
    /// host [default: full]
    #[arg(long, env = "STREAMTASK_DURABILITY")]
    pub durability: Option<DurabilitySetting>,
    /// Listen on an address that other machines reach, although anyone who reaches it can start tasks
    #[arg(long, env = "STREAMTASK_OPEN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub open: Option<bool>,
    /// Runs under way at once [default: 1000]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_RUNNING")]
    pub max_running: Option<u32>,
    /// Runs of one task under way at once [default: no limit of its own]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_RUNNING_PER_TASK")]
    pub max_running_per_task: Option<u32>,
    /// Runs that may wait [default: 100000]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_QUEUED")]
    pub max_queued: Option<u64>,
    /// Threads that execute guests [default: one per core]
    #[arg(long, value_name = "N", env = "STREAMTASK_GUEST_THREADS")]
    pub guest_threads: Option<usize>,
    /// Memory of one run, all its memories and tables together [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MEMORY")]
    pub memory: Option<ByteSize>,
    /// Longest time one attempt may take, such as `90s`, `2h`, or `none` [default: 24h]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_DEADLINE")]
    pub deadline: Option<Time>,
    /// Longest time one attempt may compute, of all its time, or `none` [default: none]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_CPU")]
    pub cpu: Option<Time>,
    /// Most events of one attempt [default: no limit]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_EVENTS")]
    pub max_events: Option<u64>,
    /// Most data of all events of one attempt [default: no limit]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENTS_SIZE")]
    pub max_events_size: Option<ByteSize>,
    /// Most events a second of one run, which waits if it is faster [default: no limit]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_EVENT_RATE")]
    pub max_event_rate: Option<NonZeroU64>,
    /// Most data of events a second of one run, which waits if it is faster [default: no limit]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENT_BYTES_RATE")]
    pub max_event_bytes_rate: Option<ByteSize>,
    /// Largest data of one event [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENT")]
    pub max_event: Option<ByteSize>,
    /// Largest input of a run [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_INPUT")]
    pub max_input: Option<ByteSize>,
    /// Largest result of a run [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_OUTPUT")]
    pub max_output: Option<ByteSize>,
    /// Most that is logged of what one attempt prints [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_LOG")]
    pub max_log: Option<ByteSize>,
    /// Memory to compile one task file [default: 4GiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_COMPILE_MEMORY")]
    pub compile_memory: Option<ByteSize>,
    /// Longest time to compile one task file, on all processors together [default: 120s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_COMPILE_TIME")]
    pub compile_time: Option<Time>,
    /// Most machine code that one task file may become [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_COMPILE_CODE")]
    pub compile_code: Option<ByteSize>,
    /// How long ended runs are kept, such as `30d`; a task's manifest may say otherwise [default: for ever]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_AGE")]
    pub retention_age: Option<Time>,
    /// How many ended runs are kept of each task; a task's manifest may say otherwise [default: all]
    #[arg(long, value_name = "N", env = "STREAMTASK_RETENTION_RUNS")]
    pub retention_runs: Option<u64>,
    /// How long the events of ended runs are kept, which themselves stay [default: as long as the run]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_EVENTS_AGE")]
    pub retention_events_age: Option<Time>,
    /// How long rules of retention that remove more than before have to hold until they are gone by [default: 5m]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_DELAY")]
    pub retention_delay: Option<Time>,
    /// What manifests may grant to their tasks: `env`, `files`, `http`, `private`, `secrets` and `folders` with
    /// commas between, `all`, or `none` [default: env,files]
    #[arg(long, value_name = "KINDS", env = "STREAMTASK_GRANTS")]
    pub grants: Option<GrantKinds>,
    /// Most output files that a manifest can grant to one attempt [default: 1GiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_FILES")]
    pub max_files: Option<ByteSize>,
    /// Time between the wish to cancel a run and its end by force [default: 5s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_CANCEL_GRACE")]
    pub cancel_grace: Option<Time>,
    /// Time runs have to end by themselves when the host stops [default: 10s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_DRAIN_GRACE")]
    pub drain_grace: Option<Time>,
    /// Silence after which a stream sends a sign of life [default: 15s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_HEARTBEAT")]
    pub heartbeat: Option<Time>,
    /// Origin whose pages may call the host, such as `https://example.com`, or `*`; can be repeated
    #[arg(
        long = "cors-origin",
        value_name = "ORIGIN",
        env = "STREAMTASK_CORS_ORIGINS",
        value_delimiter = ','
    )]
    pub cors_origins: Option<Vec<String>>,
    /// Name besides localhost by which the host may be called, or `*`; can be repeated
    #[arg(
        long = "allowed-host",
        value_name = "NAME",
        env = "STREAMTASK_ALLOWED_HOSTS",
        value_delimiter = ','
    )]
    pub allowed_hosts: Option<Vec<String>>,
    /// Let clients put task files into the tasks folder, and take them out [default: false]
    #[arg(long, env = "STREAMTASK_UPLOADS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub uploads: Option<bool>,
    /// Take tasks with an async `process` too, whose contract (wit/async) may change in any release
    /// [default: false]
    #[arg(
        long,
        env = "STREAMTASK_EXPERIMENTAL_ASYNC",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub experimental_async: Option<bool>,
    /// How the host logs [default: text]
    #[arg(long, env = "STREAMTASK_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What the host logs, as in `info`, `debug` or `streamtask_host=debug,info` [default: info]
    #[arg(long, value_name = "FILTER", env = "STREAMTASK_LOG")]
    pub log: Option<String>,
}

/// See [`Durability`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DurabilitySetting {
    /// Every commit is flushed to the disk.
    Full,
    /// The operating system flushes when it likes.
    Normal,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A setting has a value that it can't have.
    #[error("{0}")]
    Value(String),
}

impl Settings {
    /// What a file says; what `streamtask.toml` says, if it is there, when no file
    /// is named.
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
            message: error.to_string().trim().to_owned(),
        })
    }

    /// These settings, and for what is not set, those of `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            tasks: self.tasks.or(other.tasks),
            data: self.data.or(other.data),
            durability: self.durability.or(other.durability),
            open: self.open.or(other.open),
            max_running: self.max_running.or(other.max_running),
            max_running_per_task: self.max_running_per_task.or(other.max_running_per_task),
            max_queued: self.max_queued.or(other.max_queued),
            guest_threads: self.guest_threads.or(other.guest_threads),
            memory: self.memory.or(other.memory),
            deadline: self.deadline.or(other.deadline),
            cpu: self.cpu.or(other.cpu),
            max_events: self.max_events.or(other.max_events),
            max_events_size: self.max_events_size.or(other.max_events_size),
            max_event_rate: self.max_event_rate.or(other.max_event_rate),
            max_event_bytes_rate: self.max_event_bytes_rate.or(other.max_event_bytes_rate),
            max_event: self.max_event.or(other.max_event),
            max_input: self.max_input.or(other.max_input),
            max_output: self.max_output.or(other.max_output),
            max_log: self.max_log.or(other.max_log),
            compile_memory: self.compile_memory.or(other.compile_memory),
            compile_time: self.compile_time.or(other.compile_time),
            compile_code: self.compile_code.or(other.compile_code),
            retention_age: self.retention_age.or(other.retention_age),
            retention_runs: self.retention_runs.or(other.retention_runs),
            retention_events_age: self.retention_events_age.or(other.retention_events_age),
            retention_delay: self.retention_delay.or(other.retention_delay),
            grants: self.grants.or(other.grants),
            max_files: self.max_files.or(other.max_files),
            cancel_grace: self.cancel_grace.or(other.cancel_grace),
            drain_grace: self.drain_grace.or(other.drain_grace),
            heartbeat: self.heartbeat.or(other.heartbeat),
            cors_origins: self.cors_origins.or(other.cors_origins),
            allowed_hosts: self.allowed_hosts.or(other.allowed_hosts),
            uploads: self.uploads.or(other.uploads),
            experimental_async: self.experimental_async.or(other.experimental_async),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
        }
    }

    /// The address to listen on. An address that other machines reach has to be
    /// asked for twice: there is no password.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let address = self.listen.unwrap_or_default();
        if !address.is_open() || self.open == Some(true) {
            return Ok(address.0);
        }
        Err(ConfigError::Value(format!(
            "{address} can be reached from other machines, and anyone who reaches it can start tasks; \
             listen on 127.0.0.1, or say --open if that is what you want"
        )))
    }

    /// The configuration that these settings and the defaults make.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let tasks = self.tasks.clone().unwrap_or_else(|| PathBuf::from("tasks"));
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from("data"));
        let default = Config::new(tasks, data);
        let bytes = |set: Option<ByteSize>, default: usize| {
            set.map_or(Ok(default), |size| usize::try_from(size.as_u64())).map_err(|_| {
                ConfigError::Value("a size is larger than this machine's memory can be".to_owned())
            })
        };
        values::check(self)?;
        let limits = Limits {
            memory_bytes: bytes(self.memory, default.limits.memory_bytes)?,
            deadline: self.deadline.map_or(default.limits.deadline, |time| time.0),
            cpu: self.cpu.map_or(default.limits.cpu, |time| time.0),
            events: self.max_events.or(default.limits.events),
            events_bytes: self.max_events_size.map(|size| size.as_u64()).or(default.limits.events_bytes),
            event_rate: self.max_event_rate.map(NonZeroU64::get).or(default.limits.event_rate),
            event_bytes_rate: self.max_event_bytes_rate.map(|rate| rate.as_u64()),
            input_bytes: bytes(self.max_input, default.limits.input_bytes)?,
            output_bytes: bytes(self.max_output, default.limits.output_bytes)?,
            event_bytes: bytes(self.max_event, default.limits.event_bytes)?,
            log_bytes: bytes(self.max_log, default.limits.log_bytes)?,
        };
        let size = |set: Option<ByteSize>, default: u64| set.map_or(default, |size| size.as_u64());
        let CompileLimits { memory_bytes, cpu_seconds, code_bytes } = default.compile_limits;
        let compile_time = bounded("compile-time", self.compile_time, Duration::from_secs(cpu_seconds))?;
        Ok(Config {
            compile_limits: CompileLimits {
                memory_bytes: size(self.compile_memory, memory_bytes),
                cpu_seconds: compile_time.as_secs().max(1),
                code_bytes: size(self.compile_code, code_bytes),
            },
            durability: match self.durability {
                None | Some(DurabilitySetting::Full) => Durability::Full,
                Some(DurabilitySetting::Normal) => Durability::Normal,
            },
            guest_threads: self.guest_threads.unwrap_or(default.guest_threads),
            max_running: self.max_running.unwrap_or(default.max_running),
            max_running_per_task: self.max_running_per_task.unwrap_or(default.max_running_per_task),
            max_queued: self.max_queued.unwrap_or(default.max_queued),
            grants: self.grants.clone().unwrap_or(default.grants),
            max_files_bytes: size(self.max_files, default.max_files_bytes),
            cancel_grace: bounded("cancel-grace", self.cancel_grace, default.cancel_grace)?,
            drain_grace: bounded("drain-grace", self.drain_grace, default.drain_grace)?,
            heartbeat: bounded("heartbeat", self.heartbeat, default.heartbeat)?,
            cors_origins: self.cors_origins.clone().unwrap_or_default(),
            allowed_hosts: self.allowed_hosts.clone().unwrap_or_default(),
            uploads: self.uploads.unwrap_or(default.uploads),
            experimental_async: self.experimental_async.unwrap_or(default.experimental_async),
            limits,
            retention_delay: bounded("retention-delay", self.retention_delay, default.retention_delay)?,
            retention: Retention {
                max_age: self.retention_age.and_then(|time| time.0),
                max_runs: self.retention_runs,
                events_max_age: self.retention_events_age.and_then(|time| time.0),
            },
            ..default
        })
    }
}

fn bounded(name: &str, set: Option<Time>, default: Duration) -> Result<Duration, ConfigError> {
    match set {
        None => Ok(default),
        Some(Time(Some(time))) => Ok(time),
        Some(Time(None)) => Err(ConfigError::Value(format!("{name} can't be `none`"))),
    }
}

#[cfg(test)]
mod tests;
