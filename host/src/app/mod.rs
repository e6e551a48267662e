//! A complete host: starts all rooms, and stops them in order.
//!
//! [`Host`] is the entry point of the binary, of the tests, and of programs that embed a host.
//!
//! ```
//! use streamtask_host::{Config, Followed, Host, Json, Position, Request, StartError, TaskRef};
//! # use tokio::sync::oneshot;
//!
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::create_dir(folder.path().join("tasks"))?;
//! # let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let (shutdown, stopping) = oneshot::channel::<()>();
//! let host = Host::launch(Config::new(tasks, data), listener, async { drop(stopping.await) }).await?;
//! let handle = host.handle();
//! handle.loaded().await;
//!
//! let request = Request::new(TaskRef::parse("demo", "counter")?, Json::parse(r#"{"steps":3}"#)?);
//! match handle.start(request).await {
//!     Ok(started) => {
//!         // All events live, from the first one to the terminal one.
//!         let follow = handle.follow(&started.run.key.id, Position::After(0)).await?;
//!         let mut follow = follow.expect("the run was started");
//!         while let Some(Followed::Event(event)) = follow.next().await? {
//!             println!("{} {}", event.seq, event.what.event_type.as_str());
//!         }
//!     }
//!     Err(StartError::NoTask(task)) => println!("put {task}.wasm into the tasks folder"),
//!     Err(error) => return Err(error.into()),
//! }
//!
//! shutdown.send(()).expect("the host runs");
//! host.stopped().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Host::builder`] accepts the storage and the notifier of the embedding program, in place of SQLite in the data folder
//! and of wake-ups within the process:
//!
//! ```
//! use std::sync::Arc;
//! use streamtask_host::{Config, Host};
//! use streamtask_host::notifier::LocalNotifier;
//! use streamtask_host::storage::Durability;
//! use streamtask_host::storage::sqlite::Sqlite;
//!
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (tasks, data, fast) = (folder.path().join("tasks"), folder.path().join("data"), folder.path().join("fast"));
//! # std::fs::create_dir(&tasks)?;
//! # std::fs::create_dir(&fast)?;
//! // On a disk of its own.
//! let storage = Arc::new(Sqlite::open(&fast, Durability::Full)?);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let host = Host::builder(Config::new(tasks, data))
//!     .storage(storage)
//!     .notifier(Arc::new(LocalNotifier::new()))
//!     .launch(listener, async {})
//!     .await?;
//! host.stopped().await?;
//! # assert!(fast.join("streamtask.db").exists());
//! # Ok(())
//! # }
//! ```
//!
//! A program that embeds a host must handle `SIGXFSZ`, like the binary. Otherwise the system kills the process when a
//! file would exceed the limit of its size (`ulimit -f`); with a handler, the host treats this like a full disk.

mod builder;
pub mod check;
mod control;
mod handle;
mod machine;
mod program;
mod shared_database;
pub mod single;

use std::error::Error;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError, Durability, ListenAddress};
use crate::engine::{self, Allocation, Engine};
pub(crate) use crate::engine::{COMPILE, CompileLimits, compile_process};
use crate::event_log::EventLog;
use crate::files::Files;
use crate::http::{self, Api};
use crate::notifier::LocalNotifier;
use crate::process::{
    Heartbeat, Liveness, Reserve, can_start, is_writable_by_others, make_private_folder, spawn_blocking,
};
use crate::registry::{Ceilings, FolderError, GrantPolicy, Registry};
use crate::retention::Pruner;
use crate::scheduler::{self, Parts, Scheduler};
use crate::storage::sqlite::{OpenError, Sqlite};
use crate::storage::{self, Storage, StorageError};

pub use builder::Builder;
pub use control::{Reloader, StopStage};
pub use handle::{Follow, Followed, Handle, Retried};
pub(crate) use machine::{Bound, DatabaseState, RESERVE_BYTES, Room, database, database_files, room};
pub(crate) use program::own_program;
pub use shared_database::{Migration, migrate};

use self::builder::Backend;

/// Time that connections have to close after all runs have ended: enough to send the remaining data.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Longest wait for the current step of the removal of old runs, which takes some milliseconds.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);

/// Threads that a host must be able to start later: for notifications of the tasks folder, a scan of it, a load, and a
/// read of the database. With fewer, it would start but stall at times.
const SPARE_THREADS: usize = 4;

/// Address space in bytes that must be free before a host starts: for its threads, the caches of the database, a guest,
/// and a compiler of the same size. A process without free address space aborts.
const START_BYTES: usize = 256 << 20;
/// Address space in bytes that must be free after the start: for the caches of the database and a guest.
const SPARE_BYTES: usize = 96 << 20;

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The data folder can't be created.
    #[error("can't use the data folder {path}: {source}", path = path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The database can't be opened.
    #[error("can't open the database in {path}: {source}", path = path.display())]
    Database {
        /// The data folder.
        path: PathBuf,
        /// The error of the database.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database that several hosts share can't be used.
    #[error("can't use the database {url}: {source}")]
    SharedDatabase {
        /// Where it is, without the password.
        url: String,
        /// The error of the database.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tasks folder can't be read.
    #[error(transparent)]
    Tasks(#[from] FolderError),
    /// This machine can't execute guests.
    #[error("can't set up the engine: {0}")]
    Engine(#[from] engine::SetupError),
    /// The database failed while the host started.
    #[error("the database failed: {0}")]
    Storage(#[from] StorageError),
    /// The system allows too few threads.
    #[error("can't start threads: {0}")]
    Threads(#[source] std::io::Error),
    /// The system allows too little address space.
    #[error(
        "the system leaves less than {mib} MiB of address space; raise the memory limit (ulimit -v, ulimit -d)",
        mib = .0 >> 20
    )]
    Memory(usize),
    /// The listener has no address.
    #[error("can't use the listener: {0}")]
    Listener(#[source] std::io::Error),
}

/// The host stopped because of a bug. The next start repairs what it left unfinished.
#[derive(Debug, thiserror::Error)]
#[error("the host failed; the log has the reason, and the next start repairs the rest")]
pub struct Panicked;

/// A running host.
pub struct Host {
    handle: Handle,
    address: SocketAddr,
    api: Arc<Api>,
    stage: StopStage,
    serving: JoinHandle<()>,
}

impl Host {
    /// Starts a host on `listener`. When `shutdown` is ready, the host stops in order, and then
    /// [`stopped`](Self::stopped) returns.
    pub async fn launch(
        config: Config,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, LaunchError> {
        Self::builder(config).launch(listener, shutdown).await
    }

    /// Prepares a host that has storage or a notifier of the embedding program.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// The address on which the host listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle to start, follow and cancel runs within this process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The progress of a shutdown.
    pub fn stop_stage(&self) -> StopStage {
        self.stage.clone()
    }

    /// The handle to change settings of the running host.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.api))
    }

    /// Waits until the host has stopped: all runs have ended or returned to the queue, and all streams and the database
    /// are closed. An error means that the host failed instead.
    pub async fn stopped(self) -> Result<(), Panicked> {
        self.serving.await.map_err(|_| Panicked)
    }
}

/// The rooms that open files.
struct Foundation {
    storage: Arc<dyn Storage>,
    /// Heartbeat of the thread that writes to the database, if the storage is the host's own.
    writing: Option<Arc<Heartbeat>>,
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    files: Arc<Files>,
}

/// The blocking part of a start: opens files and reserves address space.
fn open(config: &Config, storage: Option<Arc<dyn Storage>>) -> Result<Foundation, LaunchError> {
    let failed = |source| LaunchError::Data { path: config.data.clone(), source };
    make_private_folder(&config.data).map_err(failed)?;
    warn_of_open_folders(config);
    let (storage, writing) = match storage {
        Some(storage) => (storage, None),
        None => {
            let sqlite = open_sqlite(config)?;
            let writing = sqlite.heartbeat();
            (Arc::new(sqlite) as Arc<dyn Storage>, Some(writing))
        }
    };
    let engine = Arc::new(Engine::new(&machine::engine_config(config))?);
    let grants = GrantPolicy {
        kinds: config.grants.clone(),
        max_files_bytes: config.max_files_bytes,
        data: config.data.clone(),
        tasks: config.tasks.clone(),
    };
    let ceilings = Ceilings { limits: config.limits, grants };
    let (only, sharing) = (config.only.as_deref(), Arc::clone(&engine));
    let registry = Registry::open(&config.tasks, only, sharing, ceilings, config.retention)?;
    let files = Arc::new(Files::new(config.data.join("files")));
    Ok(Foundation { writing, storage, engine, registry, files })
}

fn open_sqlite(config: &Config) -> Result<Sqlite, LaunchError> {
    let durability = match config.durability {
        Durability::Full => storage::Durability::Full,
        Durability::Normal => storage::Durability::Normal,
    };
    let failed = |error: OpenError| LaunchError::Database { path: config.data.clone(), source: error.into() };
    // The data of a single run is mostly temporary, so it gets no disk reserve.
    let open = if config.only.is_some() { Sqlite::open } else { Sqlite::open_with_reserve };
    open(&config.data, durability).map_err(failed)
}

/// Warns if other users can write to the folders of the host.
fn warn_of_open_folders(config: &Config) {
    let writable = |path: &Path| fs::metadata(path).is_ok_and(|metadata| is_writable_by_others(&metadata));
    if writable(&config.data) {
        let path = config.data.display();
        tracing::warn!(%path, "other users can write to the data folder, and so change the data of all runs");
    }
    if writable(&config.tasks) {
        let path = config.tasks.display();
        tracing::warn!(%path, "other users can write to the tasks folder, and so execute any code in this host");
    }
}

/// Opens the files of a host, if the system has the memory and the threads that a host takes.
async fn open_within_limits(
    config: &Config,
    storage: Option<Arc<dyn Storage>>,
) -> Result<Foundation, LaunchError> {
    let config = config.clone();
    Reserve::new(START_BYTES).ok_or(LaunchError::Memory(START_BYTES))?;
    can_start(1).map_err(LaunchError::Threads)?;
    // Blocks on the disk, for a long time if an old database has to be migrated.
    let opened = spawn_blocking(move || open(&config, storage)).map_err(LaunchError::Threads)?.await;
    let foundation = opened.expect("opening does not panic")?;
    can_start(SPARE_THREADS).map_err(LaunchError::Threads)?;
    Reserve::new(SPARE_BYTES).ok_or(LaunchError::Memory(SPARE_BYTES))?;
    Ok(foundation)
}

/// The loops of a host, of which none may get stuck.
fn liveness(
    accepting: &Arc<Heartbeat>,
    scheduler: &Scheduler,
    registry: &Registry,
    writing: Option<Arc<Heartbeat>>,
) -> Liveness {
    let mut heartbeats = vec![
        ("http-listener", Arc::clone(accepting)),
        ("scheduler", scheduler.heartbeat()),
        ("folder-watcher", registry.heartbeat()),
    ];
    heartbeats.extend(writing.map(|writing| ("storage-writer", writing)));
    Liveness::new(heartbeats)
}

/// All rooms of a host.
struct Rooms {
    config: Config,
    api: Arc<Api>,
    registry: Arc<Registry>,
    scheduler: Arc<Scheduler>,
    pruner: Arc<Pruner>,
    storage: Arc<dyn Storage>,
    log: Arc<EventLog>,
    stage: StopStage,
}

impl Rooms {
    /// Starts the rooms of a host. `address`: where it listens, if it does.
    async fn build(
        config: Config,
        backend: Backend,
        address: Option<SocketAddr>,
    ) -> Result<Self, LaunchError> {
        let (backend, sharing) = shared_database::open(&config, backend).await?;
        let Foundation { storage, writing, engine, registry, files } =
            open_within_limits(&config, backend.storage).await?;
        warn_of_limits(engine.allocation(), config.max_running);
        let notifier = backend.notifier.unwrap_or_else(|| Arc::new(LocalNotifier::new()));
        let log = EventLog::new(Arc::clone(&storage), Arc::clone(&notifier));
        let scheduling = scheduler::Config {
            max_running: config.max_running,
            max_running_per_task: config.max_running_per_task,
            max_queued: config.max_queued,
            cancel_grace: config.cancel_grace,
            sharing,
        };
        let parts = Parts {
            storage: Arc::clone(&storage),
            notifier: Arc::clone(&notifier),
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            engine,
            files: Arc::clone(&files),
        };
        let scheduler = Scheduler::start(scheduling, parts).await?;
        let accepting = Arc::<Heartbeat>::default();
        let liveness = liveness(&accepting, &scheduler, &registry, writing);
        let pruner = Pruner::start(
            Arc::clone(&storage),
            Arc::clone(&registry),
            Arc::clone(&log),
            Arc::clone(&files),
            config.retention_delay,
            scheduler.shared_host(),
        );
        let api = Arc::new(Api {
            config: RwLock::new(Arc::new(control::http_config(&config))),
            liveness,
            accepting,
            registry: Arc::clone(&registry),
            scheduler: Arc::clone(&scheduler),
            pruner: Arc::clone(&pruner),
            log: Arc::clone(&log),
            storage: Arc::clone(&storage),
            files,
            stopping: CancellationToken::new(),
            stream_ends: http::StreamEnds::default(),
            loopback: address.is_none_or(|address| !ListenAddress(address).is_open()),
            notifier: Arc::clone(&notifier),
            presence: Arc::default(),
            shared_host: Box::new(scheduler.shared_host()),
            windows: http::Windows::default(),
            list_reads: http::ListReads::default(),
            progress: http::ProgressCache::default(),
            body_budget: http::BodyBudget::default(),
            uploads: http::Uploads::default(),
            websockets: TaskTracker::new(),
        });
        Ok(Self { config, api, registry, scheduler, pruner, storage, log, stage: StopStage::new() })
    }

    fn handle(&self) -> Handle {
        Handle {
            registry: Arc::clone(&self.registry),
            scheduler: Arc::clone(&self.scheduler),
            pruner: Arc::clone(&self.pruner),
            storage: Arc::clone(&self.storage),
            log: Arc::clone(&self.log),
        }
    }

    /// Serves until `shutdown`, then stops the rooms from the top: no new run starts, runs end, streams end,
    /// connections close, storage closes. Each step needs the rooms below it.
    async fn serve(self, listener: Option<TcpListener>, shutdown: impl Future<Output = ()> + Send + 'static) {
        let stop_watching = CancellationToken::new();
        let watching = tokio::spawn(Arc::clone(&self.registry).watch(stop_watching.clone()));
        let stop_serving = CancellationToken::new();
        let serving = listener.map(|listener| {
            tokio::spawn(http::serve(listener, Arc::clone(&self.api), stop_serving.clone(), CLOSE_GRACE))
        });
        shutdown.await;
        tracing::info!("stopping");
        self.api.stopping.cancel();
        self.stage.set("the removal of old runs");
        if timeout(REMOVAL_GRACE, self.pruner.stop()).await.is_err() {
            tracing::error!("the removal of old runs is blocked by the disk; the next start continues it");
        }
        self.stage.set("runs");
        self.scheduler.drain(self.config.drain_grace).await;
        self.stage.set("connections");
        self.api.stream_ends.begin();
        stop_serving.cancel();
        if let Some(serving) = serving {
            let _ = serving.await;
        }
        self.stage.set("the tasks folder");
        stop_watching.cancel();
        let _ = watching.await;
        self.stage.set("the database");
        self.storage.close().await;
        tracing::info!("stopped");
    }
}

/// Warns if the machine allows less than the configuration asks for.
fn warn_of_limits(allocation: &Allocation, wanted: u32) {
    let Room { runs: possible, bound, no_pool } = Room::of(allocation, wanted);
    if let Some(reason) = no_pool {
        tracing::warn!(reason, "no memory pool for guests; each run starts a little slower");
    }
    match bound {
        Some(Bound::Mappings) => tracing::warn!(
            possible,
            wanted,
            "this system allows fewer concurrent runs; raise vm.max_map_count for more"
        ),
        Some(Bound::AddressSpace) => tracing::warn!(
            possible,
            wanted,
            "the address space allows fewer concurrent runs; raise its limit (ulimit -v) for more"
        ),
        None => {}
    }
}
