//! The table of settings. All else about a setting follows from its entry: flag, key in the file, environment variable,
//! help, default, check, reload, its place in [`Config`], and its row in `docs/settings.md`.
//!
//! An entry has a help text, a name and a type of `value.rs`, and these clauses, in this order, each of which may be
//! missing:
//!
//! - `flag`: the flag, if it is not the name.
//! - `value`: name of the value in the help, if it is not that of the type.
//! - `default`: the value of a setting that is not set. Without this clause there is no value then.
//! - `shown`: the default in the help, if it is not the text of the value.
//! - `check`: a check of a value that is set. There can be several.
//! - `reload`: whether a reload applies a change while the host runs. Without this clause a change needs a restart.
//! - `config`, `limits`, `compile_limits` or `retention`: the field of [`Config`], or of one of its parts, that has the
//!   value.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::checks::{are_origins, at_least, at_most, is_http_url, is_long_enough, not_zero};
use super::database::{SecretFile, SecretUrl};
use super::listen::ListenAddress;
use super::table::{Setting, settings};
use super::value::{Convert, Value};
use super::{Config, ConfigError, Durability, LogFormat};
use crate::engine::{CompileLimits, Limits};
use crate::model::{MAX_EVENT_BYTES, Retention, Time};
use crate::postgres::SchemaName;
use crate::registry::GrantKinds;

/// Most threads that execute guests. More than the cores of any machine, and few enough that starting them takes little
/// memory.
const MAX_GUEST_THREADS: usize = 1_024;
/// Most connections to a database for reads. More than any server has cores, and the default limit of a server.
const MAX_DATABASE_CONNECTIONS: usize = 100;
/// The shortest lease. It is renewed three times within its length, and a database that is busy answers after a second.
const MIN_LEASE: Duration = Duration::from_secs(3);
/// The least memory of a guest: one page of WebAssembly.
const MIN_MEMORY: ByteSize = ByteSize::kib(64);
/// The least memory for a compiler: the address space for the tables of one guest takes 160 MiB of it.
const MIN_COMPILE_MEMORY: ByteSize = ByteSize::mib(256);

settings! {
    /// The settings of `streamtask serve` from one source. None: not set there.
    #[derive(Clone, Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Settings;

    /// Address to listen on
    listen: ListenAddress {
        default: ListenAddress::default(),
    }
    /// Folder with the task files: NAME.wasm or APP/NAME.wasm
    tasks: PathBuf {
        default: PathBuf::from("tasks"),
        config: tasks,
    }
    /// Folder for the data of the host; created if missing
    data: PathBuf {
        default: PathBuf::from("data"),
        config: data,
    }
    /// Failures that a delivered event survives: `full` a power loss, `normal` a crash of the host
    durability: Durability {
        default: Durability::Full,
        config: durability,
    }
    /// PostgreSQL database that several hosts share, such as `postgres://USER:PASSWORD@HOST/DATABASE`
    database: SecretUrl {
        shown: "SQLite in the data folder",
        config: database,
    }
    /// File that contains the URL of the database, so that its password is in no flag or variable
    database_file: SecretFile {
        config: database_from_file,
    }
    /// Schema of the database with the tables; hosts with the same one are one system
    database_schema: String {
        value: "NAME",
        default: SchemaName::default().as_str().to_owned(),
        config: database_schema,
    }
    /// Connections to the database for reads; a host needs up to nine more
    database_connections: usize {
        default: 4,
        check: not_zero("nothing could be read"),
        check: at_most(MAX_DATABASE_CONNECTIONS),
        config: database_connections,
    }
    /// File with the certificates that are trusted for the database instead of the system's
    database_ca: PathBuf {
        value: "FILE",
        config: database_ca,
    }
    /// Time without a renewal of the lease after which other hosts take over the runs of this one
    lease: Time {
        default: seconds(15),
        check: is_long_enough(MIN_LEASE),
        config: lease,
    }
    /// Name of this host in lists of hosts, instead of that of the machine
    host_name: String {
        value: "NAME",
        config: host_name,
    }
    /// URL of this host in lists of hosts, such as `http://10.0.0.7:8080`
    advertise: String {
        value: "URL",
        check: is_http_url,
        config: advertise,
    }
    /// Allow to listen on an address that other machines can reach; anyone who reaches it can start tasks
    open: bool {}
    /// Most concurrent runs
    max_running: u32 {
        default: 1_000,
        check: not_zero("no run would ever start"),
        config: max_running,
    }
    /// Most concurrent runs of one task
    max_running_per_task: u32 {
        default: u32::MAX,
        shown: "no separate limit",
        check: not_zero("no run would ever start"),
        config: max_running_per_task,
    }
    /// Most queued runs
    max_queued: u64 {
        default: 100_000,
        check: not_zero("no run could be started"),
        config: max_queued,
    }
    /// Threads that execute guests
    guest_threads: usize {
        default: std::thread::available_parallelism().map_or(2, usize::from),
        shown: "one per core",
        check: not_zero("no run would make progress"),
        check: at_most(MAX_GUEST_THREADS),
        config: guest_threads,
    }
    /// Most memory of one run, including its tables
    memory: ByteSize {
        default: ByteSize::mib(256),
        check: at_least(MIN_MEMORY, "no task can run with less"),
        limits: memory_bytes,
    }
    /// Most time for one attempt, such as `90s` or `2h`, or `none`
    deadline: Time {
        default: seconds(24 * 60 * 60),
        check: not_zero("every run would fail; use `none` for no limit"),
        limits: deadline,
    }
    /// Most CPU time for one attempt, or `none`
    cpu: Time {
        default: Time(None),
        check: not_zero("every run would fail; use `none` for no limit"),
        limits: cpu,
    }
    /// Most events of one attempt
    max_events: u64 {
        shown: "no limit",
        limits: events,
    }
    /// Most data in all events of one attempt
    max_events_size: ByteSize {
        shown: "no limit",
        limits: events_bytes,
    }
    /// Most events per second of one run; a faster run is slowed down
    max_event_rate: NonZeroU64 {
        shown: "no limit",
        limits: event_rate,
    }
    /// Most event data per second of one run; a faster run is slowed down
    max_event_bytes_rate: ByteSize {
        shown: "no limit",
        check: not_zero("no event could be sent"),
        limits: event_bytes_rate,
    }
    /// Most data in one event
    max_event: ByteSize {
        default: ByteSize(MAX_EVENT_BYTES as u64),
        check: not_zero("no event could be sent"),
        limits: event_bytes,
    }
    /// Largest input of a run
    max_input: ByteSize {
        default: ByteSize::mib(1),
        check: not_zero("no run could be started"),
        limits: input_bytes,
    }
    /// Largest result of a run
    max_output: ByteSize {
        default: ByteSize::mib(1),
        check: not_zero("no run could return a result"),
        limits: output_bytes,
    }
    /// Most printed output of one attempt that is logged
    max_log: ByteSize {
        default: ByteSize::mib(1),
        limits: log_bytes,
    }
    /// Most memory to compile one task file
    compile_memory: ByteSize {
        default: ByteSize(CompileLimits::default().memory_bytes),
        check: at_least(MIN_COMPILE_MEMORY, "no task could be loaded"),
        compile_limits: memory_bytes,
    }
    /// Most CPU time to compile one task file, over all cores
    compile_time: Time {
        default: Time(Some(CompileLimits::default().cpu)),
        shown: "120s",
        check: not_zero("no task could be loaded"),
        compile_limits: cpu,
    }
    /// Most machine code generated for one task file
    compile_code: ByteSize {
        default: ByteSize(CompileLimits::default().code_bytes),
        check: not_zero("no task could be loaded"),
        compile_limits: code_bytes,
    }
    /// How long ended runs are kept, such as `30d`; manifests can override it
    retention_age: Time {
        default: Time(None),
        shown: "forever",
        retention: max_age,
    }
    /// How many ended runs of each task are kept; manifests can override it
    retention_runs: u64 {
        shown: "all",
        retention: max_runs,
    }
    /// How long the events of ended runs are kept; the runs themselves stay
    retention_events_age: Time {
        default: Time(None),
        shown: "as long as the run",
        retention: events_max_age,
    }
    /// How long stricter retention limits must stay unchanged before they take effect
    retention_delay: Time {
        default: seconds(5 * 60),
        config: retention_delay,
    }
    /// Kinds of grants that manifests may use, separated by commas: `env`, `files`, `http`, `private`, `secrets`,
    /// `folders`; or `all`, or `none`
    grants: GrantKinds {
        default: GrantKinds::default(),
        config: grants,
    }
    /// Most data in output files that a manifest may grant to one attempt
    max_files: ByteSize {
        default: ByteSize::gib(1),
        config: max_files_bytes,
    }
    /// Time from a cancel request until the run is ended by force
    cancel_grace: Time {
        default: seconds(5),
        config: cancel_grace,
    }
    /// Time that runs have to end by themselves when the host stops
    drain_grace: Time {
        default: seconds(10),
        config: drain_grace,
    }
    /// Idle time after which a stream sends a heartbeat
    heartbeat: Time {
        default: seconds(15),
        reload: true,
        config: heartbeat,
    }
    /// Origin whose pages may call the host, such as `https://example.com`, or `*`; can be repeated
    cors_origins: Vec<String> {
        flag: "cors-origin",
        value: "ORIGIN",
        default: Vec::new(),
        check: are_origins,
        reload: true,
        config: cors_origins,
    }
    /// Host name besides localhost under which clients may call the host, or `*`; can be repeated
    allowed_hosts: Vec<String> {
        flag: "allowed-host",
        value: "NAME",
        default: Vec::new(),
        reload: true,
        config: allowed_hosts,
    }
    /// Let clients upload and delete task files
    uploads: bool {
        default: false,
        reload: true,
        config: uploads,
    }
    /// Also load async tasks, whose contract (wit/async) may change in any release
    experimental_async: bool {
        default: false,
        config: experimental_async,
    }
    /// Format of the log
    log_format: LogFormat {
        default: LogFormat::Text,
    }
    /// Filter of the log, such as `info`, `debug` or `streamtask_host=debug,info`
    log: String {
        value: "FILTER",
        default: "info".to_owned(),
        reload: true,
    }
}

fn seconds(seconds: u64) -> Time {
    Time(Some(Duration::from_secs(seconds)))
}

impl Settings {
    /// The address to listen on. There is no authentication, so an address that other machines can reach is accepted
    /// only with `open`.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let address = self.listen();
        if !address.is_open() || self.open == Some(true) {
            return Ok(address.0);
        }
        Err(ConfigError::Value(format!(
            "other machines can reach {address}, and anyone who reaches it can start tasks; \
             listen on 127.0.0.1, or pass --open to allow this"
        )))
    }

    fn converted<T: Convert<U>, U>(id: &str, value: T) -> Result<U, ConfigError> {
        value.convert().map_err(|fault| Self::fault(id, &fault))
    }

    /// The error of a faulty value of the setting with this id.
    fn fault(id: &str, fault: &str) -> ConfigError {
        let setting = Self::table().iter().find(|setting| setting.id == id);
        ConfigError::Value(format!("{} {fault}", setting.map_or(id, |setting| &setting.flag)))
    }
}

impl clap::Args for Settings {
    fn group_id() -> Option<clap::Id> {
        Some("Settings".into())
    }

    fn augment_args(command: clap::Command) -> clap::Command {
        let group = clap::ArgGroup::new("Settings").multiple(true);
        let command = command.group(group.args(Self::table().iter().map(|setting| setting.id)));
        command.args(Self::table().iter().map(Setting::argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}
