//! Following the tasks folder: when to look, and what to do about what was found.
//!
//! A look at the folder is the truth; notices of the file system only make it
//! sooner. Each file is loaded by itself, so that a slow one holds up no other.

use std::collections::{HashMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::Watcher as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::folder::{self, Found, Scan, TaskState};
use super::{Problem, Registry, Settings, Task};
use crate::engine::LoadError;
use crate::model::Version;
use crate::process::spawn_blocking;

/// A file that changed more recently is still being written, for all that is known without a notice that
/// says otherwise.
const SETTLE: Duration = Duration::from_millis(50);
/// Least time between two looks: a file that is written in a thousand pieces
/// gives a thousand notices.
const PAUSE: Duration = Duration::from_millis(10);
/// How often to look without being told: covers file systems that give no
/// notices, and notices that were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Loads at once. Compiling uses every core already; a second one lets a small
/// file pass a large one.
const LOADS: usize = 2;

/// See [`Registry::watch`].
pub(super) async fn watch(registry: &Arc<Registry>, stop: &CancellationToken) {
    let notices = Arc::new(Notices::default());
    // The folder of a single file may be anything, with all of a disk below it.
    let _watcher = registry.only.is_none().then(|| notices.of(&registry.folder));
    let mut loads = Loads::default();
    let mut first = true;
    let heartbeat = registry.heartbeat.begin();
    loop {
        heartbeat.beat();
        // Before the look: what changes after it is noticed again.
        let whole = notices.take_whole();
        let looked_at = Instant::now();
        let unsettled = match look(registry).await {
            Ok(scan) => loads.take(registry, scan, &whole, first),
            Err(error) => {
                tracing::warn!(%error, "can't read the tasks folder; the tasks that are loaded serve on");
                false
            }
        };
        first = false;
        if loads.is_idle() && !unsettled {
            registry.set_complete();
            if registry.only.is_some() {
                break;
            }
        }
        heartbeat.rest();
        tokio::select! {
            () = stop.cancelled() => break,
            () = loads.finished() => {}
            () = registry.asked.notified() => {}
            () = notices.come.notified() => tokio::time::sleep_until((looked_at + PAUSE).into()).await,
            () = tokio::time::sleep(if unsettled { SETTLE } else { LOOK_AGAIN }) => {}
        }
    }
}

async fn look(registry: &Arc<Registry>) -> std::io::Result<Scan> {
    let registry = Arc::clone(registry);
    // Every look keeps the thread alive that it is done on, so others find one when the system gives no more.
    let look = spawn_blocking(move || match &registry.only {
        Some(file) => Ok(folder::scan_one(&registry.folder, file)),
        None => folder::scan(&registry.folder),
    })?;
    look.await.map_err(std::io::Error::other)?
}

/// What the file system tells of the tasks folder.
#[derive(Default)]
struct Notices {
    come: Notify,
    /// Files that were put in place whole, or that their writer has closed, since the last look;
    /// relative to the folder.
    whole: Mutex<HashSet<PathBuf>>,
}

impl Notices {
    /// Asks for them. Without them the folder is looked at every [`LOOK_AGAIN`] all the same.
    fn of(self: &Arc<Self>, folder: &Path) -> Option<notify::RecommendedWatcher> {
        let notices = Arc::clone(self);
        // As they name it.
        let root = std::path::absolute(folder).unwrap_or_default();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return notices.come.notify_one() };
            if is_of_whole_files(&event) {
                let files = event.paths.iter().filter_map(|path| path.strip_prefix(&root).ok());
                notices.whole.lock().extend(files.map(Path::to_owned));
            } else if event.kind.is_access() {
                // Reading a file is a notice too, and looking at the folder reads.
                return;
            }
            notices.come.notify_one();
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
            .inspect_err(
                |error| tracing::warn!(%error, "no notices of file changes; looking every {LOOK_AGAIN:?}"),
            )
            .ok()
    }

    fn take_whole(&self) -> HashSet<PathBuf> {
        std::mem::take(&mut self.whole.lock())
    }
}

/// Whether a writer has closed the files, or they came under their names as they are.
fn is_of_whole_files(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
    matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
    )
}

/// Files that are being loaded, and those that wait until they are settled.
#[derive(Default)]
struct Loads {
    running: JoinSet<()>,
    paths: Arc<Mutex<HashSet<PathBuf>>>,
    /// How an unsettled file was when it was first seen so.
    unsettled: HashMap<PathBuf, (TaskState, Instant)>,
}

impl Loads {
    fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits until one load is over; for ever if there is none.
    async fn finished(&mut self) {
        if self.running.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Starts loading what changed, retires what is gone. Returns whether some
    /// file has to be looked at again soon.
    fn take(
        &mut self,
        registry: &Arc<Registry>,
        mut scan: Scan,
        whole: &HashSet<PathBuf>,
        first: bool,
    ) -> bool {
        let there: HashSet<PathBuf> = scan.files.iter().map(|found| found.path.clone()).collect();
        self.unsettled.retain(|path, _| there.contains(path.as_path()));
        registry
            .retire(|path| !there.contains(path) && !scan.unreadable.iter().any(|app| path.starts_with(app)));
        let mut again = false;
        // Small ones first: at a start, tasks of a few instructions serve before the first interpreter is compiled.
        scan.files.sort_by_key(|found| found.state.len());
        for found in scan.files {
            if registry.known_state(&found.path) == Some(found.state) {
                self.unsettled.remove(&found.path);
            } else if !first && !self.is_settled(&found, whole) {
                again = true;
            } else if self.running.len() < LOADS {
                self.start(registry, found);
            }
            // Beyond that the end of a load brings the next look. At the start nobody is writing: files that
            // are there are taken as they are.
        }
        again
    }

    /// Whether a file has stopped changing. A notice says so at once, and so does the file's
    /// own time for one that was moved here; where clocks disagree, watching it does.
    fn is_settled(&mut self, found: &Found, whole: &HashSet<PathBuf>) -> bool {
        let (state, since) =
            self.unsettled.entry(found.path.clone()).or_insert_with(|| (found.state, Instant::now()));
        if *state != found.state {
            (*state, *since) = (found.state, Instant::now());
        }
        found.is_settled(SETTLE, whole) || since.elapsed() >= SETTLE
    }

    fn start(&mut self, registry: &Arc<Registry>, found: Found) {
        if !self.paths.lock().insert(found.path.clone()) {
            return;
        }
        let registry = Arc::clone(registry);
        let mark = Loading { path: found.path.clone(), paths: Arc::clone(&self.paths) };
        let loading = move || {
            // What a library does with a strange file must not have it loaded again and again.
            let loaded = panic::catch_unwind(AssertUnwindSafe(|| load(&registry, &found)))
                .unwrap_or_else(|_| Some(Err(LoadError::Failed.into())));
            if let Some(loaded) = loaded {
                registry.put(&found, loaded);
            }
            drop(mark);
        };
        // It panics when the system has no thread for it; the next look tries again.
        let running = &mut self.running;
        let _ = panic::catch_unwind(AssertUnwindSafe(|| running.spawn_blocking(loading)));
    }
}

/// A file is being loaded until this is dropped.
struct Loading {
    path: PathBuf,
    paths: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.paths.lock().remove(&self.path);
    }
}

/// None if the file changed while it was read: the next look finds it again.
fn load(registry: &Registry, found: &Found) -> Option<Result<Arc<Task>, Problem>> {
    let name = match &found.name {
        Ok(name) => name.clone(),
        Err(problem) => return Some(Err(problem.clone())),
    };
    let (wasm, unchanged) = match folder::read(&registry.folder, found) {
        Ok(read) => read,
        Err(problem) => return Some(Err(problem)),
    };
    if !unchanged {
        return None;
    }
    let settings = match settings(registry, &found.path) {
        Ok(settings) => settings,
        Err(problem) => return Some(Err(problem)),
    };
    let version = Version::of(&wasm);
    let loaded = match registry.serving(&found.path) {
        Some(serving) if serving.version() == version && serving.settings == settings => {
            return Some(Ok(serving));
        }
        // Only what is said of it has changed.
        Some(serving) if serving.version() == version => Ok(serving.program.clone()),
        _ => registry.engine.load(&wasm, version).map_err(Problem::from),
    };
    Some(loaded.and_then(|program| Task::new(name, program, wasm.len() as u64, settings)).map(Arc::new))
}

/// What the operator says of a task: the host's own settings, then those of its app,
/// then its own.
pub(super) fn settings(registry: &Registry, task: &Path) -> Result<Settings, Problem> {
    let mut settings = registry.host.clone();
    for (name, text) in folder::manifests(&registry.folder, task)? {
        let path = registry.folder.join(&name);
        let folder = path.parent().unwrap_or(&registry.folder);
        settings = settings.with(&name, &text, folder, &registry.ceilings)?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    async fn told_of(notices: &Notices, path: &str) -> HashSet<PathBuf> {
        let mut told = HashSet::new();
        while !told.contains(Path::new(path)) {
            notices.come.notified().await;
            told.extend(notices.take_whole());
        }
        told
    }

    #[tokio::test]
    async fn a_file_is_whole_when_it_is_closed_or_moved_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        // The folder's name may be relative, as that of the default one is.
        for name in [folder.path().to_owned(), up.join(folder.path().strip_prefix("/").unwrap())] {
            let notices = Arc::new(Notices::default());
            let _watcher = notices.of(&name).unwrap();
            let mut file = File::create(folder.path().join("written.wasm")).unwrap();
            file.write_all(b"half").unwrap();
            // Notices come in the order of what they tell, so this one comes after those of the first half.
            fs::write(folder.path().join("between"), "").unwrap();
            let before = told_of(&notices, "between").await;
            assert!(!before.contains(Path::new("written.wasm")), "{before:?}");
            drop(file);
            told_of(&notices, "written.wasm").await;

            fs::rename(folder.path().join("written.wasm"), folder.path().join("moved.wasm")).unwrap();
            told_of(&notices, "moved.wasm").await;
        }
    }
}
