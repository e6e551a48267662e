//! Executes a history: applies the steps of a seed to successive lives of a host, and checks the
//! invariants after each.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamtask_host::model::{Json, RunId, Signal, SignalName, TaskRef};
use streamtask_host::platform::{self, Simulated};
use streamtask_host::retention::PruneRequest;
use streamtask_host::scheduler::Request;
use streamtask_host::storage::{CancelOutcome, MessageOutcome, StorageError};
use tokio::runtime::Builder;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::Plan;
use crate::invariants::Observer;
use crate::members::Members;
use crate::rooms::Rooms;
use crate::steps::{HostFault, Saving, Start, Step};
use crate::tasks::TASKS;

/// Timeout of a call. With a full disk, calls get no response.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time after each step for its immediate effects.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest time of a shutdown: the grace period, the time to settle, and a reserve.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Longest time of the shutdown of a host that may be cut off, which also waits for the removal of old runs.
const STOP_CUT_OFF_WITHIN: Duration = Duration::from_secs(25);
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
            Ok(Ok(MessageOutcome::Kept(_) | MessageOutcome::Owner { message: 0, .. })) => {
                self.acknowledged += 1;
                return Some(self.acknowledged);
            }
            // It is stored, and will be in the log.
            Ok(Ok(MessageOutcome::Owner { .. })) => self.acknowledged += 1,
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
pub(crate) fn play(plan: &Plan) -> Outcome {
    let steps = &plan.steps;
    let folder = ram_folder();
    let mut world = World::new(folder.path(), plan);
    fastrand::seed(plan.seed);
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
pub(crate) fn ram_folder() -> tempfile::TempDir {
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
    hosts: usize,
    /// The wall-clock time at which the next life begins.
    wall: SystemTime,
    /// The time since the start, whatever the clocks say.
    lived: Duration,
    known: Vec<Known>,
    observer: Observer,
    disk_full: bool,
    /// Until when one of several hosts has a fault; zero if none has.
    faulty_until: Duration,
    ended: bool,
    done_in_life: usize,
    versions: u32,
}

impl World {
    fn new(folder: &Path, plan: &Plan) -> Self {
        fs::create_dir(folder.join("tasks")).expect("the folder is new");
        fs::create_dir(folder.join("data")).expect("the folder is new");
        let world = Self {
            folder: folder.to_owned(),
            max_running: plan.max_running,
            hosts: plan.hosts,
            wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            lived: Duration::ZERO,
            known: Vec::new(),
            observer: Observer::new(folder.join("data/streamtask.db"), plan.max_running, plan.hosts > 1),
            disk_full: false,
            faulty_until: Duration::ZERO,
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
        let members = Members::start(&self.folder, self.max_running, self.hosts).await;
        let mut members = members.map_err(|error| format!("a host does not start: {error}"))?;
        for member in members.up() {
            let registry = &member.rooms.registry;
            let mut changes = registry.changes();
            while !registry.is_complete() {
                changes.changed().await;
            }
        }
        self.observer.begin_life(lived_before);
        for (at, step) in steps.iter().enumerate() {
            self.done_in_life = at + 1;
            match step {
                Step::Restart(down) => {
                    self.stop_all(members).await?;
                    self.end_life(lived_before + began.elapsed());
                    return Ok(Life { steps: at + 1, down: *down });
                }
                Step::Kill(down) => {
                    self.end_life(lived_before + began.elapsed());
                    return Ok(Life { steps: at + 1, down: *down });
                }
                Step::Host { host, what, ms } => {
                    self.fail(&mut members, *host, *what, Duration::from_millis(*ms)).await?;
                }
                step => self.step(&members, &clock, step).await?,
            }
            self.lived = lived_before + began.elapsed();
            let revived = members.revive(self.lived).await?;
            if revived || self.faulty_until > Duration::ZERO {
                self.observer.disturbed(self.lived);
            }
            if self.faulty_until <= self.lived {
                self.faulty_until = Duration::ZERO;
            }
            self.look(&members).await?;
        }
        self.finish(&mut members, &clock).await?;
        self.stop_all(members).await?;
        self.end_life(lived_before + began.elapsed());
        self.ended = true;
        Ok(Life { steps: steps.len(), down: 0 })
    }

    fn end_life(&mut self, lived: Duration) {
        self.wall = platform::wall_clock();
        self.lived = lived;
    }

    async fn step(&mut self, members: &Members, clock: &Simulated, step: &Step) -> Result<(), String> {
        match step {
            Step::Start(_)
            | Step::Cancel(_)
            | Step::Pause(_)
            | Step::Resume(_)
            | Step::Signal(_)
            | Step::Prune => {
                if let Some(member) = members.any() {
                    self.request(&member.rooms, step).await?;
                }
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
            Step::Restart(_) | Step::Kill(_) | Step::Host { .. } => unreachable!("these change the hosts"),
        }
        Ok(())
    }

    /// A request of a client to one host.
    async fn request(&mut self, rooms: &Rooms, step: &Step) -> Result<(), String> {
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
            _ => unreachable!("no client asks for it"),
        }
        Ok(())
    }

    /// Something happens to one of several hosts.
    async fn fail(
        &mut self,
        members: &mut Members,
        host: usize,
        what: HostFault,
        time: Duration,
    ) -> Result<(), String> {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match what {
            HostFault::Killed => members.kill(host, self.lived + time),
            HostFault::Stopped => {
                if let Some(member) = members.take_down(host, self.lived + time) {
                    self.stop(member.rooms).await?;
                }
            }
            HostFault::CutOff => members.cut(host, ms),
            HostFault::LateLease => members.delay_renewals(host, ms),
        }
        self.faulty_until = self.faulty_until.max(self.lived + time);
        self.observer.disturbed(self.lived);
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
        let Some((id, _)) = self.known(run) else { return Ok(()) };
        let answer = timeout(self.patience(), rooms.scheduler.set_paused(&id, true)).await;
        let Some((_, known)) = self.known(run) else { return Ok(()) };
        let Some(times) = known.pauses.count(answer) else { return Ok(()) };
        self.observer.acknowledged(id.as_str(), "run.paused", times)
    }

    async fn resume(&mut self, rooms: &Rooms, run: usize) {
        let Some((id, _)) = self.known(run) else { return };
        let _ = timeout(PATIENCE, rooms.scheduler.set_paused(&id, false)).await;
    }

    async fn signal(&mut self, rooms: &Rooms, run: usize) -> Result<(), String> {
        let Some((id, _)) = self.known(run) else { return Ok(()) };
        let name = SignalName::parse("go").expect("a good name");
        let signal = Signal { name, payload: Json::null() };
        let answer = timeout(self.patience(), rooms.scheduler.signal(&id, signal)).await;
        let Some((_, known)) = self.known(run) else { return Ok(()) };
        let Some(times) = known.signals.count(answer) else { return Ok(()) };
        self.observer.acknowledged(id.as_str(), "run.signal", times)
    }

    /// Timeout of a message, which waits for the owner of its run for some time.
    fn patience(&self) -> Duration {
        if self.hosts > 1 { 2 * PATIENCE } else { PATIENCE }
    }

    async fn stop_all(&mut self, members: Members) -> Result<(), String> {
        let (members, shared) = members.into_parts();
        for member in members {
            self.stop(member.rooms).await?;
        }
        if let Some(storage) = shared {
            storage.close().await;
        }
        Ok(())
    }

    async fn stop(&mut self, rooms: Rooms) -> Result<(), String> {
        let began = Instant::now();
        let stopped = timeout(Duration::from_secs(600), rooms.stop()).await;
        let within = if self.hosts > 1 { STOP_CUT_OFF_WITHIN } else { STOP_WITHIN };
        if stopped.is_err() || began.elapsed() > within {
            return Err(format!("a stop took {:?}, longer than {within:?}", began.elapsed()));
        }
        Ok(())
    }

    /// Checks the invariants after the effects of the last step.
    async fn look(&mut self, members: &Members) -> Result<(), String> {
        sleep(SETTLE).await;
        if self.disk_full {
            return Ok(());
        }
        let mut suspect = self.observer.look(members, self.lived)?;
        // It may still be in progress. Other hosts may have lost a hint, or have to learn that they were declared dead.
        let most = if members.share() { 100 } else { 3 };
        let mut tries = 0;
        while let Some((what, state)) = suspect {
            if tries == most {
                return Err(what);
            }
            tries += 1;
            sleep(SETTLE).await;
            suspect = self.observer.look(members, self.lived)?.filter(|(_, now)| *now == state);
        }
        Ok(())
    }

    /// Removes everything that delays runs on purpose; then all runs must end.
    async fn finish(&mut self, members: &mut Members, clock: &Simulated) -> Result<(), String> {
        self.disk_full = false;
        clock.fill_disk(false);
        members.heal().await?;
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
                if let Some(member) = members.any() {
                    let _ = timeout(PATIENCE, member.rooms.scheduler.set_paused(&id, false)).await;
                }
            }
            sleep(Duration::from_secs(5)).await;
            self.lived = lived + began.elapsed();
            self.look(members).await?;
            let left = self.observer.unfinished();
            if left.is_empty() {
                break;
            }
            if began.elapsed() > TO_THE_END {
                let doing: Vec<_> = members.up().flat_map(|member| member.watched.doing()).collect();
                return Err(format!("these runs never end: {left:?}, the guests do {doing:?}"));
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
