//! Notices of the file system about the tasks folder, for [`Changes`](super::changes::Changes).

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use notify::Watcher as _;
use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind, RenameMode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::changes::{Notice, Notices};
use super::paths;

/// Queue of the notices since they were last taken.
#[derive(Default)]
pub(super) struct NoticeQueue {
    /// Notified when a notice arrives.
    pub(super) arrived: Notify,
    notices: Mutex<Notices>,
}

impl NoticeQueue {
    /// Subscribes to the notices of a folder. None if that fails; the folder is scanned periodically in any case.
    pub(super) fn watch(self: &Arc<Self>, folder: &Path) -> Option<notify::RecommendedWatcher> {
        let queue = Arc::clone(self);
        // Notices have absolute paths.
        let root = std::path::absolute(folder).unwrap_or_default();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => queue.push(&event, &root),
            // Notices were lost; a scan finds the changes.
            Err(_) => queue.arrived.notify_one(),
        });
        let watching = watcher.and_then(|mut watcher| {
            // The library panics if its thread can't be started, here and when the watcher is dropped.
            let watching = AssertUnwindSafe(|| watcher.watch(folder, notify::RecursiveMode::Recursive));
            match panic::catch_unwind(watching) {
                Ok(watched) => watched.map(|()| watcher),
                Err(_) => {
                    std::mem::forget(watcher);
                    Err(notify::Error::generic("the thread for notices could not be started"))
                }
            }
        });
        watching
            .inspect_err(|error| {
                tracing::warn!(%error, "can't watch for file changes; the tasks folder is scanned periodically");
            })
            .ok()
    }

    fn push(&self, event: &Event, root: &Path) {
        match notice(&event.kind) {
            Some(notice) => {
                // For a rename within the folder, the last path is the new name; another event has the old one.
                let path = event.paths.last().and_then(|path| path.strip_prefix(root).ok());
                if let Some(path) = path.filter(|path| paths::may_count(path)) {
                    let mut notices = self.notices.lock();
                    let (last, count) = notices.entry(path.to_owned()).or_insert((notice, 0));
                    (*last, *count) = (notice, *count + 1);
                }
            }
            // Scans cause notices of reads, too.
            None if event.kind.is_access() => return,
            None => {}
        }
        self.arrived.notify_one();
    }

    /// Takes the notices since the last call.
    pub(super) fn take(&self) -> Notices {
        std::mem::take(&mut self.notices.lock())
    }
}

/// The notice of an event; none for events that don't change content.
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

    /// The last notice of each file, until `last` arrives for that file.
    async fn notices_until(queue: &NoticeQueue, path: &str, last: Notice) -> BTreeMap<PathBuf, Notice> {
        let mut all = BTreeMap::new();
        while all.get(Path::new(path)) != Some(&last) {
            queue.arrived.notified().await;
            all.extend(queue.take().into_iter().map(|(path, (notice, _))| (path, notice)));
        }
        all
    }

    #[tokio::test]
    async fn a_file_is_complete_when_it_is_closed_or_moved_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        // The folder's name may be relative, like that of the default folder.
        for name in [folder.path().to_owned(), up.join(folder.path().strip_prefix("/").unwrap())] {
            let queue = Arc::new(NoticeQueue::default());
            let _watcher = queue.watch(&name).unwrap();
            let written = Path::new("written.wasm");
            let mut file = File::create(folder.path().join(written)).unwrap();
            file.write_all(b"half").unwrap();
            // Notices arrive in the order of the changes, so this one arrives after those of the first half.
            fs::write(folder.path().join("between.toml"), "x").unwrap();
            let before = notices_until(&queue, "between.toml", Notice::Whole).await;
            assert_eq!(before.get(written), Some(&Notice::Written), "{before:?}");
            drop(file);
            notices_until(&queue, "written.wasm", Notice::Whole).await;

            fs::rename(folder.path().join(written), folder.path().join("moved.wasm")).unwrap();
            let moved = notices_until(&queue, "moved.wasm", Notice::Whole).await;
            assert_eq!(moved.get(written), Some(&Notice::Gone), "{moved:?}");

            // Truncated, to be written again.
            let file = File::create(folder.path().join("moved.wasm")).unwrap();
            notices_until(&queue, "moved.wasm", Notice::Written).await;
            drop(file);
            fs::remove_file(folder.path().join("moved.wasm")).unwrap();
            notices_until(&queue, "moved.wasm", Notice::Gone).await;
        }
    }

    #[tokio::test]
    async fn other_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for deeper in [".git", "demo/deeper"] {
            fs::create_dir_all(folder.path().join(deeper)).unwrap();
        }
        let queue = Arc::new(NoticeQueue::default());
        let _watcher = queue.watch(folder.path()).unwrap();
        for other in ["a.txt", ".a.wasm", ".git/a.wasm", "demo/deeper/a.wasm", "demo/a.toml"] {
            fs::write(folder.path().join(other), "x").unwrap();
        }
        let all = notices_until(&queue, "demo/a.toml", Notice::Whole).await;
        assert_eq!(all.len(), 1, "{all:?}");
    }
}
