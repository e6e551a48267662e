//! One run of one file, by a host that nobody else reaches: it has no listener, and no
//! task but that file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::builder::Backend;
use super::{Follow, Followed, Handle, LaunchError, Rooms};
use crate::config::Config;
use crate::event_log::Position;
use crate::files::Files;
use crate::http::EventLines;
use crate::model::{Json, MAX_LABEL_BYTES, MAX_LABELS, Run, RunId, SignalName, TaskRef, parse_label};
use crate::scheduler::{Request, StartError};
use crate::storage::{MAX_PARAMETERS, RunFilter, StorageError};

/// Runs of a kept data folder that are looked at for one to go on with, newest first. In
/// such a folder one run follows the other, so the first is enough but for its children.
const LOOKED_AT: u32 = 100;

/// Why a file is not run.
#[derive(Debug, thiserror::Error)]
pub enum SingleError {
    /// The host did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The file is no task.
    #[error("can't run {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not, in one line.
        reason: String,
    },
    /// The task can't be run like this.
    #[error("{0}")]
    Request(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Storage(#[from] StorageError),
}

/// What a run is to be like, as text.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// JSON; nothing is `{}`.
    pub input: Bytes,
    /// Each `key:value`.
    pub labels: Vec<String>,
    /// Each `name=value` with JSON as the value.
    pub parameters: Vec<String>,
}

/// A host with one file.
pub struct Single {
    path: PathBuf,
    task: TaskRef,
    handle: Handle,
    files: Arc<Files>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// A run of it that is followed.
pub struct SingleRun {
    /// Its id.
    pub id: RunId,
    /// Whether an earlier host had begun it.
    pub resumed: bool,
    lines: EventLines,
    follow: Follow,
}

impl Single {
    /// Starts a host for the task that the file at `path` is, with the manifest beside it.
    /// Of `config`, the tasks folder is set here.
    pub async fn launch(path: &Path, mut config: Config) -> Result<Self, SingleError> {
        let (folder, file, task) =
            place(path).map_err(|reason| SingleError::File { path: path.to_owned(), reason })?;
        config.tasks = folder;
        config.only = Some(file);
        let rooms = Rooms::build(config, Backend::default(), None).await?;
        let (handle, files) = (rooms.handle(), Arc::clone(&rooms.api.files));
        let (shutdown, stopping) = oneshot::channel();
        let serving = tokio::spawn(rooms.serve(None, async { drop(stopping.await) }));
        Ok(Self { path: path.to_owned(), task, handle, files, shutdown, serving })
    }

    /// Waits until the file is loaded, which takes seconds where it has to be compiled.
    pub async fn loaded(&self) -> Result<(), SingleError> {
        self.handle.loaded().await;
        let listed = self.handle.tasks().into_iter().next();
        let reason = match listed {
            Some(listed) => listed.problem.map(|(problem, _)| problem.to_string()),
            None => Some("it is gone".to_owned()),
        };
        reason.map_or(Ok(()), |reason| Err(SingleError::File { path: self.path.clone(), reason }))
    }

    /// Starts a run, or goes on with the one that an earlier host on the same data had to
    /// leave, if it has the same input.
    pub async fn start(&self, wish: Wish) -> Result<SingleRun, SingleError> {
        let request = wish.request(self.task.clone())?;
        if let Some(run) = self.left().await? {
            if run.input.as_str() != request.input.as_str() {
                let message = format!(
                    "the folder has a run under way with another input: {}; say the same, or keep this run \
                     in another folder",
                    run.input.as_str()
                );
                return Err(SingleError::Request(message));
            }
            return self.follow(run, true).await;
        }
        let started = self.handle.start(request).await.map_err(|error| match error {
            StartError::Storage(error) => SingleError::Storage(error),
            other => SingleError::Request(other.to_string()),
        })?;
        self.follow(started.run, false).await
    }

    /// The run that has not ended, and was started by no other.
    async fn left(&self) -> Result<Option<Run>, StorageError> {
        let filter = RunFilter { task: Some(self.task.clone()), limit: LOOKED_AT, ..RunFilter::default() };
        let runs = self.handle.runs(filter).await?;
        Ok(runs.into_iter().find(|run| !run.status.is_terminal() && run.parent.is_none()))
    }

    async fn follow(&self, run: Run, resumed: bool) -> Result<SingleRun, SingleError> {
        let follow = self.handle.follow(&run.key.id, Position::After(0)).await?;
        let follow = follow.ok_or(SingleError::Storage(StorageError::Closed))?;
        Ok(SingleRun { lines: EventLines::of(&run), id: run.key.id, resumed, follow })
    }

    /// Asks the run to end; by force after the grace time.
    pub async fn cancel(&self, run: &RunId) -> Result<(), SingleError> {
        self.handle.cancel(run).await?;
        Ok(())
    }

    /// How many files the run has left.
    pub fn files_of(&self, run: &RunId) -> usize {
        // For a word beside the result, which is there.
        self.files.list(run).map_or(0, |files| files.len())
    }

    /// Stops the host in order.
    pub async fn stop(self) {
        let _ = self.shutdown.send(());
        drop(self.handle);
        let _ = self.serving.await;
    }
}

impl SingleRun {
    /// The next event as JSON in one line, from the first one on; none after the terminal
    /// one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SingleError> {
        loop {
            match self.follow.next().await? {
                Some(Followed::Event(event)) => return Ok(Some(self.lines.line(&event))),
                // Nobody removes anything here but by a retention that the manifest wants.
                Some(Followed::Gap { .. }) => {}
                Some(Followed::Removed { .. }) | None => return Ok(None),
            }
        }
    }
}

impl Wish {
    fn request(self, task: TaskRef) -> Result<Request, SingleError> {
        let mut request = Request::new(task, json("the input", &self.input)?);
        for label in &self.labels {
            let (key, value) = parse_label(label).ok_or_else(|| {
                let rule = format!("key:value, each at most {MAX_LABEL_BYTES} bytes");
                SingleError::Request(format!("the label {label:?} is not {rule}"))
            })?;
            request.labels.insert(key, value);
        }
        for parameter in &self.parameters {
            let (name, value) = parameter.split_once('=').ok_or_else(|| {
                SingleError::Request(format!("the parameter {parameter:?} is not name=value"))
            })?;
            let name = SignalName::parse(name).map_err(|refusal| SingleError::Request(refusal.message))?;
            let what = format!("the parameter {}", name.as_str());
            request.parameters.insert(name, json(&what, value.as_bytes())?);
        }
        let most = [
            ("labels", request.labels.len(), MAX_LABELS),
            ("parameters", request.parameters.len(), MAX_PARAMETERS as usize),
        ];
        match most.into_iter().find(|(_, count, most)| count > most) {
            Some((what, _, most)) => Err(SingleError::Request(format!("a run has at most {most} {what}"))),
            None => Ok(request),
        }
    }
}

fn json(what: &str, bytes: &[u8]) -> Result<Json, SingleError> {
    if bytes.is_empty() {
        return Ok(Json::of(&serde_json::json!({})));
    }
    let not_json = |why: String| SingleError::Request(format!("{what} is not JSON: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|error| not_json(error.to_string()))?;
    Json::parse(text).map_err(|error| not_json(error.to_string()))
}

/// The folder of a task's file, its name within it, and the task's own name. An error is
/// one line.
fn place(path: &Path) -> Result<(PathBuf, PathBuf, TaskRef), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if path.extension().is_none_or(|extension| extension != "wasm") {
        return Err("its name does not end with .wasm".to_owned());
    }
    let (Some(file), Some(stem)) = (path.file_name(), path.file_stem()) else {
        return Err("it is no file".to_owned());
    };
    let name = stem.to_string_lossy();
    let task = TaskRef::parse("default", &name).map_err(|rule| format!("{name:?} names no task: {rule}"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), file.into(), task))
}
