//! The grants of a task, by its operator. Everything else is denied.

mod http;
mod mask;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::model::{AppName, TaskName, TaskRef};

pub use http::{HostName, HostPattern, HttpGrant, HttpScheme};
pub use secrets::{SecretError, Secrets};

pub(super) use http::{Missing, Target, decide};
pub(super) use mask::Mask;

/// The grants of a task. Clients see its JSON, which has no values of secrets or
/// variables and no paths of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Grants {
    /// Requests that it may send.
    pub http: Vec<HttpGrant>,
    /// Its environment variables.
    #[serde(serialize_with = "names")]
    pub env: BTreeMap<String, String>,
    /// Further variables, whose values are masked in all output of its runs.
    pub secrets: Secrets,
    /// Folders of the host that it may open.
    pub folders: Vec<FolderGrant>,
    /// Tasks of other apps of which it may start runs.
    pub start: Vec<TaskPattern>,
    /// Limits of the files under [`OUTPUT_MOUNT`], which are stored and served; none without output files.
    #[serde(rename = "output_files")]
    pub files: Option<FilesGrant>,
    /// The manifest that grants the files; none for the task's own.
    #[serde(skip)]
    pub files_said_in: Option<Arc<str>>,
}

impl Grants {
    /// Records the manifest of all grants that are not in `before`, so that a denial can name it.
    pub fn note_file(&mut self, file: &Arc<str>, before: &Self) {
        for rule in self.http.iter_mut().skip(before.http.len()) {
            rule.said_in = Some(Arc::clone(file));
        }
        for folder in self.folders.iter_mut().filter(|folder| !before.folders.contains(folder)) {
            folder.said_in = Some(Arc::clone(file));
        }
        if self.files != before.files {
            self.files_said_in = Some(Arc::clone(file));
        }
    }
}

/// One task of an app, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPattern {
    app: AppName,
    /// None for all.
    task: Option<TaskName>,
}

impl TaskPattern {
    /// Parses `app/task` or `app/*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (app, task) = text.split_once('/')?;
        let task = if task == "*" { None } else { Some(TaskName::parse(task).ok()?) };
        Some(Self { app: AppName::parse(app).ok()?, task })
    }

    /// Whether the pattern includes the task.
    pub fn is_for(&self, task: &TaskRef) -> bool {
        self.app == task.app && self.task.as_ref().is_none_or(|name| *name == task.task)
    }
}

impl Serialize for TaskPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.task {
            Some(task) => serializer.collect_str(&format_args!("{}/{task}", self.app)),
            None => serializer.collect_str(&format_args!("{}/*", self.app)),
        }
    }
}

/// The path of the folder for output files, as a guest sees it.
pub const OUTPUT_MOUNT: &str = "/output";

/// A granted folder of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderGrant {
    /// The absolute path of the folder.
    #[serde(skip)]
    pub path: PathBuf,
    /// The path by which the guest sees it.
    pub mount: String,
    /// Whether the guest may write to it.
    pub write: bool,
    /// The manifest that grants it; none for the task's own.
    #[serde(skip)]
    pub said_in: Option<Arc<str>>,
}

/// The limits of output files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FilesGrant {
    /// Bytes of all files together.
    pub size: u64,
    /// Number of files, folders and links together.
    pub count: u32,
}

/// The folder for the output files of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFolder {
    /// The folder, which exists.
    pub path: PathBuf,
    /// Bytes of files of earlier attempts.
    pub used_bytes: u64,
    /// Number of files, folders and links of earlier attempts.
    pub used_count: u32,
}

fn names<S: Serializer>(env: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(env.keys())
}
