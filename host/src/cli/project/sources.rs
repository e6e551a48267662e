//! The files that a project is built from, watched for changes.
//!
//! A look at them is the truth; notices of the file system only make it sooner.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::Watcher as _;
use tokio::sync::Notify;

/// What changed more recently is still being written: editors save in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often to look without being told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Most files that are looked at; a project with more has something else in it.
const MAX_FILES: usize = 20_000;

/// Length, time and inode of each file.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct State(BTreeMap<PathBuf, (u64, Option<SystemTime>, u64)>);

/// A project's sources.
pub(in crate::cli) struct Sources {
    root: PathBuf,
    /// Names that do not count.
    outputs: &'static [&'static str],
    noticed: Arc<Notify>,
    watcher: Option<notify::RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

impl Sources {
    pub(super) fn new(root: PathBuf, outputs: &'static [&'static str]) -> Self {
        let noticed = Arc::new(Notify::new());
        let told = Arc::clone(&noticed);
        // Without notices, changes are seen at the next look.
        let watcher = notify::recommended_watcher(move |_| told.notify_one()).ok();
        Self { root, outputs, noticed, watcher, watched: HashSet::new() }
    }

    /// How they are now.
    pub(in crate::cli) fn look(&mut self) -> State {
        let (mut state, mut folders) = (State::default(), vec![self.root.clone()]);
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                // Not through links, which may lead out of the project and round in circles.
                let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
                if self.is_left_out(&path) || state.0.len() >= MAX_FILES {
                    continue;
                }
                if metadata.is_dir() {
                    folders.push(path);
                } else {
                    state.0.insert(path, (metadata.len(), metadata.modified().ok(), metadata.ino()));
                }
            }
            self.watch(&folder);
        }
        state
    }

    /// Waits until they differ from `known` and have been left alone for a moment; returns how
    /// they are then.
    pub(in crate::cli) async fn changed_from(&mut self, known: &State) -> State {
        loop {
            let mut state = self.look();
            if state != *known {
                loop {
                    tokio::time::sleep(SETTLE).await;
                    let later = self.look();
                    if later == state {
                        return state;
                    }
                    state = later;
                }
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, self.noticed.notified()).await;
        }
    }

    /// Hidden files, built ones, and what tools put there.
    fn is_left_out(&self, path: &Path) -> bool {
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
            // Each by itself: those that are left out have thousands.
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
    async fn a_change_of_a_source_is_seen_and_of_an_output_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("target")).unwrap();
        fs::create_dir_all(path("src")).unwrap();
        let mut sources = Sources::new(folder.path().to_owned(), &["target"]);
        let known = sources.look();
        for output in ["target/x", "x.wasm", ".hidden", "src/lib.rs~"] {
            fs::write(path(output), "x").unwrap();
        }
        assert!(sources.look() == known);
        fs::write(path("src/lib.rs"), "x").unwrap();
        let changed = sources.changed_from(&known).await;
        assert!(changed != known && changed == sources.look());
        // Another file under the same name, of the same length.
        fs::write(path("src/.new"), "y").unwrap();
        fs::rename(path("src/.new"), path("src/lib.rs")).unwrap();
        assert!(sources.changed_from(&changed).await != changed);
    }
}
