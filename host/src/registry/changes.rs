//! Detects completed changes of the tasks folder, from scans and from notices of the file system. Reads no file and starts
//! nothing.
//!
//! A save takes several steps: an editor renames a file away, writes another and removes the first, or truncates the file
//! and writes it again. Between two steps, the folder is in a state that nobody intends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::folder::{FileState, Found, Scan, Seen, TaskState};
use super::paths;

/// Quiet time of a file after its writer has closed it or a rename has put it in place: the next writer may have truncated
/// it again, and that notice may be delayed. More than the 10 ms by which a file system's times may be behind.
const QUIET: Duration = Duration::from_millis(20);
/// Quiet time of a file without notices.
const SETTLE: Duration = Duration::from_millis(50);
/// Quiet time of a file that was written to and not closed. Programs that write tasks close them; after this time, the
/// writer counts as one that keeps files open for ever.
const STILL_OPEN: Duration = Duration::from_secs(2);
/// How long a manifest has to be absent until its settings end. Editors leave 0 to 5 ms between the old file and the new
/// one, a script or a repository checkout some seconds. Losing a schema, grants or a retention rule for that time would do
/// harm; keeping them for some seconds does not.
const MANIFEST_AWAY: Duration = Duration::from_secs(10);
/// How long a task's file has to be absent until the task is retired. Shorter, because runs of a removed task can start
/// until then.
const TASK_AWAY: Duration = Duration::from_secs(1);

/// A notice of the file system about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It was created, perhaps as a link to a complete file.
    Created,
    /// It was written to.
    Written,
    /// Its writer has closed it, or it was moved into place.
    Whole,
    /// It was removed.
    Gone,
}

/// Notices per file since the last scan: the last one, and their number.
pub(super) type Notices = BTreeMap<PathBuf, (Notice, u64)>;

/// A file of the folder, or one that was there recently.
#[derive(Debug)]
struct Track {
    /// None while it is absent.
    file: Option<FileState>,
    /// When it was first seen in this state.
    since: Instant,
    notices: u64,
    /// The last notice, while the file is unchanged since.
    last: Option<Notice>,
}

impl Track {
    fn new(now: Instant) -> Self {
        Self { file: None, since: now, notices: 0, last: None }
    }

    fn see(&mut self, file: Option<FileState>, notices: Option<(Notice, u64)>, now: Instant) {
        if let Some((notice, count)) = notices {
            self.last = Some(notice);
            self.notices += count;
        } else if file != self.file {
            self.last = None;
        }
        if file != self.file || notices.is_some() {
            (self.file, self.since) = (file, now);
        }
    }

    fn seen(&self) -> Option<Seen> {
        self.file.map(|file| Seen { file, notices: self.notices })
    }

    /// When its quiet time is over: by its own modification time, which is old for a file that was moved or copied with its
    /// time; or, where clocks differ, by how long it was seen in this state.
    fn quiet_at(&self, path: &Path, now: Instant) -> Instant {
        let Some(file) = self.file else { return self.since + away(path) };
        let needed = match self.last {
            Some(Notice::Whole) => QUIET,
            Some(Notice::Written) => STILL_OPEN,
            // Created and not written yet.
            Some(Notice::Created) if file.is_empty() => STILL_OPEN,
            Some(Notice::Created | Notice::Gone) | None => SETTLE,
        };
        let alone = file.age().unwrap_or_default().max(now.saturating_duration_since(self.since));
        now + needed.saturating_sub(alone)
    }
}

/// How long a file may be absent before it counts as removed.
fn away(path: &Path) -> Duration {
    let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
    if is_manifest { MANIFEST_AWAY } else { TASK_AWAY }
}

/// Completed changes.
#[derive(Debug, Default)]
pub(super) struct Completed {
    /// Task files to load, in order of their paths.
    pub(super) load: Vec<Found>,
    /// Task files that were removed.
    pub(super) retire: Vec<PathBuf>,
    /// When the next quiet time ends.
    pub(super) again: Option<Instant>,
}

/// The files of the folder, tracked across scans.
#[derive(Default)]
pub(super) struct Changes {
    tracks: BTreeMap<PathBuf, Track>,
}

impl Changes {
    /// Applies a scan and the notices before it. `known` gives the state of a task when it was last loaded or rejected. At
    /// `first`, quiet times are not waited for.
    pub(super) fn take(
        &mut self,
        scan: &Scan,
        notices: &Notices,
        known: impl Fn(&Path) -> Option<TaskState>,
        now: Instant,
        first: bool,
    ) -> Completed {
        let mut taken = Completed::default();
        for (path, file) in &scan.files {
            let track = self.tracks.entry(path.clone()).or_insert_with(|| Track::new(now));
            track.see(Some(*file), notices.get(path).copied(), now);
        }
        self.apply_missing(scan, notices, now, &mut taken);
        for (path, name) in &scan.tasks {
            let Some(state) = self.state(path) else { continue };
            if known(path) == Some(state) {
                continue;
            }
            let quiet_at = if first { now } else { self.quiet_at(path, now) };
            if quiet_at <= now {
                taken.load.push(Found { path: path.clone(), name: name.clone(), state });
            } else {
                taken.again = Some(taken.again.map_or(quiet_at, |again| again.min(quiet_at)));
            }
        }
        taken
    }

    /// Handles files that the scan did not find.
    fn apply_missing(&mut self, scan: &Scan, notices: &Notices, now: Instant, taken: &mut Completed) {
        let unreadable = |path: &Path| scan.unreadable.iter().any(|folder| path.starts_with(folder));
        self.tracks.retain(|path, track| {
            if scan.files.contains_key(path) || unreadable(path) {
                return true;
            }
            track.see(None, notices.get(path).copied(), now);
            let gone_at = track.quiet_at(path, now);
            if gone_at > now {
                taken.again = Some(taken.again.map_or(gone_at, |again| again.min(gone_at)));
                return true;
            }
            if paths::is_wasm(path) {
                taken.retire.push(path.clone());
            }
            false
        });
    }

    /// State of a task on the disk.
    fn state(&self, task: &Path) -> Option<TaskState> {
        let seen = |path: &Path| self.tracks.get(path).and_then(Track::seen);
        let (manifest, app) = (seen(&paths::manifest_of(task)), seen(&paths::app_manifest_of(task)));
        seen(task).map(|wasm| TaskState { wasm, manifest, app })
    }

    /// When the quiet times of all files of a task are over, so that changes of several files take effect together.
    fn quiet_at(&self, task: &Path, now: Instant) -> Instant {
        let parts = [task.to_owned(), paths::manifest_of(task), paths::app_manifest_of(task)];
        let tracks = parts.iter().filter_map(|path| Some(self.tracks.get(path)?.quiet_at(path, now)));
        tracks.max().unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs::{self, File};
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::super::folder;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A folder with the task `a`, and its known state.
    struct Folder {
        folder: TempDir,
        changes: Changes,
        known: HashMap<PathBuf, TaskState>,
        notices: Notices,
        now: Instant,
    }

    impl Folder {
        fn with(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("demo")).unwrap();
            let (changes, known) = (Changes::default(), HashMap::new());
            let mut made = Self { folder, changes, known, notices: Notices::new(), now: Instant::now() };
            for file in files {
                made.write(file, "first");
            }
            let first = made.take(true);
            assert_eq!(first.load.len(), 1, "at the start all is taken as it is");
            made.load(first);
            made
        }

        fn path(&self, file: &str) -> PathBuf {
            self.folder.path().join(file)
        }

        /// Writes a file with a time in the future, so that its age is unknown.
        fn write(&self, file: &str, content: &str) {
            fs::write(self.path(file), content).unwrap();
            let time = SystemTime::now() + Duration::from_secs(1_000_000);
            File::options().write(true).open(self.path(file)).unwrap().set_modified(time).unwrap();
        }

        fn tell(&mut self, file: &str, notice: Notice) {
            let (last, count) = self.notices.entry(file.into()).or_insert((notice, 0));
            (*last, *count) = (notice, *count + 1);
        }

        fn take(&mut self, first: bool) -> Completed {
            let scan = folder::scan(self.folder.path(), &|_| false).unwrap();
            let notices = std::mem::take(&mut self.notices);
            self.changes.take(&scan, &notices, |path| self.known.get(path).copied(), self.now, first)
        }

        fn load(&mut self, taken: Completed) -> usize {
            let count = taken.load.len();
            self.known.extend(taken.load.into_iter().map(|found| (found.path, found.state)));
            for path in taken.retire {
                self.known.remove(&path).unwrap();
            }
            count
        }

        /// The files that are loaded after that time.
        fn after(&mut self, time: Duration) -> usize {
            self.now += time;
            let taken = self.take(false);
            self.load(taken)
        }

        fn task(&self) -> Option<&TaskState> {
            self.known.get(Path::new("demo/a.wasm"))
        }
    }

    #[test]
    fn a_change_is_taken_when_all_files_of_the_task_were_left_alone() {
        let files = ["demo/a.wasm", "demo/a.toml", "demo/app.toml"];
        let mut folder = Folder::with(&files);
        assert_eq!(folder.after(SETTLE), 0, "nothing has changed");
        folder.write(files[0], "second");
        assert_eq!(folder.after(MS), 0);
        folder.write(files[1], "second");
        assert_eq!(folder.after(SETTLE - MS), 0, "the manifest is new");
        folder.write(files[2], "second");
        assert_eq!(folder.after(MS), 0, "and that of the folder");
        let again = folder.take(false).again.unwrap();
        assert_eq!(folder.after(SETTLE - MS), 0);
        assert_eq!(folder.after(MS), 1);
        assert!(again <= folder.now, "a look at {again:?} finds it");
        assert_eq!(folder.after(SETTLE), 0, "once");
    }

    #[test]
    fn a_manifest_that_is_away_for_a_moment_is_not_gone() {
        for empty in [false, true] {
            let mut folder = Folder::with(&["demo/a.wasm", "demo/a.toml"]);
            let before = *folder.task().unwrap();
            for save in 0..5 {
                if empty {
                    File::create(folder.path("demo/a.toml")).unwrap();
                } else {
                    fs::rename(folder.path("demo/a.toml"), folder.path("demo/a.toml~")).unwrap();
                    folder.tell("demo/a.toml", Notice::Gone);
                }
                assert_eq!(folder.after(SETTLE), 0, "away, save {save}");
                assert_eq!(folder.after(MANIFEST_AWAY - SETTLE), 0, "still away, save {save}");
                folder.write("demo/a.toml", "second");
                folder.tell("demo/a.toml", Notice::Whole);
                assert_eq!(folder.after(MS), 0, "just written, save {save}");
                assert_eq!(folder.after(QUIET), 1, "save {save}");
                assert!(folder.task().unwrap().manifest.is_some());
            }
            assert_ne!(*folder.task().unwrap(), before);
        }
    }

    #[test]
    fn a_manifest_that_stays_away_is_gone() {
        for manifest in ["demo/a.toml", "demo/app.toml"] {
            let mut folder = Folder::with(&["demo/a.wasm", manifest]);
            fs::remove_file(folder.path(manifest)).unwrap();
            folder.tell(manifest, Notice::Gone);
            let again = folder.take(false).again.unwrap();
            assert_eq!(again, folder.now + MANIFEST_AWAY);
            // Another build has to wait for the manifest, too, or it would load with unintended settings.
            folder.write("demo/a.wasm", "second");
            assert_eq!(folder.after(MANIFEST_AWAY - MS), 0);
            assert_eq!(folder.after(SETTLE), 1);
            let task = folder.task().unwrap();
            assert_eq!((task.manifest, task.app), (None, None));
        }
    }

    #[test]
    fn a_task_that_is_renamed_away_and_written_again_is_not_retired() {
        let mut folder = Folder::with(&["demo/a.wasm"]);
        fs::rename(folder.path("demo/a.wasm"), folder.path("demo/a.old")).unwrap();
        folder.now += MS;
        assert!(folder.take(false).retire.is_empty());
        folder.write("demo/a.wasm", "second");
        folder.tell("demo/a.wasm", Notice::Whole);
        assert_eq!(folder.after(TASK_AWAY - MS), 0);
        assert_eq!(folder.after(QUIET), 1);

        fs::remove_file(folder.path("demo/a.wasm")).unwrap();
        let again = folder.take(false).again.unwrap();
        folder.now = again;
        assert_eq!(folder.take(false).retire, [Path::new("demo/a.wasm")]);
        assert!(folder.take(false).retire.is_empty(), "once");
    }

    #[test]
    fn a_task_that_comes_back_before_its_manifest_waits_for_it() {
        let mut folder = Folder::with(&["demo/a.wasm", "demo/a.toml"]);
        for file in ["demo/a.wasm", "demo/a.toml"] {
            fs::remove_file(folder.path(file)).unwrap();
        }
        folder.after(MS);
        folder.after(TASK_AWAY);
        assert!(folder.task().is_none());
        folder.write("demo/a.wasm", "second");
        assert_eq!(folder.after(MS) + folder.after(SETTLE), 0);
        folder.write("demo/a.toml", "second");
        assert_eq!(folder.after(MS) + folder.after(SETTLE), 1);
        assert!(folder.task().unwrap().manifest.is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_read_keeps_its_tasks() {
        let mut folder = Folder::with(&["demo/a.wasm"]);
        let scan = Scan { unreadable: vec!["demo".into()], ..Scan::default() };
        folder.now += TASK_AWAY * 2;
        for _ in 0..2 {
            let known = |path: &Path| folder.known.get(path).copied();
            let taken = folder.changes.take(&scan, &Notices::new(), known, folder.now, false);
            assert!(taken.retire.is_empty() && taken.load.is_empty(), "{taken:?}");
            folder.now += TASK_AWAY;
        }
        assert_eq!(folder.after(SETTLE), 0);
    }

    #[test]
    fn a_file_of_which_a_notice_came_is_compared_whatever_it_says_of_itself() {
        for file in ["demo/a.wasm", "demo/a.toml", "demo/app.toml"] {
            let mut folder = Folder::with(&["demo/a.wasm", "demo/a.toml", "demo/app.toml"]);
            assert_eq!(folder.after(SETTLE), 0);
            folder.tell(file, Notice::Whole);
            assert_eq!(folder.after(MS) + folder.after(QUIET), 1, "{file}");
        }
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_waited_for() {
        let mut folder = Folder::with(&["demo/a.wasm", "demo/a.toml"]);
        folder.write("demo/a.toml", "half");
        folder.tell("demo/a.toml", Notice::Written);
        assert_eq!(folder.after(MS) + folder.after(SETTLE * 10), 0);
        folder.tell("demo/a.toml", Notice::Whole);
        assert_eq!(folder.after(MS) + folder.after(QUIET), 1);

        // Closed, and truncated again before the scan, which the next notice reports.
        folder.write("demo/a.toml", "first of two");
        folder.tell("demo/a.toml", Notice::Whole);
        assert_eq!(folder.after(MS), 0);
        folder.tell("demo/a.toml", Notice::Written);
        assert_eq!(folder.after(QUIET), 0);
        assert_eq!(folder.after(STILL_OPEN), 1, "one that is never closed is taken in the end");
    }

    #[test]
    fn a_file_that_was_moved_here_is_taken_at_once() {
        let mut folder = Folder::with(&["demo/a.wasm"]);
        let unfinished = folder.path("demo/.a");
        fs::write(&unfinished, "second").unwrap();
        File::options().write(true).open(&unfinished).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::rename(unfinished, folder.path("demo/a.wasm")).unwrap();
        folder.tell("demo/a.wasm", Notice::Whole);
        assert_eq!(folder.after(MS), 1);
    }
}
