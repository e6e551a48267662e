//! The folders of commands that start a host in their own process.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Exit;
use crate::process::is_ours_alone;

/// A data folder. Dropping this value removes a temporary one.
pub(super) struct DataFolder {
    path: PathBuf,
    kept: bool,
}

impl DataFolder {
    /// Uses the folder that is to be kept, or creates a temporary one.
    pub(super) fn new(kept: Option<PathBuf>) -> Result<Self, Exit> {
        if let Some(path) = kept {
            return Ok(Self { path, kept: true });
        }
        let path = std::env::temp_dir().join(format!("streamtask-{}", uuid::Uuid::now_v7()));
        // Other users must not read the events of runs. Creation fails if another user has created the folder before.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Exit::Start(format!("can't create the folder {}: {error}", path.display())))?;
        Ok(Self { path, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if !self.kept {
            // The system removes the rest of its temporary folder at its next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The user's folder for compiled code. None if other users can write to it, because the host executes its content.
pub(super) fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let path = user.join("streamtask");
    DirBuilder::new().recursive(true).mode(0o700).create(&path).ok()?;
    is_ours_alone(&fs::metadata(&path).ok()?).then_some(path)
}
