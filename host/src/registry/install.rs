//! Putting task files into the folder, and taking them out.
//!
//! All that is written lies in the tasks folder: the names have no character that means
//! something in a path, and no link that lies there is followed. A file is there whole
//! or not at all, and only if it loads.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::{Problem, Registry, Task, loads, paths};
use crate::model::{AppName, TaskRef, Version};

/// What others may do with a task's file: read it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// The same for the folder of an app.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// A file that was put into the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What it is.
    pub version: Version,
    /// Whether there was none in its place.
    pub is_new: bool,
}

/// Why a file was not put into the folder, or not taken out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is no task, or not with what is said of it in the folder.
    #[error(transparent)]
    Invalid(#[from] Problem),
    /// Something else lies where it belongs.
    #[error("{0:?} in the tasks folder is {1}")]
    InTheWay(String, &'static str),
    /// The host may not write there.
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
    /// Puts a task's file into the folder, in place of one that may be there. Who watches
    /// the folder then takes it as any other. Blocks on the compiler and the disk.
    pub fn install(&self, task: &TaskRef, wasm: &[u8]) -> Result<Installed, InstallError> {
        let version = Version::of(wasm);
        // What is in the way is told before it is taken for a manifest that can't be read.
        self.app_folder(task, false)?;
        let settings =
            loads::settings(self, &paths::path_of(task), None)?.unwrap_or_else(|| self.host.clone());
        // What is compiled here is kept, so that it is not compiled again when it is found.
        let program = self.engine.load(wasm, version).map_err(Problem::from)?;
        Task::new(task.clone(), program, wasm.len() as u64, settings)?;
        let app = self.app_folder(task, true)?.ok_or(Errno::NOENT)?;
        let name = file_name(task);
        let is_new = !is_there(app.as_fd(), task, &name)?;
        write(app.as_fd(), &name, wasm)?;
        Ok(Installed { version, is_new })
    }

    /// Takes a task's file out of the folder; what is said of it there stays. False if there
    /// is none. Blocks on the disk.
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
        // It is not on its way to be replaced, for which a file that is away would be waited.
        if self.retire(&[paths::path_of(task)]) {
            self.changed();
        }
        Ok(true)
    }

    /// The folder that a task's file lies in; none if it is not there and is not to be made.
    fn app_folder(&self, task: &TaskRef, make: bool) -> Result<Option<OwnedFd>, InstallError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The operator named it, and may have named a link.
        let root = openat(CWD, &self.folder, flags, Mode::empty())?;
        if task.app == AppName::default_app() {
            return Ok(Some(root));
        }
        let name = Path::new(task.app.as_str());
        let open = || openat(&root, name, flags | OFlags::NOFOLLOW, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if make => match mkdirat(&root, name, FOLDER_MODE) {
                // By another one, just now.
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(error) => Err(error),
            },
            opened => opened,
        };
        match opened {
            Ok(app) => Ok(Some(app)),
            Err(Errno::NOENT) if !make => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(InstallError::InTheWay(task.app.to_string(), "a link or no folder, which is left alone"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn file_name(task: &TaskRef) -> String {
    format!("{}.wasm", task.task)
}

/// Whether a file lies in the place of the task's. A link is one: it is replaced or
/// removed itself, and not what it leads to.
fn is_there(app: BorrowedFd<'_>, task: &TaskRef, name: &str) -> Result<bool, InstallError> {
    match statat(app, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Err(InstallError::InTheWay(paths::path_of(task).display().to_string(), "a folder"))
        }
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Under another name first, which no look at the folder takes for a task.
fn write(app: BorrowedFd<'_>, name: &str, wasm: &[u8]) -> Result<(), InstallError> {
    let unfinished = format!(".{name}.{}.upload", uuid::Uuid::now_v7());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(app, &*unfinished, flags, FILE_MODE)?);
    // Before the name is given, or a loss of power could leave it with half of a file.
    let written = file.write_all(wasm).and_then(|()| file.sync_all()).map_err(InstallError::Failed);
    let placed = written.and_then(|()| Ok(renameat(app, &*unfinished, app, name)?));
    if placed.is_err() {
        // There is nothing more to do about one that can't be removed either.
        let _ = unlinkat(app, &*unfinished, AtFlags::empty());
    }
    placed?;
    rustix::fs::fsync(app)?;
    Ok(())
}
