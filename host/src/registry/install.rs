//! Installs task files into the folder, and removes them.
//!
//! Writes stay within the tasks folder: names have no special characters of paths, and links in the folder are not
//! followed. A file is installed atomically, and only if it loads.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::{Problem, Registry, Task, loads, paths};
use crate::model::{AppName, TaskRef, Version};

/// Mode of a task's file: readable for others.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// Mode of an app's folder.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// An installed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: Version,
    /// Whether there was no such file before.
    pub is_new: bool,
}

/// Error of an installation or a removal.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is not a valid task, or not with its manifests.
    #[error(transparent)]
    Invalid(#[from] Problem),
    /// Something else is in its place.
    #[error("{0:?} in the tasks folder is {1}")]
    PathConflict(String, &'static str),
    /// The host has no permission to write.
    #[error("this host can't write into its tasks folder: {0}")]
    NotWritable(io::Error),
    /// The folder or its disk fails.
    #[error("the tasks folder can't be used: {0}")]
    Failed(io::Error),
}

impl From<Errno> for InstallError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::NotWritable(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

impl Registry {
    /// Installs or replaces a task's file. The watch of the folder then loads it like any other. Blocks on the compiler and
    /// the disk.
    pub fn install(&self, task: &TaskRef, wasm: &[u8]) -> Result<Installed, InstallError> {
        let version = Version::of(wasm);
        // First, so that something in the way is not reported as an unreadable manifest.
        self.app_folder(task, false)?;
        let settings =
            loads::settings(self, &paths::path_of(task), None)?.unwrap_or_else(|| self.host.clone());
        // The compiled code is cached, so the watch does not compile it again.
        let program = self.engine.load(wasm, version).map_err(Problem::from)?;
        Task::new(task.clone(), program, wasm.len() as u64, settings)?;
        let app = self.app_folder(task, true)?.ok_or(Errno::NOENT)?;
        let name = file_name(task);
        let is_new = !is_there(app.as_fd(), task, &name)?;
        write(app.as_fd(), &name, wasm)?;
        Ok(Installed { version, is_new })
    }

    /// Removes a task's file from the folder, but not its manifest. False if there is none. Blocks on the disk.
    pub fn remove(&self, task: &TaskRef) -> Result<bool, InstallError> {
        let Some(app) = self.app_folder(task, false)? else { return Ok(false) };
        let name = file_name(task);
        if !is_there(app.as_fd(), task, &name)? {
            return Ok(false);
        }
        match unlinkat(&app, &*name, AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(false),
            removed => removed?,
        }
        // At once: the watch would wait, because an absent file may be about to be replaced.
        if self.retire(&[paths::path_of(task)]) {
            self.changed();
        }
        Ok(true)
    }

    /// The folder of a task's file; none if it does not exist and `make` is false.
    fn app_folder(&self, task: &TaskRef, make: bool) -> Result<Option<OwnedFd>, InstallError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // May be a link, because the operator configured it.
        let root = openat(CWD, &self.folder, flags, Mode::empty())?;
        if task.app == AppName::default_app() {
            return Ok(Some(root));
        }
        let name = Path::new(task.app.as_str());
        let open = || openat(&root, name, flags | OFlags::NOFOLLOW, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if make => match mkdirat(&root, name, FOLDER_MODE) {
                // Another installation may have made it just now.
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(error) => Err(error),
            },
            opened => opened,
        };
        match opened {
            Ok(app) => Ok(Some(app)),
            Err(Errno::NOENT) if !make => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(InstallError::PathConflict(
                task.app.to_string(),
                "a link or no folder, which is left alone",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

fn file_name(task: &TaskRef) -> String {
    format!("{}.wasm", task.task)
}

/// Whether a file exists under the name. A link counts as one: the link itself is replaced or removed, not its target.
fn is_there(app: BorrowedFd<'_>, task: &TaskRef, name: &str) -> Result<bool, InstallError> {
    match statat(app, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Err(InstallError::PathConflict(paths::path_of(task).display().to_string(), "a folder"))
        }
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes the file under a hidden name first, which scans ignore, then renames it.
fn write(app: BorrowedFd<'_>, name: &str, wasm: &[u8]) -> Result<(), InstallError> {
    let unfinished = format!(".{name}.{}.upload", uuid::Uuid::now_v7());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(app, &*unfinished, flags, FILE_MODE)?);
    // Flushed before the rename, or a power loss could leave half of a file under the name.
    let written = file.write_all(wasm).and_then(|()| file.sync_all()).map_err(InstallError::Failed);
    let placed = written.and_then(|()| Ok(renameat(app, &*unfinished, app, name)?));
    if placed.is_err() {
        // Best effort.
        let _ = unlinkat(app, &*unfinished, AtFlags::empty());
    }
    placed?;
    rustix::fs::fsync(app)?;
    Ok(())
}
