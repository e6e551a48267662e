//! The settings of a host, with their defaults.
//!
//! A setting comes from a flag, else from the environment (`STREAMTASK_…`), else from `streamtask.toml`, else from the
//! default. [`Settings`] is the one list of flags, variables and keys of the file; [`Config`] is the complete
//! configuration that results.

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

pub use listen::ListenAddress;
pub use reload::Reloaded;

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

/// Defines [`Settings`], and the functions that need all of its fields.
macro_rules! settings {
    (
        $(#[$($attribute:tt)*])*
        pub struct $name:ident {
            $($(#[$($field_attribute:tt)*])* pub $field:ident: Option<$type:ty>,)*
        }
    ) => {
        $(#[$($attribute)*])*
        pub struct $name {
            $($(#[$($field_attribute)*])* pub $field: Option<$type>,)*
        }

        impl $name {
            /// These settings, completed by those of `other`.
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }

            /// The names of the settings that differ.
            fn differing(&self, other: &Self) -> Vec<String> {
                let fields = [$((stringify!($field), self.$field != other.$field)),*];
                let differing = fields.into_iter().filter(|(_, differs)| *differs);
                differing.map(|(name, _)| name.replace('_', "-")).collect()
            }
        }
    };
}

settings! {
/// The settings of `streamtask serve` from one source. None: not set there.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", env = "STREAMTASK_LISTEN")]
    pub listen: Option<ListenAddress>,
    /// Folder with the task files: NAME.wasm or APP/NAME.wasm [default: tasks]
    #[arg(long, value_name = "DIR", env = "STREAMTASK_TASKS")]
    pub tasks: Option<PathBuf>,
    /// Folder for the data of the host; created if missing [default: data]
    #[arg(long, value_name = "DIR", env = "STREAMTASK_DATA")]
    pub data: Option<PathBuf>,
    /// Failures that a delivered event survives: `full` a power loss, `normal` a crash of the host
    /// [default: full]
    #[arg(long, env = "STREAMTASK_DURABILITY")]
    pub durability: Option<Durability>,
    /// Allow to listen on an address that other machines can reach; anyone who reaches it can start tasks
    #[arg(long, env = "STREAMTASK_OPEN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub open: Option<bool>,
    /// Most concurrent runs [default: 1000]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_RUNNING")]
    pub max_running: Option<u32>,
    /// Most concurrent runs of one task [default: no separate limit]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_RUNNING_PER_TASK")]
    pub max_running_per_task: Option<u32>,
    /// Most queued runs [default: 100000]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_QUEUED")]
    pub max_queued: Option<u64>,
    /// Threads that execute guests [default: one per core]
    #[arg(long, value_name = "N", env = "STREAMTASK_GUEST_THREADS")]
    pub guest_threads: Option<usize>,
    /// Most memory of one run, including its tables [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MEMORY")]
    pub memory: Option<ByteSize>,
    /// Most time for one attempt, such as `90s` or `2h`, or `none` [default: 24h]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_DEADLINE")]
    pub deadline: Option<Time>,
    /// Most CPU time for one attempt, or `none` [default: none]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_CPU")]
    pub cpu: Option<Time>,
    /// Most events of one attempt [default: no limit]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_EVENTS")]
    pub max_events: Option<u64>,
    /// Most data in all events of one attempt [default: no limit]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENTS_SIZE")]
    pub max_events_size: Option<ByteSize>,
    /// Most events per second of one run; a faster run is slowed down [default: no limit]
    #[arg(long, value_name = "N", env = "STREAMTASK_MAX_EVENT_RATE")]
    pub max_event_rate: Option<NonZeroU64>,
    /// Most event data per second of one run; a faster run is slowed down [default: no limit]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENT_BYTES_RATE")]
    pub max_event_bytes_rate: Option<ByteSize>,
    /// Most data in one event [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_EVENT")]
    pub max_event: Option<ByteSize>,
    /// Largest input of a run [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_INPUT")]
    pub max_input: Option<ByteSize>,
    /// Largest result of a run [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_OUTPUT")]
    pub max_output: Option<ByteSize>,
    /// Most printed output of one attempt that is logged [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_LOG")]
    pub max_log: Option<ByteSize>,
    /// Most memory to compile one task file [default: 4GiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_COMPILE_MEMORY")]
    pub compile_memory: Option<ByteSize>,
    /// Most CPU time to compile one task file, over all cores [default: 120s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_COMPILE_TIME")]
    pub compile_time: Option<Time>,
    /// Most machine code generated for one task file [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_COMPILE_CODE")]
    pub compile_code: Option<ByteSize>,
    /// How long ended runs are kept, such as `30d`; manifests can override it [default: forever]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_AGE")]
    pub retention_age: Option<Time>,
    /// How many ended runs of each task are kept; manifests can override it [default: all]
    #[arg(long, value_name = "N", env = "STREAMTASK_RETENTION_RUNS")]
    pub retention_runs: Option<u64>,
    /// How long the events of ended runs are kept; the runs themselves stay [default: as long as the run]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_EVENTS_AGE")]
    pub retention_events_age: Option<Time>,
    /// How long stricter retention limits must stay unchanged before they take effect [default: 5m]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_RETENTION_DELAY")]
    pub retention_delay: Option<Time>,
    /// Kinds of grants that manifests may use, separated by commas: `env`, `files`, `http`, `private`, `secrets`,
    /// `folders`; or `all`, or `none` [default: env,files]
    #[arg(long, value_name = "KINDS", env = "STREAMTASK_GRANTS")]
    pub grants: Option<GrantKinds>,
    /// Most data in output files that a manifest may grant to one attempt [default: 1GiB]
    #[arg(long, value_name = "SIZE", env = "STREAMTASK_MAX_FILES")]
    pub max_files: Option<ByteSize>,
    /// Time from a cancel request until the run is ended by force [default: 5s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_CANCEL_GRACE")]
    pub cancel_grace: Option<Time>,
    /// Time that runs have to end by themselves when the host stops [default: 10s]
    #[arg(long, value_name = "TIME", env = "STREAMTASK_DRAIN_GRACE")]
    pub drain_grace: Option<Time>,
    /// Idle time after which a stream sends a heartbeat [default: 15s]
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
    /// Host name besides localhost under which clients may call the host, or `*`; can be repeated
    #[arg(
        long = "allowed-host",
        value_name = "NAME",
        env = "STREAMTASK_ALLOWED_HOSTS",
        value_delimiter = ','
    )]
    pub allowed_hosts: Option<Vec<String>>,
    /// Let clients upload and delete task files [default: false]
    #[arg(long, env = "STREAMTASK_UPLOADS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub uploads: Option<bool>,
    /// Also load async tasks, whose contract (wit/async) may change in any release [default: false]
    #[arg(
        long,
        env = "STREAMTASK_EXPERIMENTAL_ASYNC",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub experimental_async: Option<bool>,
    /// Format of the log [default: text]
    #[arg(long, env = "STREAMTASK_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Filter of the log, such as `info`, `debug` or `streamtask_host=debug,info` [default: info]
    #[arg(long, value_name = "FILTER", env = "STREAMTASK_LOG")]
    pub log: Option<String>,
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
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
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
            message: error.to_string().trim().to_owned(),
        })
    }

    /// The address to listen on. There is no authentication, so an address that other machines can reach is accepted
    /// only with `open`.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let address = self.listen.unwrap_or_default();
        if !address.is_open() || self.open == Some(true) {
            return Ok(address.0);
        }
        Err(ConfigError::Value(format!(
            "other machines can reach {address}, and anyone who reaches it can start tasks; \
             listen on 127.0.0.1, or pass --open to allow this"
        )))
    }

    /// The complete configuration: these settings and the defaults.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let tasks = self.tasks.clone().unwrap_or_else(|| PathBuf::from("tasks"));
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from("data"));
        let default = Config::new(tasks, data);
        let bytes = |set: Option<ByteSize>, default: usize| {
            set.map_or(Ok(default), |size| usize::try_from(size.as_u64())).map_err(|_| {
                ConfigError::Value("a size exceeds the address space of this machine".to_owned())
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
            durability: self.durability.unwrap_or(default.durability),
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
