//! Where commands that start something by themselves leave what it makes.

use std::fs::{self, DirBuilder};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Exit;
use crate::process::is_ours_alone;

/// Where a program's output goes that is no result.
pub(super) fn stderr() -> std::io::Result<std::process::Stdio> {
    Ok(std::io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// A data folder, removed with this value unless it is to be kept.
pub(super) struct Data {
    path: PathBuf,
    kept: bool,
}

impl Data {
    /// The folder to be kept, or a temporary one.
    pub(super) fn new(kept: Option<PathBuf>) -> Result<Self, Exit> {
        if let Some(path) = kept {
            return Ok(Self { path, kept: true });
        }
        let path = std::env::temp_dir().join(format!("streamtask-{}", uuid::Uuid::now_v7()));
        // Nobody else reads what a run says, nor has made the folder before.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Exit::Start(format!("can't make the folder {}: {error}", path.display())))?;
        Ok(Self { path, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed now, the system removes at its next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The user's own folder for compiled code; none if there is none that only the user can
/// write to, for this machine executes what is in it.
pub(super) fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let path = user.join("streamtask");
    DirBuilder::new().recursive(true).mode(0o700).create(&path).ok()?;
    is_ours_alone(&fs::metadata(&path).ok()?).then_some(path)
}
