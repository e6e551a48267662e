//! The registry: loads the tasks folder as executable programs.
//!
//! The folder is the source of truth. Changes are detected, compiled and checked away from the async threads, and take
//! effect at once. If a file can't be loaded, the problem is reported, and the last good version stays in service. A
//! [`Task`] is one version, whatever happens to the file.
//!
//! Knows nothing of runs, storage or HTTP.

mod changes;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod install;
mod loads;
mod manifest;
mod notices;
mod overlooked;
mod paths;
mod schema;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::engine::{Executor, LoadError, Program, TaskMetadata};
use crate::model::{Input, Json, Retention, TaskRef, Timestamp, Version};
use crate::process::Heartbeat;

use self::folder::{Found, Seen, TaskState};
use self::schema::Schema;

pub use crate::engine::Grants;
pub use install::{InstallError, Installed};
pub use manifest::{
    Ceilings, GrantKind, GrantKinds, GrantPolicy, ManifestError, Settings, UnknownGrant,
    check as check_manifest, line_and_column, manifest_schema,
};
pub use schema::Mismatch;

/// One loaded version of a task.
pub struct Task {
    /// Its name.
    pub name: TaskRef,
    /// The program.
    pub program: Program,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// Size of the file in bytes.
    pub size: u64,
    /// Its settings from manifests and the host.
    pub settings: Settings,
    input: Option<Schema>,
    output: Option<Schema>,
}

impl Task {
    fn new(name: TaskRef, program: Program, size: u64, settings: Settings) -> Result<Self, Problem> {
        let (loaded_at, input, output) = (Timestamp::now(), None, None);
        let mut task = Self { name, program, loaded_at, size, settings, input, output };
        task.input = task
            .input_schema()
            .map(|schema| Schema::new(&schema.to_value()))
            .transpose()
            .map_err(|error| Problem::Schema(error.to_string()))?;
        if let Some(schema) = task.output_schema() {
            task.output = match Schema::new(&schema.to_value()) {
                Ok(schema) => Some(schema),
                Err(error) if task.settings.strict_output => {
                    return Err(Problem::OutputSchema(error.to_string()));
                }
                Err(_) => None,
            };
        }
        for schedule in &task.settings.schedules {
            let checked = task.check_input(&Input::from(schedule.input.clone()));
            checked.map_err(|error| Problem::Schedule(schedule.name.clone(), error))?;
        }
        Ok(task)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.program.version
    }

    /// The task's own metadata.
    pub fn metadata(&self) -> &TaskMetadata {
        &self.program.metadata
    }

    /// Description, from the manifest or the task itself.
    pub fn description(&self) -> Option<&str> {
        self.settings.description.as_deref().or(self.program.metadata.description.as_deref())
    }

    /// JSON Schema of inputs, from the manifest or the task itself.
    pub fn input_schema(&self) -> Option<&Json> {
        self.settings.input_schema.as_ref().or(self.program.metadata.input_schema.as_ref())
    }

    /// JSON Schema of results, from the manifest or the task itself.
    pub fn output_schema(&self) -> Option<&Json> {
        self.settings.output_schema.as_ref().or(self.program.metadata.output_schema.as_ref())
    }

    /// Checks an input against the task's size limit and its schema, if any. May take some tenths of a second.
    pub fn check_input(&self, input: &Input) -> Result<(), Mismatch> {
        self.check_length(input)?;
        self.input.as_ref().map_or(Ok(()), |schema| schema.check_tree(input.tree()))
    }

    /// Like [`check_input`](Self::check_input), for at most a millisecond; none if it takes longer.
    pub fn check_input_briefly(&self, input: &Input) -> Option<Result<(), Mismatch>> {
        match (self.check_length(input), &self.input) {
            (Ok(()), Some(schema)) => schema.check_input_briefly(input),
            (checked, _) => Some(checked),
        }
    }

    /// Checks a result against the task's schema, if any. May take some tenths of a second.
    pub fn check_output(&self, output: &Json) -> Result<(), Mismatch> {
        self.output.as_ref().map_or(Ok(()), |schema| schema.check(output))
    }

    /// Like [`check_output`](Self::check_output), for at most a millisecond; none if it takes longer.
    pub fn check_output_briefly(&self, output: &Json) -> Option<Result<(), Mismatch>> {
        self.output.as_ref().map_or(Some(Ok(())), |schema| schema.check_briefly(output))
    }

    fn check_length(&self, input: &Input) -> Result<(), Mismatch> {
        let (bytes, limit) = (input.as_str().len(), self.settings.limits.input_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let why = format!("it has {bytes} bytes; the limit is {limit}");
        Err(Mismatch { violations: vec![(String::new(), why)] })
    }
}

/// Why a file is not in service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The name of the file or folder is invalid for a task or app.
    #[error("the name {0:?} can't be used: {error}", error = crate::model::NameError)]
    Name(String),
    /// It is in a folder `default`: tasks of that app belong at the top.
    #[error("tasks of the app `default` lie at the top of the tasks folder, not in a folder of that name")]
    DefaultFolder,
    /// It is a folder, a pipe or a device.
    #[error("this is not a file")]
    NoFile,
    /// It can't be read.
    #[error("can't read it: {0}")]
    Unreadable(String),
    /// It is larger than the limit.
    #[error("it has {0} bytes; the limit is {1}")]
    TooLarge(u64, u64),
    /// It is not a valid program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The input of a schedule does not match the task's schema.
    #[error("the input of the schedule {0:?} does not match the task's schema: {1}")]
    Schedule(String, Mismatch),
    /// Its input schema is invalid.
    #[error("the input schema that it describes can't be used: {0}")]
    Schema(String),
    /// Its output schema is invalid.
    #[error(
        "the output schema that it describes can't be used: {0}; `strict-output = false` in its manifest leaves it out"
    )]
    OutputSchema(String),
}

impl Problem {
    /// The problem of a file that could not be read. `name` is a prefix of the reason.
    fn unreadable(name: &str, error: &std::io::Error) -> Self {
        let reason = format!("{name}{error}");
        match LoadError::from_scarcity("can't read it now", &reason, error) {
            Some(scarcity) => scarcity.into(),
            None => Self::Unreadable(reason),
        }
    }

    /// Whether it is a temporary problem of this host, and not of the file.
    pub fn is_host_error(&self) -> bool {
        matches!(self, Self::Load(error) if error.is_host_error())
    }

    /// Whether the unchanged file may load later.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Unreadable(_)) || matches!(self, Self::Load(error) if error.is_transient())
    }
}

/// The current state of a task's file.
#[derive(Clone)]
pub struct ListedFile {
    /// The file, relative to the tasks folder.
    pub path: PathBuf,
    /// The task's name; none if the file's name can't be one.
    pub name: Option<TaskRef>,
    /// The version that new runs use; none if none could be loaded.
    pub task: Option<Arc<Task>>,
    /// Why the current file is not in service, and since when.
    pub problem: Option<(Problem, Timestamp)>,
}

/// The tasks of one folder.
pub struct Registry {
    folder: PathBuf,
    /// The only file to load; none for all.
    only: Option<PathBuf>,
    engine: Arc<dyn Executor>,
    /// Limits that no manifest can exceed.
    ceilings: Ceilings,
    /// Settings of tasks without a manifest.
    host: Settings,
    tasks: RwLock<Tasks>,
    /// Number of task files beyond the limit.
    omitted: AtomicUsize,
    /// Announces tasks that were loaded, replaced or retired.
    changes: broadcast::Sender<()>,
    /// Notified when a scan of the folder is requested.
    scan_requested: Notify,
    /// Heartbeat of the loop that watches the folder.
    heartbeat: Arc<Heartbeat>,
}

/// Subscription to the changes of a registry. Not a watch channel: that wakes its receivers in a random order, and a
/// simulation must be repeatable.
pub struct Updates(broadcast::Receiver<()>);

impl Updates {
    /// Waits for a change. Several changes since the last call are reported as one.
    pub async fn changed(&mut self) {
        match self.0.recv().await {
            Ok(()) => {}
            Err(RecvError::Lagged(_)) => self.0 = self.0.resubscribe(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[derive(Default)]
struct Tasks {
    files: BTreeMap<PathBuf, File>,
    by_name: BTreeMap<TaskRef, Arc<Task>>,
    /// Whether all files that existed at the start have been tried.
    complete: bool,
}

/// One file of the folder.
struct File {
    listed: ListedFile,
    /// State of the file when it was last loaded or rejected.
    state: TaskState,
    /// State of the file from which the version in service was read.
    wasm: Option<Seen>,
}

/// A version of a task, and the state of the file that it was read from.
#[derive(Clone)]
struct Loaded {
    task: Arc<Task>,
    wasm: Seen,
}

/// Error if the tasks folder can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't read the tasks folder {path}: {source}", path = path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// The error of the system.
    pub source: std::io::Error,
}

impl Registry {
    /// A registry for the tasks in `folder`, which must be readable, or for `only` one of its files. Loads nothing yet: see
    /// [`watch`](Self::watch).
    pub fn open(
        folder: &Path,
        only: Option<&Path>,
        engine: Arc<dyn Executor>,
        ceilings: Ceilings,
        retention: Retention,
    ) -> Result<Arc<Self>, FolderError> {
        std::fs::read_dir(folder).map_err(|source| FolderError { path: folder.to_owned(), source })?;
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            only: only.map(Path::to_owned),
            engine,
            host: Settings::of_host(&ceilings, retention),
            ceilings,
            tasks: RwLock::default(),
            omitted: AtomicUsize::new(0),
            changes: broadcast::Sender::new(1),
            scan_requested: Notify::new(),
            heartbeat: Arc::default(),
        }))
    }

    /// Loads the folder and watches it until `stop`. A single file is loaded only once.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        watch::watch(&self, &stop).await;
    }

    /// Requests a scan of the folder at once.
    pub fn request_scan(&self) {
        self.scan_requested.notify_one();
    }

    /// Heartbeat of the loop that watches the folder.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// The version that new runs of the task use.
    pub fn task(&self, name: &TaskRef) -> Option<Arc<Task>> {
        self.tasks.read().by_name.get(name).cloned()
    }

    /// All loaded tasks, in order of their names.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.read().by_name.values().cloned().collect()
    }

    /// Every file, in order of its path.
    pub fn list(&self) -> Vec<ListedFile> {
        self.tasks.read().files.values().map(|file| file.listed.clone()).collect()
    }

    /// The file of one task.
    pub fn listed(&self, task: &TaskRef) -> Option<ListedFile> {
        let tasks = self.tasks.read();
        let file = tasks.files.get(&paths::path_of(task))?;
        (file.listed.name.as_ref() == Some(task)).then(|| file.listed.clone())
    }

    /// Settings of tasks without a manifest.
    pub fn host_settings(&self) -> &Settings {
        &self.host
    }

    /// Whether all files that existed at the start have been loaded or rejected.
    pub fn is_complete(&self) -> bool {
        self.tasks.read().complete
    }

    /// Number of task files that are not loaded because the folder has more than the limit.
    pub fn omitted(&self) -> usize {
        self.omitted.load(Ordering::Relaxed)
    }

    fn set_omitted(&self, count: usize) {
        self.omitted.store(count, Ordering::Relaxed);
    }

    /// A problem of this host that prevents loading files, in one line; none if there is none. The files are retried.
    pub fn trouble(&self) -> Option<String> {
        let tasks = self.tasks.read();
        let mut troubled = tasks.files.values().filter_map(|file| {
            let (problem, _) = file.listed.problem.as_ref().filter(|(problem, _)| problem.is_host_error())?;
            Some((&file.listed.path, problem))
        });
        let (path, problem) = troubled.next()?;
        let others = match troubled.count() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        Some(format!("{}{others} can't be loaded now, and will be tried again: {problem}", path.display()))
    }

    /// Subscribes to changes of the tasks, and to the registry becoming complete.
    pub fn changes(&self) -> Updates {
        Updates(self.changes.subscribe())
    }

    fn changed(&self) {
        // An error means that there are no subscribers.
        let _ = self.changes.send(());
    }

    /// Puts a version into service, or records the problem. True if that is a change.
    fn put(&self, found: &Found, loaded: Result<Loaded, Problem>) -> bool {
        let mut tasks = self.tasks.write();
        let tried_again = tasks.files.get(&found.path).is_some_and(|file| file.state == found.state);
        let file = tasks.files.entry(found.path.clone()).or_insert_with(|| File {
            listed: ListedFile {
                path: found.path.clone(),
                name: found.name.clone().ok(),
                task: None,
                problem: None,
            },
            state: found.state,
            wasm: None,
        });
        file.state = found.state;
        // Logged after the lock is released, because the log may be slow.
        match loaded {
            Ok(Loaded { task, wasm }) => {
                file.wasm = Some(wasm);
                let had_problem = file.listed.problem.take().is_some();
                let serving = file.listed.task.replace(Arc::clone(&task));
                if !had_problem && serving.is_some_and(|serving| Arc::ptr_eq(&serving, &task)) {
                    return false;
                }
                tasks.by_name.insert(task.name.clone(), Arc::clone(&task));
                drop(tasks);
                tracing::info!(task = %task.name, version = %task.version(), "task loaded");
            }
            Err(problem) => {
                let known = file.listed.problem.as_ref().is_some_and(|(known, _)| *known == problem);
                if tried_again && known {
                    return false;
                }
                let serving = file.listed.task.as_ref().map(|task| task.version().to_string());
                let serving = serving.unwrap_or_else(|| "no version".to_owned());
                file.listed.problem = Some((problem.clone(), Timestamp::now()));
                drop(tasks);
                tracing::warn!(path = %found.path.display(), %problem, serving, "task file not loaded");
            }
        }
        true
    }

    /// Removes files that are gone. True if there were any.
    fn retire(&self, paths: &[PathBuf]) -> bool {
        let mut tasks = self.tasks.write();
        let gone: Vec<File> = paths.iter().filter_map(|path| tasks.files.remove(path)).collect();
        for task in gone.iter().filter_map(|file| file.listed.task.as_ref()) {
            tasks.by_name.remove(&task.name);
        }
        drop(tasks);
        for task in gone.iter().filter_map(|file| file.listed.task.as_ref()) {
            tracing::info!(task = %task.name, "task retired");
        }
        !gone.is_empty()
    }

    /// State of a file when it was last loaded or rejected.
    fn known_state(&self, path: &Path) -> Option<TaskState> {
        self.tasks.read().files.get(path).map(|file| file.state)
    }

    /// The version of a file that is in service.
    fn serving(&self, path: &Path) -> Option<Loaded> {
        let tasks = self.tasks.read();
        let file = tasks.files.get(path)?;
        Some(Loaded { task: file.listed.task.clone()?, wasm: file.wasm? })
    }

    fn set_complete(&self) {
        let mut tasks = self.tasks.write();
        if !std::mem::replace(&mut tasks.complete, true) {
            drop(tasks);
            self.changed();
        }
    }
}
