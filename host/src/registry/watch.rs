//! Following the tasks folder: when to look, and what to do about what was found.
//!
//! A look at the folder is the truth; notices of the file system only make it sooner, and say which files to
//! compare.

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
use super::loads::{Ended, Loads};
use super::notices::Told;
use crate::platform;

/// Least time between two looks: a file that is written in a thousand pieces
/// gives a thousand notices.
const PAUSE: Duration = Duration::from_millis(10);
/// The same, in times of what the look took: while thousands of files are copied into a large folder, at most
/// a fifth of a core goes into looking at it.
const PAUSES_OF_A_LOOK: u32 = 4;
/// How often to look without being told: covers file systems that give no
/// notices, and notices that were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Longest time for which several changes are told of as one. Who is told looks at all tasks, so with each of
/// thousands that a start loads that would be too much.
const TELL: Duration = Duration::from_millis(250);

/// See [`Registry::watch`].
pub(super) async fn watch(registry: &Arc<Registry>, stop: &CancellationToken) {
    let told = Arc::new(Told::default());
    // The folder of a single file may be anything, with all of a disk below it.
    // In a simulation, looks have to do.
    let is_noticed = registry.only.is_none() && !platform::is_simulated();
    let _watcher = is_noticed.then(|| told.of(&registry.folder));
    let mut follower = Follower::new(registry);
    let heartbeat = registry.heartbeat.begin();
    loop {
        heartbeat.beat();
        // Before the look: what changes after it is noticed again.
        let _ = told.come.notified().now_or_never();
        let notices = told.take();
        let began = Instant::now();
        let scan = look(registry).await;
        follower.take(scan, &notices, began, Instant::now());
        loop {
            if follower.go_on() {
                return;
            }
            let (look_at, wake_at) = (follower.look_at, follower.wake_at());
            heartbeat.rest();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(look_at) => break,
                () = registry.asked.notified() => follower.look_soon(),
                () = told.come.notified(), if !follower.looks_soon() => follower.look_soon(),
                ended = follower.loads.ended() => follower.settle(ended),
                () = sleep_until(wake_at) => {}
            }
        }
    }
}

async fn look(registry: &Arc<Registry>) -> std::io::Result<Scan> {
    let registry = Arc::clone(registry);
    platform::blocking(move || match &registry.only {
        Some(file) => Ok(folder::scan_one(&registry.folder, file)),
        None => folder::scan(&registry.folder, &|path| registry.known_state(path).is_some()),
    })
    .await?
}

/// What is known of the folder, and what is to be done about it when.
struct Follower<'a> {
    registry: &'a Arc<Registry>,
    changes: Changes,
    loads: Loads,
    /// When the folder is looked at next.
    look_at: Instant,
    /// The soonest that it may be.
    look_from: Instant,
    /// Whether the folder has been read yet.
    looked: bool,
    /// Whether something has not come to rest.
    unsettled: bool,
    /// Why the last look failed.
    unreadable: Option<String>,
    left_out: usize,
    overlooked: BTreeSet<PathBuf>,
    /// When to tell of changes that were not told of.
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
}

impl<'a> Follower<'a> {
    fn new(registry: &'a Arc<Registry>) -> Self {
        let now = Instant::now();
        Self {
            registry,
            changes: Changes::default(),
            loads: Loads::default(),
            look_at: now,
            look_from: now,
            looked: false,
            unsettled: false,
            unreadable: None,
            left_out: 0,
            overlooked: BTreeSet::new(),
            tell_at: None,
            told_at: None,
        }
    }

    /// Takes what a look found that began at that time.
    fn take(&mut self, scan: std::io::Result<Scan>, notices: &Notices, began: Instant, now: Instant) {
        self.look_at = now + LOOK_AGAIN;
        self.look_from = began + PAUSE.max((now - began) * PAUSES_OF_A_LOOK);
        let Some(scan) = self.readable(scan) else { return };
        let known = |path: &Path| self.registry.known_state(path);
        let taken = self.changes.take(&scan, notices, known, now, !self.looked);
        (self.looked, self.unsettled) = (true, taken.again.is_some());
        self.say_what_is_left_out(scan.left_out);
        self.say_what_is_overlooked(scan.overlooked);
        self.retire(&taken.retire, now);
        self.loads.want(taken.load);
        let again = taken.again.map_or(self.look_at, |again| again.max(self.look_from));
        self.look_at = self.look_at.min(again);
    }

    /// Says once that the folder can't be read, and that it can be again.
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

    fn say_what_is_left_out(&mut self, left_out: usize) {
        if (left_out == 0) != (self.left_out == 0) {
            match left_out {
                0 => tracing::info!("the tasks folder has no more files than are loaded"),
                _ => tracing::warn!(
                    left_out,
                    "the tasks folder has more than {MAX_FILES} task files; the others are left out"
                ),
            }
        }
        self.left_out = left_out;
        self.registry.set_left_out(left_out);
    }

    /// Says once of each file that it is taken for no task.
    fn say_what_is_overlooked(&mut self, overlooked: BTreeSet<PathBuf>) {
        for path in overlooked.difference(&self.overlooked) {
            tracing::warn!(
                path = %path.display(),
                "not taken for a task: a task's file is NAME.wasm or APP/NAME.wasm, in small letters"
            );
        }
        self.overlooked = overlooked;
    }

    fn retire(&mut self, paths: &[PathBuf], now: Instant) {
        for path in paths {
            self.loads.forget(path);
        }
        if self.registry.retire(paths) {
            self.tell_soon(now);
        }
    }

    /// Starts what is to be loaded, and tells what has changed. True if there is nothing more to do, ever.
    fn go_on(&mut self) -> bool {
        let now = Instant::now();
        self.loads.start(self.registry, now);
        let idle = self.loads.is_idle();
        if self.tell_at.is_some_and(|tell_at| idle || tell_at <= now) {
            (self.tell_at, self.told_at) = (None, Some(now));
            self.registry.changed();
        }
        let complete = idle && self.looked && !self.unsettled;
        if complete {
            self.registry.set_complete();
        }
        complete && self.registry.only.is_some()
    }

    fn settle(&mut self, ended: Ended) {
        let now = Instant::now();
        let settled = self.loads.settle(ended, self.registry, now);
        if settled.look {
            self.unsettled = true;
            self.look_soon();
        }
        if settled.changed {
            self.tell_soon(now);
        }
    }

    fn tell_soon(&mut self, now: Instant) {
        let after_the_last = self.told_at.map_or(now, |told_at| told_at + TELL);
        self.tell_at.get_or_insert(after_the_last);
    }

    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.look_from);
    }

    fn looks_soon(&self) -> bool {
        self.look_at <= self.look_from
    }

    /// When there is something to do besides looking.
    fn wake_at(&self) -> Instant {
        [self.tell_at, self.loads.retry_at()].into_iter().flatten().min().unwrap_or(self.look_at)
    }
}
