//! What the operator grants to a task. Everything else is denied.

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

pub(super) use http::{Target, decide};
pub(super) use mask::Mask;

/// What a task is granted. Its JSON is what clients see: no value of a secret or
/// variable, no path of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Grants {
    /// Which requests it may send.
    pub http: Vec<HttpGrant>,
    /// Its environment variables.
    #[serde(serialize_with = "names")]
    pub env: BTreeMap<String, String>,
    /// More of them, whose values are masked in all that its runs say.
    pub secrets: Secrets,
    /// Folders of the host that it sees.
    pub folders: Vec<FolderGrant>,
    /// Of which tasks of other apps it may start runs.
    pub start: Vec<TaskPattern>,
    /// Whether the files that it makes under [`OUTPUT_MOUNT`] are kept and served.
    #[serde(rename = "output_files")]
    pub files: Option<FilesGrant>,
    /// The manifest that says so; none: the task's own.
    #[serde(skip)]
    pub files_said_in: Option<Arc<str>>,
}

impl Grants {
    /// Notes which manifest says what was not granted `before`, so that a denial can name it.
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

/// Tasks of an app: one, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPattern {
    app: AppName,
    /// None: all.
    task: Option<TaskName>,
}

impl TaskPattern {
    /// `app/task` or `app/*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (app, task) = text.split_once('/')?;
        let task = if task == "*" { None } else { Some(TaskName::parse(task).ok()?) };
        Some(Self { app: AppName::parse(app).ok()?, task })
    }

    /// Whether the task is one of them.
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

/// Where a guest finds the folder for its output files.
pub const OUTPUT_MOUNT: &str = "/output";

/// A folder of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderGrant {
    /// The folder, absolute.
    #[serde(skip)]
    pub path: PathBuf,
    /// Where the guest sees it.
    pub mount: String,
    /// Whether the guest may change it.
    pub write: bool,
    /// The manifest that says so; none: the task's own.
    #[serde(skip)]
    pub said_in: Option<Arc<str>>,
}

/// How much an attempt may leave as files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FilesGrant {
    /// All files together, in bytes.
    pub size: u64,
    /// Files, folders and links together.
    pub count: u32,
}

/// The folder for the output files of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFolder {
    /// The folder. Exists.
    pub path: PathBuf,
    /// What earlier attempts left there, in bytes.
    pub used_bytes: u64,
    /// How many files, folders and links they left.
    pub used_count: u32,
}

fn names<S: Serializer>(env: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(env.keys())
}
