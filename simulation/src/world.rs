//! Executes a history: applies the steps of a seed to successive lives of a host, and checks the
//! invariants after each.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamtask_host::model::{Json, RunId, Signal, SignalName, TaskRef};
use streamtask_host::platform::{self, Simulated};
use streamtask_host::retention::PruneRequest;
use streamtask_host::scheduler::{Capacity, Request};
use streamtask_host::storage::{CancelOutcome, MessageOutcome, StorageError};
use tokio::runtime::Builder;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::invariants::Observer;
use crate::rooms::Rooms;
use crate::script::{Scripts, Watched};
use crate::steps::{Saving, Start, Step};
use crate::tasks::TASKS;

/// Timeout of a call. With a full disk, calls get no response.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time after each step for its immediate effects.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest time of a shutdown: the grace period, the time to settle, and a reserve.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Time after the last step in which all runs must end.
const TO_THE_END: Duration = Duration::from_secs(3600);
/// What all tasks of the folder share.
const APP_MANIFEST: &str = "[retention]\nmax-runs = 1000000\n";
/// Time for which an editor removes a file.
const GAP: Duration = Duration::from_millis(5);

/// A started run, with the acknowledged operations on it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its ID.
    pub(crate) id: String,
    /// Cancels.
    pub(crate) cancelled: bool,
    /// Signals.
    pub(crate) signals: Operations,
    /// Pauses.
    pub(crate) pauses: Operations,
}

/// How often an operation was done on a run.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// The host acknowledged it.
    pub(crate) acknowledged: u32,
    /// The outcome is unknown.
    pub(crate) unanswered: u32,
}

impl Operations {
    /// Counts an operation by its response. Returns the number of acknowledged ones, if this was
    /// one.
    fn count(&mut self, answer: Result<Result<MessageOutcome, StorageError>, Elapsed>) -> Option<u32> {
        match answer {
            Ok(Ok(MessageOutcome::Kept(_) | MessageOutcome::Owner { .. })) => {
                self.acknowledged += 1;
                return Some(self.acknowledged);
            }
            Ok(Ok(
                MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_) | MessageOutcome::Unchanged(_),
            )) => {}
            Ok(Err(_)) | Err(_) => self.unanswered += 1,
        }
        None
    }
}

/// The result of a history.
#[derive(Debug)]
pub struct Outcome {
    /// The violation, if there was one.
    pub violation: Option<String>,
    /// The number of executed steps.
    pub steps: usize,
    /// The number of runs.
    pub runs: u64,
    /// A digest of all that happened.
    pub digest: u64,
}

/// Executes the steps; the seed determines everything that they leave open.
pub(crate) fn play(seed: u64, max_running: u32, steps: &[Step]) -> Outcome {
    let folder = ram_folder();
    let mut world = World::new(folder.path(), max_running);
    fastrand::seed(seed);
    let mut at = 0;
    let mut violation = None;
    let mut down = 0;
    while violation.is_none() && (at < steps.len() || !world.ended) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("the system has room for a runtime");
        let life = runtime.block_on(world.live(down, &steps[at..]));
        match life {
            Ok(lived) => {
                at += lived.steps;
                down = lived.down;
            }
            Err(found) => {
                at += world.done_in_life;
                violation = Some(found);
            }
        }
        // All tasks are dropped with the runtime, which is how a host is killed.
        drop(runtime);
    }
    Outcome { violation, steps: at, runs: world.observer.count(), digest: world.observer.digest() }
}

/// A folder on a RAM disk, if there is one.
fn ram_folder() -> tempfile::TempDir {
    let ram = Path::new("/dev/shm");
    let made = if ram.is_dir() { tempfile::tempdir_in(ram) } else { tempfile::tempdir() };
    made.expect("there is room for a folder")
}

struct Life {
    steps: usize,
    down: u64,
}

pub(crate) struct World {
    folder: PathBuf,
    max_running: u32,
    watched: Arc<Watched>,
    /// The wall-clock time at which the next life begins.
    wall: SystemTime,
    /// The time since the start, whatever the clocks say.
    lived: Duration,
    known: Vec<Known>,
    observer: Observer,
    disk_full: bool,
    ended: bool,
    done_in_life: usize,
    versions: u32,
}

impl World {
    fn new(folder: &Path, max_running: u32) -> Self {
        fs::create_dir(folder.join("tasks")).expect("the folder is new");
        fs::create_dir(folder.join("data")).expect("the folder is new");
        let world = Self {
            folder: folder.to_owned(),
            max_running,
            watched: Arc::default(),
            wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            lived: Duration::ZERO,
            known: Vec::new(),
            observer: Observer::new(folder.join("data/streamtask.db"), max_running),
            disk_full: false,
            ended: false,
            done_in_life: 0,
            versions: 0,
        };
        world.write("app.toml", APP_MANIFEST);
        for task in TASKS {
            world.write(&format!("{}.wasm", task.name), "version 0");
            if !task.manifests[0].is_empty() {
                world.write(&format!("{}.toml", task.name), task.manifests[0]);
            }
        }
        world
    }

    /// Starts a host and executes steps until one ends it. Returns the number of executed steps.
    async fn live(&mut self, down: u64, steps: &[Step]) -> Result<Life, String> {
        self.done_in_life = 0;
        let clock = platform::simulate(self.wall + Duration::from_millis(down));
        clock.fill_disk(self.disk_full);
        let began = Instant::now();
        let lived_before = self.lived + Duration::from_millis(down);
        self.watched = Arc::default();
        let engine =
            Scripts { max_instances: Capacity::guests(self.max_running), watched: Arc::clone(&self.watched) };
        let rooms = Rooms::start(&self.folder, self.max_running, Arc::new(engine)).await;
        let rooms = rooms.map_err(|error| format!("a host does not start: {error}"))?;
        let mut changes = rooms.registry.changes();
        while !rooms.registry.is_complete() {
            changes.changed().await;
        }
        self.observer.begin_life(lived_before);
        for (at, step) in steps.iter().enumerate() {
            self.done_in_life = at + 1;
            match step {
                Step::Restart(down) => {
                    self.stop(rooms).await?;
                    self.end_life(lived_before + began.elapsed());
                    return Ok(Life { steps: at + 1, down: *down });
                }
                Step::Kill(down) => {
                    self.end_life(lived_before + began.elapsed());
                    return Ok(Life { steps: at + 1, down: *down });
                }
                step => self.step(&rooms, &clock, step).await?,
            }
            self.lived = lived_before + began.elapsed();
            self.look(&rooms).await?;
        }
        self.finish(&rooms, &clock).await?;
        self.stop(rooms).await?;
        self.end_life(lived_before + began.elapsed());
        self.ended = true;
        Ok(Life { steps: steps.len(), down: 0 })
    }

    fn end_life(&mut self, lived: Duration) {
        self.wall = platform::wall_clock();
        self.lived = lived;
    }

    async fn step(&mut self, rooms: &Rooms, clock: &Simulated, step: &Step) -> Result<(), String> {
        match step {
            Step::Start(start) => self.start(rooms, start).await,
            Step::Cancel(run) => self.cancel(rooms, *run).await,
            Step::Pause(run) => self.pause(rooms, *run).await?,
            Step::Resume(run) => self.resume(rooms, *run).await,
            Step::Signal(run) => self.signal(rooms, *run).await?,
            Step::Prune => {
                self.observer.pruned();
                drop(timeout(PATIENCE, rooms.pruner.prune(PruneRequest::default())).await);
            }
            Step::Wait(ms) => sleep(Duration::from_millis(*ms)).await,
            Step::Freeze(ms) => {
                advance(Duration::from_millis(*ms)).await;
                self.observer.disturbed(self.lived + Duration::from_millis(*ms));
            }
            Step::ClockAhead(ms) => {
                clock.set_ahead(Duration::from_millis(*ms));
                self.observer.clock_set(self.lived);
            }
            Step::ClockBack(ms) => {
                clock.set_back(Duration::from_millis(*ms));
                self.observer.clock_set(self.lived);
            }
            Step::DiskFull | Step::DiskFree => {
                self.disk_full = matches!(step, Step::DiskFull);
                clock.fill_disk(self.disk_full);
                self.observer.disturbed(self.lived);
                // Failed operations are retried after a second.
                sleep(PATIENCE).await;
            }
            Step::Save { task, text, how } => self.save(*task, *text, *how).await,
            Step::Deploy(task) => self.deploy(*task),
            Step::Remove(task) => self.take_away(*task),
            Step::PutBack(task) => self.put_back(*task),
            Step::Restart(_) | Step::Kill(_) => unreachable!("these end the life"),
        }
        Ok(())
    }

    async fn start(&mut self, rooms: &Rooms, start: &Start) {
        let task = TaskRef::parse_path(start.task).expect("the simulation's names are valid");
        let mut request = Request::new(task, Json::of(&start.script));
        request.priority = start.priority;
        request.delay = start.delay.map(Duration::from_millis);
        request.resources = start.resource.iter().cloned().collect();
        request.fail_if_busy = Some(start.fail_if_busy);
        request.idempotency_key.clone_from(&start.key);
        if let Ok(Ok(started)) = timeout(PATIENCE, rooms.scheduler.submit(request)).await
            && !started.existing
        {
            self.known.push(Known { id: started.run.key.id.to_string(), ..Known::default() });
        }
    }

    /// Indexes count from the newest run.
    fn known(&mut self, run: usize) -> Option<(RunId, &mut Known)> {
        let at = self.known.len().checked_sub(run + 1)?;
        let known = &mut self.known[at];
        Some((RunId::parse(&known.id).expect("the host gave it"), known))
    }

    async fn cancel(&mut self, rooms: &Rooms, run: usize) {
        let Some((id, known)) = self.known(run) else { return };
        if let Ok(Ok(CancelOutcome::Ended(_) | CancelOutcome::Requested { .. })) =
            timeout(PATIENCE, rooms.scheduler.cancel(&id)).await
        {
            known.cancelled = true;
        }
    }

    async fn pause(&mut self, rooms: &Rooms, run: usize) -> Result<(), String> {
        let Some((id, known)) = self.known(run) else { return Ok(()) };
        let answer = timeout(PATIENCE, rooms.scheduler.set_paused(&id, true)).await;
        let Some(times) = known.pauses.count(answer) else { return Ok(()) };
        self.observer.acknowledged(id.as_str(), "run.paused", times)
    }

    async fn resume(&mut self, rooms: &Rooms, run: usize) {
        let Some((id, _)) = self.known(run) else { return };
        let _ = timeout(PATIENCE, rooms.scheduler.set_paused(&id, false)).await;
    }

    async fn signal(&mut self, rooms: &Rooms, run: usize) -> Result<(), String> {
        let Some((id, known)) = self.known(run) else { return Ok(()) };
        let name = SignalName::parse("go").expect("a good name");
        let signal = Signal { name, payload: Json::null() };
        let answer = timeout(PATIENCE, rooms.scheduler.signal(&id, signal)).await;
        let Some(times) = known.signals.count(answer) else { return Ok(()) };
        self.observer.acknowledged(id.as_str(), "run.signal", times)
    }

    async fn stop(&mut self, rooms: Rooms) -> Result<(), String> {
        let began = Instant::now();
        let stopped = timeout(Duration::from_secs(600), rooms.stop()).await;
        if stopped.is_err() || began.elapsed() > STOP_WITHIN {
            return Err(format!("a stop took {:?}, longer than {STOP_WITHIN:?}", began.elapsed()));
        }
        Ok(())
    }

    /// Checks the invariants after the effects of the last step.
    async fn look(&mut self, rooms: &Rooms) -> Result<(), String> {
        sleep(SETTLE).await;
        if self.disk_full {
            return Ok(());
        }
        let mut suspect = self.observer.look(rooms, &self.watched, self.lived)?;
        // It may still be in progress.
        let mut tries = 0;
        while let Some((what, state)) = suspect {
            if tries == 3 {
                return Err(what);
            }
            tries += 1;
            sleep(SETTLE).await;
            suspect = self.observer.look(rooms, &self.watched, self.lived)?.filter(|(_, now)| *now == state);
        }
        Ok(())
    }

    /// Removes everything that delays runs on purpose; then all runs must end.
    async fn finish(&mut self, rooms: &Rooms, clock: &Simulated) -> Result<(), String> {
        self.disk_full = false;
        clock.fill_disk(false);
        self.observer.disturbed(self.lived);
        for (at, task) in TASKS.iter().enumerate() {
            self.put_back(at);
            if task.manifests[0].contains("[[schedule]]") {
                self.write(&format!("{}.toml", task.name), "");
                self.observer.saved(task.name, "", self.lived);
            }
        }
        let began = Instant::now();
        let lived = self.lived;
        loop {
            // A run or its child may be paused, and a resume can arrive before its pause is
            // complete.
            for id in self.observer.paused() {
                let id = RunId::parse(&id).expect("the host gave it");
                let _ = timeout(PATIENCE, rooms.scheduler.set_paused(&id, false)).await;
            }
            sleep(Duration::from_secs(5)).await;
            self.lived = lived + began.elapsed();
            self.look(rooms).await?;
            let left = self.observer.unfinished();
            if left.is_empty() {
                break;
            }
            if began.elapsed() > TO_THE_END {
                return Err(format!(
                    "these runs never end: {left:?}, the guests do {:?}",
                    self.watched.doing()
                ));
            }
        }
        self.observer.check_logs(&self.known)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join("tasks").join(name)
    }

    /// Writes a file with the simulated time as its modification time.
    fn write(&self, name: &str, text: &str) {
        let mut file = File::create(self.path(name)).expect("the folder takes files");
        file.write_all(text.as_bytes()).expect("the folder takes files");
        file.set_modified(platform::wall_clock()).expect("the file is ours");
    }

    async fn save(&mut self, task: usize, text: usize, how: Saving) {
        let task = &TASKS[task];
        if !self.path(&format!("{}.wasm", task.name)).exists() {
            return;
        }
        let (name, text) = (format!("{}.toml", task.name), task.manifests[text]);
        self.observer.saved(task.name, text, self.lived);
        match how {
            Saving::InPlace => {}
            Saving::RenameOver => {
                self.write("new.tmp", text);
                fs::rename(self.path("new.tmp"), self.path(&name)).expect("both are there");
                return;
            }
            Saving::RenameAway => {
                let _ = fs::rename(self.path(&name), self.path(&format!("{name}~")));
                sleep(GAP).await;
            }
            Saving::Unlink => {
                let _ = fs::remove_file(self.path(&name));
                sleep(GAP).await;
            }
        }
        self.write(&name, text);
    }

    fn deploy(&mut self, task: usize) {
        let name = format!("{}.wasm", TASKS[task].name);
        if self.path(&name).exists() {
            self.versions += 1;
            self.write(&name, &format!("version {}", self.versions));
        }
    }

    fn take_away(&mut self, task: usize) {
        for ending in ["wasm", "toml"] {
            let name = format!("{}.{ending}", TASKS[task].name);
            let _ = fs::rename(self.path(&name), self.path(&format!("{name}.away")));
        }
        self.observer.taken_away(TASKS[task].name, self.lived);
    }

    fn put_back(&mut self, task: usize) {
        for ending in ["toml", "wasm"] {
            let name = format!("{}.{ending}", TASKS[task].name);
            let _ = fs::rename(self.path(&format!("{name}.away")), self.path(&name));
        }
        self.observer.put_back(TASKS[task].name, self.lived);
    }
}
