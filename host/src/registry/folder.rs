//! Looking at the tasks folder: which files there are, and how they are.

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

/// Largest file that is loaded. An interpreter of a whole language with its
/// libraries has 20 to 40 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most that is read of a manifest; one that is longer is cut, and so an error.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;
/// Most task files that are loaded; a folder with more was meant for something else. A look at so many
/// takes some 50 ms, and each that is loaded takes three of the 65,530 mappings that the system allows a process.
pub(super) const MAX_FILES: usize = 10_000;

/// The time of the machine's clock, which files are dated by.
fn now() -> SystemTime {
    platform::wall_clock()
}

/// How a file is, without reading it. Any write changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// When content or attributes changed, in seconds and nanoseconds. No program can set it, so it differs where
    /// `cp -p` gave another file the length and the time of the one before. Some file systems have none (FAT) or
    /// the server's; then a notice is what tells.
    changed: (i64, i64),
    /// Another file under the same name has another one.
    inode: u64,
}

impl FileState {
    /// A file that is there and says nothing of itself; reading it tells why.
    const UNKNOWN: Self = Self { len: u64::MAX, modified: None, changed: (0, 0), inode: 0 };

    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt as _;
            ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = ((0, 0), 0);
        // The time of a change is the kernel's, and no seed decides it.
        let changed = if platform::is_simulated() { (0, 0) } else { changed };
        Self { len: metadata.len(), modified: metadata.modified().ok(), changed, inode }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Time since the last write; none if the clocks of the file system and of this machine disagree.
    pub(super) fn age(&self) -> Option<Duration> {
        self.modified.and_then(|modified| now().duration_since(modified).ok())
    }
}

/// A file as it was seen, after so many notices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) file: FileState,
    /// With another number of them the content may be another, whatever the file says of itself.
    pub(super) notices: u64,
}

/// How a task is on the disk: its file, and what is said of it beside it.
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
    /// What its path says it is.
    pub(super) name: Result<TaskRef, Problem>,
    pub(super) state: TaskState,
}

/// What a look at the folder found.
#[derive(Default)]
pub(super) struct Scan {
    /// Task files, and what their paths say they are.
    pub(super) tasks: BTreeMap<PathBuf, Result<TaskRef, Problem>>,
    /// How they and the manifests beside them are. A manifest without content is left out: it says what an absent
    /// one says, and may be the first half of a save.
    pub(super) files: BTreeMap<PathBuf, FileState>,
    /// Folders that could not be read; what was in them is not gone.
    pub(super) unreadable: Vec<PathBuf>,
    /// Task files beyond [`MAX_FILES`].
    pub(super) left_out: usize,
    /// Files that look like tasks and are none.
    pub(super) overlooked: BTreeSet<PathBuf>,
    /// Files that the system was asked about.
    pub(super) asked: usize,
}

/// The names in the folder, before any file is looked at.
#[derive(Default)]
struct Names {
    /// Task files that are known already, and those that are not.
    known: Vec<PathBuf>,
    new: Vec<PathBuf>,
    manifests: HashSet<PathBuf>,
    left_out: usize,
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
            (false, false) => self.left_out += 1,
        }
    }

    /// The task files that count. One that is loaded is never left out for another that came later.
    fn limited(&mut self, most: usize) -> Vec<PathBuf> {
        let room = most.saturating_sub(self.known.len());
        self.new.sort();
        self.left_out += self.new.len().saturating_sub(room);
        self.new.truncate(room);
        let mut files = std::mem::take(&mut self.known);
        files.append(&mut self.new);
        files
    }
}

/// Looks at the folder and the folders in it; `known` are the task files that are loaded. Fails if the folder
/// itself can't be read: then nothing is known of what is in it.
pub(super) fn scan(root: &Path, known: &dyn Fn(&Path) -> bool) -> io::Result<Scan> {
    let (mut scan, mut names, mut apps) = (Scan::default(), Names::default(), Vec::new());
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if is_wasm(&name) || is_manifest(&name) || is_hidden(&name) {
            names.add(name, known);
            continue;
        }
        // Follows links: the operator, or a mounted volume, may have placed them.
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
        // What could not be listed is not gone.
        if listed.is_err() {
            scan.unreadable.push(app);
        }
    }
    let files = names.limited(MAX_FILES);
    scan.left_out = names.left_out;
    scan.overlooked = std::mem::take(&mut names.overlooked).into_paths();
    let mut apps = HashSet::new();
    for path in files {
        scan.add(root, path, &|path| names.manifests.contains(path), &mut apps);
    }
    Ok(scan)
}

/// Looks at one file of the folder and at nothing else in it.
pub(super) fn scan_one(root: &Path, file: &Path) -> Scan {
    let mut scan = Scan::default();
    scan.add(root, file.to_owned(), &|_| true, &mut HashSet::new());
    scan
}

impl Scan {
    /// Notes a task file, and what is called so and is none, and its manifests as far as they are `listed`.
    /// `apps` are the manifests of folders that were looked at already.
    fn add(
        &mut self,
        root: &Path,
        path: PathBuf,
        listed: &dyn Fn(&Path) -> bool,
        apps: &mut HashSet<PathBuf>,
    ) {
        let Some((state, problem)) = self.look(&root.join(&path)) else { return };
        let (own, app) = (manifest_of(&path), app_manifest_of(&path));
        if listed(&own) {
            self.add_manifest(root, own);
        }
        if listed(&app) && apps.insert(app.clone()) {
            self.add_manifest(root, app);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A name that is no text is no app's, and not that of the top.
        let folder = folder.map(|folder| folder.as_os_str().to_string_lossy());
        let named = problem.map_or_else(|| task_of(folder.as_deref(), &path), Err);
        self.files.insert(path.clone(), state);
        self.tasks.insert(path, named);
    }

    /// How a task file is, and why it can't be one; none if it is gone.
    fn look(&mut self, path: &Path) -> Option<(FileState, Option<Problem>)> {
        self.asked += 1;
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Some((FileState::of(&metadata), None)),
            // Never read: a pipe or a device may not end.
            Ok(metadata) => Some((FileState::of(&metadata), Some(Problem::NoFile))),
            // A link that leads nowhere; or it is gone since the folder was read.
            Err(error) => {
                let link = fs::symlink_metadata(path).ok()?;
                Some((FileState::of(&link), Some(Problem::unreadable("", &error))))
            }
        }
    }

    fn add_manifest(&mut self, root: &Path, path: PathBuf) {
        self.asked += 1;
        if let Some(state) = manifest_state(&root.join(&path)) {
            self.files.insert(path, state);
        }
    }
}

/// None for one that is absent or has no content.
fn manifest_state(path: &Path) -> Option<FileState> {
    match fs::metadata(path) {
        Ok(metadata) => Some(FileState::of(&metadata)).filter(|state| !state.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // What can't be looked at is not absent, or settings would be lost to a failing disk.
        Err(_) => Some(FileState::UNKNOWN),
    }
}

/// The content of a task's file; none if it is not, or no longer, as it was seen.
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

/// What is said of the task of that file: the names and texts of its app's manifest and its own, as far as they
/// are there. None if one is not as it was seen, if it is said how that was.
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

/// None if it is not there.
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
    fn a_folder_whose_name_is_no_text_is_not_the_top() {
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
    fn what_is_called_like_a_task_and_is_no_file_is_told() {
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
    fn a_look_asks_once_about_each_file_that_is_there() {
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
        assert_eq!((scan.tasks.len(), scan.files.len(), scan.asked), (40, 52, 52));
    }

    #[test]
    fn beyond_the_limit_those_that_are_loaded_stay() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut names = Names { known: paths(&["y", "z"]), new: paths(&["c", "a", "b"]), ..Names::default() };
        assert_eq!(names.limited(3), paths(&["y", "z", "a"]));
        assert_eq!(names.left_out, 2);
    }

    #[test]
    fn a_manifest_without_content_is_as_one_that_is_absent() {
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
    fn a_manifest_that_cannot_be_looked_at_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a.wasm"), "x").unwrap();
        std::os::unix::fs::symlink("a.toml", root.join("a.toml")).unwrap();
        assert_eq!(look(root).files.get(Path::new("a.toml")), Some(&FileState::UNKNOWN));
        let read = manifests(root, Path::new("a.wasm"), None);
        assert!(matches!(&read, Err(Problem::Unreadable(why)) if why.starts_with("a.toml: ")), "{read:?}");
    }

    #[test]
    fn a_file_of_the_same_size_and_time_is_another() {
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
    fn a_folder_that_is_gone_is_an_error_and_not_empty() {
        assert!(scan(Path::new("/nonexistent/tasks"), &|_| false).is_err());
    }
}
