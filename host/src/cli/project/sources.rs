//! The source files of a project, watched for changes.
//!
//! Scans detect the changes; notifications of the file system only make the next scan earlier.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::Watcher as _;
use tokio::sync::Notify;

/// How long sources must stay unchanged before a build: editors save in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// Interval of scans without notifications.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// Most files that are scanned; a project with more contains something other than sources.
const MAX_FILES: usize = 20_000;

/// A scan: length, modification time and inode of each file.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Snapshot(BTreeMap<PathBuf, (u64, Option<SystemTime>, u64)>);

/// A watcher of the sources of a project.
pub(in crate::cli) struct Sources {
    root: PathBuf,
    /// Names that are ignored.
    outputs: &'static [&'static str],
    notified: Arc<Notify>,
    watcher: Option<notify::RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

impl Sources {
    pub(super) fn new(root: PathBuf, outputs: &'static [&'static str]) -> Self {
        let notified = Arc::new(Notify::new());
        let notify = Arc::clone(&notified);
        // Without notifications, the next scan detects changes.
        let watcher = notify::recommended_watcher(move |_| notify.notify_one()).ok();
        Self { root, outputs, notified, watcher, watched: HashSet::new() }
    }

    /// Scans the sources.
    pub(in crate::cli) fn scan(&mut self) -> Snapshot {
        let (mut snapshot, mut folders) = (Snapshot::default(), vec![self.root.clone()]);
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                // Links are not followed: they may lead out of the project or in circles.
                let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
                if self.is_ignored(&path) || snapshot.0.len() >= MAX_FILES {
                    continue;
                }
                if metadata.is_dir() {
                    folders.push(path);
                } else {
                    snapshot.0.insert(path, (metadata.len(), metadata.modified().ok(), metadata.ino()));
                }
            }
            self.watch(&folder);
        }
        snapshot
    }

    /// Waits until the sources differ from `known` and no longer change; returns their new state.
    pub(in crate::cli) async fn changed_from(&mut self, known: &Snapshot) -> Snapshot {
        loop {
            let mut snapshot = self.scan();
            if snapshot != *known {
                loop {
                    tokio::time::sleep(SETTLE).await;
                    let later = self.scan();
                    if later == snapshot {
                        return snapshot;
                    }
                    snapshot = later;
                }
            }
            let _ = tokio::time::timeout(SCAN_INTERVAL, self.notified.notified()).await;
        }
    }

    /// Whether a file is hidden, built, or created by a tool.
    fn is_ignored(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.')
            || name.ends_with('~')
            || name.ends_with(".wasm")
            || name.ends_with(".wasm.o")
            || self.outputs.contains(&name.as_ref())
    }

    fn watch(&mut self, folder: &Path) {
        if let Some(watcher) = &mut self.watcher
            && !self.watched.contains(folder)
            // Not recursively: ignored folders may contain thousands of folders.
            && watcher.watch(folder, notify::RecursiveMode::NonRecursive).is_ok()
        {
            self.watched.insert(folder.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_of_sources_are_detected_and_those_of_outputs_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("target")).unwrap();
        fs::create_dir_all(path("src")).unwrap();
        let mut sources = Sources::new(folder.path().to_owned(), &["target"]);
        let known = sources.scan();
        for output in ["target/x", "x.wasm", ".hidden", "src/lib.rs~"] {
            fs::write(path(output), "x").unwrap();
        }
        assert!(sources.scan() == known);
        fs::write(path("src/lib.rs"), "x").unwrap();
        let changed = sources.changed_from(&known).await;
        assert!(changed != known && changed == sources.scan());
        // Another file under the same name, of the same length.
        fs::write(path("src/.new"), "y").unwrap();
        fs::rename(path("src/.new"), path("src/lib.rs")).unwrap();
        assert!(sources.changed_from(&changed).await != changed);
    }
}
