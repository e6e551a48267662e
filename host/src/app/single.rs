//! A host in this process for a single task file, without a listener.

use std::io;
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
use crate::model::{
    Json, MAX_LABEL_BYTES, MAX_LABELS, NameError, Run, RunId, SignalName, TaskRef, parse_label,
};
use crate::scheduler::{Request, StartError};
use crate::storage::{MAX_PARAMETERS, RunFilter, StorageError};

/// Number of newest runs of a kept data folder that are searched for an unfinished one. Such a folder has at most one,
/// and its children.
const SEARCHED_RUNS: u32 = 100;

/// Why a task file can't run.
#[derive(Debug, thiserror::Error)]
pub enum SingleError {
    /// The host did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The file is not a usable task.
    #[error("can't run {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason, in one line.
        reason: String,
    },
    /// The input of the run is invalid.
    #[error("{0}")]
    Request(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Storage(#[from] StorageError),
}

/// The input, labels and parameters of a run, as text.
#[derive(Clone, Debug, Default)]
pub struct SingleInput {
    /// The input as JSON; empty: `{}`.
    pub json: Bytes,
    /// Labels, each `key:value`.
    pub labels: Vec<String>,
    /// Parameters, each `name=value` with a JSON value.
    pub parameters: Vec<String>,
}

/// A host with one task file.
pub struct SingleHost {
    path: PathBuf,
    task: TaskRef,
    handle: Handle,
    files: Arc<Files>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// A followed run of the task.
pub struct SingleRun {
    /// The id of the run.
    pub id: RunId,
    /// Whether an earlier host started the run.
    pub resumed: bool,
    lines: EventLines,
    follow: Follow,
}

impl SingleHost {
    /// Starts a host for the task file at `path`, with the manifest in the same folder. Overrides the tasks folder of
    /// `config`.
    pub async fn launch(path: &Path, mut config: Config) -> Result<Self, SingleError> {
        let (folder, file, task) = locate(path)
            .map_err(|error| SingleError::File { path: path.to_owned(), reason: error.to_string() })?;
        config.tasks = folder;
        config.only = Some(file);
        let rooms = Rooms::build(config, Backend::default(), None).await?;
        let (handle, files) = (rooms.handle(), Arc::clone(&rooms.api.files));
        let (shutdown, stopping) = oneshot::channel();
        let serving = tokio::spawn(rooms.serve(None, async { drop(stopping.await) }));
        Ok(Self { path: path.to_owned(), task, handle, files, shutdown, serving })
    }

    /// Waits until the file is loaded. This takes seconds if it has to be compiled.
    pub async fn loaded(&self) -> Result<(), SingleError> {
        self.handle.loaded().await;
        let listed = self.handle.tasks().into_iter().next();
        let reason = match listed {
            Some(listed) => listed.problem.map(|(problem, _)| problem.to_string()),
            None => Some("the file was removed".to_owned()),
        };
        reason.map_or(Ok(()), |reason| Err(SingleError::File { path: self.path.clone(), reason }))
    }

    /// Starts a run, or resumes the unfinished run of an earlier host in the same data folder, which must have the same
    /// input.
    pub async fn start(&self, input: SingleInput) -> Result<SingleRun, SingleError> {
        let request = input.request(self.task.clone())?;
        if let Some(run) = self.unfinished().await? {
            if run.input.as_str() != request.input.as_str() {
                let message = format!(
                    "the folder has an unfinished run with another input: {}; pass the same input, or keep \
                     this run in another folder",
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

    /// The unfinished run that is not a child.
    async fn unfinished(&self) -> Result<Option<Run>, StorageError> {
        let filter =
            RunFilter { task: Some(self.task.clone()), limit: SEARCHED_RUNS, ..RunFilter::default() };
        let runs = self.handle.runs(filter).await?;
        Ok(runs.into_iter().find(|run| !run.status.is_terminal() && run.parent.is_none()))
    }

    async fn follow(&self, run: Run, resumed: bool) -> Result<SingleRun, SingleError> {
        let follow = self.handle.follow(&run.key.id, Position::After(0)).await?;
        let follow = follow.ok_or(SingleError::Storage(StorageError::Closed))?;
        Ok(SingleRun { lines: EventLines::of(&run), id: run.key.id, resumed, follow })
    }

    /// Cancels the run. After the grace time it is ended by force.
    pub async fn cancel(&self, run: &RunId) -> Result<(), SingleError> {
        self.handle.cancel(run).await?;
        Ok(())
    }

    /// The number of output files of the run.
    pub fn files_of(&self, run: &RunId) -> usize {
        // The number is only for a message; an error must not hide the result.
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
    /// The next event as one line of JSON, beginning with the first event; none after the terminal one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SingleError> {
        loop {
            match self.follow.next().await? {
                Some(Followed::Event(event)) => return Ok(Some(self.lines.line(&event))),
                // Only the retention of the manifest removes events here.
                Some(Followed::Gap { .. }) => {}
                Some(Followed::Removed { .. }) | None => return Ok(None),
            }
        }
    }
}

impl SingleInput {
    fn request(self, task: TaskRef) -> Result<Request, SingleError> {
        let mut request = Request::new(task, parse_json("the input", &self.json)?);
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
            request.parameters.insert(name, parse_json(&what, value.as_bytes())?);
        }
        let limits = [
            ("labels", request.labels.len(), MAX_LABELS),
            ("parameters", request.parameters.len(), MAX_PARAMETERS as usize),
        ];
        match limits.into_iter().find(|(_, count, limit)| count > limit) {
            Some((what, _, limit)) => {
                Err(SingleError::Request(format!("a run can have at most {limit} {what}")))
            }
            None => Ok(request),
        }
    }
}

fn parse_json(what: &str, bytes: &[u8]) -> Result<Json, SingleError> {
    if bytes.is_empty() {
        return Ok(Json::of(&serde_json::json!({})));
    }
    let not_json = |reason: String| SingleError::Request(format!("{what} is not valid JSON: {reason}"));
    let text = std::str::from_utf8(bytes).map_err(|error| not_json(error.to_string()))?;
    Json::parse(text).map_err(|error| not_json(error.to_string()))
}

/// Why a path is not that of a task file.
#[derive(Debug, thiserror::Error)]
enum PathError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NoFile,
    #[error("its name does not end with .wasm")]
    Extension,
    #[error("{name:?} can't be the name of a task: {rule}")]
    Name { name: String, rule: NameError },
}

/// The folder of a task file, the name of the file, and the name of the task.
fn locate(path: &Path) -> Result<(PathBuf, PathBuf, TaskRef), PathError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(PathError::NoFile);
    }
    if path.extension().is_none_or(|extension| extension != "wasm") {
        return Err(PathError::Extension);
    }
    let (Some(file), Some(stem)) = (path.file_name(), path.file_stem()) else {
        return Err(PathError::NoFile);
    };
    let name = stem.to_string_lossy();
    let task = TaskRef::parse("default", &name)
        .map_err(|rule| PathError::Name { name: name.clone().into_owned(), rule })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), file.into(), task))
}
