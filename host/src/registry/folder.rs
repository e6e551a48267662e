//! Looking at the tasks folder: which files there are, and whether they have
//! stopped changing.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Problem;
use crate::model::{AppName, TaskName, TaskRef};
use crate::platform;

/// Largest file that is loaded. An interpreter of a whole language with its
/// libraries has 20 to 40 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most that is read of a manifest; one that is longer is cut, and so an error.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;
/// Most files that are looked at; a folder with more was meant for something else.
const MAX_FILES: usize = 10_000;

/// How a file is, without reading it. Any write changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    len: u64,
    modified: Option<SystemTime>,
    /// Another file under the same name has another one.
    inode: u64,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { len: metadata.len(), modified: metadata.modified().ok(), inode }
    }

    /// Whether the last write was at least `time` ago, as far as the clocks of
    /// the file system and of this machine agree.
    fn is_older_than(&self, time: Duration) -> bool {
        let age = self.modified.and_then(|modified| platform::wall_clock().duration_since(modified).ok());
        age.is_some_and(|age| age >= time)
    }
}

/// How a task is on the disk: its file, and what is said of it beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskState {
    wasm: FileState,
    manifest: Option<FileState>,
    app: Option<FileState>,
}

impl TaskState {
    /// Size of the wasm file in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.wasm.len
    }
}

/// Settings of all tasks of a folder.
pub(super) const APP_MANIFEST: &str = "app.toml";

/// A task file in the folder.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Relative to the folder.
    pub(super) path: PathBuf,
    /// What its path says it is.
    pub(super) name: Result<TaskRef, Problem>,
    pub(super) state: TaskState,
}

impl Found {
    /// Whether each of its files has been left alone for that time, or is known to be whole.
    pub(super) fn is_settled(&self, time: Duration, whole: &HashSet<PathBuf>) -> bool {
        let TaskState { wasm, manifest, app } = self.state;
        [
            (Some(wasm), self.path.clone()),
            (manifest, self.path.with_extension("toml")),
            (app, self.path.with_file_name(APP_MANIFEST)),
        ]
        .iter()
        .all(|(file, path)| file.is_none_or(|file| file.is_older_than(time)) || whole.contains(path))
    }
}

/// What a look at the folder found.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) files: Vec<Found>,
    /// Folders that could not be read; what was in them is not gone.
    pub(super) unreadable: Vec<PathBuf>,
}

/// Looks at the folder and the folders in it. Fails if the folder itself can't be
/// read: then nothing is known of what is in it.
pub(super) fn scan(root: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut apps = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        // Follows links: the operator, or a mounted volume, may have placed them.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && !is_hidden(&path) && !is_wasm(&path) => apps.push(path),
            looked_at => scan.add(root, None, &path, looked_at),
        }
    }
    for app in apps {
        let Ok(entries) = fs::read_dir(&app) else {
            scan.unreadable.push(app.strip_prefix(root).unwrap_or(&app).to_owned());
            continue;
        };
        // A name that is no text is no app's, and not that of the top.
        let name = app.file_name().unwrap_or_default().to_string_lossy();
        for entry in entries {
            match entry.map(|entry| entry.path()) {
                Ok(path) => scan.add(root, Some(&name), &path, fs::metadata(&path)),
                // What could not be listed is not gone.
                Err(_) => scan.unreadable.push(app.strip_prefix(root).unwrap_or(&app).to_owned()),
            }
        }
    }
    Ok(scan)
}

/// Looks at one file of the folder and at nothing else in it.
pub(super) fn scan_one(root: &Path, file: &Path) -> Scan {
    let (mut scan, path) = (Scan::default(), root.join(file));
    scan.add(root, None, &path, fs::metadata(&path));
    scan
}

impl Scan {
    /// Notes a task file, and what is called so and is none; everything else in
    /// the folder is none of our business.
    fn add(&mut self, root: &Path, app: Option<&str>, path: &Path, looked_at: io::Result<Metadata>) {
        if !is_wasm(path) || is_hidden(path) || self.files.len() >= MAX_FILES {
            return;
        }
        let (state, problem) = match looked_at {
            Ok(metadata) if metadata.is_file() => (FileState::of(&metadata), None),
            // Never read: a pipe or a device may not end.
            Ok(metadata) => (FileState::of(&metadata), Some(Problem::NoFile)),
            Err(error) => match fs::symlink_metadata(path) {
                // A link that leads nowhere.
                Ok(link) => (FileState::of(&link), Some(Problem::Unreadable(error.to_string()))),
                // Gone since the folder was read.
                Err(_) => return,
            },
        };
        let beside = |path: &Path| fs::metadata(path).ok().as_ref().map(FileState::of);
        let state = TaskState {
            wasm: state,
            manifest: beside(&path.with_extension("toml")),
            app: beside(&path.with_file_name(APP_MANIFEST)),
        };
        let path = path.strip_prefix(root).unwrap_or(path).to_owned();
        self.files.push(Found { name: problem.map_or_else(|| name(app, &path), Err), state, path });
    }
}

fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

/// Hidden files are other programs' unfinished ones.
fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

/// Where the file of a task lies, relative to the folder: the other way round.
pub(super) fn path(task: &TaskRef) -> PathBuf {
    let file = format!("{}.wasm", task.task);
    if task.app == AppName::default_app() { file.into() } else { Path::new(task.app.as_str()).join(file) }
}

fn name(app: Option<&str>, path: &Path) -> Result<TaskRef, Problem> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let task = TaskName::parse(&stem).map_err(|_| Problem::Name(stem.into_owned()))?;
    let app = match app {
        None => AppName::default_app(),
        // Otherwise two files could be the same task.
        Some(app) if app == AppName::default_app().as_str() => return Err(Problem::DefaultFolder),
        Some(app) => AppName::parse(app).map_err(|_| Problem::Name(app.to_owned()))?,
    };
    Ok(TaskRef { app, task })
}

/// The content of a file, and its state if that did not change meanwhile.
pub(super) fn read(root: &Path, found: &Found) -> Result<(Vec<u8>, bool), Problem> {
    if found.state.len() > MAX_FILE_BYTES {
        return Err(Problem::TooLarge(found.state.len(), MAX_FILE_BYTES));
    }
    let unreadable = |error: io::Error| Problem::Unreadable(error.to_string());
    let path = root.join(&found.path);
    let mut content = Vec::new();
    let file = fs::File::open(&path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    let after = fs::metadata(&path).map_err(unreadable)?;
    Ok((content, FileState::of(&after) == found.state.wasm))
}

/// What is said of the task of that file: the names and texts of its app's manifest and its own,
/// as far as they are there.
pub(super) fn manifests(root: &Path, task: &Path) -> Result<Vec<(String, String)>, Problem> {
    let wasm = root.join(task);
    let own = wasm.with_extension("toml");
    let app = wasm.with_file_name(APP_MANIFEST);
    let mut paths = vec![app];
    paths.extend((own != paths[0]).then_some(own));
    let mut texts = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let unreadable = |error: io::Error| Problem::Unreadable(format!("{name}: {error}"));
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let mut text = String::new();
        file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        texts.push((name, text));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut found: Vec<String> =
            scan(root).unwrap().files.iter().map(|found| found.path.display().to_string()).collect();
        found.sort();
        assert_eq!(found, ["a.wasm", "demo/b.wasm", "g h.wasm"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_text_is_not_the_top() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::create_dir(&app).unwrap();
        fs::write(app.join("a.wasm"), "x").unwrap();
        assert!(matches!(scan(folder.path()).unwrap().files[0].name, Err(Problem::Name(_))));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_called_like_a_task_and_is_no_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("folder.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("link.wasm")).unwrap();
        let mut found = scan(root).unwrap().files;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(found[0].name, Err(Problem::NoFile));
        assert!(matches!(found[1].name, Err(Problem::Unreadable(_))));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_task_is_settled_when_each_of_its_files_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("demo")).unwrap();
        let files = ["demo/a.wasm", "demo/a.toml", "demo/app.toml"].map(PathBuf::from);
        for file in &files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let found = &scan(folder.path()).unwrap().files[0];
        // No test takes so long, so time settles none of them.
        let time = Duration::from_secs(1_000_000);
        for whole in 0..files.len() {
            let known = files[..whole].iter().cloned().collect();
            assert!(!found.is_settled(time, &known), "{known:?}");
        }
        assert!(found.is_settled(time, &files.iter().cloned().collect()));
        assert!(found.is_settled(Duration::ZERO, &HashSet::new()));
    }

    #[test]
    fn the_path_is_the_name() {
        let of = |app, path: &str| name(app, Path::new(path)).map(|name| name.to_string());
        assert_eq!(of(None, "a.wasm").unwrap(), "default/a");
        assert_eq!(of(Some("demo"), "demo/long-operation.wasm").unwrap(), "demo/long-operation");
        assert!(of(None, "g h.wasm").is_err());
        assert!(of(Some("bad app"), "a.wasm").is_err());
        assert_eq!(of(Some("default"), "a.wasm"), Err(Problem::DefaultFolder));
        for (name, file) in [("default/a", "a.wasm"), ("demo/b", "demo/b.wasm")] {
            assert_eq!(path(&TaskRef::parse_path(name).unwrap()), Path::new(file));
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_not_empty() {
        assert!(scan(Path::new("/nonexistent/tasks")).is_err());
    }
}
