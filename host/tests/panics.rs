//! A panic of the host between the claim of a run and its terminal event ends that run, and only that one.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use streamtask_host::config::Config;
use streamtask_host::engine::{
    Attempt, AttemptOutcome, Executable, Execution, Executor, Kind, LoadError, Permit, Program,
    ProgramOutline, TaskMetadata,
};
use streamtask_host::event_log::EventLog;
use streamtask_host::files::Files;
use streamtask_host::model::{ErrorKind, Json, Retention, Run, RunStatus, TaskRef, Version};
use streamtask_host::notifier::{LocalNotifier, Notifier};
use streamtask_host::registry::{Ceilings, GrantPolicy, Registry};
use streamtask_host::scheduler::{self, Parts, Request, Scheduler};
use streamtask_host::storage::sqlite::Sqlite;
use streamtask_host::storage::{Durability, Storage};
use tokio_util::sync::CancellationToken;

/// Longest time for a run to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the host panics.
#[derive(Clone, Copy)]
enum Place {
    /// Before the attempt is executed, on the thread of the caller.
    Launch,
    /// While the attempt is executed, outside of the guest's call.
    Execution,
}

/// An executor that panics for the first two attempts, if it has a place for that. Its guests return `null`.
struct Faulty {
    place: Option<Place>,
    attempts: AtomicU32,
}

impl Executor for Faulty {
    fn load_with(
        &self,
        _wasm: &[u8],
        version: Version,
        _compiler: &mut dyn FnMut() -> Option<Permit>,
    ) -> Result<Option<Program>, LoadError> {
        Ok(Some(Program {
            code: Arc::new(ReturnsNull),
            version,
            metadata: Arc::new(TaskMetadata::default()),
        }))
    }

    fn spawn(&self, execution: Execution) {
        let is_later = self.attempts.fetch_add(1, Ordering::Relaxed) >= 2;
        match self.place.filter(|_| !is_later) {
            None => drop(tokio::spawn(execution)),
            Some(Place::Launch) => panic!("the executor panics"),
            Some(Place::Execution) => {
                tokio::spawn(async move {
                    let _dropped_by_the_panic = execution;
                    panic!("the thread of the attempt panics");
                });
            }
        }
    }

    fn max_instances(&self) -> u32 {
        100
    }
}

struct ReturnsNull;

#[async_trait]
impl Executable for ReturnsNull {
    async fn execute(&self, _attempt: Attempt) -> AttemptOutcome {
        AttemptOutcome::Output(Json::null())
    }

    fn outline(&self) -> ProgramOutline {
        ProgramOutline { kind: Kind::Task, imports: Vec::new(), exports: Vec::new() }
    }
}

/// A host with one slot, and a task `a`.
struct Host {
    storage: Arc<dyn Storage>,
    scheduler: Arc<Scheduler>,
}

impl Host {
    async fn start(folder: &Path, place: Option<Place>) -> Self {
        let config = Config::new(folder.join("tasks"), folder.join("data"));
        std::fs::create_dir(&config.tasks).unwrap();
        std::fs::create_dir(&config.data).unwrap();
        std::fs::write(config.tasks.join("a.wasm"), "any content").unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Sqlite::open(&config.data, Durability::Normal).unwrap());
        let notifier: Arc<dyn Notifier> = Arc::new(LocalNotifier::new());
        let engine: Arc<dyn Executor> = Arc::new(Faulty { place, attempts: AtomicU32::new(0) });
        let grants = GrantPolicy {
            kinds: config.grants.clone(),
            max_files_bytes: config.max_files_bytes,
            data: config.data.clone(),
            tasks: config.tasks.clone(),
        };
        let ceilings = Ceilings { limits: config.limits, grants };
        let retention = Retention::default();
        let registry = Registry::open(&config.tasks, None, Arc::clone(&engine), ceilings, retention).unwrap();
        let mut changes = registry.changes();
        tokio::spawn(Arc::clone(&registry).watch(CancellationToken::new()));
        while !registry.is_complete() {
            changes.changed().await;
        }
        let parts = Parts {
            storage: Arc::clone(&storage),
            log: EventLog::new(Arc::clone(&storage), Arc::clone(&notifier)),
            notifier,
            registry,
            engine,
            files: Arc::new(Files::new(config.data.join("files"))),
        };
        let scheduling = scheduler::Config {
            max_running: 1,
            max_running_per_task: 1,
            max_queued: 10,
            cancel_grace: config.cancel_grace,
            sharing: None,
        };
        Self { storage, scheduler: Scheduler::start(scheduling, parts).await.unwrap() }
    }

    /// Submits a run, and waits until it has ended and its slot is free.
    async fn run(&self) -> Run {
        self.run_after(None).await
    }

    /// The same for a run that is queued for this long, if any, and claimed from the queue.
    async fn run_after(&self, delay: Option<Duration>) -> Run {
        let mut request = Request::new(TaskRef::parse_path("a").unwrap(), Json::null());
        request.delay = delay;
        let id = self.scheduler.submit(request).await.unwrap().run.key.id;
        let ended = async {
            loop {
                let run = self.storage.run(&id).await.unwrap().unwrap();
                if run.status.is_terminal() && self.scheduler.running() == 0 {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the run ends, and its slot is free")
    }
}

#[tokio::test]
async fn a_panic_outside_of_the_guest_ends_the_run_and_frees_its_slot() {
    for place in [Place::Launch, Place::Execution] {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::start(folder.path(), Some(place)).await;
        for _ in 0..2 {
            let run = host.run().await;
            assert_eq!(run.status, RunStatus::Failed);
            assert_eq!(run.error.unwrap().kind, ErrorKind::Internal);
        }
        assert_eq!(host.run().await.status, RunStatus::Completed);
    }
}

#[cfg(feature = "simulation")]
#[tokio::test]
async fn a_panic_between_the_claim_of_a_run_and_its_launch_ends_the_run_and_frees_its_slot() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), None).await;
    // Claimed when it is submitted, and from the queue.
    for delay in [None, Some(Duration::from_millis(20))] {
        streamtask_host::platform::panic_at_fault_point(0);
        let run = host.run_after(delay).await;
        assert_eq!(run.status, RunStatus::Failed);
        assert_eq!(run.error.unwrap().kind, ErrorKind::Internal);
        assert_eq!(host.run_after(delay).await.status, RunStatus::Completed);
    }
}
