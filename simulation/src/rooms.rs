//! One life of a host, without HTTP and with scripts as guests. It has a database of its own, or shares one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streamtask_host::config::Config;
use streamtask_host::engine::Executor;
use streamtask_host::event_log::EventLog;
use streamtask_host::files::Files;
use streamtask_host::model::Retention;
use streamtask_host::notifier::{LocalNotifier, Notifier};
use streamtask_host::registry::{Ceilings, GrantPolicy, Registry};
use streamtask_host::retention::Pruner;
use streamtask_host::scheduler::{self, Parts, Scheduler, Sharing};
use streamtask_host::storage::sqlite::Sqlite;
use streamtask_host::storage::{Durability, Storage};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hints::HostNotifier;
use crate::link::Link;

/// Lease of a host that shares its database.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// Longest wait for the removal of old runs at a stop.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);

/// What a host shares with others.
pub(crate) struct Shared {
    /// The database, through a connection of the host's own.
    pub(crate) link: Arc<Link>,
    /// What connects it with the other hosts.
    pub(crate) notifier: HostNotifier,
}

/// A running host.
pub(crate) struct Rooms {
    /// The storage.
    pub(crate) storage: Arc<dyn Storage>,
    /// The registry of tasks.
    pub(crate) registry: Arc<Registry>,
    /// The scheduler.
    pub(crate) scheduler: Arc<Scheduler>,
    /// Retention.
    pub(crate) pruner: Arc<Pruner>,
    stop_watching: CancellationToken,
    config: Config,
}

impl Rooms {
    /// Starts a host on the data in `folder`.
    pub(crate) async fn start(
        folder: &Path,
        max_running: u32,
        engine: Arc<dyn Executor>,
    ) -> Result<Self, String> {
        let config = config(folder, max_running);
        let storage = Sqlite::open(&config.data, Durability::Normal).map_err(|error| error.to_string())?;
        Self::build(config, engine, Arc::new(storage), Arc::new(LocalNotifier::new()), None).await
    }

    /// Starts a host on a database that it shares with others. `retention` is for tasks of which no host has a file.
    pub(crate) async fn start_shared(
        folder: &Path,
        max_running: u32,
        engine: Arc<dyn Executor>,
        shared: Shared,
        retention: Retention,
    ) -> Result<Self, String> {
        let Shared { link, notifier } = shared;
        let sharing = Sharing { lease: LEASE, name: "simulated".to_owned(), url: None };
        let config = Config { retention, ..config(folder, max_running) };
        Self::build(config, engine, link, Arc::new(notifier), Some(sharing)).await
    }

    async fn build(
        config: Config,
        engine: Arc<dyn Executor>,
        storage: Arc<dyn Storage>,
        notifier: Arc<dyn Notifier>,
        sharing: Option<Sharing>,
    ) -> Result<Self, String> {
        let log = EventLog::new(Arc::clone(&storage), Arc::clone(&notifier));
        let grants = GrantPolicy {
            kinds: config.grants.clone(),
            max_files_bytes: config.max_files_bytes,
            data: config.data.clone(),
            tasks: config.tasks.clone(),
        };
        let ceilings = Ceilings { limits: config.limits, grants };
        let registry = Registry::open(&config.tasks, None, Arc::clone(&engine), ceilings, config.retention)
            .map_err(|error| error.to_string())?;
        let files = Arc::new(Files::new(config.data.join("files")));
        let scheduling = scheduler::Config {
            max_running: config.max_running,
            max_running_per_task: config.max_running_per_task,
            max_queued: config.max_queued,
            cancel_grace: config.cancel_grace,
            sharing,
        };
        let parts = Parts {
            storage: Arc::clone(&storage),
            notifier,
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            engine,
            files: Arc::clone(&files),
        };
        let scheduler = Scheduler::start(scheduling, parts).await.map_err(|error| error.to_string())?;
        let pruner = Pruner::start(
            Arc::clone(&storage),
            Arc::clone(&registry),
            log,
            files,
            config.retention_delay,
            scheduler.shared_host(),
        );
        let stop_watching = CancellationToken::new();
        tokio::spawn(Arc::clone(&registry).watch(stop_watching.clone()));
        Ok(Self { storage, registry, scheduler, pruner, stop_watching, config })
    }

    /// Ends all that it does, after its connection to the database was severed: what a kill leaves of it.
    pub(crate) async fn end(self) {
        self.stop_watching.cancel();
        self.pruner.stop().await;
        self.scheduler.drain(Duration::ZERO).await;
    }

    /// Shuts it down in order.
    pub(crate) async fn stop(self) {
        // As long as the program waits for it.
        let _ = timeout(REMOVAL_GRACE, self.pruner.stop()).await;
        self.scheduler.drain(self.config.drain_grace).await;
        self.stop_watching.cancel();
        self.storage.close().await;
    }
}

fn config(folder: &Path, max_running: u32) -> Config {
    let mut config = Config::new(folder.join("tasks"), folder.join("data"));
    config.max_running = max_running;
    config
}
