//! Output files of runs: one folder for each run, in the data folder.
//!
//! Guests made the content. So links are not followed, paths are resolved one name at a time, and only plain files are read.
//!
//! All calls block on the disk. Knows nothing of the writers and readers of the files.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::model::{RunId, Timestamp};

/// Deepest nesting of folders that is visited. Each level needs a file descriptor.
const MAX_DEPTH: usize = 32;
/// Most listed files of one run.
const MAX_LISTED: usize = 100_000;

/// The folders of all runs.
pub struct Files {
    root: PathBuf,
}

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Path in the run's folder, with `/` between the names.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last write.
    pub modified: Timestamp,
}

/// The folder of a run before an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The folder.
    pub path: PathBuf,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Number of its files, folders and links.
    pub count: u32,
}

impl Files {
    /// Folders in `root`, which is made when the first run needs it.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folder of a run, unless it exists from an earlier attempt.
    pub fn prepare(&self, run: &RunId) -> io::Result<Prepared> {
        let path = self.folder(run);
        let (mut bytes, mut count) = (0, 0);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                visit(&open_folder(CWD, &path)?, "", 0, &mut |_, stat| {
                    bytes += if is_file(stat) { stat.st_size.unsigned_abs() } else { 0 };
                    count += 1;
                    true
                })?;
            }
            Err(error) => return Err(error),
        }
        Ok(Prepared { path, bytes, count })
    }

    /// Removes the folder of a run if it is empty.
    pub fn tidy(&self, run: &RunId) {
        // Fails if it is not empty, as intended.
        let _ = fs::remove_dir(self.folder(run));
    }

    /// Removes all files of a run. Succeeds if there are none.
    pub fn remove(&self, run: &RunId) -> io::Result<()> {
        match fs::remove_dir_all(self.folder(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// All files of a run, in order of their paths.
    pub fn list(&self, run: &RunId) -> io::Result<Vec<FileEntry>> {
        let folder = match open_folder(CWD, &self.folder(run)) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut files = Vec::new();
        visit(&folder, "", 0, &mut |path, stat| {
            if is_file(stat) {
                files.push(entry(path.to_owned(), stat));
            }
            files.len() < MAX_LISTED
        })?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// Opens a file by the names in its path; none if there is no such file.
    pub fn open(&self, run: &RunId, names: &[&str]) -> io::Result<Option<(File, FileEntry)>> {
        let is_name = |name: &&str| !["", ".", ".."].contains(name) && !name.contains(['/', '\0']);
        let Some((last, folders)) = names.split_last().filter(|_| names.iter().all(is_name)) else {
            return Ok(None);
        };
        let opened = match walk(&self.folder(run), folders, last) {
            Ok(opened) => opened,
            // With `NOFOLLOW`, a link gives the error `LOOP`.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&opened)?;
        Ok(is_file(&stat).then(|| (File::from(opened), entry(names.join("/"), &stat))))
    }

    /// The folder of a run. Ids have no special characters of paths.
    fn folder(&self, run: &RunId) -> PathBuf {
        self.root.join(run.as_str())
    }
}

type Stat = rustix::fs::Stat;

fn open_folder(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// Opens a file below `root`, name by name.
fn walk(root: &Path, folders: &[&str], last: &str) -> Result<OwnedFd, Errno> {
    let mut folder = open_folder(CWD, root)?;
    for name in folders {
        folder = open_folder(folder.as_fd(), Path::new(name))?;
    }
    // Non-blocking, because opening a pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(&folder, last, flags, Mode::empty())
}

/// Calls `show` for every entry of a folder and its subfolders, until it returns false.
fn visit(
    folder: &OwnedFd,
    prefix: &str,
    depth: usize,
    show: &mut dyn FnMut(&str, &Stat) -> bool,
) -> io::Result<bool> {
    for found in Dir::read_from(folder)? {
        let found = found?;
        // Guests can't make names that are not UTF-8.
        let Some(name) = found.file_name().to_str().ok().filter(|name| ![".", ".."].contains(name)) else {
            continue;
        };
        // Skips entries that were removed since the folder was read.
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let path = format!("{prefix}{name}");
        if !show(&path, &stat) {
            return Ok(false);
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && depth < MAX_DEPTH
            && let Ok(inner) = open_folder(folder.as_fd(), Path::new(name))
            && !visit(&inner, &format!("{path}/"), depth + 1, show)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn entry(path: String, stat: &Stat) -> FileEntry {
    let millis = stat.st_mtime.saturating_mul(1000).saturating_add_unsigned(stat.st_mtime_nsec / 1_000_000);
    FileEntry { path, size: stat.st_size.unsigned_abs(), modified: Timestamp::from_millis(millis) }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn with_files() -> (tempfile::TempDir, Files, RunId) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().join("files"));
        let run = RunId::parse("run-1").unwrap();
        let path = files.prepare(&run).unwrap().path;
        fs::create_dir(path.join("sub")).unwrap();
        fs::write(path.join("a.txt"), "one").unwrap();
        fs::write(path.join("sub/b.txt"), "three").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink(folder.path().join("secret"), path.join("link")).unwrap();
        symlink(folder.path(), path.join("sub/up")).unwrap();
        (folder, files, run)
    }

    #[test]
    fn plain_files_are_listed_and_links_are_not() {
        let (_folder, files, run) = with_files();
        let listed: Vec<_> =
            files.list(&run).unwrap().into_iter().map(|file| (file.path, file.size)).collect();
        assert_eq!(listed, [("a.txt".to_owned(), 3), ("sub/b.txt".to_owned(), 5)]);
        let prepared = files.prepare(&run).unwrap();
        assert_eq!((prepared.bytes, prepared.count), (8, 5));
        assert_eq!(files.list(&RunId::parse("other").unwrap()).unwrap(), []);
    }

    #[test]
    fn no_path_leads_out_of_a_runs_folder() {
        let (_folder, files, run) = with_files();
        let (mut file, entry) = files.open(&run, &["sub", "b.txt"]).unwrap().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), entry.path.as_str()), ("three", "sub/b.txt"));
        let nowhere: [&[&str]; 13] = [
            &[],
            &[""],
            &["."],
            &[".."],
            &["sub"],
            &["link"],
            &["sub", "up", "secret"],
            &["sub", "..", "a.txt"],
            &["..", "run-1", "a.txt"],
            &["sub/b.txt"],
            &["/etc/passwd"],
            &["a.txt\0"],
            &["a.txt", "x"],
        ];
        for names in nowhere {
            assert!(files.open(&run, names).unwrap().is_none(), "{names:?}");
        }
        assert!(files.open(&run, &["x".repeat(300).as_str()]).unwrap().is_none());
    }

    #[test]
    fn an_empty_folder_of_a_run_is_removed() {
        let (_folder, files, run) = with_files();
        files.tidy(&run);
        assert!(files.folder(&run).exists());
        files.remove(&run).unwrap();
        assert!(!files.folder(&run).exists());
        files.remove(&run).unwrap();
        files.prepare(&run).unwrap();
        files.tidy(&run);
        assert!(!files.folder(&run).exists());
    }
}
