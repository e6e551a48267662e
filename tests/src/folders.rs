//! A tasks folder and a data folder that outlive the host: for hosts that are started again.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{ChildHost, guests};

/// The folders of a host that is started more than once.
pub struct Folders {
    folder: TempDir,
}

impl Folders {
    /// With the task `test/probe`.
    #[allow(clippy::new_without_default, reason = "it makes folders and builds a guest")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        guests::install(&folder.path().join("tasks"), "test/probe.wasm", &guests::probe());
        Self { folder }
    }

    /// The tasks folder.
    pub fn tasks(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a host on them.
    pub fn start(&self, arguments: &[&str]) -> ChildHost {
        ChildHost::start(&self.tasks(), &self.data(), arguments)
    }
}
