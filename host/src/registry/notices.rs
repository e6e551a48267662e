//! What the file system tells of the tasks folder, for [`Changes`](super::changes::Changes).

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use notify::Watcher as _;
use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind, RenameMode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::changes::{Notice, Notices};
use super::paths;

/// The notices since they were taken last.
#[derive(Default)]
pub(super) struct Told {
    /// Something came.
    pub(super) come: Notify,
    notices: Mutex<Notices>,
}

impl Told {
    /// Asks the file system for them. Without them the folder is looked at now and then all the same.
    pub(super) fn of(self: &Arc<Self>, folder: &Path) -> Option<notify::RecommendedWatcher> {
        let told = Arc::clone(self);
        // As they name it.
        let root = std::path::absolute(folder).unwrap_or_default();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => told.take_in(&event, &root),
            // Notices were lost; a look finds what they would have told.
            Err(_) => told.come.notify_one(),
        });
        let watching = watcher.and_then(|mut watcher| {
            // It panics if its thread could not be started, here and when it is dropped.
            let watching = AssertUnwindSafe(|| watcher.watch(folder, notify::RecursiveMode::Recursive));
            match panic::catch_unwind(watching) {
                Ok(watched) => watched.map(|()| watcher),
                Err(_) => {
                    std::mem::forget(watcher);
                    Err(notify::Error::generic("the thread that takes them could not be started"))
                }
            }
        });
        watching
            .inspect_err(|error| {
                tracing::warn!(%error, "no notices of file changes; the tasks folder is looked at now and then");
            })
            .ok()
    }

    fn take_in(&self, event: &Event, root: &Path) {
        match notice(&event.kind) {
            Some(notice) => {
                // Of a rename within the folder the last is the new name; of the old one another event tells.
                let path = event.paths.last().and_then(|path| path.strip_prefix(root).ok());
                if let Some(path) = path.filter(|path| paths::may_count(path)) {
                    let mut notices = self.notices.lock();
                    let (last, count) = notices.entry(path.to_owned()).or_insert((notice, 0));
                    (*last, *count) = (notice, *count + 1);
                }
            }
            // Reading a file is a notice too, and looking at the folder reads.
            None if event.kind.is_access() => return,
            None => {}
        }
        self.come.notify_one();
    }

    /// What was told since the last time.
    pub(super) fn take(&self) -> Notices {
        std::mem::take(&mut self.notices.lock())
    }
}

/// None for what leaves the content as it is.
fn notice(kind: &EventKind) -> Option<Notice> {
    match kind {
        EventKind::Create(_) => Some(Notice::Created),
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => Some(Notice::Written),
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(Notice::Whole),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => Some(Notice::Gone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    /// What was told up to `last` of that file, each with the last notice.
    async fn told_until(told: &Told, path: &str, last: Notice) -> BTreeMap<PathBuf, Notice> {
        let mut all = BTreeMap::new();
        while all.get(Path::new(path)) != Some(&last) {
            told.come.notified().await;
            all.extend(told.take().into_iter().map(|(path, (notice, _))| (path, notice)));
        }
        all
    }

    #[tokio::test]
    async fn a_file_is_whole_when_it_is_closed_or_moved_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        // The folder's name may be relative, as that of the default one is.
        for name in [folder.path().to_owned(), up.join(folder.path().strip_prefix("/").unwrap())] {
            let told = Arc::new(Told::default());
            let _watcher = told.of(&name).unwrap();
            let written = Path::new("written.wasm");
            let mut file = File::create(folder.path().join(written)).unwrap();
            file.write_all(b"half").unwrap();
            // Notices come in the order of what they tell, so this one comes after those of the first half.
            fs::write(folder.path().join("between.toml"), "x").unwrap();
            let before = told_until(&told, "between.toml", Notice::Whole).await;
            assert_eq!(before.get(written), Some(&Notice::Written), "{before:?}");
            drop(file);
            told_until(&told, "written.wasm", Notice::Whole).await;

            fs::rename(folder.path().join(written), folder.path().join("moved.wasm")).unwrap();
            let moved = told_until(&told, "moved.wasm", Notice::Whole).await;
            assert_eq!(moved.get(written), Some(&Notice::Gone), "{moved:?}");

            // Emptied, to be filled again.
            let file = File::create(folder.path().join("moved.wasm")).unwrap();
            told_until(&told, "moved.wasm", Notice::Written).await;
            drop(file);
            fs::remove_file(folder.path().join("moved.wasm")).unwrap();
            told_until(&told, "moved.wasm", Notice::Gone).await;
        }
    }

    #[tokio::test]
    async fn other_files_are_not_kept_in_mind() {
        let folder = tempfile::tempdir().unwrap();
        for deeper in [".git", "demo/deeper"] {
            fs::create_dir_all(folder.path().join(deeper)).unwrap();
        }
        let told = Arc::new(Told::default());
        let _watcher = told.of(folder.path()).unwrap();
        for other in ["a.txt", ".a.wasm", ".git/a.wasm", "demo/deeper/a.wasm", "demo/a.toml"] {
            fs::write(folder.path().join(other), "x").unwrap();
        }
        let all = told_until(&told, "demo/a.toml", Notice::Whole).await;
        assert_eq!(all.len(), 1, "{all:?}");
    }
}
