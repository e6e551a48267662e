//! How the rooms are put together, and in which order they are taken down.
//!
//! [`Host`] is the one door: the binary, the tests and programs that embed a
//! host all come in here.
//!
//! ```
//! use streamtask_host::app::{Followed, Host};
//! use streamtask_host::config::Config;
//! use streamtask_host::event_log::Position;
//! use streamtask_host::model::{Json, TaskRef};
//! use streamtask_host::scheduler::{Request, StartError};
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
//!         // From the first event to the terminal one, live.
//!         let follow = handle.follow(&started.run.key.id, Position::After(0)).await?;
//!         let mut follow = follow.expect("it was started");
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
//! [`Host::builder`] takes storage and a notifier of the embedding program in place of SQLite and of notices within the
//! process:
//!
//! ```
//! use std::sync::Arc;
//! use streamtask_host::app::Host;
//! use streamtask_host::config::Config;
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
//! A program that embeds a host handles `SIGXFSZ`, as the binary does: unhandled, it ends the process where a file
//! would exceed a limit of its size (`ulimit -f`), and the host has no chance to take that for a full disk.

mod builder;
pub mod check;
mod control;
mod handle;
mod program;
pub mod single;

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

use crate::config::{Config, ListenAddress};
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
use crate::scheduler::{self, Capacity, Parts, Scheduler};
use crate::storage::sqlite::{OpenError, Sqlite};
use crate::storage::{Storage, StorageError};

pub use builder::Builder;
pub use control::{Reloader, StopStage};
pub use handle::{Follow, Followed, Handle, Retried};
pub(crate) use program::own_program;

use self::builder::Backend;

/// Time that open connections have when every run is over: enough to carry off
/// what is on its way.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Longest wait for a step of the removal of old runs that is under way: one takes some milliseconds.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);

/// Threads that a host must be able to have beside those that it starts with: for notices of the tasks folder,
/// for a look at it, a load, and a read of the database. With fewer it would serve, and stand still at times.
const SPARE_THREADS: usize = 4;

/// Addresses that a host must be able to take before it starts: for its threads, the database's caches, a guest, and
/// a compiler of its own size. When there are none left, the process is aborted.
const START_BYTES: usize = 256 << 20;
/// The same, beside those that it starts with: for the database's caches and a guest.
const SPARE_BYTES: usize = 96 << 20;

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The data folder can't be made.
    #[error("can't use the data folder {path}: {source}", path = path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database can't be opened.
    #[error("can't open the database in {path}: {source}", path = path.display())]
    Database {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The tasks folder can't be read.
    #[error(transparent)]
    Tasks(#[from] FolderError),
    /// Guests can't be executed on this machine.
    #[error("can't set up the engine: {0}")]
    Engine(#[from] engine::SetupError),
    /// The database failed while the host started.
    #[error("the database failed: {0}")]
    Storage(#[from] StorageError),
    /// The system has too few threads for a host.
    #[error("can't start threads: {0}")]
    Threads(#[source] std::io::Error),
    /// The system gives too little memory for a host.
    #[error(
        "the system leaves less than {mib} MiB of addresses to work with; raise the limit of memory (ulimit -v, ulimit -d)",
        mib = .0 >> 20
    )]
    Memory(usize),
    /// The listener has no address.
    #[error("can't use the listener: {0}")]
    Listener(#[source] std::io::Error),
}

/// The host ended by a fault of its own: what it could not settle, the next start does.
#[derive(Debug, thiserror::Error)]
#[error("the host failed; the log says where, and the next start settles what is left")]
pub struct Panicked;

/// A host that serves.
pub struct Host {
    handle: Handle,
    address: SocketAddr,
    api: Arc<Api>,
    stage: StopStage,
    serving: JoinHandle<()>,
}

impl Host {
    /// Starts a host on `listener`. It stops in order when `shutdown` is ready;
    /// then [`stopped`](Self::stopped) returns.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts, follows and cancels runs from within this process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What a stop has still to wait for.
    pub fn stop_stage(&self) -> StopStage {
        self.stage.clone()
    }

    /// Changes what can be changed while the host serves.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.api))
    }

    /// Waits until the host has stopped: every run ended or put back, every stream
    /// closed, the database closed. An error says that this did not happen.
    pub async fn stopped(self) -> Result<(), Panicked> {
        self.serving.await.map_err(|_| Panicked)
    }
}

/// The rooms that open files, which blocks.
struct Foundation {
    storage: Arc<dyn Storage>,
    /// Of the thread that writes, if the storage is the host's own.
    writing: Option<Arc<Heartbeat>>,
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    files: Arc<Files>,
}

/// What blocks: opening files, and reserving address space.
fn open(config: &Config, storage: Option<Arc<dyn Storage>>) -> Result<Foundation, LaunchError> {
    let failed = |source| LaunchError::Data { path: config.data.clone(), source };
    make_private_folder(&config.data).map_err(failed)?;
    warn_of_others(config);
    let (storage, writing) = match storage {
        Some(storage) => (storage, None),
        None => open_sqlite(config)?,
    };
    let engine = Arc::new(Engine::new(&engine::Config {
        cache: config.cache.clone().unwrap_or_else(|| config.data.join("cache")),
        max_instances: Capacity::guests(config.max_running),
        threads: config.guest_threads,
        compiler: config.compiler.clone(),
        compile_limits: config.compile_limits,
        async_world: config.experimental_async,
        memory_bytes: config.limits.memory_bytes,
    })?);
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

fn open_sqlite(config: &Config) -> Result<(Arc<dyn Storage>, Option<Arc<Heartbeat>>), LaunchError> {
    // The data of a single file's run is mostly gone with it.
    let open = if config.only.is_some() { Sqlite::open } else { Sqlite::open_with_reserve };
    let sqlite = open(&config.data, config.durability)
        .map_err(|source| LaunchError::Database { path: config.data.clone(), source })?;
    let writing = sqlite.heartbeat();
    Ok((Arc::new(sqlite), Some(writing)))
}

/// Says who else can do what the host's owner can.
fn warn_of_others(config: &Config) {
    let writable = |path: &Path| fs::metadata(path).is_ok_and(|metadata| is_writable_by_others(&metadata));
    if writable(&config.data) {
        let path = config.data.display();
        tracing::warn!(%path, "others can write to the data folder, and so change all that runs have said");
    }
    if writable(&config.tasks) {
        let path = config.tasks.display();
        tracing::warn!(%path, "others can write to the tasks folder, and so have this host execute what they like");
    }
}

/// All rooms of a host, put together.
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
    /// For a host that listens at `address`, if it does.
    async fn build(
        config: Config,
        backend: Backend,
        address: Option<SocketAddr>,
    ) -> Result<Self, LaunchError> {
        // Blocks on the disk for as long as an older database takes to migrate.
        let opening = config.clone();
        Reserve::new(START_BYTES).ok_or(LaunchError::Memory(START_BYTES))?;
        can_start(1).map_err(LaunchError::Threads)?;
        let opened =
            spawn_blocking(move || open(&opening, backend.storage)).map_err(LaunchError::Threads)?.await;
        let Foundation { storage, writing, engine, registry, files } =
            opened.expect("opening does not panic")?;
        can_start(SPARE_THREADS).map_err(LaunchError::Threads)?;
        Reserve::new(SPARE_BYTES).ok_or(LaunchError::Memory(SPARE_BYTES))?;
        report(engine.allocation(), config.max_running);
        let notifier = backend.notifier.unwrap_or_else(|| Arc::new(LocalNotifier::new()));
        let log = EventLog::new(Arc::clone(&storage), Arc::clone(&notifier));
        let scheduling = scheduler::Config {
            max_running: config.max_running,
            max_running_per_task: config.max_running_per_task,
            max_queued: config.max_queued,
            cancel_grace: config.cancel_grace,
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
        let mut heartbeats = vec![
            ("loop that accepts connections", Arc::clone(&accepting)),
            ("loop that starts runs", scheduler.heartbeat()),
            ("loop that follows the tasks folder", registry.heartbeat()),
        ];
        heartbeats.extend(writing.map(|writing| ("thread that writes to the database", writing)));
        let liveness = Liveness::new(heartbeats);
        let pruner = Pruner::start(
            Arc::clone(&storage),
            Arc::clone(&registry),
            Arc::clone(&log),
            Arc::clone(&files),
            config.retention_delay,
        );
        let api = Arc::new(Api {
            config: RwLock::new(Arc::new(control::serving(&config))),
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
            windows: http::Windows::default(),
            progress: http::ProgressCache::default(),
            body_room: http::BodyRoom::default(),
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

    /// Serves until `shutdown`, then takes the rooms down from the top: nothing
    /// new starts, runs end, streams end, connections close, storage closes. Each
    /// step needs the ones below it.
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
            tracing::error!(
                "the removal of old runs gets no answer from the disk; the next start goes on with it"
            );
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

/// Says what the machine allows if that is less than was asked for.
fn report(allocation: &Allocation, wanted: u32) {
    if let Allocation::OnDemand { reason, .. } = allocation {
        tracing::warn!(reason, "no memory pool for guests; starting each takes a little longer");
    }
    let possible = Capacity::within(wanted, allocation.max_instances()).running;
    if possible < wanted {
        tracing::warn!(
            possible,
            wanted,
            "this system allows fewer runs at once; raise vm.max_map_count for more"
        );
    }
}
