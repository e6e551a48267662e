//! Scans of the tasks folder: its files and their states.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Problem;
use super::overlooked::Overlooked;
use super::paths::{app_manifest_of, is_hidden, is_manifest, is_wasm, manifest_of, may_count, task_of};
use crate::model::TaskRef;
use crate::platform;
use crate::process::open_plain;

/// Largest task file. An interpreter of a language with its libraries has 20 to 40 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most bytes that are read of a manifest. A longer one is cut off, and so an error.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;
/// Most task files that are loaded. A scan of this many takes about 50 ms, and each loaded file needs three of the 65,530
/// memory mappings that the system allows a process.
pub(super) const MAX_FILES: usize = 10_000;

/// The time of the clock by which files are dated.
fn now() -> SystemTime {
    platform::wall_clock()
}

/// State of a file without its content. Every write changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// Time of the last change of content or attributes (ctime), in seconds and nanoseconds. No program can set it, so it
    /// differs when `cp -p` gives another file the same length and time. Some file systems have none (FAT), or the server's;
    /// there, only a notice reports such a change.
    changed: (i64, i64),
    /// Differs for another file under the same name.
    inode: u64,
}

impl FileState {
    /// State of an existing file whose metadata can't be read. Reading the file gives the error.
    const UNKNOWN: Self = Self { len: u64::MAX, modified: None, changed: (0, 0), inode: 0 };

    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt as _;
            ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = ((0, 0), 0);
        // Set by the kernel and not by the seed.
        let changed = if platform::is_simulated() { (0, 0) } else { changed };
        Self { len: metadata.len(), modified: metadata.modified().ok(), changed, inode }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Time since the last write; none if it is in the future, because the file system's clock differs.
    pub(super) fn age(&self) -> Option<Duration> {
        self.modified.and_then(|modified| now().duration_since(modified).ok())
    }
}

/// Observed state of a file, with the number of notices about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) file: FileState,
    /// A different number means that the content may be different, whatever the metadata.
    pub(super) notices: u64,
}

/// State of a task on the disk: its file and its manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskState {
    pub(super) wasm: Seen,
    pub(super) manifest: Option<Seen>,
    pub(super) app: Option<Seen>,
}

/// A task file that is to be loaded.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Relative to the folder.
    pub(super) path: PathBuf,
    /// The task's name from its path.
    pub(super) name: Result<TaskRef, Problem>,
    pub(super) state: TaskState,
}

/// Result of a scan.
#[derive(Default)]
pub(super) struct Scan {
    /// Task files, with the names from their paths.
    pub(super) tasks: BTreeMap<PathBuf, Result<TaskRef, Problem>>,
    /// States of task files and their manifests. Without empty manifests: they mean the same as absent ones, and may be the
    /// first half of a save.
    pub(super) files: BTreeMap<PathBuf, FileState>,
    /// Folders that could not be read. Their files do not count as removed.
    pub(super) unreadable: Vec<PathBuf>,
    /// Task files beyond [`MAX_FILES`].
    pub(super) omitted: usize,
    /// Files that look like tasks but are not.
    pub(super) overlooked: BTreeSet<PathBuf>,
    /// Number of files whose metadata was read.
    pub(super) examined: usize,
}

/// The names in the folder, before any metadata is read.
#[derive(Default)]
struct Names {
    /// Task files that are loaded already, and those that are not.
    known: Vec<PathBuf>,
    new: Vec<PathBuf>,
    manifests: HashSet<PathBuf>,
    omitted: usize,
    overlooked: Overlooked,
}

impl Names {
    fn add(&mut self, path: PathBuf, known: &dyn Fn(&Path) -> bool) {
        if !may_count(&path) {
            return self.overlooked.add_file(&path);
        }
        match (is_manifest(&path), known(&path)) {
            (true, _) => {
                self.manifests.insert(path);
            }
            (false, true) => self.known.push(path),
            (false, false) if self.new.len() < MAX_FILES => self.new.push(path),
            (false, false) => self.omitted += 1,
        }
    }

    /// The task files within the limit. Loaded files have precedence over new ones.
    fn limited(&mut self, most: usize) -> Vec<PathBuf> {
        let room = most.saturating_sub(self.known.len());
        self.new.sort();
        self.omitted += self.new.len().saturating_sub(room);
        self.new.truncate(room);
        let mut files = std::mem::take(&mut self.known);
        files.append(&mut self.new);
        files
    }
}

/// Scans the folder and its subfolders. `known` tells whether a task file is loaded. Fails if the folder itself can't be
/// read.
pub(super) fn scan(root: &Path, known: &dyn Fn(&Path) -> bool) -> io::Result<Scan> {
    let (mut scan, mut names, mut apps) = (Scan::default(), Names::default(), Vec::new());
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if is_wasm(&name) || is_manifest(&name) || is_hidden(&name) {
            names.add(name, known);
            continue;
        }
        // Follows links, which operators or mounted volumes may have made.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()),
        };
        if is_folder {
            apps.push(name);
        } else {
            names.overlooked.add_file(&name);
        }
    }
    for app in apps {
        let listed = fs::read_dir(root.join(&app)).and_then(|entries| {
            entries.into_iter().try_for_each(|entry| {
                let entry = entry?;
                let path = app.join(entry.file_name());
                names.overlooked.add_folder(root, &path, &entry);
                names.add(path, known);
                Ok(())
            })
        });
        // Files in an unreadable folder do not count as removed.
        if listed.is_err() {
            scan.unreadable.push(app);
        }
    }
    let files = names.limited(MAX_FILES);
    scan.omitted = names.omitted;
    scan.overlooked = std::mem::take(&mut names.overlooked).into_paths();
    let mut apps = HashSet::new();
    for path in files {
        scan.add(root, path, &|path| names.manifests.contains(path), &mut apps);
    }
    Ok(scan)
}

/// Scans a single file of the folder.
pub(super) fn scan_one(root: &Path, file: &Path) -> Scan {
    let mut scan = Scan::default();
    scan.add(root, file.to_owned(), &|_| true, &mut HashSet::new());
    scan
}

impl Scan {
    /// Adds a path with the name of a task file, and its manifests as far as they are `listed`. `apps` are the manifests of
    /// folders that were added already.
    fn add(
        &mut self,
        root: &Path,
        path: PathBuf,
        listed: &dyn Fn(&Path) -> bool,
        apps: &mut HashSet<PathBuf>,
    ) {
        let Some((state, problem)) = self.examine(&root.join(&path)) else { return };
        let (own, app) = (manifest_of(&path), app_manifest_of(&path));
        if listed(&own) {
            self.add_manifest(root, own);
        }
        if listed(&app) && apps.insert(app.clone()) {
            self.add_manifest(root, app);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Lossy, so that a name that is not UTF-8 is invalid, and does not count as the top.
        let folder = folder.map(|folder| folder.as_os_str().to_string_lossy());
        let named = problem.map_or_else(|| task_of(folder.as_deref(), &path), Err);
        self.files.insert(path.clone(), state);
        self.tasks.insert(path, named);
    }

    /// State of a task file, with its problem if it is no file; none if it is gone.
    fn examine(&mut self, path: &Path) -> Option<(FileState, Option<Problem>)> {
        self.examined += 1;
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Some((FileState::of(&metadata), None)),
            // Not read, because a pipe or a device may have no end.
            Ok(metadata) => Some((FileState::of(&metadata), Some(Problem::NoFile))),
            // A broken link, or the file was removed since the folder was read.
            Err(error) => {
                let link = fs::symlink_metadata(path).ok()?;
                Some((FileState::of(&link), Some(Problem::unreadable("", &error))))
            }
        }
    }

    fn add_manifest(&mut self, root: &Path, path: PathBuf) {
        self.examined += 1;
        if let Some(state) = manifest_state(&root.join(&path)) {
            self.files.insert(path, state);
        }
    }
}

/// State of a manifest; none if it is absent or empty.
fn manifest_state(path: &Path) -> Option<FileState> {
    match fs::metadata(path) {
        Ok(metadata) => Some(FileState::of(&metadata)).filter(|state| !state.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Not absent, or a failing disk would revoke settings.
        Err(_) => Some(FileState::UNKNOWN),
    }
}

/// The content of a task's file; none if the file has changed since the scan.
pub(super) fn read(root: &Path, found: &Found) -> Result<Option<Vec<u8>>, Problem> {
    let seen = found.state.wasm.file;
    if seen.len > MAX_FILE_BYTES {
        return Err(Problem::TooLarge(seen.len, MAX_FILE_BYTES));
    }
    let path = root.join(&found.path);
    let mut content = Vec::new();
    let file = match open_plain(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| Problem::unreadable("", &error))?,
    };
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content);
    read.map_err(|error| Problem::unreadable("", &error))?;
    let after = fs::metadata(&path).ok().as_ref().map(FileState::of);
    Ok((after == Some(seen)).then_some(content))
}

/// Names and texts of the manifests of a task's app and of the task, as far as they exist. None if one differs from its
/// `seen` state, if that is given.
pub(super) fn manifests(
    root: &Path,
    task: &Path,
    seen: Option<&TaskState>,
) -> Result<Option<Vec<(String, String)>>, Problem> {
    let (own, app) = (manifest_of(task), app_manifest_of(task));
    let mut paths = vec![(app, seen.map(|seen| seen.app))];
    paths.extend((own != paths[0].0).then_some((own, seen.map(|seen| seen.manifest))));
    let mut texts = Vec::new();
    for (path, seen) in paths {
        let text = manifest(&root.join(&path), &path.display().to_string())?;
        let seen = seen.map(|seen| seen.map(|seen| seen.file));
        if seen.is_some_and(|seen| seen != manifest_state(&root.join(&path))) {
            return Ok(None);
        }
        texts.extend(text.map(|text| (path.display().to_string(), text)));
    }
    Ok(Some(texts))
}

/// Text of a manifest; none if it does not exist.
fn manifest(path: &Path, name: &str) -> Result<Option<String>, Problem> {
    let unreadable = |error: io::Error| Problem::unreadable(&format!("{name}: "), &error);
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(root: &Path) -> Scan {
        scan(root, &|_| false).unwrap()
    }

    #[test]
    fn finds_task_files_at_the_top_and_one_folder_down() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("demo/deeper")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        for path in
            ["a.wasm", "demo/b.wasm", "demo/deeper/c.wasm", ".git/d.wasm", ".e.wasm", "f.txt", "g h.wasm"]
        {
            fs::write(root.join(path), "x").unwrap();
        }
        let scan = look(root);
        let found: Vec<&Path> = scan.tasks.keys().map(PathBuf::as_path).collect();
        assert_eq!(found, ["a.wasm", "demo/b.wasm", "g h.wasm"].map(Path::new));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_with_a_name_that_is_not_utf_8_is_not_the_top() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::create_dir(&app).unwrap();
        fs::write(app.join("a.wasm"), "x").unwrap();
        let scan = look(folder.path());
        assert!(matches!(scan.tasks.values().next().unwrap(), Err(Problem::Name(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_named_like_a_task_that_is_no_file_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("folder.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("link.wasm")).unwrap();
        let found: Vec<_> = look(root).tasks.into_values().collect();
        assert_eq!(found[0], Err(Problem::NoFile));
        assert!(matches!(found[1], Err(Problem::Unreadable(_))));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_scan_reads_the_metadata_of_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for app in ["one", "two"] {
            fs::create_dir(root.join(app)).unwrap();
            fs::write(root.join(app).join("app.toml"), "x").unwrap();
            for nth in 0..20 {
                fs::write(root.join(app).join(format!("{nth}.wasm")), "x").unwrap();
                fs::write(root.join(app).join(format!("{nth}.txt")), "x").unwrap();
            }
            for nth in 0..5 {
                fs::write(root.join(app).join(format!("{nth}.toml")), "x").unwrap();
            }
        }
        let scan = look(root);
        assert_eq!((scan.tasks.len(), scan.files.len(), scan.examined), (40, 52, 52));
    }

    #[test]
    fn beyond_the_limit_loaded_files_stay() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut names = Names { known: paths(&["y", "z"]), new: paths(&["c", "a", "b"]), ..Names::default() };
        assert_eq!(names.limited(3), paths(&["y", "z", "a"]));
        assert_eq!(names.omitted, 2);
    }

    #[test]
    fn an_empty_manifest_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a.wasm"), "x").unwrap();
        fs::write(root.join("a.toml"), "").unwrap();
        assert!(!look(root).files.contains_key(Path::new("a.toml")));
        fs::write(root.join("a.toml"), "x").unwrap();
        assert!(look(root).files.contains_key(Path::new("a.toml")));
    }

    #[cfg(unix)]
    #[test]
    fn a_manifest_without_readable_metadata_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a.wasm"), "x").unwrap();
        std::os::unix::fs::symlink("a.toml", root.join("a.toml")).unwrap();
        assert_eq!(look(root).files.get(Path::new("a.toml")), Some(&FileState::UNKNOWN));
        let read = manifests(root, Path::new("a.wasm"), None);
        assert!(matches!(&read, Err(Problem::Unreadable(why)) if why.starts_with("a.toml: ")), "{read:?}");
    }

    #[test]
    fn a_file_with_the_same_size_and_time_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut states = Vec::new();
        for content in ["one", "two"] {
            fs::write(&path, content).unwrap();
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
            states.push(look(folder.path()).files[Path::new("a.wasm")]);
        }
        assert_eq!((states[0].len, states[0].modified), (states[1].len, states[1].modified));
        assert_ne!(states[0], states[1]);
    }

    #[test]
    fn an_absent_folder_is_an_error_and_not_empty() {
        assert!(scan(Path::new("/nonexistent/tasks"), &|_| false).is_err());
    }
}
