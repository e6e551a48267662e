//! The steps of a history, drawn from a seed.

use crate::script::{Op, Script};
use crate::tasks::{self, TASKS};

/// A step. Runs are identified by their index among the started runs.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client starts a run.
    Start(Box<Start>),
    /// A client cancels a run.
    Cancel(usize),
    /// A client pauses a run.
    Pause(usize),
    /// A client resumes a run.
    Resume(usize),
    /// A client sends a signal to a run.
    Signal(usize),
    /// An operator prunes runs.
    Prune,
    /// Time passes, in milliseconds.
    Wait(u64),
    /// Time passes while the host is frozen, so that all of its timers are late.
    Freeze(u64),
    /// The wall clock is set forward, in milliseconds.
    ClockAhead(u64),
    /// The wall clock is set back, in milliseconds.
    ClockBack(u64),
    /// The disk becomes full.
    DiskFull,
    /// The disk has free space again.
    DiskFree,
    /// The manifest of a task is replaced by one of its variants.
    Save {
        /// Index of the task.
        task: usize,
        /// Index of the variant.
        text: usize,
        /// How the file is written.
        how: Saving,
    },
    /// The file of a task is replaced by another version.
    Deploy(usize),
    /// The files of a task are removed.
    Remove(usize),
    /// The files of a task are restored.
    PutBack(usize),
    /// The host is shut down, and restarted after this many milliseconds.
    Restart(u64),
    /// The host is killed, and restarted after this many milliseconds. With several hosts, all of them are.
    Kill(u64),
    /// Something happens to one of several hosts.
    Host {
        /// Its index.
        host: usize,
        /// What happens.
        what: HostFault,
        /// For how long, in milliseconds.
        ms: u64,
    },
}

/// What happens to one of several hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HostFault {
    /// It is killed, and another one starts later.
    Killed,
    /// It is shut down, and another one starts later.
    Stopped,
    /// It does not reach the database.
    CutOff,
    /// It does not renew its lease.
    LateLease,
}

impl Step {
    /// Whether the step changes the tasks folder.
    pub(crate) fn is_of_files(&self) -> bool {
        matches!(self, Self::Save { .. } | Self::Deploy(_) | Self::Remove(_) | Self::PutBack(_))
    }
}

/// How an editor writes a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Saving {
    /// Truncates and writes it.
    InPlace,
    /// Replaces it by a new file.
    RenameOver,
    /// Renames it, and writes a new one a few milliseconds later.
    RenameAway,
    /// Removes it, and writes a new one a few milliseconds later.
    Unlink,
}

/// A run that a client starts.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The task.
    pub(crate) task: &'static str,
    /// Its script.
    pub(crate) script: Script,
    /// In place of the task's own.
    pub(crate) priority: Option<i32>,
    /// The delay of the start, in milliseconds.
    pub(crate) delay: Option<u64>,
    /// An exclusive resource.
    pub(crate) resource: Option<String>,
    /// Whether the start is rejected if the run would have to wait for the resource.
    pub(crate) fail_if_busy: bool,
    /// An idempotency key.
    pub(crate) key: Option<String>,
}

impl Start {
    fn any(rng: &mut fastrand::Rng) -> Self {
        let task = tasks::any(rng);
        Self {
            task,
            script: tasks::script(task, 3, rng),
            priority: (rng.u32(..3) == 0).then(|| rng.i32(-1..=1)),
            delay: (rng.u32(..10) == 0).then(|| rng.u64(..20_000)),
            resource: (rng.u32(..4) == 0).then(|| "printer".to_owned()),
            fail_if_busy: rng.u32(..12) == 0,
            key: (rng.u32(..12) == 0).then(|| tasks::letter(rng)),
        }
    }

    /// A chain of parents that each wait for one child.
    fn parent(rng: &mut fastrand::Rng) -> Self {
        let child = crate::script::Child {
            task: "plain".to_owned(),
            script: Script { ops: vec![Op::Sleep(rng.u64(..200))], ..Script::default() },
            key: None,
            detached: false,
        };
        let ops = vec![Op::Child(Box::new(child)), Op::AwaitAll];
        Self {
            task: "plain",
            script: Script { ops, ..Script::default() },
            priority: None,
            delay: None,
            resource: None,
            fail_if_busy: false,
            key: None,
        }
    }
}

/// Many steps.
pub(crate) fn draw(count: usize, rng: &mut fastrand::Rng) -> Vec<Step> {
    let mut steps = Vec::with_capacity(count);
    // Each history has its own probabilities: some rarely disturb clocks, disks or files.
    let moods: [bool; 4] = std::array::from_fn(|_| rng.u32(..3) == 0);
    while steps.len() < count {
        match rng.u32(..200) {
            0..4 => steps.extend((0..rng.u32(3..25)).map(|_| Step::Start(Box::new(Start::parent(rng))))),
            other => steps.push(one(other, moods, rng)),
        }
    }
    steps.truncate(count);
    steps
}

/// The steps for several hosts: with faults of single hosts, and without changes of the clock, which is that of the
/// database.
pub(crate) fn for_hosts(steps: Vec<Step>, hosts: usize, rng: &mut fastrand::Rng) -> Vec<Step> {
    let is_of_clock = |step: &Step| matches!(step, Step::ClockAhead(_) | Step::ClockBack(_));
    let mut all = Vec::with_capacity(steps.len());
    for step in steps.into_iter().filter(|step| !is_of_clock(step)) {
        if rng.u32(..12) == 0 {
            let what = [HostFault::Killed, HostFault::Stopped, HostFault::CutOff, HostFault::LateLease];
            // Some are over before the lease is.
            let ms = if rng.bool() { rng.u64(..15_000) } else { rng.u64(..120_000) };
            all.push(Step::Host { host: rng.usize(..hosts), what: what[rng.usize(..what.len())], ms });
        }
        all.push(step);
    }
    all
}

/// A task to change: half of the time, one with retention rules or schedules.
fn file(rng: &mut fastrand::Rng) -> usize {
    if rng.bool() { rng.usize(..TASKS.len()) } else { rng.usize(tasks::WITH_RULES..TASKS.len()) }
}

fn one(at: u32, [clocks, disks, files, lives]: [bool; 4], rng: &mut fastrand::Rng) -> Step {
    // Most steps concern the newest runs.
    let run = if rng.bool() { rng.usize(..4) } else { rng.usize(..40) };
    match at {
        4..70 => Step::Start(Box::new(Start::any(rng))),
        70..85 => Step::Cancel(run),
        85..95 => Step::Pause(run),
        95..107 => Step::Resume(run),
        107..117 => Step::Signal(run),
        117..120 => Step::Prune,
        120 if clocks => Step::ClockAhead(rng.u64(1_000..200_000)),
        121 if clocks => Step::ClockAhead(31 * 24 * 3_600_000),
        122 if clocks => Step::ClockBack(rng.u64(1_000..200_000)),
        123 if clocks => Step::ClockBack(3_600_000),
        124 | 125 => Step::Freeze(rng.u64(1_000..60_000)),
        126..128 if disks => Step::DiskFull,
        128..133 if disks => Step::DiskFree,
        133..140 if files => {
            let task = file(rng);
            let text = rng.usize(..TASKS[task].manifests.len());
            let how =
                [Saving::InPlace, Saving::RenameOver, Saving::RenameAway, Saving::Unlink][rng.usize(..4)];
            Step::Save { task, text, how }
        }
        140..142 if files => Step::Deploy(file(rng)),
        142..144 if files => Step::Remove(file(rng)),
        144..150 if files => Step::PutBack(file(rng)),
        150..152 if lives => Step::Restart(rng.u64(..600_000)),
        152..154 if lives => Step::Kill(rng.u64(..600_000)),
        154 => Step::Wait(rng.u64(60_000..3_600_000)),
        155..160 => Step::Wait(rng.u64(10_000..60_000)),
        _ => Step::Wait(rng.u64(..3_000)),
    }
}
