//! Loads task files: small ones first, files with compiled code in parallel, and with retries after temporary failures. Each
//! file is loaded separately, so that a slow one does not delay others.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::folder::{self, Found, TaskState};
use super::{Loaded, Problem, Registry, Settings, Task};
use crate::engine::{LoadError, Permit};
use crate::model::Version;
use crate::platform;

/// Number of concurrent compilers. One already uses every core; a second one lets a small file overtake a large one.
const COMPILERS: usize = 2;
/// Most concurrent loads of files with compiled code: one per core, but each holds its file in memory.
const MOST_LOADS: usize = 8;
/// Pause before the first retry after a temporary failure: a burst of processes or connections is over by then.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest pause between retries; pauses double up to it. A longer problem needs a person, and a compiler that is killed
/// each time uses memory and CPU time that others need.
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Order of pending files: those known to need a compiler last, then by size. So after a start, small tasks are in service
/// before the first interpreter is compiled.
type LoadOrder = (bool, u64, PathBuf);

/// Running and pending loads.
pub(super) struct Loads {
    running: JoinSet<EndedLoad>,
    loading: BTreeMap<PathBuf, TaskState>,
    waiting: BTreeMap<LoadOrder, Found>,
    /// Files that are known to need a compiler, when none was free.
    uncompiled: BTreeSet<PathBuf>,
    compilers: Arc<Semaphore>,
    retries: BTreeMap<PathBuf, Retry>,
    at_once: usize,
}

/// A retry of an unchanged file.
struct Retry {
    found: Found,
    /// None while it waits or is loaded.
    at: Option<Instant>,
    pause: Duration,
}

/// Consequences of a file that was loaded or rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// The folder has to be scanned again.
    pub(super) scan: bool,
    /// The registry has changed.
    pub(super) changed: bool,
}

/// A load that has ended.
pub(super) struct EndedLoad {
    found: Found,
    outcome: LoadOutcome,
}

enum LoadOutcome {
    Loaded(Loaded),
    Rejected(Problem),
    /// It has changed since the scan; the next scan finds it again.
    Changed,
    /// It has to be compiled, and no compiler is free.
    Uncompiled,
}

impl Default for Loads {
    fn default() -> Self {
        let cores = platform::cores();
        Self {
            running: JoinSet::new(),
            loading: BTreeMap::new(),
            waiting: BTreeMap::new(),
            uncompiled: BTreeSet::new(),
            compilers: Arc::new(Semaphore::new(COMPILERS)),
            retries: BTreeMap::new(),
            at_once: cores.clamp(1, MOST_LOADS),
        }
    }
}

impl Loads {
    /// Whether no load is running or pending.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Replaces the pending files by those of the last scan, which found the pending ones again.
    pub(super) fn want(&mut self, found: Vec<Found>) {
        self.waiting.clear();
        let due = self.retries.values().filter(|retry| retry.at.is_none()).map(|retry| retry.found.clone());
        let due: Vec<Found> = due.filter(|found| !self.loading.contains_key(&found.path)).collect();
        due.into_iter().for_each(|found| self.enqueue(found));
        for found in found {
            // Unless it is being loaded in this state already.
            if self.loading.get(&found.path) != Some(&found.state) {
                self.retries.remove(&found.path);
                self.enqueue(found);
            }
        }
    }

    /// Drops the retry of a file that was removed.
    pub(super) fn forget(&mut self, path: &Path) {
        self.retries.remove(path);
        self.uncompiled.remove(path);
    }

    /// Time of the next retry.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retries.values().filter_map(|retry| retry.at).min()
    }

    /// Adds a pending file, and replaces its earlier state.
    fn enqueue(&mut self, found: Found) {
        let uncompiled = self.uncompiled.contains(&found.path);
        self.waiting.insert((uncompiled, found.state.wasm.file.len, found.path.clone()), found);
    }

    /// Starts pending loads, within the limits.
    pub(super) fn start(&mut self, registry: &Arc<Registry>, now: Instant) {
        let mut due = Vec::new();
        for retry in self.retries.values_mut().filter(|retry| retry.at.is_some_and(|at| at <= now)) {
            retry.at = None;
            due.push(retry.found.clone());
        }
        due.into_iter().for_each(|found| self.enqueue(found));
        // A file that changed while it is being loaded has to wait for the end of that load.
        let free = |order: &LoadOrder| !self.loading.contains_key(&order.2);
        let mut orders: Vec<LoadOrder> =
            self.waiting.keys().filter(|order| free(order)).take(self.room()).cloned().collect();
        orders.reverse();
        while self.room() > 0
            && let Some(order) = orders.pop()
        {
            // The files after it need a compiler, too.
            if order.0 && self.compilers.available_permits() == 0 {
                break;
            }
            if let Some(found) = self.waiting.remove(&order) {
                self.load(registry, found);
            }
        }
    }

    /// How many more loads may start. Loads that wait for a compiler don't count, because they use no core here.
    fn room(&self) -> usize {
        let compiling = COMPILERS.saturating_sub(self.compilers.available_permits());
        (self.at_once + compiling).saturating_sub(self.running.len())
    }

    fn load(&mut self, registry: &Arc<Registry>, found: Found) {
        let (registry, compilers) = (Arc::clone(registry), Arc::clone(&self.compilers));
        self.loading.insert(found.path.clone(), found.state);
        let again = found.clone();
        let loading = move || {
            // A panic in a library counts as a rejection, so that the file is not loaded again and again.
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| load(&registry, &found, &compilers)))
                .unwrap_or(Ok(LoadOutcome::Rejected(LoadError::Failed.into())))
                .unwrap_or_else(LoadOutcome::Rejected);
            EndedLoad { found, outcome }
        };
        self.running.spawn(async move {
            // If the system has no thread for it, the next scan finds it again.
            let unread = |_| EndedLoad { found: again, outcome: LoadOutcome::Changed };
            platform::blocking(loading).await.unwrap_or_else(unread)
        });
    }

    /// Waits until a load has ended; for ever if there is none.
    pub(super) async fn ended(&mut self) -> EndedLoad {
        loop {
            match self.running.join_next().await {
                Some(Ok(ended)) => return ended,
                // The task is not cancelled and does not panic.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Applies an ended load to the registry.
    pub(super) fn settle(&mut self, ended: EndedLoad, registry: &Registry, now: Instant) -> Settled {
        let EndedLoad { found, outcome } = ended;
        self.loading.remove(&found.path);
        let loaded = match outcome {
            LoadOutcome::Changed => {
                self.forget(&found.path);
                return Settled { scan: true, changed: false };
            }
            LoadOutcome::Uncompiled => {
                self.uncompiled.insert(found.path.clone());
                self.enqueue(found);
                return Settled::default();
            }
            LoadOutcome::Rejected(problem) => Err(problem),
            LoadOutcome::Loaded(loaded) => Ok(loaded),
        };
        self.uncompiled.remove(&found.path);
        let before = self.retries.remove(&found.path).filter(|retry| retry.found.state == found.state);
        if loaded.as_ref().is_err_and(Problem::is_transient) {
            let pause = before.map_or(FIRST_RETRY, |retry| (retry.pause * 2).min(LAST_RETRY));
            let retry = Retry { found: found.clone(), at: Some(now + pause), pause };
            self.retries.insert(found.path.clone(), retry);
        }
        Settled { scan: false, changed: registry.put(&found, loaded) }
    }
}

fn load(registry: &Registry, found: &Found, compilers: &Arc<Semaphore>) -> Result<LoadOutcome, Problem> {
    let name = found.name.clone()?;
    let Some(settings) = settings(registry, &found.path, Some(&found.state))? else {
        return Ok(LoadOutcome::Changed);
    };
    let serving = registry.serving(&found.path);
    let reused = serving.as_ref().filter(|serving| serving.wasm == found.state.wasm);
    let (program, size) = if let Some(serving) = reused {
        // Only its manifests may have changed, so its file need not be read.
        (serving.task.program.clone(), serving.task.size)
    } else {
        let Some(wasm) = folder::read(&registry.folder, found)? else { return Ok(LoadOutcome::Changed) };
        let version = Version::of(&wasm);
        let program = match serving.as_ref().filter(|serving| serving.task.version() == version) {
            Some(serving) => serving.task.program.clone(),
            None => {
                let mut compiler = || {
                    Arc::clone(compilers).try_acquire_owned().ok().map(|permit| Box::new(permit) as Permit)
                };
                let Some(program) = registry.engine.load_with(&wasm, version, &mut compiler)? else {
                    return Ok(LoadOutcome::Uncompiled);
                };
                // Compiling takes up to minutes. A manifest that was added meanwhile has to apply to the first run already.
                // The code is cached, so the next load needs no compiler.
                if self::settings(registry, &found.path, Some(&found.state))?.is_none() {
                    return Ok(LoadOutcome::Changed);
                }
                program
            }
        };
        (program, wasm.len() as u64)
    };
    let wasm = found.state.wasm;
    let same = serving
        .filter(|serving| serving.task.version() == program.version && serving.task.settings == settings);
    let task = match same {
        Some(serving) => serving.task,
        None => Arc::new(Task::new(name, program, size, settings)?),
    };
    Ok(LoadOutcome::Loaded(Loaded { task, wasm }))
}

/// Settings of a task: the host's, overridden by its app's manifest, then by its own. None if a manifest differs from its
/// `seen` state, if that is given.
pub(super) fn settings(
    registry: &Registry,
    task: &Path,
    seen: Option<&TaskState>,
) -> Result<Option<Settings>, Problem> {
    let mut settings = registry.host.clone();
    let Some(texts) = folder::manifests(&registry.folder, task, seen)? else { return Ok(None) };
    for (name, text) in texts {
        let path = registry.folder.join(&name);
        let folder = path.parent().unwrap_or(&registry.folder);
        settings = settings.with(&name, &text, folder, &registry.ceilings)?;
    }
    Ok(Some(settings))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::changes::{Changes, Notices};
    use super::super::{Ceilings, GrantKinds, GrantPolicy};
    use super::*;
    use crate::engine::{Config, Engine, Execution, Executor, Limits, Program};
    use crate::model::Retention;

    /// An engine that calls a function while it compiles.
    struct Interrupted<F>(Engine, F);

    impl<F: Fn() + Send + Sync + 'static> Executor for Interrupted<F> {
        fn load_with(
            &self,
            wasm: &[u8],
            version: Version,
            compiler: &mut dyn FnMut() -> Option<Permit>,
        ) -> Result<Option<Program>, LoadError> {
            let loaded = self.0.load_with(wasm, version, compiler);
            (self.1)();
            loaded
        }

        fn spawn(&self, execution: Execution) {
            self.0.spawn(execution);
        }

        fn max_instances(&self) -> u32 {
            self.0.max_instances()
        }
    }

    /// A folder with the program `a`, and a registry of it whose compiler is that program, or itself.
    fn registry(compiler: Option<&str>) -> (TempDir, Arc<Registry>) {
        let (folder, engine) = folder_and_engine(compiler);
        let registry = open(&folder, Arc::new(engine));
        (folder, registry)
    }

    fn folder_and_engine(compiler: Option<&str>) -> (TempDir, Engine) {
        let folder = tempfile::tempdir().unwrap();
        let module = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
        fs::write(folder.path().join("a.wasm"), wat::parse_str(module).unwrap()).unwrap();
        let (cache, compiler) = (folder.path().join("cache"), compiler.map(PathBuf::from));
        let config = Config {
            cache,
            max_instances: 1,
            threads: 1,
            compiler,
            compile_limits: Default::default(),
            async_world: false,
            memory_bytes: 64 << 20,
        };
        let engine = Engine::new(&config).unwrap();
        (folder, engine)
    }

    fn open(folder: &TempDir, engine: Arc<dyn Executor>) -> Arc<Registry> {
        let limits = Limits {
            memory_bytes: 1 << 20,
            input_bytes: 1 << 10,
            output_bytes: 1 << 10,
            event_bytes: 1 << 10,
            log_bytes: 1 << 10,
            ..Limits::UNLIMITED
        };
        let (kinds, data, tasks) =
            (GrantKinds::default(), folder.path().join("data"), folder.path().to_owned());
        let grants = GrantPolicy { kinds, max_files_bytes: 0, data, tasks };
        let ceilings = Ceilings { limits, grants };
        Registry::open(folder.path(), None, engine, ceilings, Retention::default()).unwrap()
    }

    /// The program as it is now.
    fn found(registry: &Registry) -> Found {
        let scan = folder::scan(&registry.folder, &|_| false).unwrap();
        let mut taken = Changes::default().take(&scan, &Notices::new(), |_| None, Instant::now(), true);
        taken.load.pop().unwrap()
    }

    fn loaded(registry: &Registry, found: &Found) -> LoadOutcome {
        load(registry, found, &Arc::new(Semaphore::new(1))).unwrap()
    }

    #[tokio::test]
    async fn what_cannot_be_compiled_now_is_tried_again_ever_more_seldom() {
        let (_folder, registry) = registry(Some("/nonexistent/streamtask"));
        let (mut loads, mut now) = (Loads::default(), Instant::now());
        loads.want(vec![found(&registry)]);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(!loads.is_idle() || loads.retry_at() == Some(now));
            loads.start(&registry, now);
            let ended = loads.ended().await;
            let settled = loads.settle(ended, &registry, now);
            assert_eq!(settled.changed, pauses.is_empty(), "subscribers are notified once");
            let at = loads.retry_at().unwrap();
            pauses.push((at - now).as_secs());
            loads.start(&registry, at - Duration::from_millis(1));
            assert!(loads.is_idle(), "before its time");
            now = at;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        let trouble = registry.trouble().unwrap();
        assert!(trouble.starts_with("a.wasm can't be loaded now, and will be tried again: "), "{trouble}");
        assert!(trouble.contains("can't start the compiler: it is this host's own executable"), "{trouble}");

        // A scan without changes, and then one with a change.
        loads.start(&registry, now);
        let ended = loads.ended().await;
        loads.settle(ended, &registry, now);
        let later = loads.retry_at();
        loads.want(Vec::new());
        assert_eq!(loads.retry_at(), later);
        let mut changed = found(&registry);
        changed.state.wasm.notices += 1;
        loads.want(vec![changed]);
        loads.start(&registry, now);
        let ended = loads.ended().await;
        loads.settle(ended, &registry, now);
        assert_eq!(loads.retry_at(), Some(now + FIRST_RETRY), "what has changed begins anew");
    }

    #[tokio::test]
    async fn a_file_that_waits_for_a_compiler_holds_up_no_other() {
        let (_folder, registry) = registry(None);
        let mut loads = Loads::default();
        let found = found(&registry);
        let all = Arc::clone(&loads.compilers).try_acquire_many_owned(COMPILERS as u32).unwrap();
        loads.want(vec![found.clone()]);
        let now = Instant::now();
        loads.start(&registry, now);
        let ended = loads.ended().await;
        assert_eq!(loads.settle(ended, &registry, now), Settled::default());
        loads.start(&registry, now);
        assert!(loads.running.is_empty() && !loads.is_idle(), "it waits, and takes no place meanwhile");
        drop(all);
        loads.start(&registry, now);
        let ended = loads.ended().await;
        assert!(loads.settle(ended, &registry, now).changed && loads.is_idle());
        assert_eq!(registry.known_state(&found.path), Some(found.state));
    }

    #[tokio::test]
    async fn a_changed_manifest_takes_no_look_into_the_task_file() {
        let (folder, registry) = registry(None);
        let first = found(&registry);
        let LoadOutcome::Loaded(task) = loaded(&registry, &first) else { panic!("it loads") };
        registry.put(&first, Ok(task.clone()));
        fs::write(folder.path().join("a.toml"), "description = 'new'").unwrap();
        let changed = found(&registry);
        // As it was seen, and yet it can't be read.
        fs::remove_file(folder.path().join("a.wasm")).unwrap();
        let LoadOutcome::Loaded(again) = loaded(&registry, &changed) else { panic!("it loads") };
        assert_eq!(again.task.description(), Some("new"));
        assert_eq!(again.task.version(), task.task.version());
    }

    #[tokio::test]
    async fn the_same_content_is_the_same_task() {
        let (_folder, registry) = registry(None);
        let first = found(&registry);
        let LoadOutcome::Loaded(task) = loaded(&registry, &first) else { panic!("it loads") };
        assert!(registry.put(&first, Ok(task.clone())));
        let mut touched = first;
        touched.state.wasm.notices += 1;
        let LoadOutcome::Loaded(again) = loaded(&registry, &touched) else { panic!("it loads") };
        assert!(Arc::ptr_eq(&again.task, &task.task));
        assert!(!registry.put(&touched, Ok(again)), "nobody is told");
    }

    #[tokio::test]
    async fn a_manifest_that_was_emptied_since_the_look_is_not_taken() {
        let (folder, registry) = registry(None);
        let manifest = folder.path().join("a.toml");
        fs::write(&manifest, "description = 'old'").unwrap();
        let seen = found(&registry);
        fs::write(&manifest, "").unwrap();
        assert!(matches!(loaded(&registry, &seen), LoadOutcome::Changed));
        fs::remove_file(&manifest).unwrap();
        assert!(matches!(loaded(&registry, &seen), LoadOutcome::Changed));
        let without = found(&registry);
        fs::write(&manifest, "description = 'new'").unwrap();
        assert!(matches!(loaded(&registry, &without), LoadOutcome::Changed));
    }
    #[tokio::test]
    async fn a_manifest_that_comes_while_the_task_is_compiled_applies_from_its_first_run_on() {
        let (folder, engine) = folder_and_engine(None);
        let manifest = folder.path().join("a.toml");
        let written = manifest.clone();
        let once = std::sync::Once::new();
        let write = move || once.call_once(|| fs::write(&written, "description = 'new'").unwrap());
        let engine = Interrupted(engine, write);
        let registry = open(&folder, Arc::new(engine));
        let seen = found(&registry);
        assert!(matches!(loaded(&registry, &seen), LoadOutcome::Changed), "not without its manifest");
        let LoadOutcome::Loaded(again) = loaded(&registry, &found(&registry)) else { panic!("it loads") };
        assert_eq!(again.task.description(), Some("new"));
    }
}
