//! Watches the tasks folder: decides when to scan it, and applies the changes.
//!
//! Scans are the source of truth. Notices of the file system only cause earlier scans, and tell which files to compare.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Registry;
use super::changes::{Changes, Notices};
use super::folder::{self, MAX_FILES, Scan};
use super::loads::{EndedLoad, Loads};
use super::notices::NoticeQueue;
use crate::platform;

/// Least time between two scans: a file that is written in a thousand pieces causes a thousand notices.
const PAUSE: Duration = Duration::from_millis(10);
/// Least time between two scans, as a multiple of the duration of a scan: while thousands of files are copied into a large
/// folder, scans use at most a fifth of a core.
const PAUSES_PER_SCAN: u32 = 4;
/// Interval between scans without notices, for file systems without notices and for lost ones.
const SCAN_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time for which several changes are announced as one. Subscribers go through all tasks, which would be too much
/// for each of the thousands that a start may load.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(250);

/// See [`Registry::watch`].
pub(super) async fn watch(registry: &Arc<Registry>, stop: &CancellationToken) {
    let queue = Arc::new(NoticeQueue::default());
    // Not for a single file: its folder may be anything, with a whole disk below it.
    // Not in a simulation, which relies on scans.
    let is_noticed = registry.only.is_none() && !platform::is_simulated();
    let _watcher = is_noticed.then(|| queue.watch(&registry.folder));
    let mut state = Watch::new(registry);
    let heartbeat = registry.heartbeat.begin();
    loop {
        heartbeat.beat();
        // Before the scan, so that later changes cause new notices.
        let _ = queue.arrived.notified().now_or_never();
        let notices = queue.take();
        let began = Instant::now();
        let scan = scan(registry).await;
        state.take(scan, &notices, began, Instant::now());
        loop {
            if state.advance() {
                return;
            }
            let (scan_at, wake_at) = (state.scan_at, state.wake_at());
            heartbeat.rest();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(scan_at) => break,
                () = registry.scan_requested.notified() => state.scan_soon(),
                () = queue.arrived.notified(), if !state.scans_soon() => state.scan_soon(),
                ended = state.loads.ended() => state.settle(ended),
                () = sleep_until(wake_at) => {}
            }
        }
    }
}

async fn scan(registry: &Arc<Registry>) -> std::io::Result<Scan> {
    let registry = Arc::clone(registry);
    platform::blocking(move || match &registry.only {
        Some(file) => Ok(folder::scan_one(&registry.folder, file)),
        None => folder::scan(&registry.folder, &|path| registry.known_state(path).is_some()),
    })
    .await?
}

/// State of the loop that watches the folder.
struct Watch<'a> {
    registry: &'a Arc<Registry>,
    changes: Changes,
    loads: Loads,
    /// When the folder is scanned next.
    scan_at: Instant,
    /// Earliest time of the next scan.
    scan_from: Instant,
    /// Whether the folder has been scanned.
    scanned: bool,
    /// Whether changes are not complete yet.
    unsettled: bool,
    /// Error of the last scan.
    unreadable: Option<String>,
    omitted: usize,
    overlooked: BTreeSet<PathBuf>,
    /// When to announce pending changes.
    announce_at: Option<Instant>,
    announced_at: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(registry: &'a Arc<Registry>) -> Self {
        let now = Instant::now();
        Self {
            registry,
            changes: Changes::default(),
            loads: Loads::default(),
            scan_at: now,
            scan_from: now,
            scanned: false,
            unsettled: false,
            unreadable: None,
            omitted: 0,
            overlooked: BTreeSet::new(),
            announce_at: None,
            announced_at: None,
        }
    }

    /// Applies a scan that began at that time.
    fn take(&mut self, scan: std::io::Result<Scan>, notices: &Notices, began: Instant, now: Instant) {
        self.scan_at = now + SCAN_INTERVAL;
        self.scan_from = began + PAUSE.max((now - began) * PAUSES_PER_SCAN);
        let Some(scan) = self.readable(scan) else { return };
        let known = |path: &Path| self.registry.known_state(path);
        let taken = self.changes.take(&scan, notices, known, now, !self.scanned);
        (self.scanned, self.unsettled) = (true, taken.again.is_some());
        self.log_omitted(scan.omitted);
        self.log_overlooked(scan.overlooked);
        self.retire(&taken.retire, now);
        self.loads.want(taken.load);
        let again = taken.again.map_or(self.scan_at, |again| again.max(self.scan_from));
        self.scan_at = self.scan_at.min(again);
    }

    /// Logs once that the folder can't be read, and once that it can be read again.
    fn readable(&mut self, scan: std::io::Result<Scan>) -> Option<Scan> {
        match scan {
            Ok(scan) => {
                if self.unreadable.take().is_some() {
                    tracing::info!("the tasks folder can be read again");
                }
                Some(scan)
            }
            Err(error) => {
                let error = error.to_string();
                if self.unreadable.as_ref() != Some(&error) {
                    tracing::warn!(error, "can't read the tasks folder; the tasks that are loaded serve on");
                    self.unreadable = Some(error);
                }
                None
            }
        }
    }

    fn log_omitted(&mut self, omitted: usize) {
        if (omitted == 0) != (self.omitted == 0) {
            match omitted {
                0 => tracing::info!("the tasks folder has no more files than are loaded"),
                _ => tracing::warn!(
                    omitted,
                    "the tasks folder has more than {MAX_FILES} task files; the others are not loaded"
                ),
            }
        }
        self.omitted = omitted;
        self.registry.set_omitted(omitted);
    }

    /// Warns once about each overlooked file.
    fn log_overlooked(&mut self, overlooked: BTreeSet<PathBuf>) {
        for path in overlooked.difference(&self.overlooked) {
            tracing::warn!(
                path = %path.display(),
                "not loaded as a task: a task file is NAME.wasm or APP/NAME.wasm, with the ending in lower case"
            );
        }
        self.overlooked = overlooked;
    }

    fn retire(&mut self, paths: &[PathBuf], now: Instant) {
        for path in paths {
            self.loads.forget(path);
        }
        if self.registry.retire(paths) {
            self.announce_soon(now);
        }
    }

    /// Starts pending loads and announces changes. True if there is nothing left to watch.
    fn advance(&mut self) -> bool {
        let now = Instant::now();
        self.loads.start(self.registry, now);
        let idle = self.loads.is_idle();
        if self.announce_at.is_some_and(|announce_at| idle || announce_at <= now) {
            (self.announce_at, self.announced_at) = (None, Some(now));
            self.registry.changed();
        }
        let complete = idle && self.scanned && !self.unsettled;
        if complete {
            self.registry.set_complete();
        }
        complete && self.registry.only.is_some()
    }

    fn settle(&mut self, ended: EndedLoad) {
        let now = Instant::now();
        let settled = self.loads.settle(ended, self.registry, now);
        if settled.scan {
            self.unsettled = true;
            self.scan_soon();
        }
        if settled.changed {
            self.announce_soon(now);
        }
    }

    fn announce_soon(&mut self, now: Instant) {
        let after_the_last = self.announced_at.map_or(now, |announced_at| announced_at + ANNOUNCE_INTERVAL);
        self.announce_at.get_or_insert(after_the_last);
    }

    fn scan_soon(&mut self) {
        self.scan_at = self.scan_at.min(self.scan_from);
    }

    fn scans_soon(&self) -> bool {
        self.scan_at <= self.scan_from
    }

    /// When there is something to do besides a scan.
    fn wake_at(&self) -> Instant {
        [self.announce_at, self.loads.retry_at()].into_iter().flatten().min().unwrap_or(self.scan_at)
    }
}
